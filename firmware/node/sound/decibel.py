"""Decibels in integers: levels in 0.001 dB, from energies of up to 66 bits and back, without floats or large integers.

A table of 64 steps of 10 lg(1 + x), read with linear interpolation, is off by 0.0002 dB at most; a reading's
resolution is 0.1 dB. An energy is a mantissa (an int below 2^30) times a power of two, or three words of 22 bits.
"""

from array import array
from math import log

# 10 lg(1 + i / 64) in 0.0001 dB, worked out once: numbers in the source would stay beside the table. No entry is near
# enough to a half for the small floats of a chip to round it another way.
_LG = array("H", [int(43429.4482 * log(1 + i / 64) + 0.5) for i in range(65)])


def level(mantissa, exponent=0):
    """10 lg(mantissa * 2^exponent) in 0.001 dB; the mantissa is 1 to 2^30 - 1."""
    while mantissa < 1048576:
        mantissa <<= 1
        exponent -= 1
    while mantissa >= 2097152:
        mantissa >>= 1
        exponent += 1
    i = (mantissa >> 14) & 63
    at = _LG[i]
    at += ((_LG[i + 1] - at) * (mantissa & 16383)) >> 14
    return ((exponent + 20) * 30103 + at + 5) // 10


def energy(millidecibels):
    """The inverse of `level`: (mantissa of 21 bits, exponent). `millidecibels` is in 0.001 dB, like everything here."""
    at = millidecibels * 10
    exponent = at // 30103
    at -= exponent * 30103
    i = 0
    while _LG[i + 1] <= at:
        i += 1
    fraction = ((at - _LG[i]) << 14) // (_LG[i + 1] - _LG[i])
    return 1048576 + (i << 14) + fraction, exponent - 20


def level_of_words(words, at):
    """`level` of the energy words[at] + words[at + 1] * 2^22 + words[at + 2] * 2^44, or None of nothing."""
    low, high, exponent = words[at], words[at + 1], 0
    if words[at + 2]:
        low, high, exponent = high, words[at + 2], 22
    shift = 0
    while high >> shift >= 128:
        shift += 1
    mantissa = (high << (22 - shift)) | (low >> shift)
    return level(mantissa, exponent + shift) if mantissa else None


def add_to_words(words, at, mantissa, exponent):
    """Add mantissa * 2^exponent (below 2^66) to three words; what is smaller than 1 is lost."""
    if exponent < 0:
        mantissa >>= -exponent
        exponent = 0
    while exponent >= 22:
        at += 1
        exponent -= 22
    # A mantissa of 21 bits and a shift of at most 21 spread over two words.
    carry = words[at] + ((mantissa & ((1 << (22 - exponent)) - 1)) << exponent)
    words[at] = carry & 4194303
    carry = (mantissa >> (22 - exponent)) + (carry >> 22)
    while carry:
        at += 1
        carry += words[at]
        words[at] = carry & 4194303
        carry >>= 22
