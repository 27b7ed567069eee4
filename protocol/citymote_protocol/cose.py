"""COSE_Encrypt0 (RFC 9052, sections 3 and 5): the envelope's bytes, strictly read.

Only what an AES-CCM envelope needs: header labels 1 (alg), 4 (kid), 5 (IV), 6 (Partial IV) and 10 (kid context), every
length definite and shortest, labels in ascending order, nothing behind the last byte. What is not such CBOR is refused
by `cbor` with its codes, what is not such an envelope with the codes below. Which labels a citymote envelope must
carry, and where keys come from, are `sealing`'s matter.
"""

from . import cbor
from .aesccm import TagError
from .errors import FrameError
from .keying import byte_string, head  # noqa: F401 (handed on)
from .limits import MAX_FRAME

# How an envelope can be wrong beyond being wrong CBOR (`errors` has those codes); SPEC 5.9 has the clauses.
ENCRYPT0 = "encrypt0"  # not a COSE_Encrypt0
PROTECTED = "protected"  # a protected header that is neither empty nor {1: alg}
ALGORITHM = "algorithm"  # an algorithm that this key is not for
LABEL = "label"  # a header label that has no place here
FORM = "form"  # neither the minimal nor the standard form
KEY_ID = "kid"
CONTEXT = "kid_context"
PIV = "partial_iv"
NO_IV = "iv"  # none, two, or one of the wrong length
CIPHERTEXT = "ciphertext"  # shorter than its tag, or nothing in it
AUTHENTICATION = "authentication"  # the tag does not match: another key, or altered bytes
UNKNOWN_NODE = "unknown_node"  # the keys at hand do not have this node
INNER_NODE = "inner_node"  # the frame inside names another node than its seal

TAG = 16
ALG, KID, IV, PARTIAL_IV, KID_CONTEXT = 1, 4, 5, 6, 10

# COSE algorithm -> (key bytes, nonce bytes, tag bytes); RFC 9053, table 5.
CCM = {
    10: (16, 13, 8),
    11: (32, 13, 8),
    12: (16, 7, 8),
    13: (32, 7, 8),
    30: (16, 13, 16),
    31: (32, 13, 16),
    32: (16, 7, 16),
    33: (32, 7, 16),
}


class SealError(FrameError):
    """An envelope that cannot be opened; `code` says which rule it breaks (SPEC 5.9)."""


class Envelope:
    """The parts of a COSE_Encrypt0; absent parts are None. `protected` is the byte string as it was sent."""

    __slots__ = ("algorithm", "ciphertext", "iv", "kid", "kid_context", "partial_iv", "protected", "tagged")


def enc_structure(protected, external_aad=b""):
    """The additional data that the tag covers (RFC 9052, section 5.3)."""
    return b"\x83\x68Encrypt0" + byte_string(protected) + byte_string(external_aad)


def _protected(raw):
    """The algorithm in a protected header: empty, or the map {1: alg} and nothing else."""
    if not raw:
        return None
    reader = cbor.Reader(raw)
    if reader.map(1) != 1 or reader.uint() != ALG:
        raise SealError(PROTECTED, "the protected header is not {1: alg}")
    algorithm = reader.integer(-0x80000000, 0x7FFFFFFF)
    reader.finish()
    if algorithm not in CCM:
        raise SealError(ALGORITHM, "not an AES-CCM algorithm")
    return algorithm


def parse(data, most=MAX_FRAME):
    """Envelope of a COSE_Encrypt0, tagged or not, with at most `most` bytes of ciphertext; FrameError for the rest."""
    reader = cbor.Reader(data)
    envelope = Envelope()
    envelope.tagged = reader.peek() >> 5 == cbor.TAGGED
    if envelope.tagged:
        reader.tag(TAG)
    if reader.array(0xFFFFFFFF) != 3:
        raise SealError(ENCRYPT0, "not an array of three")
    envelope.protected = reader.bytes()
    envelope.algorithm = _protected(envelope.protected)
    envelope.kid = envelope.iv = envelope.partial_iv = envelope.kid_context = None
    label = -1
    for _ in range(reader.map(4)):
        label = reader.key(label)
        if label not in (KID, IV, PARTIAL_IV, KID_CONTEXT):
            raise SealError(LABEL, "label %d" % label)
        value = reader.bytes()
        if label == KID:
            envelope.kid = value
        elif label == IV:
            envelope.iv = value
        elif label == PARTIAL_IV:
            envelope.partial_iv = value
        else:
            envelope.kid_context = value
    envelope.ciphertext = reader.bytes(most)
    reader.finish()
    return envelope


def nonce(base_iv, partial_iv):
    """Base IV XOR the Partial IV, left-padded (RFC 9052, section 3.1)."""
    out = bytearray(base_iv)
    shift = len(out) - len(partial_iv)
    if shift < 0:
        raise SealError(PIV, "a Partial IV longer than the nonce")
    for i in range(len(partial_iv)):
        out[shift + i] ^= partial_iv[i]
    return bytes(out)


def decrypt(crypto, envelope, key, base_iv=None, algorithm=None, external_aad=b""):
    """Plaintext of any AES-CCM Encrypt0; `algorithm` is the key's, needed where the header names none."""
    found = envelope.algorithm
    if found is None:
        found = algorithm
    elif algorithm is not None and algorithm != found:
        raise SealError(ALGORITHM, "another algorithm than the key's")
    if found is None:
        raise SealError(ALGORITHM, "neither header nor key names the algorithm")
    key_size, nonce_size, tag_size = CCM[found]
    if envelope.iv is not None:
        if envelope.partial_iv is not None:
            raise SealError(NO_IV, "both IV and Partial IV")
        iv = envelope.iv
    elif envelope.partial_iv is not None and base_iv is not None:
        iv = nonce(base_iv, envelope.partial_iv)
    else:
        raise SealError(NO_IV, "no IV, or no Base IV for the Partial IV")
    if len(key) != key_size or len(iv) != nonce_size:
        raise SealError(NO_IV, "key or IV has not the algorithm's length")
    if len(envelope.ciphertext) < tag_size:
        raise SealError(CIPHERTEXT, "the ciphertext is shorter than its tag")
    aad = enc_structure(envelope.protected, external_aad)
    # Which of key, nonce, header and data is wrong cannot be told apart, so all are one code.
    try:
        return crypto.ccm_open(key, iv, envelope.ciphertext, aad, tag_size)
    except TagError:
        pass
    raise SealError(AUTHENTICATION, "the tag does not match: another key, or altered bytes")
