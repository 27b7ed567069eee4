"""The sealing side of SPEC chapter 5 and nothing else: what a node keeps in memory to seal its frames.

Keys are derived in `keying`, which is loaded when a boot begins and when a key is spent, and can be forgotten in
between, as can curve and HKDF. How a frame is sealed, and by which keys, is told in `sealing`.
"""

from .cbor_write import BYTES, put_bytes, put_head
from .ccm import crypt
from .errors import ARGUMENT, TOO_LARGE, EncodeError
from .limits import MAX_FRAME

NODE_ID_SIZE = 6
TAG_SIZE = 8
# 2^23 of the largest frames are 2^33 AES blocks under one key: an advantage of 2^-62 by CCM's bound (SPEC 5.6.4).
MAX_PARTIAL_IV = (1 << 23) - 1
EXHAUSTED = "exhausted"  # this boot id has sealed all it may: renew it

MINIMAL = 0  # untagged, empty protected header: the algorithm belongs to the key
STANDARD = 1  # tag 16, protected {1: 10}: any COSE library knows what it is


def partial_iv_bytes(value):
    """Shortest big-endian form, one byte for 0."""
    return value.to_bytes(1 if value < 0x100 else 2 if value < 0x10000 else 3, "big")


class Sealer:
    """Seals one node's frames for one collector during one boot.

    `prepare()` is a generator that does the curve arithmetic in small steps; `seal` runs it to the end if nobody has.
    """

    def __init__(self, crypto, node, private, collector, boots, random8, form=MINIMAL):
        if len(node) != NODE_ID_SIZE:
            raise EncodeError(ARGUMENT, "a node id has 6 bytes")
        self._crypto = crypto
        self._node = bytes(node)
        self._private = bytes(private)
        self._collector = bytes(collector)
        self._boots = boots
        self._protected = b"\x43\xa1\x01\x0a" if form == STANDARD else b"\x40"  # as it stands in the envelope
        self._secret = None
        self.boot_id = b""
        self.renew(random8)

    def renew(self, random8):
        """A fresh boot id and key in the same boot, after `exhausted`; without curve arithmetic.

        Refused, it leaves everything as it was: a spent key must stay spent.
        """
        from .keying import make_boot_id

        self.boot_id = make_boot_id(self._boots, random8, self.boot_id)
        self._next = 0
        self._block = None
        if self._secret is not None:
            for _ in self.prepare():
                pass

    def prepare(self):
        """Generator: agree on the secret, derive this boot's key. Costs one ECDH, once per Sealer."""
        if self._secret is None:
            self._secret = yield from self._crypto.ecdh_steps(self._private, self._collector)
            self._private = None
        from .keying import boot_key

        key, self._iv = boot_key(self._crypto, self._secret, self.boot_id, self._node, self._collector)
        self._block = self._crypto.aes_block(key)

    def seal(self, frame):
        """The envelope around a frame. Every call takes a new Partial IV, also for a frame sealed before."""
        if self._block is None:
            for _ in self.prepare():
                pass
        size = len(frame)
        if not 0 < size <= MAX_FRAME:
            raise EncodeError(TOO_LARGE, "%d bytes" % size)
        value = self._next
        if value > MAX_PARTIAL_IV:
            raise EncodeError(EXHAUSTED, "renew the boot id")
        self._next = value + 1  # before the encryption: whatever happens now, this nonce is spent
        piv = partial_iv_bytes(value)
        protected = self._protected
        front = b"".join(
            (
                b"\xd0\x83" if len(protected) > 1 else b"\x83",
                protected,
                b"\xa3\x04\x46",
                self._node,
                b"\x06",
                bytes((0x40 | len(piv),)),
                piv,
                b"\x0a\x4c",
                self.boot_id,
            )
        )
        out = bytearray(len(front) + 3 + size + TAG_SIZE)
        pos = put_head(out, put_bytes(out, 0, front), BYTES, size + TAG_SIZE)
        end = pos + size
        out[pos:end] = frame
        nonce = bytearray(self._iv)
        for i in range(1, len(piv) + 1):
            nonce[-i] ^= piv[-i]
        view = memoryview(out)
        aad = b"\x83\x68Encrypt0" + protected + b"\x40"  # Enc_structure (RFC 9052, section 5.3)
        out[end : end + TAG_SIZE] = crypt(self._block, nonce, view[pos:end], aad, TAG_SIZE, True)
        return bytes(view[: end + TAG_SIZE])

    def __call__(self, frame):
        """`seal`, with a fresh boot id from the provider's random source once a key is spent; OSError if it refuses."""
        if self._next > MAX_PARTIAL_IV:
            self.renew(self._crypto.random(8))
        return self.seal(frame)
