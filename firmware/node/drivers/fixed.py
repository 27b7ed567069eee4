"""Products of two integers that would not fit a small integer, for makers' formulas in fixed point.

A 32-bit MicroPython keeps integers up to 2^30 in the word itself; a larger one is an object on the heap, and a float
is one too. So a product is taken in halves of 15 bits, none of whose parts leaves that range, and shifted back before
it is put together. Exact, as long as the shifted result is below 2^30.
"""


def scaled(a, b, shift):
    """a * b >> shift, for |a|, |b| below 2^30 and a shift of 0 to 30 (rounded down, as Python's shift is)."""
    high = a >> 15
    a &= 0x7FFF
    upper = b >> 15
    b &= 0x7FFF
    low = a * b
    x = high * b
    y = a * upper
    middle = (low >> 15) + (x & 0x7FFF) + (y & 0x7FFF)
    high = high * upper + (x >> 15) + (y >> 15) + (middle >> 15)
    middle &= 0x7FFF
    if shift > 14:
        return high << 30 - shift | middle >> shift - 15
    return high << 30 - shift | middle << 15 - shift | (low & 0x7FFF) >> shift


def truncated(a, b):
    """a / b towards zero, as the makers' C divides."""
    return a // b if a >= 0 else -(-a // b)


def rounded(value, by):
    """value / by to the nearest integer, ties away from zero."""
    return (value + by // 2) // by if value >= 0 else -((by // 2 - value) // by)
