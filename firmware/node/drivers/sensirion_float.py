"""Floats as Sensirion's chips send them: IEEE 754 singles cut into two words, each with its CRC. SCD30 and SPS30."""


def scaled_float(data, at, scale):
    """The IEEE 754 single in the two words at byte `at`, times `scale` (1, 10 or 100), rounded half away from zero.

    None when it is not a number or 2^28 and more. In integers: an ESP32's float has no digits to spare, and is an
    object. 24 bits of mantissa times 10 stay below 2^30; for 100 the mantissa loses its last 2 bits (2^-22 of the
    value).
    """
    high = data[at] << 8 | data[at + 1]
    exponent = (high >> 7) & 0xFF
    if exponent == 255:
        return None
    if exponent == 0:
        return 0  # zero, or a subnormal far below any resolution
    mantissa = 0x800000 | (high & 0x7F) << 16 | data[at + 3] << 8 | data[at + 4]
    shift = 150 - exponent
    if scale > 10:
        mantissa >>= 2
        shift -= 2
    if shift < 1:
        return None
    if shift > 29:
        return 0
    value = (mantissa * scale + (1 << (shift - 1))) >> shift
    return -value if high & 0x8000 else value
