"""HSS-LMS signatures, verified (RFC 8554; RFC 8778 for COSE): the second one of an update, by hashes alone.

    holds = yield from verify_steps(sha256, key, message, signature)

For owners that must plan for computers that break elliptic curves. SHA-256 with 32 bytes and with the 24 of NIST SP
800-208, trees of 5 to 25 levels, up to `LEVELS` of them one below the other. Nothing here is secret, so time may tell
what it likes. Each hash chain is a step; the longest has 255 hashes. Signing is the host's, who keeps count of leaves.
"""

import struct

LEVELS = 3  # of trees: 2^15 signatures and more with small trees; a signature of four no longer fits a manifest
_HEIGHTS = (5, 10, 15, 20, 25)
_WIDTHS = (1, 2, 4, 8)
_CHAINS = {32: (265, 133, 67, 34), 24: (200, 101, 51, 26)}
_SHIFTS = {32: (7, 6, 4, 0), 24: (8, 6, 4, 0)}


def _tree(kind):
    # (bytes of a hash, height) of an LMS type; None for one that is not known
    if 5 <= kind <= 9:
        return 32, _HEIGHTS[kind - 5]
    if 10 <= kind <= 14:
        return 24, _HEIGHTS[kind - 10]
    return None


def _once(kind):
    # (bytes of a hash, bits of a digit, number of chains, shift of the checksum) of an LM-OTS type
    if not 1 <= kind <= 8:
        return None
    n = 32 if kind <= 4 else 24
    k = (kind - 1) & 3
    return n, _WIDTHS[k], _CHAINS[n][k], _SHIFTS[n][k]


def _digit(data, i, w):
    return data[i * w // 8] >> (8 - w - i * w % 8) & ((1 << w) - 1)


class _Reader:
    def __init__(self, data):
        self._data = memoryview(data)
        self._at = 0

    def bytes(self, n):
        if self._at + n > len(self._data):
            raise ValueError("the signature is cut short")
        self._at += n
        return self._data[self._at - n : self._at]

    def uint(self):
        return struct.unpack(">I", self.bytes(4))[0]

    def done(self):
        return self._at == len(self._data)


def _root_steps(sha256, reader, key, message):
    # The root that one LMS signature leads to (RFC 8554, algorithms 4b and 6a), or None where types do not fit `key`.
    tree_kind, once_kind = struct.unpack(">II", key[:8])
    identifier = bytes(key[8:24])
    leaf = reader.uint()
    if reader.uint() != once_kind:
        return None
    tree, once = _tree(tree_kind), _once(once_kind)
    if not tree or not once or tree[0] != once[0] or leaf >> tree[1]:
        return None
    n, width, chains, shift = once
    head = identifier + struct.pack(">I", leaf)
    random = reader.bytes(n)
    hashed = sha256(head + b"\x81\x81")
    hashed.update(random)
    hashed.update(message)
    digest = hashed.digest()[:n]
    top = (1 << width) - 1
    total = 0
    for i in range(n * 8 // width):
        total += top - _digit(digest, i, width)
    digest += struct.pack(">H", total << shift)
    candidate = sha256(head + b"\x80\x80")
    for i in range(chains):
        value = reader.bytes(n)
        prefix = head + struct.pack(">H", i)
        for j in range(_digit(digest, i, width), top):
            chain = sha256(prefix + bytes((j,)))
            chain.update(value)
            value = chain.digest()[:n]
        candidate.update(value)
        yield
    if reader.uint() != tree_kind:
        return None
    number = (1 << tree[1]) + leaf
    here = sha256(identifier + struct.pack(">I", number) + b"\x82\x82" + candidate.digest()[:n]).digest()[:n]
    while number > 1:
        other = bytes(reader.bytes(n))
        pair = other + here if number & 1 else here + other
        number >>= 1
        here = sha256(identifier + struct.pack(">I", number) + b"\x83\x83" + pair).digest()[:n]
    return here


def key_size(key):
    """Bytes that an LMS public key beginning with these 4 has; 0 for a type that is not known."""
    tree = _tree(struct.unpack(">I", key[:4])[0])
    return 24 + tree[0] if tree else 0


def check_key(key):
    """The HSS public key if it is one that signatures can be verified with; ValueError otherwise."""
    if len(key) < 8 or not 1 <= struct.unpack(">I", key[:4])[0] <= LEVELS or len(key) != 4 + key_size(key[4:]):
        raise ValueError("not an HSS-LMS public key of 1 to %d levels" % LEVELS)
    tree, once = _tree(struct.unpack(">I", key[4:8])[0]), _once(struct.unpack(">I", key[8:12])[0])
    if once is None or tree[0] != once[0]:
        raise ValueError("an HSS-LMS public key of an unknown type")
    return key


def verify_steps(sha256, key, message, signature):
    """Generator: whether `key` (an HSS public key) has signed `message`; False for anything that is not well formed."""
    try:
        check_key(key)
        reader = _Reader(signature)
        levels = struct.unpack(">I", key[:4])[0]
        if reader.uint() != levels - 1:
            return False
        key = bytes(key[4:])
        for level in range(levels):
            last = level == levels - 1
            if last:
                signed = message
            else:
                # the next tree's key comes behind the signature over it, whose length its first words tell
                signed = _below(reader, key)
                if signed is None:
                    return False
            root = yield from _root_steps(sha256, reader, key, signed)
            if root is None or root != key[24:]:
                return False
            if not last:
                key = bytes(reader.bytes(len(signed)))
        return reader.done()
    except ValueError:
        return False


def _below(reader, key):
    # The public key that comes after the signature which begins here, not read yet.
    tree, once = _tree(struct.unpack(">I", key[:4])[0]), _once(struct.unpack(">I", key[4:8])[0])
    if not tree or not once:
        return None
    at = reader._at
    reader.bytes(4 + 4 + once[0] * (1 + once[2]) + 4 + tree[0] * tree[1])
    size = key_size(bytes(reader.bytes(4)))
    reader._at -= 4
    found = bytes(reader.bytes(size)) if size else None
    reader._at = at
    return found
