"""Who this node is: its key pair, its claim secret, how often it has booted, and its hedged random numbers.

The key pair is drawn on the board, once, in the factory step with a radio on; the node's id is a hash of the public
key (SPEC, chapter 5). Nothing here ever leaves through repr, log or error text. A power cut leaves each file old or
new (`files.save`); the identity is kept twice, because a node that loses it is another node. The boot counter makes
every boot's sealing key different, and a stored seed is mixed into the chip's random numbers, so that one weak draw
after years gives nothing away. Board and file system are the caller's.

What is found at start, and what is done (SPEC 5.3, table 1):

    identity  copy      boot file  then
    good      good      any        go on
    good      not good  any        write the copy again
    not good  good      any        write the identity from the copy
    absent    absent    absent     first boot: draw, write identity, copy, boot file, in this order
    absent    absent    there      refuse: `lost`
    otherwise                      refuse: `damaged`
"""

import os

from citymote_protocol import keying

from . import files
from .hedge import Hedge

IDENTITY = "identity.bin"
COPY = "identity.bak"
BOOT = "boot.bin"

_IDENTITY_MAGIC = b"CMI1"  # private key 32, compressed public key 33, claim secret 16
_BOOT_MAGIC = b"CMB1"  # boots 4, seed 32
_IDENTITY_SIZE = 32 + 33 + 16
_BOOT_SIZE = 4 + 32
_LAST_BOOT = 0xFFFFFFFF

_ABSENT = 0
_DAMAGED = 1


class IdentityError(Exception):
    """The node cannot say who it is; `code` is no_entropy, storage, damaged or lost."""

    def __init__(self, code, text):
        super().__init__(code + ": " + text)
        self.code = code


def _read(path, magic, size):
    """The content of a file, or _ABSENT or _DAMAGED."""
    data = files.load(path, 128)
    if data is None:
        try:
            os.stat(path)
        except OSError:
            return _ABSENT
        return _DAMAGED
    if len(data) != 4 + size or data[:4] != magic:
        return _DAMAGED
    return data[4:]


class Identity:
    """What `open_steps` gives. `node_id`, `public` (33 bytes) and `boots` are for everybody."""

    def __init__(self, sha256, content, boots, persisted):
        self._private = content[:32]
        self.public = content[32:65]
        self._claim_secret = content[65:]
        self.node_id = keying.node_id(sha256, self.public)
        self.boots = boots
        self.persisted = persisted  # False: the flash no longer takes the boot counter (health reports it)

    def __repr__(self):
        return "Identity(" + self.node_id.hex() + ")"

    def private_key(self):
        """The 32-byte private key: for key agreement, never for anything that is shown."""
        return self._private

    def claim_secret(self):
        """The 16 bytes on the label that are good for claiming a node without an owner."""
        return self._claim_secret


def _draw_steps(crypto):
    from citymote_protocol.p256 import CurveError

    try:
        private, public = yield from crypto.key_pair_steps()
        secret = crypto.random(16)
        seed = crypto.random(32)
    except OSError:
        raise IdentityError("no_entropy", "the random source is not ready: switch a radio on first") from None
    except CurveError:
        raise IdentityError("no_entropy", "the random source repeats itself") from None
    if len(set(secret)) == 1 or secret == seed[:16]:
        raise IdentityError("no_entropy", "the random source repeats itself")
    return private + public + secret, seed


def open_steps(directory, crypto):
    """Generator; returns this node's Identity, counted one boot further.

    `crypto.random` is the HAL's; when this has ended it is the hedged one. Only the first boot costs curve arithmetic.
    """
    sha256 = crypto.sha256
    base = directory + "/"
    content = _read(base + IDENTITY, _IDENTITY_MAGIC, _IDENTITY_SIZE)
    copy = _read(base + COPY, _IDENTITY_MAGIC, _IDENTITY_SIZE)
    boot = _read(base + BOOT, _BOOT_MAGIC, _BOOT_SIZE)
    seed = None
    try:
        if content in (_ABSENT, _DAMAGED):
            if copy not in (_ABSENT, _DAMAGED):
                content = copy
            elif content == copy == _ABSENT:
                if boot != _ABSENT:
                    raise IdentityError("lost", "this node has booted before, but its key is gone")
                content, seed = yield from _draw_steps(crypto)
                copy = _ABSENT
            else:
                raise IdentityError("damaged", "neither the identity nor its copy can be read")
            files.save(base + IDENTITY, _IDENTITY_MAGIC + content)
        if copy != content:
            files.save(base + COPY, _IDENTITY_MAGIC + content)
    except OSError:
        raise IdentityError("storage", "the identity cannot be written") from None
    if boot in (_ABSENT, _DAMAGED):
        # A lost counter starts again: the random half of the boot id still keeps every boot's key its own.
        boots = 0
        if seed is None:
            seed = sha256(b"citymote seed" + content).digest()
    else:
        boots = int.from_bytes(boot[:4], "big")
        seed = boot[4:]
    boots = min(boots + 1, _LAST_BOOT)
    # The state used now and the seed kept for the next boot do not tell of each other.
    persisted = True
    try:
        kept = crypto.hmac(seed, b"keep", boots.to_bytes(4, "big"))
        files.save(base + BOOT, _BOOT_MAGIC + boots.to_bytes(4, "big") + kept)
    except OSError:
        persisted = False
    crypto.random = Hedge(crypto, crypto.hmac(seed, b"use", boots.to_bytes(4, "big"))).random
    return Identity(sha256, content, boots, persisted)


def open_identity(directory, crypto):
    """`open_steps` in one go."""
    from citymote_protocol.p256 import run

    return run(open_steps(directory, crypto))
