"""Whose signature counts: the key set that the owner's root has signed (SPEC 14.7), and what a new one ends.

Loaded for a question about it, and let go. A key that the root takes back judges backwards as well: what it has signed
goes no further, as long as it has not been started.
"""

from binascii import unhexlify
from hashlib import sha256

from node.files import load, save

from citymote_protocol import keyset

from .state import DOWNLOADING, KEYS, NO_ROOT, REFUSED, VERIFIED, Refused, State, fail, in_steps


class Hashing:
    """All of a crypto provider that a signature's verification asks for."""

    def __init__(self):
        self.sha256 = sha256


def key_id(key):
    """The six bytes that a signature names its key by."""
    return sha256(key).digest()[:6]


def key_set():
    """The key set that this node trusts, or None."""
    data = load(KEYS)
    return keyset.read(data) if data else None


async def _end(node, keys):
    # What none of these has signed goes no further. Before they are kept: a cut between the two ends it all the same.
    made = node.updating
    state = made.state if made is not None else State()
    if state.state in (DOWNLOADING, VERIFIED) and state.signer not in [key_id(key) for key, _ in keys]:
        if made is not None:
            await made.stop()
        fail(node, state, REFUSED, "the key that signed it has been revoked")


async def take_keys(node, statement, again=False):
    """Trust a newer key set of the root; Refused where it is none. `again`: the one that is trusted may come again."""
    owner = node.settings["update_root"]
    if not owner:
        raise Refused(NO_ROOT, "no update_root is set: nobody may sign updates for this node")
    have = key_set()
    least = have.epoch if have else 0
    try:
        found = await in_steps(keyset.open_steps(Hashing(), statement, unhexlify(owner), least - again if least else 0))
    except ValueError as e:
        raise Refused(REFUSED, str(e), getattr(e, "code", "signature"))
    data = keyset.write(found.epoch, found.keys)
    if found.epoch > least:
        await _end(node, found.keys)
        save(KEYS, data)
    elif data != keyset.write(have.epoch, have.keys):
        raise Refused(REFUSED, "another key set of epoch %d" % least, keyset.EPOCH)
    return found.epoch
