"""The Block options' values (RFC 7959, section 2.2): number, more, size."""

from .errors import FrameError

BLOCK = "block"  # not a Block option: a reserved size, more than 3 bytes


def read(value):
    """(number, more, size exponent 0..6) of a Block1 or Block2 option."""
    number = int.from_bytes(value, "big")
    if len(value) > 3 or number & 7 == 7:
        raise FrameError(BLOCK, "")
    return number >> 4, bool(number & 8), number & 7


def value(number, more, exponent):
    number = number << 4 | (8 if more else 0) | exponent
    return number.to_bytes((number > 0) + (number > 0xFF) + (number > 0xFFFF), "big")


def exponent_for(room):
    """The exponent of the largest block that fits into so many bytes: 16 << exponent; at least 16 bytes."""
    exponent = 0
    while exponent < 6 and 32 << exponent <= room:
        exponent += 1
    return exponent
