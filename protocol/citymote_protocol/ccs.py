"""Credentials of EDHOC: a public key dressed as a CWT claims set (RFC 9528, section 3.5.2; SPEC 13.2).

    {8: {1: {1: 2, 2: kid, -1: 1, -2: x}}}         deterministic CBOR; kid is the key's name, x its 32 bytes

A key agreement uses the x coordinate alone, so ours has no y: a label's 33 bytes suffice to write it. One that comes
from a peer may have a subject and a y (bytes or sign) as well, which are not looked at: the MAC covers them anyway.
"""

from .cbor_bytes import byte_string
from .cbor_write import BYTES, TEXTS
from .errors import FrameError
from .limits import MAX_TEXT

CREDENTIAL = "credential"  # not a claims set with a P-256 key in it

MAX_CCS = 192  # bytes: a subject of 64, a kid of 16, x, y, and what is around them
MAX_KID = 16

KID = 4  # COSE header labels that identify a credential
KCCS = 14


def write(kid, public):
    """The credential of a compressed public key (33 bytes) or of an x coordinate (32 bytes)."""
    return b"\xa1\x08\xa1\x01\xa4\x01\x02\x02" + byte_string(kid) + b"\x20\x01\x21\x58\x20" + bytes(public[-32:])


def _order(label):
    """Where a label stands among those of a map, by the bytes of its encoding."""
    return label if label >= 0 else 0x100 - label


def read_from(reader):
    """(x, kid or None) of the credential that a `cbor_read.Heads` stands at."""
    start = reader.pos
    x = kid = None
    last = -1
    for _ in range(reader.map(2)):
        label = reader.uint()
        if label <= last or label not in (2, 8):
            raise FrameError(CREDENTIAL, "claim %d" % label)
        last = label
        if label == 2:
            length = reader.length(TEXTS, MAX_TEXT)
            reader.pos += length
        elif reader.map(1) != 1 or reader.uint() != 1:
            raise FrameError(CREDENTIAL, "a confirmation without a key")
        else:
            x, kid = _key(reader)
    if x is None:
        raise FrameError(CREDENTIAL, "no key")
    if reader.pos - start > MAX_CCS:
        raise FrameError(CREDENTIAL, "%d bytes" % (reader.pos - start))
    return x, kid


def _key(reader):
    """A COSE_Key of P-256: 1 (kty) 2, 2 (kid), -1 (crv) 1, -2 (x), -3 (y: bytes, or its sign)."""
    x = b""
    kid = None
    last = -1
    kinds = 0
    for _ in range(reader.map(5)):
        label = reader.integer(-3, 2)
        if _order(label) <= last:
            raise FrameError(CREDENTIAL, "labels out of order")
        last = _order(label)
        if label == 2:
            kid = reader.bytes(MAX_KID)
        elif label == -2:
            x = reader.bytes(32)
        elif label == -3:
            if reader.peek() >> 5 == BYTES:
                reader.bytes(32)
            else:
                reader.boolean()
        elif reader.uint() == (2 if label == 1 else 1) and label:
            kinds += 1
    if kinds != 2 or len(x) != 32:
        raise FrameError(CREDENTIAL, "not a key of P-256")
    return x, kid


def read(data):
    """The same of a credential that is all of `data`."""
    from .cbor_read import Heads

    reader = Heads(data)
    found = read_from(reader)
    reader.finish()
    return found
