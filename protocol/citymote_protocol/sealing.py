"""Sealed frames: who may read what a node says, and how a collector knows that this node said it (SPEC, chapter 5).

A frame travels as a COSE_Encrypt0 with AES-CCM-16-64-128. The key comes from ECDH between the node's static key and
the collector's, and is fresh for every boot: salt and kid context is the boot id E = boot counter (4 bytes) || random
(8 bytes), so that (key, nonce) never repeats even when flash is restored from an image; the Partial IV counts from 0.
The derivation is RFC 9053's ECDH-SS + HKDF-256 with its COSE_KDF_Context. Replay is not decided here: a collector drops
what it has by (node, store epoch, sequence). Keys, files and caches are the caller's. Here is the
receiving side; `seal` and `keying` are what a node has, and are handed on.
"""

from . import cbor, cose
from .cose import SealError
from .errors import TOO_LARGE, FrameError
from .keying import BOOT_ID_SIZE, IV_SIZE, KEY_SIZE, RANDOM, derive, kdf_context, node_id  # noqa: F401
from .limits import MAX_FRAME
from .seal import (  # noqa: F401
    EXHAUSTED,
    MAX_PARTIAL_IV,
    MINIMAL,
    NODE_ID_SIZE,
    STANDARD,
    TAG_SIZE,
    Sealer,
    partial_iv_bytes,
)

ALGORITHM = 10  # AES-CCM-16-64-128
# The largest frame and the most that a header takes (standard form, three bytes each of Partial IV and length).
MAX_ENVELOPE = MAX_FRAME + 45


def overhead(form, partial_iv, size):
    """Bytes that an envelope adds to a frame of `size` bytes."""
    fixed = 1 + 1 + 1 + (2 + NODE_ID_SIZE) + 2 + (2 + BOOT_ID_SIZE) + TAG_SIZE
    header = 4 if form == STANDARD else 0  # the tag and {1: 10}
    return fixed + header + len(partial_iv_bytes(partial_iv)) + len(cose.head(2, size + TAG_SIZE))


def parse(message):
    """Envelope of a sealed message, held to this profile; the sender is still unproven."""
    if len(message) > MAX_ENVELOPE:
        raise SealError(TOO_LARGE, "%d bytes are over %d" % (len(message), MAX_ENVELOPE))
    envelope = cose.parse(message, MAX_FRAME + TAG_SIZE)
    if envelope.iv is not None:
        raise SealError(cose.LABEL, "a sealed frame carries a Partial IV, not an IV")
    if (envelope.algorithm is not None) != envelope.tagged:
        raise SealError(cose.FORM, "neither the minimal nor the standard form")
    if envelope.algorithm not in (None, ALGORITHM):
        raise SealError(cose.ALGORITHM, "another algorithm than AES-CCM-16-64-128")
    if envelope.kid is None or len(envelope.kid) != NODE_ID_SIZE:
        raise SealError(cose.KEY_ID, "the kid is not a node id")
    if envelope.kid_context is None or len(envelope.kid_context) != BOOT_ID_SIZE:
        raise SealError(cose.CONTEXT, "the kid context is not a boot id")
    piv = envelope.partial_iv
    number = -1 if not piv else int.from_bytes(piv, "big")
    if not 0 <= number <= MAX_PARTIAL_IV or piv != partial_iv_bytes(number):
        raise SealError(cose.PIV, "the Partial IV is not a shortest number below 2^23")
    if len(envelope.ciphertext) <= TAG_SIZE:
        raise SealError(cose.CIPHERTEXT, "the ciphertext holds nothing but its tag")
    return envelope


def open_(crypto, envelope, key):
    """The frame in an envelope (bytes, or what `parse` gave); `key` is what `derive` gave for its kid and context."""
    if not isinstance(envelope, cose.Envelope):
        envelope = parse(envelope)
    return cose.decrypt(crypto, envelope, key[0], key[1], ALGORITHM)


def check_inner(kid, frame):
    """Refuse an opened frame that names another node than the one that sealed it (SPEC 5.7); unnamed is fine.

    Only the header's second item is looked at; whether this is a good frame is the decoder's business.
    """
    try:
        reader = cbor.Reader(frame)
        reader.array(0xFF)
        reader.uint()
        inner = reader.bytes() if reader.peek() >> 5 == cbor.BYTES else kid
    except FrameError:
        return
    if inner != kid:
        raise SealError(cose.INNER_NODE, "the frame names another node than its seal")
