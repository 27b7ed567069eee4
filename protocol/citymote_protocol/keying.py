"""Names, boot ids and keys of SPEC chapter 5: what sealing needs when a boot begins, and opening for every new boot.

The derivation is RFC 9053's ECDH-SS + HKDF-256 with its COSE_KDF_Context. A node forgets this once it has its key.
"""

from .cbor_write import BYTES, UINT, head_size, put_head
from .errors import EncodeError
from .seal import NODE_ID_SIZE

BOOT_ID_SIZE = 12
KEY_SIZE = 16
IV_SIZE = 13
RANDOM = "random"  # the random source gives nothing that could be a boot id

_PURPOSE = b"citymote telemetry 1"
_ECDH_SS_HKDF_256 = b"\xa1\x01\x38\x1a"  # {1: -27}


def head(major, value):
    """A CBOR head in its shortest form, as bytes."""
    out = bytearray(head_size(value))
    put_head(out, 0, major, value)
    return bytes(out)


def byte_string(data):
    return head(BYTES, len(data)) + bytes(data)


def _hash(sha256, public):
    """SHA-256 of a compressed public key; the curve is loaded only for one that is not compressed."""
    if len(public) != 33:
        from .p256 import compress

        public = compress(public)
    return sha256(public).digest()


def node_id(sha256, public):
    """The name of a node: the first 6 bytes of SHA-256 of its compressed public key."""
    return _hash(sha256, public)[:NODE_ID_SIZE]


def make_boot_id(counter, random8, last=None):
    """E = boot counter || 8 random bytes; EncodeError unless it can be another one than `last`."""
    if len(random8) != 8 or len(set(random8)) == 1:
        # Eight equal bytes come from a dead generator (one draw in 2^56 from a live one): draw again.
        raise EncodeError(RANDOM, "a boot id takes 8 random bytes")
    boot_id = counter.to_bytes(4, "big") + bytes(random8)
    if boot_id == last:
        raise EncodeError(RANDOM, "the random source repeats itself")
    return boot_id


def kdf_context(node, collector_hash, for_iv):
    """COSE_KDF_Context (RFC 9053, section 5.2) of the key, or of the Base IV."""
    if for_iv:
        algorithm, bits = b"\x6dIV-GENERATION", 8 * IV_SIZE
    else:
        algorithm, bits = b"\x0a", 8 * KEY_SIZE
    parts = (
        b"\x84",
        algorithm,
        b"\x83" + byte_string(node) + b"\xf6\xf6",
        b"\x83" + byte_string(collector_hash) + b"\xf6\xf6",
        b"\x83" + head(UINT, bits) + byte_string(_ECDH_SS_HKDF_256) + byte_string(_PURPOSE),
    )
    return b"".join(parts)


def derive(crypto, secret, boot_id, node, collector_hash):
    """(key, Base IV) of one boot of one node, from the ECDH secret."""
    prk = crypto.hkdf_extract(boot_id, secret)
    key = crypto.hkdf_expand(prk, kdf_context(node, collector_hash, False), KEY_SIZE)
    return key, crypto.hkdf_expand(prk, kdf_context(node, collector_hash, True), IV_SIZE)


def boot_key(crypto, secret, boot_id, node, collector):
    """The same, for the public key of the collector."""
    return derive(crypto, secret, boot_id, node, _hash(crypto.sha256, collector))
