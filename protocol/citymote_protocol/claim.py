"""The claim: how a new owner proves to a node that the label is theirs (DESIGN D2; SPEC 13.8). Pure functions.

    key = claim_key(crypto, S)                                       S: the 16 bytes on the label
    T   = claim_tag(crypto, key, exported, owner)                    exported: EDHOC_Exporter(32768, h'', 32)
    POST claim [1, owner, T]                                         owner: compressed signing key, 33 bytes

T binds the session (nobody can carry it to another one) and the owner's key (nobody can put in another). It tells
nothing of S, so whoever has S can compute T for an installer who does not. Both ends need these few lines; when a claim
is allowed, and what it changes, is the node's matter.
"""

from .cbor_bytes import byte_string
from .cbor_read import Heads
from .errors import RANGE, FrameError
from .hkdf import same

LABEL = 32768  # of the EDHOC exporter; SPEC 13.5
TAG = 32
SECRET = 16
OWNER = "owner_key"  # not a compressed P-256 key
REFUSED = "claim"  # the tag is another one than the label's secret gives


def exported(keys):
    """What binds a claim to a session, from the Keys of its EDHOC."""
    return keys.exporter(LABEL, b"", 32)


def claim_key(crypto, secret):
    return crypto.hkdf_expand(crypto.hkdf_extract(b"", secret), b"claim", 32)


def claim_tag(crypto, key, bound, owner):
    """T, for the exporter value `bound` and the new owner's signing key."""
    message = b"\x83\x65claim" + byte_string(bound) + byte_string(crypto.sha256(owner).digest())
    return crypto.hmac(key, message)


def write(owner, tag):
    """The body of a claim."""
    return b"\x83\x01" + byte_string(owner) + byte_string(tag)


def read(data):
    """(owner, T) of a body. Whether the owner's key is a point of the curve is not looked at."""
    reader = Heads(data)
    if reader.array(3) != 3 or reader.uint() != 1:
        raise FrameError(RANGE, "not a claim of version 1")
    owner = reader.bytes(33)
    tag = reader.bytes(TAG)
    reader.finish()
    if len(owner) != 33 or owner[0] not in (2, 3):
        raise FrameError(OWNER, "%d bytes" % len(owner))
    if len(tag) != TAG:
        raise FrameError(RANGE, "a tag of %d bytes" % len(tag))
    return owner, tag


def check(crypto, secret, bound, data):
    """The new owner's key of a claim that is good for this label's secret in this session."""
    owner, tag = read(data)
    if not same(tag, claim_tag(crypto, claim_key(crypto, secret), bound, owner)):
        raise FrameError(REFUSED, "the tag does not match")
    return owner
