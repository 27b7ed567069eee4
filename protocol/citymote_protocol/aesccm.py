"""AES-CCM (SP 800-38C, RFC 3610) over an injected AES block function, in place and in one pass.

It exists because MicroPython has AES in ECB and CBC only. `block(buffer)` encrypts one 16-byte bytearray in place
(`crypto.aes_block(key)`). Nonces have 7 to 13 bytes, tags 4 to 16, which holds COSE's algorithms (RFC 9053, section
4.2). Nothing is allocated per block, so a frame costs three small buffers whatever its length. A tag is compared by
accumulating differences, and a plaintext that failed is wiped before the caller sees it.
"""

from .hkdf import same


class TagError(ValueError):
    """The tag does not match: another key, another nonce, or altered data."""


def _xor_into(state, data, start, count):
    for i in range(count):
        state[i] ^= data[start + i]


def _tag_state(block, nonce, aad, length, tag):
    """CBC-MAC over B_0 and the additional data; returns the running 16 bytes."""
    size = 15 - len(nonce)
    state = bytearray(16)
    state[0] = (0x40 if aad else 0) | (tag - 2 >> 1) << 3 | size - 1
    state[1 : 16 - size] = nonce
    for i in range(15, 15 - size, -1):
        state[i] = length & 255
        length >>= 8
    block(state)
    if aad:
        n = len(aad)
        state[0] ^= n >> 8
        state[1] ^= n & 255
        position = 2  # where the next byte of aad goes in the current block
        for byte in aad:
            if position == 16:
                block(state)
                position = 0
            state[position] ^= byte
            position += 1
        block(state)
    return state


def _run(block, nonce, data, aad, tag, sealing):
    """Encrypt or decrypt `data` (bytearray or memoryview) in place; returns the encrypted tag."""
    size = 15 - len(nonce)
    n = len(data)
    if not 2 <= size <= 8 or tag not in (4, 6, 8, 10, 12, 14, 16):
        raise ValueError("CCM takes a nonce of 7 to 13 bytes and an even tag of 4 to 16")
    if n >> 8 * size or len(aad) >= 0xFF00:
        raise ValueError("too long for CCM with this nonce")
    state = _tag_state(block, nonce, aad, n, tag)
    counter = bytearray(16)
    stream = bytearray(16)
    counter[0] = size - 1
    counter[1 : 16 - size] = nonce
    for start in range(0, n, 16):
        i = 15
        while True:
            counter[i] = counter[i] + 1 & 255
            if counter[i]:
                break
            i -= 1
        stream[:] = counter
        block(stream)
        count = min(16, n - start)
        if sealing:
            _xor_into(state, data, start, count)
        for i in range(count):
            data[start + i] ^= stream[i]
        if not sealing:
            _xor_into(state, data, start, count)
        block(state)
    for i in range(16 - size, 16):
        counter[i] = 0
    block(counter)
    for i in range(tag):
        state[i] ^= counter[i]
    return state[:tag]


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
