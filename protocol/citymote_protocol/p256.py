"""P-256 (secp256r1): keys, ECDH and ECDSA verification, in code that runs on the node and on the host.

It exists because no MicroPython image offers elliptic curves to Python. Points are read and written as in SEC 1,
section 2.3, ECDH is SP 800-56A's (x coordinate only), signatures are verified in the IEEE P1363 form (r || s).
It signs nothing: a node has no use for a long-term signature key. Random bytes and hashing come from the caller.

A multiplication takes about half a second on a small chip, so every long operation is a generator (`*_steps`) that
yields at least every few milliseconds of a chip's work and returns its result; `run` drives one to the end.
Scalars are recoded to a fixed row of odd digits, so the order of doublings and additions does not depend on the key,
and long-term scalars are blinded with 64 random bits. Big-integer arithmetic itself is not constant time: this resists
timing over a network, not a probe at the chip.
"""

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
GY = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5

_WINDOW = 4  # bits a digit; 8 points a table, 1.2 KB of heap
_PLAIN = 65  # digits of an unblinded scalar: 257 bits after it was made odd
_BLINDED = 81  # digits of scalar + (64 random bits) * N


class CurveError(ValueError):
    """A key, point or length that is not P-256; `code` is one of the strings below. Never tells the value."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def run(steps):
    """Drive a generator of this package to its end and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


# Jacobian arithmetic; the point at infinity has Z = 0. Formulas: dbl-2001-b and madd for a = -3.


def _double(x, y, z):
    p = P
    if not z:
        return 1, 1, 0
    delta = z * z % p
    gamma = y * y % p
    beta = x * gamma % p
    alpha = 3 * (x - delta) * (x + delta) % p
    x3 = (alpha * alpha - 8 * beta) % p
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % p, 2 * y * z % p


def _add(x1, y1, z1, x2, y2):
    """Jacobian plus affine, complete: equal and opposite points and infinity are seen to."""
    p = P
    if not z1:
        return x2, y2, 1
    zz = z1 * z1 % p
    h = (x2 * zz - x1) % p
    r = (y2 * (z1 * zz % p) - y1) % p
    if not h:
        return (1, 1, 0) if r else _double(x1, y1, z1)
    hh = h * h % p
    hhh = h * hh % p
    v = x1 * hh % p
    x3 = (r * r - hhh - 2 * v) % p
    return x3, (r * (v - x3) - y1 * hhh) % p, z1 * h % p


def _inverse(a, m):
    # Euclid: MicroPython's pow() takes no negative exponent, and Fermat costs six times as much.
    u, v, x, y = a % m, m, 1, 0
    while u > 1:
        q = v // u
        u, v, x, y = v - q * u, u, y - q * x, x
    return x % m


def _affine(x, y, z):
    i = _inverse(z, P)
    ii = i * i % P
    return x * ii % P, y * ii * i % P


def _odd_multiples_steps(x, y):
    """Affine 1, 3, 5 ... 15 times a point, with one inversion for all of them."""
    p = P
    table = [(x, y, 1)]
    x2, y2 = _affine(*_double(x, y, 1))
    yield
    products = [1]
    for i in range((1 << _WINDOW - 1) - 1):
        point = _add(*(table[-1] + (x2, y2)))
        table.append(point)
        products.append(products[-1] * point[2] % p)
        if i & 1:
            yield
    inverse = _inverse(products[-1], p)
    yield
    affine = []
    while table:
        x, y, z = table.pop()
        products.pop()
        i = inverse * products[-1] % p if products else inverse
        inverse = inverse * z % p
        ii = i * i % p
        affine.append((x * ii % p, y * ii * i % p))
    affine.reverse()
    return affine


def _digits(k, count):
    """Fixed-length signed recoding of an odd k < 16**count: only odd digits, -15..15, lowest first, as d + 16."""
    out = bytearray(count)
    for i in range(count - 1):
        d = (k & 31) - 16
        out[i] = d + 16
        k = (k - d) >> _WINDOW
    out[count - 1] = k + 16
    return out


def _sum_steps(count, pairs):
    """Sum of scalar * point over pairs ((digits, table), ...), as an affine point, or None for infinity."""
    x, y, z = 1, 1, 0
    for i in range(count - 1, -1, -1):
        if z:
            for _ in range(_WINDOW):
                x, y, z = _double(x, y, z)
        yield
        for digits, table in pairs:
            d = digits[i] - 16
            if d > 0:
                px, py = table[d >> 1]
            else:
                px, py = table[-d >> 1]
                py = P - py
            x, y, z = _add(x, y, z, px, py)
    if not z:
        return None
    yield
    return _affine(x, y, z)


def _odd(k):
    # N is odd, so one of k and k + N is odd, and both name the same multiple of a point.
    return k if k & 1 else k + N


