"""COSE_Sign1 with ESP256 (RFC 9052, section 4; RFC 9864), strictly read and verified: what an owner signs (SPEC 13.9).

One form: tag 18, protected header {1: -9} and nothing else, an empty unprotected header, the payload inside, r || s.
The payload comes out only after its signature has held. Which kind of statement was signed is told by the external
data, so that one never stands for another. Nothing here signs: a node has no key for that, a host uses a library.
"""

from .cbor_bytes import byte_string, head
from .cbor_read import Heads
from .cbor_write import TAGGED
from .errors import FrameError

HEADER = "sign1_header"  # not the one form above
SIGNATURE = "signature"  # made with another key, or over other bytes

TAG = 18
PROTECTED = b"\xa1\x01\x28"  # {1: -9}, ESP256
MAX_PAYLOAD = 1024


def to_be_signed(payload, purpose):
    """The Sig_structure; `purpose` is the external data, a word that names the kind of statement."""
    return b"\x84\x6aSignature1" + byte_string(PROTECTED) + byte_string(purpose) + byte_string(payload)


def write(payload, signature):
    return (
        head(TAGGED, TAG) + b"\x84" + byte_string(PROTECTED) + b"\xa0" + byte_string(payload) + byte_string(signature)
    )


def open_steps(crypto, data, key, purpose):
    """Generator: the payload of a statement that `key` (compressed, 33 bytes) has signed."""
    reader = Heads(data)
    reader.tag(TAG)
    if reader.array(4) != 4 or reader.bytes(8) != PROTECTED or reader.map(0) != 0:
        raise FrameError(HEADER, "not COSE_Sign1 with ESP256")
    payload = reader.bytes(MAX_PAYLOAD)
    signature = reader.bytes(64)
    reader.finish()
    if len(signature) != 64:
        raise FrameError(SIGNATURE, "%d bytes" % len(signature))
    from .p256 import verify_steps

    digest = crypto.sha256(to_be_signed(payload, purpose)).digest()
    if not (yield from verify_steps(key, digest, signature)):
        raise FrameError(SIGNATURE, "another key, or altered bytes")
    return payload
