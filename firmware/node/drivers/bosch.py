"""What Bosch Sensortec's environmental chips share: one measurement for each reading, and compensation in integers.

The 32-bit formulas of the BME280's data sheet, section 4.2.3 and appendix 8.2, and of the BME688's, section 3.3, which
are the same but for the scale of some coefficients and one more of them. Products that do not fit 30 bits are taken in
parts. Three things are kept finer than there, because they cost up to 6 Pa each, more than half a step of ours: slope
and cube by four bits, and the quotient by its last digit above 2^31. So it agrees with the double-precision formulas
within 2 Pa.
"""

from .fault import BAD_CHECKSUM, FROZEN, OK, OUT_OF_RANGE, WARMING_UP, WRONG_CHIP, Fault
from .fixed import scaled

_ID = 0xD0
_RESET = b"\xe0\xb6"
_SAMPLES = (1, 2, 4, 8, 16)  # of oversampling, coded as 1 to 5
_POLL = 5
_POLLS = 5

_NEW, _STARTING, _IDLE, _MEASURING, _READY = range(5)


class Forced:
    """A chip that sleeps until it is told to measure once.

    A chip's own class says how it is identified and calibrated, what its results are, and when they are there;
    `command` are pairs of register and value, the last of which starts the measurement.
    """

    BUS = "i2c"
    IDENTITY = 0
    RESULTS = 0  # the register with which the results begin
    STARTING = 10  # ms from reset to the calibration

    def __init__(self, bus, address, command, duration, size):
        self._bus = bus
        self._address = address
        self._command = command
        self._duration = duration
        self._one = bytearray(1)
        self._data = bytearray(size)
        self._pressure = [0] * 10
        self._reset()

    def start(self):
        state = self._state
        polls = self._polls
        self._reset()  # until this step has succeeded
        if state == _READY:
            self._state = _READY
            return 0
        if state == _NEW:
            if self._register(_ID) != self.IDENTITY:
                raise Fault(WRONG_CHIP, "identification is %02x, not %02x" % (self._one[0], self.IDENTITY))
            self._bus.writeto(self._address, _RESET)
            self._state = _STARTING
            return self.STARTING
        if state == _STARTING:
            if not self._calibrate():
                return self._again(_STARTING, polls)
            state = _IDLE
        if state == _IDLE:
            self._bus.writeto(self._address, self._command)
            self._state = _MEASURING
            return self._duration
        self._bus.readfrom_mem_into(self._address, self.RESULTS, self._data)
        if not self._measured():
            return self._again(_MEASURING, polls)
        self._state = _READY
        return 0

    def read(self):
        state = self._state
        self._reset()
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        self._state = _IDLE
        return self._convert()

    def stop(self):
        """The chip sleeps by itself after each measurement."""
        self._reset()
        return 0

    def _calibrate(self):
        """Read the calibration; false while the chip has it not ready."""
        return True

    def _measured(self):
        """Whether the results are those of the measurement."""
        return True

    def _convert(self):
        return ()

    def _register(self, register):
        self._bus.readfrom_mem_into(self._address, register, self._one)
        return self._one[0]

    def _raw(self, at):
        """Twenty bits, high byte first, left-justified in three bytes."""
        data = self._data
        return data[at] << 12 | data[at + 1] << 4 | data[at + 2] >> 4

    def _again(self, state, polls):
        if polls == _POLLS:
            raise Fault(FROZEN, "the chip does not come to an end")
        self._state = state
        self._polls = polls + 1
        return _POLL

    def _reset(self):
        self._state = _NEW
        self._polls = 0


def oversampling(samples):
    """1, 2, 4, 8 or 16 as the chips code it."""
    if samples not in _SAMPLES:
        raise ValueError("osrs_t, osrs_h and osrs_p are 1, 2, 4, 8 or 16")
    return _SAMPLES.index(samples) + 1


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
    third = pressure >> 4
    third = scaled(scaled(third * third, third, 12), p[9], 17)
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
