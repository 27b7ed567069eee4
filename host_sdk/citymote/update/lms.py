"""Hash-based signatures: LMS and its hierarchy HSS with SHA-256 (RFC 8554), for cities that plan for quantum computers.

The second signature of a manifest (COSE algorithm -46, RFC 8778): its safety rests on SHA-256 alone, and it verifies
fast on a small chip. Everything is derived from one seed (appendix A), also each message's randomiser, so that the
same leaf over the same message is the same signature. What is deadly is the same leaf over two messages: that it never
happens is `hss_key`'s matter, which alone calls `sign` here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

N = 32
IDENTIFIER = 16
_D_PBLC, _D_MESG, _D_LEAF, _D_INTR = b"\x80\x80", b"\x81\x81", b"\x82\x82", b"\x83\x83"
_OTS = {1: (1, 265, 7), 2: (2, 133, 6), 3: (4, 67, 4), 4: (8, 34, 0)}  # type -> w, p, ls (section 4.1)
_HEIGHTS = {5: 5, 6: 10, 7: 15, 8: 20, 9: 25}  # type -> h (section 5.1)
W4, W8 = 3, 4
MOST_LEVELS = 8
_COUNTS = [bytes((j,)) for j in range(256)]


@dataclass(frozen=True)
class Tree:
    """One LMS key: its types, I, and the seed that its leaves come from."""

    height: int
    ots: int
    identifier: bytes
    seed: bytes

    @property
    def type(self) -> int:
        """The LMS type that has this height."""
        return next(kind for kind, height in _HEIGHTS.items() if height == self.height)

    def leaves(self) -> list[bytes]:
        """The hash of each leaf: all the work there is (34 * 255 hashes a leaf with W8)."""
        return [_leaf(self, q) for q in range(1 << self.height)]

    def public(self, leaves: Sequence[bytes]) -> bytes:
        """The public key, 56 bytes (section 5.3)."""
        root = _nodes(self.identifier, leaves)[1]
        return _u32(self.type) + _u32(self.ots) + self.identifier + root

    def child(self, q: int, height: int) -> Tree:
        """The key of the next level that leaf q signs: drawn from the seed, so that it need not be kept."""
        drawn = sha256(self.identifier + _u32(q) + b"\xff\xfe\xff" + self.seed).digest()
        name = sha256(self.identifier + _u32(q) + b"\xff\xfd\xff" + self.seed).digest()
        return Tree(height, self.ots, name[:IDENTIFIER], drawn)


def heights() -> list[int]:
    """Tree heights that there are."""
    return list(_HEIGHTS.values())


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _digits(data: bytes, w: int, count: int) -> list[int]:
    # Values of w bits, from the most significant one of each byte (coef, section 3.1.3).
    per, mask = 8 // w, (1 << w) - 1
    return [data[i // per] >> (w * (per - 1 - i % per)) & mask for i in range(count)]


def _steps(digest: bytes, ots: int) -> list[int]:
    w, p, shift = _OTS[ots]
    digits = _digits(digest, w, 8 * N // w)
    total = sum((1 << w) - 1 - digit for digit in digits) << shift
    return (digits + _digits(total.to_bytes(2, "big"), w, 16 // w))[:p]


def _chain(head: bytes, value: bytes, begin: int, end: int) -> bytes:
    for j in range(begin, end):
        value = sha256(head + _COUNTS[j] + value).digest()
    return value


def _secret(tree: Tree, q: int, i: int) -> bytes:
    return sha256(tree.identifier + _u32(q) + i.to_bytes(2, "big") + b"\xff" + tree.seed).digest()


def _leaf(tree: Tree, q: int) -> bytes:
    w, p, _ = _OTS[tree.ots]
    head = tree.identifier + _u32(q)
    top = (1 << w) - 1
    ends = [_chain(head + i.to_bytes(2, "big"), _secret(tree, q, i), 0, top) for i in range(p)]
    key = sha256(head + _D_PBLC + b"".join(ends)).digest()
    return sha256(tree.identifier + _u32((1 << tree.height) + q) + _D_LEAF + key).digest()


def _nodes(identifier: bytes, leaves: Sequence[bytes]) -> list[bytes]:
    nodes = [b""] * len(leaves) + list(leaves)
    for r in range(len(leaves) - 1, 0, -1):
        nodes[r] = sha256(identifier + _u32(r) + _D_INTR + nodes[2 * r] + nodes[2 * r + 1]).digest()
    return nodes


def sign(tree: Tree, leaves: Sequence[bytes], q: int, message: bytes) -> bytes:
    """The LMS signature by leaf q (section 5.4.1). A leaf signs one message in its life: see the module."""
    p = _OTS[tree.ots][1]
    head = tree.identifier + _u32(q)
    randomiser = sha256(head + b"\xff\xfc\xff" + tree.seed + sha256(message).digest()).digest()
    steps = _steps(sha256(head + _D_MESG + randomiser + message).digest(), tree.ots)
    parts = [_chain(head + i.to_bytes(2, "big"), _secret(tree, q, i), 0, steps[i]) for i in range(p)]
    nodes = _nodes(tree.identifier, leaves)
    r = (1 << tree.height) + q
    path = [nodes[r >> level ^ 1] for level in range(tree.height)]
    return b"".join([_u32(q), _u32(tree.ots), randomiser, *parts, _u32(tree.type), *path])


def sign_hss(
    top: Tree, levels: Sequence[int], leaves: Mapping[bytes, Sequence[bytes]], number: int, message: bytes
) -> bytes:
    """The HSS signature number `number` of a key with these heights (section 6.2); `leaves` by tree identifier."""
    trees, places = path_of(top, levels, number)
    chain: list[bytes] = []
    for tree, q, below in zip(trees, places, trees[1:], strict=False):
        public = below.public(leaves[below.identifier])
        chain += [sign(tree, leaves[tree.identifier], q, public), public]
    last = sign(trees[-1], leaves[trees[-1].identifier], places[-1], message)
    return _u32(len(levels) - 1) + b"".join(chain) + last


def path_of(top: Tree, levels: Sequence[int], number: int) -> tuple[list[Tree], list[int]]:
    """The trees, from the top on, and the leaf in each, that make signature number `number`."""
    places: list[int] = []
    for height in reversed(levels):
        places.insert(0, number & ((1 << height) - 1))
        number >>= height
    if number:
        raise ValueError("a key has no such signature")
    trees = [top]
    for height, q in zip(levels[1:], places, strict=False):
        trees.append(trees[-1].child(q, height))
    return trees, places


# -- verification -----------------------------------------------------------------------------------------------------


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise ValueError("a signature is cut short")
        self.at += size
        return self.data[self.at - size : self.at]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")


@dataclass(frozen=True)
class _Parts:
    q: int
    ots: int
    randomiser: bytes
    chains: list[bytes]
    type: int
    path: list[bytes]


def _parts(reader: _Reader) -> _Parts:
    q, ots = reader.u32(), reader.u32()
    if ots not in _OTS:
        raise ValueError("a signature is of no known type")
    randomiser = reader.take(N)
    chains = [reader.take(N) for _ in range(_OTS[ots][1])]
    kind = reader.u32()
    if kind not in _HEIGHTS:
        raise ValueError("a signature is of no known type")
    return _Parts(q, ots, randomiser, chains, kind, [reader.take(N) for _ in range(_HEIGHTS[kind])])


def _holds(public: bytes, message: bytes, found: _Parts) -> bool:
    # Algorithm 6a of section 5.4.2.
    kind, ots = int.from_bytes(public[:4], "big"), int.from_bytes(public[4:8], "big")
    identifier, root = public[8:24], public[24:]
    if (kind, ots) != (found.type, found.ots) or found.q >> _HEIGHTS[kind]:
        return False
    w, _, _ = _OTS[ots]
    head = identifier + _u32(found.q)
    steps = _steps(sha256(head + _D_MESG + found.randomiser + message).digest(), ots)
    top = (1 << w) - 1
    ends = [_chain(head + i.to_bytes(2, "big"), part, steps[i], top) for i, part in enumerate(found.chains)]
    key = sha256(head + _D_PBLC + b"".join(ends)).digest()
    r = (1 << _HEIGHTS[kind]) + found.q
    node = sha256(identifier + _u32(r) + _D_LEAF + key).digest()
    for other in found.path:
        pair = other + node if r & 1 else node + other
        r >>= 1
        node = sha256(identifier + _u32(r) + _D_INTR + pair).digest()
    return node == root


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an HSS public key (60 bytes) has signed these bytes (section 6.3); never an exception."""
    try:
        levels, chain, last = _read(signature)
    except ValueError:
        return False
    if len(public) != 60 or int.from_bytes(public[:4], "big") != levels:
        return False
    key = public[4:]
    for parts, below in chain:
        if not _holds(key, below, parts):
            return False
        key = below
    return _holds(key, message, last)


def _read(signature: bytes) -> tuple[int, list[tuple[_Parts, bytes]], _Parts]:
    reader = _Reader(signature)
    count = reader.u32()
    if count >= MOST_LEVELS:
        raise ValueError("a signature has too many levels")
    chain = [(_parts(reader), reader.take(56)) for _ in range(count)]
    last = _parts(reader)
    if reader.at != len(signature):
        raise ValueError("a signature is followed by something")
    return count + 1, chain, last


def number_of(signature: bytes) -> int:
    """Which of its key's signatures this is, as `sign_hss` counts them; ValueError where it is no HSS signature."""
    _, chain, last = _read(signature)
    number = 0
    for parts in [*[parts for parts, _ in chain], last]:
        number = number << _HEIGHTS[parts.type] | parts.q
    return number
