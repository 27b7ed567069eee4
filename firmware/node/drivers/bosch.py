"""What Bosch Sensortec's environmental chips share: compensation of temperature and pressure in integers.

The 32-bit formulas of the BME280's data sheet, section 4.2.3 and appendix 8.2, and of the BME688's, section 3.3, which
are the same but for the scale of some coefficients and one more of them. Products that do not fit 30 bits are taken in
parts. Two things are kept finer than there, because they cost up to 6 Pa, more than half a step of ours: the slope by
four bits, and the quotient by its last digit above 2^31. So it agrees with the double-precision formulas within 2 Pa.
"""

from .fault import BAD_CHECKSUM, OK, OUT_OF_RANGE, WRONG_CHIP, Fault
from .fixed import scaled


def fine_temperature(adc, t1, t2, t3):
    """Temperature in steps of 1/5120 K, the t_fine of the data sheets, from the 20-bit reading."""
    d = (adc >> 3) - (t1 << 1)
    half = (adc >> 4) - t1
    return scaled(d, t2, 11) + scaled(scaled(half, half, 12), t3, 14)


def celsius(fine):
    """t_fine in hundredths of a degree."""
    return (fine * 5 + 128) >> 8


def hectopascals(adc, fine, p):
    """Pressure in tenths of a hPa from the 20-bit reading; `p` are the coefficients P1 to P10, in the BME280's scales.

    P6 is four times the BME280's, P10 the BME688's (0 on the BME280). None where the coefficients make no sense.
    """
    v = (fine >> 1) - 64000
    square = scaled(v >> 2, v >> 2, 11)
    offset = (scaled(square, p[5], 2) + (v * p[4] << 1) >> 2) + (p[3] << 16)
    slope = ((square >> 2) * p[2] >> 3) + scaled(p[1], v, 1)
    slope = scaled(0x80000 + (slope >> 14), p[0], 15)  # 16 times the data sheet's
    if slope <= 0:
        return None
    raw = 1048576 - adc - (offset >> 12)
    if raw < 0:
        return None
    raw *= 250
    pressure = raw // slope * 400 + raw % slope * 400 // slope
    if pressure > 0x3FFFF:
        return None
    eighth = pressure >> 3
    high = p[8] * (scaled(eighth, eighth, 13)) >> 12
    low = scaled(pressure >> 2, p[7], 13)
    third = pressure >> 8
    third = scaled(third * third * third, p[9], 17)
    return (pressure + (high + low + third + p[6] >> 4) + 5) // 10


def ranged(quantity, value, low, high):
    """A reading, marked where the chip is not specified; None where its formula has no answer."""
    return (quantity, value, OK if value is not None and low <= value <= high else OUT_OF_RANGE)


def unsigned(data, at):
    """A word of the calibration, low byte first."""
    return data[at] | data[at + 1] << 8


def signed(data, at):
    """The same as a two's complement number."""
    value = data[at] | data[at + 1] << 8
    return value - 0x10000 if value & 0x8000 else value


def byte(data, at):
    """A byte as a two's complement number."""
    return data[at] - 256 if data[at] & 0x80 else data[at]


def read_twice(bus, address, register, data, again):
    """A part of the calibration, which no checksum guards and which every reading depends on."""
    bus.readfrom_mem_into(address, register, data)
    bus.readfrom_mem_into(address, register, again)
    if data != again:
        raise Fault(BAD_CHECKSUM, "the calibration reads differently twice")
    if not any(data) or min(data) == 0xFF:
        raise Fault(WRONG_CHIP, "no calibration: all bytes are the same")
