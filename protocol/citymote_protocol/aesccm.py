"""AES-CCM (SP 800-38C, RFC 3610) over an injected AES block function, in place and in one pass.

It exists because MicroPython has AES in ECB and CBC only. `block(buffer)` encrypts one 16-byte bytearray in place
(`crypto.aes_block(key)`). Nonces have 7 to 13 bytes, tags 4 to 16, which holds COSE's algorithms (RFC 9053, section
4.2). A tag is compared by accumulating differences, and a plaintext that failed is wiped before the caller sees it.
What runs over the data is in `ccm`.
"""

from .ccm import crypt
from .hkdf import same


class TagError(ValueError):
    """The tag does not match: another key, another nonce, or altered data."""


def _run(block, nonce, data, aad, tag, sealing):
    """`crypt`, held to its limits."""
    size = 15 - len(nonce)
    if not 2 <= size <= 8 or tag not in (4, 6, 8, 10, 12, 14, 16):
        raise ValueError("CCM takes a nonce of 7 to 13 bytes and an even tag of 4 to 16")
    if len(data) >> 8 * size or len(aad) >= 0xFF00:
        raise ValueError("too long for CCM with this nonce")
    return crypt(block, nonce, data, aad, tag, sealing)


def encrypt(block, nonce, data, aad, tag):
    """Encrypt `data` in place and return the tag."""
    return _run(block, nonce, data, aad, tag, True)


def decrypt(block, nonce, data, aad, tag_bytes):
    """Decrypt `data` in place; TagError, and `data` wiped, unless the tag matches."""
    if not same(_run(block, nonce, data, aad, len(tag_bytes), False), tag_bytes):
        for i in range(len(data)):
            data[i] = 0
        raise TagError("the tag does not match")


def seal(block, nonce, plaintext, aad=b"", tag=8):
    """Ciphertext with the tag behind it."""
    data = bytearray(plaintext)
    return bytes(data + encrypt(block, nonce, data, aad, tag))


def open_(block, nonce, ciphertext, aad=b"", tag=8):
    """Plaintext; TagError if anything was altered."""
    n = len(ciphertext) - tag
    if n < 0:
        raise TagError("shorter than its tag")
    data = bytearray(ciphertext[:n])
    decrypt(block, nonce, data, aad, ciphertext[n:])
    return bytes(data)
