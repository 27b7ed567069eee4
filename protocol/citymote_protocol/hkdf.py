"""HMAC (RFC 2104) and HKDF (RFC 5869) over SHA-256.

MicroPython has SHA-256 but neither of these. `sha256` is the hash constructor of the caller's crypto provider
(`citymote_protocol.crypto`), so the node's hardware-backed hash is used where there is one.
"""

_BLOCK = 64
_HASH = 32


def hmac(sha256, key, *parts):
    """HMAC-SHA-256 of the concatenated parts."""
    if len(key) > _BLOCK:
        key = sha256(key).digest()
    pad = bytearray(b"\x36" * _BLOCK)
    for i in range(len(key)):
        pad[i] ^= key[i]
    inner = sha256(pad)
    for part in parts:
        inner.update(part)
    for i in range(_BLOCK):
        pad[i] ^= 0x36 ^ 0x5C
    outer = sha256(pad)
    outer.update(inner.digest())
    return outer.digest()


def extract(sha256, salt, secret):
    return hmac(sha256, salt or bytes(_HASH), secret)


def expand(sha256, prk, info, length):
    if not 0 < length <= 255 * _HASH:
        raise ValueError("HKDF gives 1 to 8160 bytes")
    out = block = b""
    i = 1
    while len(out) < length:
        block = hmac(sha256, prk, block, info, bytes((i,)))
        out += block
        i += 1
    return out[:length]


def hkdf(sha256, secret, salt, info, length):
    return expand(sha256, extract(sha256, salt, secret), info, length)


def same(a, b):
    """Equality whose time does not tell where two byte strings differ."""
    if len(a) != len(b):
        return False
    difference = 0
    for i in range(len(a)):
        difference |= a[i] ^ b[i]
    return difference == 0
