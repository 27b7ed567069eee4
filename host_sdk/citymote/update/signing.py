"""Keys that sign releases and key sets, wherever they are: an encrypted file, a PKCS#11 token, somebody's own program.

A key is named by one text: a path to a PEM file, `pkcs11:...` (RFC 7512), or `command:PUBLICKEY:PROGRAM ARGUMENTS`,
whose program reads a SHA-256 digest from standard input and writes the signature, r || s or DER. No secret is part of
that text: passphrases and PINs are asked for, or come from a file. Whatever signed, the signature is checked before it
is used.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from citymote import crypto, private_files
from citymote.delegate import OwnerKey
from citymote.errors import CitymoteError, UsageError
from citymote.vault import Ask, ask_passphrase
from citymote_protocol import p256 as _p256
from citymote_protocol import suit as _suit

from . import manifest
from .bundle import Bundle
from .hss_key import LONGEST_SIGNATURE, HssKey
from .keyring import key_id, public_key
from .manifest import Signer

p256: Any = _p256
suit: Any = _suit
_TIMEOUT = 300
"""Seconds for somebody's program: there may be a person with a token behind it."""
_MOST_PEM = 16 << 10


class SigningError(CitymoteError):
    """A key that does not sign. No secret is in the text."""

    whose = "machine"


def make_key(path: Path, ask: Ask = ask_passphrase) -> bytes:
    """A new P-256 key in an encrypted PEM file (PKCS#8); its compressed public key."""
    if path.exists():
        raise UsageError(f"{path}: not created", "there is a file already", "Choose another name.")
    passphrase = ask(True)
    if len(passphrase) < 8:
        raise UsageError("this passphrase is too short", "it has fewer than 8 characters", "Take several words.")
    pem, public = crypto.new_pem(passphrase.encode())
    try:
        private_files.write(path, pem)
    except OSError as error:
        raise SigningError(f"{path}: not created", error.strerror or str(error)) from None
    return public


@dataclass(frozen=True)
class SigningKey:
    """A P-256 key that signs: `sign` makes r || s of a SHA-256 digest."""

    public: bytes
    sign: Callable[[bytes], bytes]

    @property
    def kid(self) -> bytes:
        """Its name in an envelope."""
        return key_id(self.public)

    @property
    def owner(self) -> OwnerKey:
        """The same as what signs statements: a root's key sets."""
        return OwnerKey(self.public, self.sign)


def open_key(name: str, ask: Ask = ask_passphrase) -> SigningKey:
    """The key behind such a text, ready to sign."""
    if name.startswith("pkcs11:"):
        from . import pkcs11

        public, sign = pkcs11.open_key(name, ask)
    elif name.startswith("command:"):
        public, sign = _command(name)
    else:
        public, sign = _file(Path(name), ask)
    return SigningKey(public, _checked(name.split("?", maxsplit=1)[0][:80], public, sign))


def _checked(name: str, public: bytes, sign: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def run(digest: bytes) -> bytes:
        signature = sign(digest)
        if not p256.verify(public, digest, signature):
            raise SigningError(f"{name}: its signature does not hold", "it is by another key, or over something else")
        return signature

    return run


def _file(path: Path, ask: Ask) -> tuple[bytes, Callable[[bytes], bytes]]:
    try:
        data = private_files.read(path, _MOST_PEM)
    except private_files.NotPrivate as error:
        raise SigningError(
            f"the key {path} is not used", str(error), f"If nobody has read it: chmod 600 {path}"
        ) from None
    except OSError as error:
        raise SigningError(f"the key {path} cannot be read", error.strerror or str(error)) from None
    if b"ENCRYPTED" not in data:
        raise SigningError(
            f"the key {path} is not used", "it is not encrypted", "Make one with `citymote update keys new`."
        )
    try:
        private = crypto.private_of_pem(data, ask(False).encode())
    except ValueError:
        # Not chained: what a library says of the file is none of a log's business.
        raise SigningError(
            f"the key {path} does not open", "the passphrase is another, or it is no P-256 key"
        ) from None
    return crypto.public_key(private), lambda digest: crypto.sign(private, digest)


def _command(name: str) -> tuple[bytes, Callable[[bytes], bytes]]:
    _, public, line = [*name.split(":", 2), "", ""][:3]
    try:
        arguments = shlex.split(line)
    except ValueError:
        arguments = []
    if not arguments:
        raise UsageError("this key names no program", "", "Write command:PUBLICKEY:PROGRAM ARGUMENTS.")
    compressed = public_key(public)

    def sign(digest: bytes) -> bytes:
        try:
            done = subprocess.run(
                arguments, input=digest, stdout=subprocess.PIPE, timeout=_TIMEOUT, check=False
            )  # what it says on standard error is for the person in front of it
        except (OSError, subprocess.TimeoutExpired) as error:
            why = "it took too long" if isinstance(error, subprocess.TimeoutExpired) else error.strerror or str(error)
            raise SigningError(f"{arguments[0]} did not sign", why) from None
        if done.returncode:
            raise SigningError(f"{arguments[0]} did not sign", f"it ended with status {done.returncode}")
        return as_pair(done.stdout)

    return compressed, sign


def as_pair(signature: bytes) -> bytes:
    """r || s of a signature that came as that or as DER; SigningError where it is neither."""
    if len(signature) == 64:
        return signature
    try:
        return crypto.pair_of_der(signature)
    except ValueError:
        raise SigningError("what came back is no signature", f"it has {len(signature)} bytes") from None


def signer(key: SigningKey) -> Signer:
    """What signs manifests with a P-256 key."""
    return Signer(key.kid, key.sign)


def hash_based_signer(key: HssKey) -> Signer:
    """What signs manifests with a hash-based key; its signature has to fit what a node reads of one."""

    def sign(message: bytes) -> bytes:
        signature = key.sign(message)
        if len(signature) > LONGEST_SIGNATURE:
            raise SigningError("this signature is too long for a node", f"it has {len(signature)} bytes")
        return signature

    return Signer(key.kid, sign, suit.HSS_LMS)


def sign_bundle(bundle: Bundle, sequence: int, signers: Sequence[Signer], *, again: bool = False) -> Bundle:
    """The bundle with an envelope for every target, signed by these too; `again`: other sequences are replaced."""
    made: dict[str, bytes] = {}
    for target in bundle.targets:
        old = bundle.envelopes.get(target.name)
        if old is not None and manifest.sequence_of(manifest.parts(old)[2]) != sequence:
            if not again:
                raise UsageError(
                    f"{target.name} has an envelope with another sequence", "", "Say --again if it was not published."
                )
            old = None
        class_ = manifest.class_id(target.architecture, bundle.vendor)
        try:
            if old is None:
                made[target.name] = manifest.envelope(target.index, sequence, class_, signers, bundle.vendor)
            else:
                made[target.name] = manifest.with_signatures(old, signers)
        except ValueError as error:
            raise UsageError(f"{target.name} cannot be signed", str(error)) from None
    return bundle.with_envelopes(made)
