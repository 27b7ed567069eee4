"""Vibration and tilt of the pole: STMicroelectronics LIS3DH on I2C.

Datasheet "LIS3DH", DocID17530 revision 2 (sections cited as DS). The chip fills its own FIFO of 32 samples. For
accelerations alone the driver takes one filling. For vibration velocity it takes burst after burst without a gap, two
seconds for the filter to settle and then `duration`; a burst that came too late to be whole begins anew. The chip has
no checksum, and its data rate is not trimmed to better than some per cent, which velocity inherits.
"""

from citymote_protocol.quantities import (
    ACCELERATION_X,
    ACCELERATION_X_MAX,
    ACCELERATION_Y,
    ACCELERATION_Y_MAX,
    ACCELERATION_Z,
    ACCELERATION_Z_MAX,
    VIBRATION_X,
    VIBRATION_X_MAX,
    VIBRATION_Y,
    VIBRATION_Y_MAX,
    VIBRATION_Z,
    VIBRATION_Z_MAX,
)

from .fault import FROZEN, OK, OUT_OF_RANGE, SATURATED, SHORT_READ, WARMING_UP, WRONG_CHIP, Fault

# DS 8: registers
_WHO_AM_I = 0x0F
_CTRL_REG1 = 0x20
_CTRL_REG4 = 0x23
_CTRL_REG5 = 0x24
_OUT_X_L = 0x28
_FIFO_CTRL = 0x2E
_FIFO_SRC = 0x2F
_INCREMENT = 0x80  # DS 6.1.1: the register's address counts on, from OUT_Z_H back to OUT_X_L
_FIFO_MODE = 0x40  # DS 5.1.3: fills once, then stops
_STREAM_MODE = 0x80  # DS 5.1.4: the oldest sample gives way
# DS 8.8: data rate in Hz -> bits of CTRL_REG1
_RATES = {10: 0x20, 25: 0x30, 50: 0x40, 100: 0x50, 200: 0x60, 400: 0x70}
# DS 2.1, table 4: range in g -> bits of CTRL_REG4, mg a digit in high-resolution mode (12 bits)
_RANGES = {2: (0x00, 1), 4: (0x10, 2), 8: (0x20, 4), 16: (0x30, 12)}
_POLLS = 4
_BURST = 16
_SETTLING = 2  # s
_LATE = 3  # bursts that may come too late for one reading

_MEANS = (ACCELERATION_X, ACCELERATION_Y, ACCELERATION_Z)
_MAXIMA = (ACCELERATION_X_MAX, ACCELERATION_Y_MAX, ACCELERATION_Z_MAX)
_SPEEDS = (VIBRATION_X, VIBRATION_Y, VIBRATION_Z)
_PEAKS = (VIBRATION_X_MAX, VIBRATION_Y_MAX, VIBRATION_Z_MAX)

_NEW, _FILLING, _READY = range(3)


