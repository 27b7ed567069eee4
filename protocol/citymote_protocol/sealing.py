"""Sealed frames: who may read what a node says, and how a collector knows that this node said it (SPEC, chapter 5).

A frame travels as a COSE_Encrypt0 with AES-CCM-16-64-128. The key comes from ECDH between the node's static key and
the collector's, and is fresh for every boot: salt and kid context is the boot id E = boot counter (4 bytes) || random
(8 bytes), so that (key, nonce) never repeats even when flash is restored from an image; the Partial IV counts from 0.
The derivation is RFC 9053's ECDH-SS + HKDF-256 with its COSE_KDF_Context. Replay is not decided here: a collector drops
what it has by (node, store epoch, sequence). Keys, files and caches are the caller's.
"""

from . import aesccm, cbor, cose
from .cose import SealError
from .errors import ARGUMENT, TOO_LARGE, EncodeError, FrameError
from .limits import MAX_FRAME

ALGORITHM = 10  # AES-CCM-16-64-128
NODE_ID_SIZE = 6
BOOT_ID_SIZE = 12
KEY_SIZE = 16
IV_SIZE = 13
TAG_SIZE = 8

# 2^23 of the largest frames are 2^33 AES blocks under one key: an advantage of 2^-62 by CCM's bound (SPEC 5.6.4).
MAX_PARTIAL_IV = (1 << 23) - 1
# The largest frame and the most that a header takes (standard form, three bytes each of Partial IV and length).
MAX_ENVELOPE = MAX_FRAME + 45
EXHAUSTED = "exhausted"  # this boot id has sealed all it may: renew it
RANDOM = "random"  # the random source gives nothing that could be a boot id

MINIMAL = 0  # untagged, empty protected header: the algorithm belongs to the key
STANDARD = 1  # tag 16, protected {1: 10}: any COSE library knows what it is

_PROTECTED = (b"", b"\xa1\x01\x0a")
_PURPOSE = b"citymote telemetry 1"
_ECDH_SS_HKDF_256 = b"\xa1\x01\x38\x1a"  # {1: -27}


def node_id(sha256, public):
    """The name of a node: the first 6 bytes of SHA-256 of its compressed public key."""
    from .p256 import compress  # here, and below: a node that has its keys needs the curve no more

    return sha256(compress(public)).digest()[:NODE_ID_SIZE]


def kdf_context(node, collector_hash, for_iv):
    """COSE_KDF_Context (RFC 9053, section 5.2) of the key, or of the Base IV."""
    if for_iv:
        algorithm, bits = b"\x6dIV-GENERATION", 8 * IV_SIZE
    else:
        algorithm, bits = b"\x0a", 8 * KEY_SIZE
    parts = (
        b"\x84",
        algorithm,
        b"\x83" + cose.byte_string(node) + b"\xf6\xf6",
        b"\x83" + cose.byte_string(collector_hash) + b"\xf6\xf6",
        b"\x83" + cose.head(0, bits) + cose.byte_string(_ECDH_SS_HKDF_256) + cose.byte_string(_PURPOSE),
    )
    return b"".join(parts)


def derive(crypto, secret, boot_id, node, collector_hash):
    """(key, Base IV) of one boot of one node, from the ECDH secret."""
    prk = crypto.hkdf_extract(boot_id, secret)
    key = crypto.hkdf_expand(prk, kdf_context(node, collector_hash, False), KEY_SIZE)
    return key, crypto.hkdf_expand(prk, kdf_context(node, collector_hash, True), IV_SIZE)


def partial_iv_bytes(value):
    """Shortest big-endian form, one byte for 0."""
    return value.to_bytes(1 if value < 0x100 else 2 if value < 0x10000 else 3, "big")


