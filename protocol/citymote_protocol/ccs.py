"""Credentials of EDHOC: a public key dressed as a CWT claims set (RFC 9528, section 3.5.2; SPEC 12.9).

    {8: {1: {1: 2, 2: kid, -1: 1, -2: x}}}         deterministic CBOR; kid is the key's name, x its 32 bytes

A key agreement uses the x coordinate alone, so ours has no y: a label's 33 bytes suffice to write it. One that comes
from a peer may have a subject and a y (bytes or sign) as well; that y is not looked at, for the MAC covers it anyway.
"""

from . import cbor
from .cbor_bytes import byte_string
from .errors import FrameError

CREDENTIAL = "credential"  # not a claims set with a P-256 key in it

MAX_CCS = 192  # bytes: a subject of 64, a kid of 16, x, y, and what is around them
MAX_KID = 16

KID, KCCS = 4, 14  # COSE header labels that identify a credential


def write(kid, public):
    """The credential of a compressed public key (33 bytes) or of an x coordinate (32 bytes)."""
    return b"\xa1\x08\xa1\x01\xa4\x01\x02\x02" + byte_string(kid) + b"\x20\x01\x21\x58\x20" + bytes(public[-32:])


def _map(value):
    if not isinstance(value, list):
        raise FrameError(CREDENTIAL, "not a map")
    found = {}
    for pair in value:
        if not isinstance(pair, tuple):
            raise FrameError(CREDENTIAL, "not a map")
        found[pair[0]] = pair[1]
    return found


def read(data):
    """(x, kid or None) of a credential."""
    if len(data) > MAX_CCS:
        raise FrameError(CREDENTIAL, "%d bytes" % len(data))
    key = _map(_map(_map(cbor.loads(data)).get(8)).get(1))
    x = key.get(-2)
    kid = key.get(2)
    if key.get(1) != 2 or key.get(-1) != 1 or not isinstance(x, bytes) or len(x) != 32:
        raise FrameError(CREDENTIAL, "not a key of P-256")
    if kid is not None and (not isinstance(kid, bytes) or len(kid) > MAX_KID):
        raise FrameError(CREDENTIAL, "a kid that is none")
    return x, kid