class LIS3DH:
    """`full_scale` in g: 2, 4, 8 or 16. `data_rate` in Hz: 10, 25, 50, 100, 200 or 400; a reading of accelerations
    spans 32 samples of it. `velocity` adds RMS and peak velocity over `duration` in ms, 1000 to 10000, from 1 Hz to
    four tenths of the data rate, which is 100, 200 or 400 then.

    Accelerations have gravity in them. The greatest is that of the sample farthest from zero, with its sign. High
    resolution (12 bits) without velocity; with it normal mode (10 bits), because the chip's filter lets half the data
    rate through then, and only a ninth otherwise (DS 3.2.1, table 10).
    """

    BUS = "i2c"
    QUANTITIES = _MEANS + _MAXIMA

    def __init__(self, bus, address=0x18, full_scale=2, data_rate=100, velocity=False, duration=8000):
        if address not in (0x18, 0x19):
            raise ValueError("address is 0x18 or 0x19")
        if full_scale not in _RANGES:
            raise ValueError("full_scale is 2, 4, 8 or 16 g")
        if velocity not in (False, True):
            raise ValueError("velocity is true or false")
        if data_rate not in _RATES or (velocity and data_rate < 100):
            raise ValueError("data_rate is 10, 25, 50, 100, 200 or 400 Hz; 100 and more for velocity")
        if not 1000 <= duration <= 10000:
            raise ValueError("duration is 1000 to 10000 ms")
        self._bus = bus
        self._address = address
        self._control, self._digit = _RANGES[full_scale]
        self._rate = _RATES[data_rate] | 0x07  # all axes
        self._speeds = []
        self._count = self._burst = 32
        self._settle = 0
        self._mode = _FIFO_MODE
        self._unused = 4  # DS 3.2.1: left-justified in sixteen bits
        if velocity:
            from .velocity import Velocity

            self.QUANTITIES = _MEANS + _MAXIMA + _SPEEDS + _PEAKS
            self._digit *= 4
            self._speeds = [Velocity(data_rate, self._digit) for _ in range(3)]
            self._burst = _BURST
            self._count = data_rate * duration // 1000
            self._settle = data_rate * _SETTLING // _BURST * _BURST
            self._mode = _STREAM_MODE
            self._unused = 6
            self.STEPS = 2 * (1 + _LATE) * (self._count + self._settle) // _BURST
        else:
            self._control |= 0x08  # DS 8.11: high resolution
        self._most = (1 << 15 - self._unused) - 1
        self._fill = self._burst * 1000 // data_rate
        self._poll = 4 * 1000 // data_rate + 5
        self._pair = bytearray(2)
        self._one = bytearray(1)
        self._samples = bytearray(6 * self._burst)
        self._totals = [0, 0, 0]
        self._farthest = [0, 0, 0]
        self._full = bytearray(3)
        self._taken = 0
        self._late = 0
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
            self._write(_CTRL_REG4, self._control | 0x80)  # DS 8.11: both bytes of one sample
            self._write(_CTRL_REG5, 0x40)  # FIFO on
            self._late = 0
            return self._begin()
        self._bus.readfrom_mem_into(self._address, _FIFO_SRC, self._one)
        full = self._one[0] & 0x40  # DS 8.26: all 32 are there
        if full and self._speeds:  # by the next sample one is lost
            if self._late == _LATE:
                raise Fault(SHORT_READ, "bursts were read too late to be whole")
            self._late += 1
            return self._begin()
        if not full and self._one[0] & 0x1F < self._burst:
            if polls == _POLLS:
                raise Fault(FROZEN, "the FIFO does not fill")
            self._polls = polls + 1
            self._state = _FILLING
            return self._poll
        self._bus.readfrom_mem_into(self._address, _OUT_X_L | _INCREMENT, self._samples)
        self._take()
        if self._taken < self._count:
            self._state = _FILLING
            missing = 2 * self._burst - (self._one[0] & 0x1F)
            return missing * self._fill // self._burst if missing > 0 else 1
        self._state = _READY
        return 0

    def read(self):
        state = self._state
        self._reset()
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        if not self._speeds:
            return (self._mean(0), self._mean(1), self._mean(2), self._most_of(0), self._most_of(1), self._most_of(2))
        return (
            self._mean(0), self._mean(1), self._mean(2), self._most_of(0), self._most_of(1), self._most_of(2),
            self._rms(0), self._rms(1), self._rms(2), self._peak(0), self._peak(1), self._peak(2),
        )  # fmt: skip

    def stop(self):
        self._reset()
        self._write(_CTRL_REG1, 0x00)  # DS 8.8: power-down
        return 0

    def _begin(self):
        """An empty FIFO and empty sums."""
        self._write(_FIFO_CTRL, 0x00)  # DS 5.1.2: bypass empties it
        self._write(_FIFO_CTRL, self._mode)
        self._taken = -self._settle
        for axis in range(3):
            self._totals[axis] = self._farthest[axis] = self._full[axis] = 0
        self._state = _FILLING
        return self._fill + self._poll

    def _take(self):
        """A burst of samples into the sums."""
        samples = self._samples
        most = self._most
        first = self._taken == -self._settle
        for axis in range(3):
            speed = self._speeds[axis] if self._speeds else None
            total = 0
            farthest = self._farthest[axis]
            for at in range(2 * axis, len(samples), 6):
                digits = samples[at + 1] << 8 | samples[at]  # DS 8.16: low byte first
                if digits & 0x8000:
                    digits -= 65536
                digits >>= self._unused
                if digits >= most or digits < -most:
                    self._full[axis] = 1
                total += digits
                if abs(digits) > abs(farthest):
                    farthest = digits
            if speed:
                if first:
                    speed.begin(total, self._burst)
                elif self._taken == 0:
                    speed.measure()
                for at in range(2 * axis, len(samples), 6):
                    digits = samples[at + 1] << 8 | samples[at]
                    speed.put((digits - 65536 if digits & 0x8000 else digits) >> self._unused)
            if self._taken >= 0:
                self._totals[axis] += total
                self._farthest[axis] = farthest
        self._taken += self._burst

    def _mean(self, axis):
        if self._full[axis]:
            return (_MEANS[axis], None, SATURATED)
        return (_MEANS[axis], _hundredths(_rounded(self._totals[axis] * self._digit * 4, self._taken)), OK)

    def _most_of(self, axis):
        if self._full[axis]:
            return (_MAXIMA[axis], None, SATURATED)
        return (_MAXIMA[axis], _hundredths(self._farthest[axis] * self._digit * 4), OK)

    def _rms(self, axis):
        return self._judged(_SPEEDS[axis], axis, self._speeds[axis].rms())

    def _peak(self, axis):
        return self._judged(_PEAKS[axis], axis, self._speeds[axis].peak())

    def _judged(self, quantity, axis, value):
        if self._full[axis]:
            return (quantity, None, SATURATED)
        return (quantity, value, OUT_OF_RANGE if value is None else OK)

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