def _scalar(private):
    if len(private) != 32:
        raise CurveError("private_length", "a P-256 private key has 32 bytes")
    d = int.from_bytes(private, "big")
    if not 0 < d < N:
        raise CurveError("private_range", "a P-256 private key lies between 1 and the order less 1")
    return d


def _multiply_steps(d, x, y, random):
    if random is None:
        count = _PLAIN
    else:
        count = _BLINDED
        d += int.from_bytes(random(8), "big") * N
    digits = _digits(_odd(d), count)
    table = yield from _odd_multiples_steps(x, y)
    return (yield from _sum_steps(count, ((digits, table),)))


# Points


def compress(public):
    """The compressed form of a public key, whichever form it came in; whether it is on the curve is not looked at."""
    if len(public) == 65 and public[0] == 4:
        return bytes((2 + (public[64] & 1),)) + bytes(public[1:33])
    return bytes(public)


def encode_point(x, y, compressed=True):
    if compressed:
        return bytes((2 + (y & 1),)) + x.to_bytes(32, "big")
    return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _root_steps(a):
    """a ** ((P + 1) / 4), the square root where there is one; (P + 1) / 4 = 2^254 - 2^222 + 2^190 + 2^94."""
    p = P
    r = a
    for squarings in (1, 2, 4, 8, 16):  # a ** (2^32 - 1)
        t = r
        for _ in range(squarings):
            t = t * t % p
        r = r * t % p
    for squarings, factor in ((32, a), (96, a), (94, 1)):
        for i in range(squarings):
            if not i & 31:
                yield
            r = r * r % p
        r = r * factor % p
    return r


def decode_steps(data):
    """(x, y) of a compressed (33 bytes) or uncompressed (65 bytes) point; CurveError unless it is on the curve."""
    form = data[0] if len(data) else 0
    if len(data) != (65 if form == 4 else 33) or form not in (2, 3, 4):
        raise CurveError("point_form", "a P-256 point has 33 bytes (02, 03) or 65 bytes (04)")
    x = int.from_bytes(data[1:33], "big")
    if x >= P:
        raise CurveError("point_range", "a coordinate is not below the field's prime")
    square = ((x * x - 3) * x + B) % P
    if form == 4:
        y = int.from_bytes(data[33:], "big")
        if y >= P:
            raise CurveError("point_range", "a coordinate is not below the field's prime")
    else:
        y = yield from _root_steps(square)
        if y & 1 != form & 1:
            y = P - y
    # The root of a non-square is no root, so this line also refuses an x that has no point.
    if y * y % P != square:
        raise CurveError("point_off_curve", "the point is not on P-256")
    return x, y


def decode_point(data):
    return run(decode_steps(data))


# Keys


def draw_private(random):
    """A private key from 32 random bytes at a time; CurveError if the source gives nothing usable."""
    for _ in range(16):
        private = random(32)
        # A dead generator gives equal bytes; a live one does so once in 2^248 draws.
        if 0 < int.from_bytes(private, "big") < N and len(set(private)) > 1:
            return bytes(private)
    raise CurveError("no_entropy", "the random source gives no usable key")


def public_steps(private, random):
    """The compressed public key of a private key; `random` blinds (None only for a key used once)."""
    # Infinity is no multiple of the base point by less than the order.
    x, y = yield from _multiply_steps(_scalar(private), GX, GY, random)  # pyright: ignore[reportGeneralTypeIssues]
    return encode_point(x, y)


def public_key(private, random):
    return run(public_steps(private, random))


def key_pair_steps(random):
    private = draw_private(random)
    public = yield from public_steps(private, random)
    return private, public


def key_pair(random):
    return run(key_pair_steps(random))


def ecdh_steps(private, public, random):
    """The 32-byte shared secret; `random` blinds the scalar (None only for a key used once)."""
    x, y = yield from decode_steps(public)
    point = yield from _multiply_steps(_scalar(private), x, y, random)
    return point[0].to_bytes(32, "big")


def ecdh(private, public, random):
    return run(ecdh_steps(private, public, random))


def verify_steps(public, digest, signature):
    """True if `signature` (r || s, 64 bytes) of the 32-byte SHA-256 `digest` was made with `public`'s key."""
    x, y = yield from decode_steps(public)
    if len(signature) != 64 or len(digest) != 32:
        return False
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    if not (0 < r < N and 0 < s < N):
        return False
    w = _inverse(s, N)
    yield
    u1 = _digits(_odd(int.from_bytes(digest, "big") * w % N), _PLAIN)
    u2 = _digits(_odd(r * w % N), _PLAIN)
    own = yield from _odd_multiples_steps(GX, GY)
    yield
    other = yield from _odd_multiples_steps(x, y)
    point = yield from _sum_steps(_PLAIN, ((u1, own), (u2, other)))
    return point is not None and point[0] % N == r


def verify(public, digest, signature):
    return run(verify_steps(public, digest, signature))
