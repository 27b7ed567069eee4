"""Illuminance: ROHM BH1750FVI (and BH1751FVI, same registers) on I2C.

ROHM technical note "BH1750FVI", 2009.04 Rev. B (pages cited as TN). The driver chooses the measurement time register
and the mode by itself, so that 1 lx is resolved from 0 to the chip's limit at that resolution, 54,612 lx, and two
more up to 121,556 lx. The chip has neither an identification register nor a checksum: a wrong chip and a flipped bit
are not seen here, and a reading of a floating bus (all ones) is reported as saturated.
"""

from citymote_protocol.quantities import ILLUMINANCE

from .fault import OK, SATURATED, WARMING_UP, Fault

# TN p. 5: opcodes. A one-time mode powers the chip down by itself at its end.
_POWER_DOWN = b"\x00"
_POWER_ON = b"\x01"
_ONE_TIME_H = 0x20
_ONE_TIME_H2 = 0x21
# TN p. 11: a count is 1 / 1.2 lx x 69 / MTreg, half that in H-resolution mode 2. The ranges, fine to coarse:
# opcode, mode's divisor, MTreg, longest measuring time (TN p. 2: 180 ms at MTreg 69, in proportion)
_RANGES = (
    (_ONE_TIME_H2, 2, 254, 663),  # 0.11 lx a count, to 7,417 lx
    (_ONE_TIME_H, 1, 69, 180),  # 0.83 lx a count, to 54,612 lx
    (_ONE_TIME_H, 1, 31, 81),  # 1.85 lx a count, to 121,556 lx
)
_FULL = 65535
_FINER_FROM_MIDDLE = 6000  # counts: below 5,000 lx the fine range has room
_FINER_FROM_COARSE = 29400  # counts: below 54,496 lx the middle range has room
_CHANGES = 3  # changes of range for one reading, at most; light that jumps about ends it all the same

_NEW, _MEASURING, _READY = range(3)


class BH1750:
    """`address` 0x23 (ADDR low) or 0x5C (ADDR high). `window` is the part of the light, in percent, that the housing
    lets through (the optical window of TN p. 11): readings are divided by it.
    """

    BUS = "i2c"
    QUANTITIES = (ILLUMINANCE,)
    LEAD = 950  # ms: a reading that has to go through all three ranges takes 924

    def __init__(self, bus, address=0x23, window=100):
        if address not in (0x23, 0x5C):
            raise ValueError("address is 0x23 or 0x5C")
        if not 10 <= window <= 100:
            raise ValueError("window is 10 to 100 percent")
        self._bus = bus
        self._address = address
        self._window = window
        self._opcode = bytearray(1)
        self._data = bytearray(2)
        self._range = 1
        self._changes = 0
        self._state = _NEW

    def start(self):
        state = self._state
        self._state = _NEW  # until this step has succeeded
        if state == _READY:
            self._state = _READY
            return 0
        if state == _NEW:
            self._changes = _CHANGES
            return self._trigger()
        self._bus.readfrom_into(self._address, self._data)
        counts = self._data[0] << 8 | self._data[1]
        better = self._range
        if counts == _FULL and better < 2:
            better += 1
        elif better == 1 and counts < _FINER_FROM_MIDDLE:
            better = 0
        elif better == 2 and counts < _FINER_FROM_COARSE:
            better = 1
        if better == self._range or not self._changes:
            self._state = _READY
            return 0
        self._changes -= 1
        self._range = better
        return self._trigger()

    def read(self):
        state = self._state
        self._state = _NEW
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        counts = self._data[0] << 8 | self._data[1]
        if counts == _FULL:
            return ((ILLUMINANCE, None, SATURATED),)
        _, mode, mtreg, _ = _RANGES[self._range]
        # counts / 1.2 x 69 / MTreg / mode x 100 / window, rounded to nearest; 65534 x 5750 stays below 2^29
        divisor = mtreg * mode * self._window
        return ((ILLUMINANCE, (counts * 5750 + divisor // 2) // divisor, OK),)

    def stop(self):
        self._state = _NEW
        self._bus.writeto(self._address, _POWER_DOWN)
        return 0

    def _trigger(self):
        """One opcode a transfer (TN p. 10). MTreg is written each time: a chip that lost power has its own again."""
        opcode, _, mtreg, duration = _RANGES[self._range]
        self._bus.writeto(self._address, _POWER_ON)
        self._send(0x40 | mtreg >> 5)
        self._send(0x60 | mtreg & 0x1F)
        self._send(opcode)
        self._state = _MEASURING
        return duration

    def _send(self, opcode):
        self._opcode[0] = opcode
        self._bus.writeto(self._address, self._opcode)


DRIVER = BH1750