class Sealer:
    """Seals one node's frames for one collector during one boot.

    `prepare()` is a generator that does the curve arithmetic in small steps; `seal` runs it to the end if nobody has.
    """

    def __init__(self, crypto, node, node_private, collector_public, boot_counter, random8, form=MINIMAL):
        if len(node) != NODE_ID_SIZE:
            raise EncodeError(ARGUMENT, "a node id has 6 bytes")
        self._crypto = crypto
        self._node = bytes(node)
        self._private = bytes(node_private)
        self._collector = bytes(collector_public)
        self._counter = boot_counter
        self._form = form
        self._secret = None
        self.boot_id = None
        self._begin(random8)

    def _begin(self, random8):
        """Take a fresh boot id. Refused, it leaves everything as it was: a spent key must stay spent."""
        if len(random8) != 8 or len(set(random8)) == 1:
            # Eight equal bytes come from a dead generator (one draw in 2^56 from a live one): draw again.
            raise EncodeError(RANDOM, "a boot id takes 8 random bytes")
        boot_id = self._counter.to_bytes(4, "big") + bytes(random8)
        if boot_id == self.boot_id:
            raise EncodeError(RANDOM, "the random source repeats itself")
        self.boot_id = boot_id
        self._next = 0
        self._block = None

    def prepare(self):
        """Generator: agree on the secret, derive this boot's key. Costs one ECDH, once per Sealer."""
        if self._secret is None:
            self._secret = yield from self._crypto.ecdh_steps(self._private, self._collector)
            self._private = None
        self._derive()

    def _derive(self):
        from .p256 import compress

        hashed = self._crypto.sha256(compress(self._collector)).digest()
        key, self._base_iv = derive(self._crypto, self._secret, self.boot_id, self._node, hashed)
        self._block = self._crypto.aes_block(key)

    def renew(self, random8):
        """A fresh boot id and key in the same boot, after `exhausted`; without curve arithmetic."""
        self._begin(random8)
        if self._secret is not None:
            self._derive()

    def seal(self, frame):
        """The envelope around a frame. Every call takes a new Partial IV, also for a frame sealed before."""
        if self._block is None:
            from .p256 import run

            run(self.prepare())
        size = len(frame)
        if not 0 < size <= MAX_FRAME:
            raise EncodeError(TOO_LARGE, "%d bytes are not in 1..%d" % (size, MAX_FRAME))
        value = self._next
        if value > MAX_PARTIAL_IV:
            raise EncodeError(EXHAUSTED, "this boot id has sealed all it may: renew it")
        self._next = value + 1  # before the encryption: whatever happens now, this nonce is spent
        piv = partial_iv_bytes(value)
        protected = _PROTECTED[self._form]
        front = b"".join(
            (
                b"\xd0\x83" if self._form == STANDARD else b"\x83",
                cose.byte_string(protected),
                b"\xa3\x04",
                cose.byte_string(self._node),
                b"\x06",
                cose.byte_string(piv),
                b"\x0a",
                cose.byte_string(self.boot_id),
                cose.head(2, size + TAG_SIZE),
            )
        )
        out = bytearray(len(front) + size + TAG_SIZE)
        start = len(front)
        out[:start] = front
        out[start : start + size] = frame
        body = memoryview(out)[start : start + size]
        nonce = cose.nonce(self._base_iv, piv)
        out[start + size :] = aesccm.encrypt(self._block, nonce, body, cose.enc_structure(protected), TAG_SIZE)
        return bytes(out)

    def seal_renewing(self, frame):
        """`seal`, with a fresh boot id from the provider's random source once a key is spent; OSError if it refuses."""
        if self._next > MAX_PARTIAL_IV:
            self.renew(self._crypto.random(8))
        return self.seal(frame)


def overhead(form, partial_iv, size):
    """Bytes that an envelope adds to a frame of `size` bytes."""
    fixed = 1 + 1 + len(_PROTECTED[form]) + 1 + (2 + NODE_ID_SIZE) + 2 + (2 + BOOT_ID_SIZE) + TAG_SIZE
    return fixed + form + len(partial_iv_bytes(partial_iv)) + len(cose.head(2, size + TAG_SIZE))


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
