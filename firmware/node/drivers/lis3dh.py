"""Acceleration of the pole: STMicroelectronics LIS3DH on I2C.

Datasheet "LIS3DH", DocID17530 revision 2 (sections cited as DS). The chip fills its own FIFO with 32 samples, from
which the driver takes mean and greatest acceleration of each axis, gravity left in. The chip has no checksum.
"""

from citymote_protocol.quantities import (
    ACCELERATION_X,
    ACCELERATION_X_MAX,
    ACCELERATION_Y,
    ACCELERATION_Y_MAX,
    ACCELERATION_Z,
    ACCELERATION_Z_MAX,
)

from .fault import FROZEN, OK, SATURATED, WARMING_UP, WRONG_CHIP, Fault

# DS 8: registers
_WHO_AM_I = 0x0F
_CTRL_REG1 = 0x20
_CTRL_REG4 = 0x23
_CTRL_REG5 = 0x24
_OUT_X_L = 0x28
_FIFO_CTRL = 0x2E
_FIFO_SRC = 0x2F
_INCREMENT = 0x80  # DS 6.1.1: the register's address counts on, from OUT_Z_H back to OUT_X_L
_SAMPLES = 32
# DS 8.8: data rate in Hz -> bits of CTRL_REG1
_RATES = {10: 0x20, 25: 0x30, 50: 0x40, 100: 0x50, 200: 0x60, 400: 0x70}
# DS 2.1, table 4: range in g -> bits of CTRL_REG4, mg a digit in high-resolution mode (12 bits)
_RANGES = {2: (0x00, 1), 4: (0x10, 2), 8: (0x20, 4), 16: (0x30, 12)}
_POLLS = 4

_MEANS = (ACCELERATION_X, ACCELERATION_Y, ACCELERATION_Z)
_MAXIMA = (ACCELERATION_X_MAX, ACCELERATION_Y_MAX, ACCELERATION_Z_MAX)

_NEW, _FILLING, _READY = range(3)


class LIS3DH:
    """`full_scale` in g: 2, 4, 8 or 16. `data_rate` in Hz: 10, 25, 50, 100, 200 or 400; a reading spans 32 samples of
    it.

    The greatest acceleration is that of the sample farthest from zero, with its sign.
    """

    BUS = "i2c"
    QUANTITIES = _MEANS + _MAXIMA

    def __init__(self, bus, address=0x18, full_scale=2, data_rate=100):
        if address not in (0x18, 0x19):
            raise ValueError("address is 0x18 or 0x19")
        if full_scale not in _RANGES:
            raise ValueError("full_scale is 2, 4, 8 or 16 g")
        if data_rate not in _RATES:
            raise ValueError("data_rate is 10, 25, 50, 100, 200 or 400 Hz")
        self._bus = bus
        self._address = address
        scale, self._digit = _RANGES[full_scale]
        self._control = scale | 0x88  # DS 8.11: BDU, high resolution
        self._rate = _RATES[data_rate] | 0x07  # all axes
        self._fill = 33 * 1000 // data_rate + 10
        self._poll = 4 * 1000 // data_rate + 5
        self._pair = bytearray(2)
        self._one = bytearray(1)
        self._samples = bytearray(6 * _SAMPLES)
        self._reset()

    def start(self):
        state = self._state
        polls = self._polls
        self._reset()  # until this step has succeeded
        if state == _READY:
            self._state = _READY
            return 0
        if state == _NEW:
            self._bus.readfrom_mem_into(self._address, _WHO_AM_I, self._one)
            if self._one[0] != 0x33:
                raise Fault(WRONG_CHIP, "WHO_AM_I is %02x, not 33" % self._one[0])
            self._write(_CTRL_REG1, self._rate)
            self._write(_CTRL_REG4, self._control)
            self._write(_CTRL_REG5, 0x40)  # FIFO on
            self._write(_FIFO_CTRL, 0x00)  # DS 5.1.2: bypass empties it
            self._write(_FIFO_CTRL, 0x40)  # FIFO mode: fills once, then stops
            self._state = _FILLING
            return self._fill
        self._bus.readfrom_mem_into(self._address, _FIFO_SRC, self._one)
        if not self._one[0] & 0x40:  # DS 8.26: all 32 are there
            if polls == _POLLS:
                raise Fault(FROZEN, "the FIFO does not fill")
            self._state = _FILLING
            self._polls = polls + 1
            return self._poll
        self._bus.readfrom_mem_into(self._address, _OUT_X_L | _INCREMENT, self._samples)
        self._state = _READY
        return 0

    def read(self):
        state = self._state
        self._reset()
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        return (self._mean(0), self._mean(1), self._mean(2), self._farthest(0), self._farthest(1), self._farthest(2))

    def stop(self):
        self._reset()
        self._write(_CTRL_REG1, 0x00)  # DS 8.8: power-down
        return 0

    def _mean(self, axis):
        total = 0
        for i in range(_SAMPLES):
            digits = self._sample(i, axis)
            if digits == 2047 or digits == -2048:
                return (_MEANS[axis], None, SATURATED)
            total += digits
        return (_MEANS[axis], _hundredths(_rounded(total * self._digit, 8)), OK)

    def _farthest(self, axis):
        farthest = 0
        for i in range(_SAMPLES):
            digits = self._sample(i, axis)
            if digits == 2047 or digits == -2048:
                return (_MAXIMA[axis], None, SATURATED)
            if abs(digits) > abs(farthest):
                farthest = digits
        return (_MAXIMA[axis], _hundredths(farthest * self._digit * 4), OK)

    def _sample(self, i, axis):
        """DS 3.2.1: twelve bits, left-justified in sixteen, low byte first."""
        at = 6 * i + 2 * axis
        value = (self._samples[at + 1] << 8 | self._samples[at]) >> 4
        return value - 4096 if value & 0x800 else value

    def _reset(self):
        self._state = _NEW
        self._polls = 0

    def _write(self, register, value):
        self._pair[0] = register
        self._pair[1] = value
        self._bus.writeto(self._address, self._pair)


def _hundredths(quarters):
    """Quarters of a mg in 0.01 m/s2. 1 mg is 0.980665 cm/s2 = 1 - 3867 / 200000; so split, all stays below 2^30."""
    return _rounded(16 * quarters - _rounded(quarters * 3867, 12500), 64)


def _rounded(value, by):
    return (value + by // 2) // by if value >= 0 else -((by // 2 - value) // by)


DRIVER = LIS3DH
