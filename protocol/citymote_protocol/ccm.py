"""The running part of AES-CCM (SP 800-38C, RFC 3610): one pass over data in place, either way.

`aesccm` is the whole of it, with limits, tags compared and ready-made bytes; a node that only seals needs no more than
this. Nothing is allocated per block, so a frame costs three small buffers whatever its length.
"""


def _xor(state, at, data, start, count):
    for i in range(count):
        state[at + i] ^= data[start + i]


def crypt(block, nonce, data, aad, tag, sealing):
    """Encrypt or decrypt `data` (bytearray or memoryview) in place; returns the encrypted tag of `tag` bytes."""
    size = 15 - len(nonce)
    n = left = len(data)
    # B_0, then the additional data behind its length: the running 16 bytes of the CBC-MAC
    state = bytearray(16)
    state[0] = (0x40 if aad else 0) | (tag - 2 >> 1) << 3 | size - 1
    state[1 : 16 - size] = nonce
    for i in range(15, 15 - size, -1):
        state[i] = left & 255
        left >>= 8
    block(state)
    if aad:
        state[0] ^= len(aad) >> 8
        state[1] ^= len(aad) & 255
        at = 2  # where the next byte of aad goes in the current block
        for byte in aad:
            if at == 16:
                block(state)
                at = 0
            state[at] ^= byte
            at += 1
        block(state)
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
            _xor(state, 0, data, start, count)
        _xor(data, start, stream, 0, count)
        if not sealing:
            _xor(state, 0, data, start, count)
        block(state)
    for i in range(16 - size, 16):
        counter[i] = 0
    block(counter)
    _xor(state, 0, counter, 0, tag)
    return state[:tag]
