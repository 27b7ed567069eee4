"""Who may sign updates: a set of keys with roles, signed by the root that the node was given (SPEC 14.7).

    found = yield from open_steps(crypto, statement, root)

`{epoch, keys, roles}` as a COSE_Sign1: the epoch only grows, so a key is revoked by a newer set that leaves it out. A
release key signs updates; an emergency key signs updates that need not wait for a window. Neither changes keys: the
root alone does, and it is used for nothing else.
"""

from . import cbor
from .errors import DUPLICATE_KEY, RANGE, FrameError
from .suit import EMERGENCY, RELEASE

PURPOSE = b"citymote update keys 1"
MAX_KEYS = 8
EPOCH = "epoch"  # not newer than the set that the node has


class KeySet:
    """`keys`: ((compressed key, role), ...)."""

    __slots__ = ("epoch", "keys")


def write(epoch, keys):
    """The payload to be signed."""
    return cbor.dumps([epoch, [[key, role] for key, role in keys]])


def read(payload):
    """KeySet of a payload; FrameError where it is none."""
    made = KeySet()
    reader = cbor.Reader(payload)
    if reader.array(2) != 2:
        raise FrameError(RANGE, "not [epoch, keys]")
    made.epoch = reader.uint()
    keys = []
    for _ in range(reader.array(MAX_KEYS)):
        if reader.array(2) != 2:
            raise FrameError(RANGE, "not [key, role]")
        key = reader.bytes(33)
        role = reader.uint(EMERGENCY)
        if len(key) != 33 or key[0] not in (2, 3) or role < RELEASE:
            raise FrameError(RANGE, "not a key with a role")
        if key in [k for k, _ in keys]:
            raise FrameError(DUPLICATE_KEY, "a key twice")
        keys.append((key, role))
    reader.finish()
    if not keys:
        raise FrameError(RANGE, "no keys")
    made.keys = tuple(keys)
    return made


def open_steps(crypto, statement, root, epoch=0):
    """Generator: the KeySet that `root` has signed, if its epoch is above `epoch`."""
    from . import sign1  # not wanted where a set is only read

    found = read((yield from sign1.open_steps(crypto, statement, root, PURPOSE)))
    if found.epoch <= epoch:
        raise FrameError(EPOCH, "epoch %d, after %d" % (found.epoch, epoch))
    return found
