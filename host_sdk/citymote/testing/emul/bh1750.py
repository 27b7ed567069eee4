"""ROHM BH1750FVI: illuminance on I2C (technical note 2009.04 Rev. B). No identification, no checksum.

A read returns the result register whatever the chip is doing: zero after power-up, the last result while a measurement
runs. Continuous modes measure again and again; one-time modes power the chip down at their end.
"""

from __future__ import annotations

from .base import I2CChip, Nak, Source

_CONTINUOUS = {0x10: (1, 180), 0x11: (2, 180), 0x13: (1, 24)}
_ONE_TIME = {0x20: (1, 180), 0x21: (2, 180), 0x23: (1, 24)}


class BH1750(I2CChip):
    """The converter rounds to the nearest count and stops at 65535; low resolution counts in steps of four."""

    def __init__(self, illuminance: Source, *, address: int = 0x23) -> None:
        self.address = address
        self._illuminance = illuminance
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        self._on = False
        self._mtreg = 69
        self._result = 0
        self._mode: int | None = None
        self._due = 0

    def _settle(self, now: int) -> None:
        if self._mode is None:
            return
        if self._mode in _ONE_TIME:
            if now >= self._due:
                self._result = self._convert(self._due, self._mode)
                self._mode = None
                self._on = False
            return
        period = self._time(self._mode)
        if now >= self._due:
            self._due += (now - self._due) // period * period
            self._result = self._convert(self._due, self._mode)
            self._due += period

    def _time(self, mode: int) -> int:
        longest = (_CONTINUOUS | _ONE_TIME)[mode][1]
        return -(-longest * self._mtreg // 69) if longest == 180 else longest

    def _convert(self, instant: int, mode: int) -> int:
        lux = self._illuminance(instant)
        if lux is None:
            return self._result
        factor = (_CONTINUOUS | _ONE_TIME)[mode][0]
        counts = max(lux, 0.0) * 1.2 * self._mtreg / 69 * factor
        if mode & 3 == 3:
            counts = counts // 4 * 4
        return min(round(counts), 65535)

    def write(self, now: int, data: bytes) -> None:
        if self._illuminance(now) is None:
            raise Nak
        self._settle(now)
        if not data:
            return
        code = data[0]  # page 7: one opcode a transfer; what follows is not taken
        if code == 0x00:
            self._on = False
            self._mode = None
        elif code == 0x01:
            self._on = True
        elif code == 0x07:
            if self._on:
                self._result = 0
        elif code >> 3 == 0b01000:
            self._mtreg = (code & 7) << 5 | self._mtreg & 0x1F
        elif code >> 5 == 0b011:
            self._mtreg = self._mtreg & 0xE0 | code & 0x1F
        elif code in _CONTINUOUS or code in _ONE_TIME:
            self._on = True
            self._mode = code
            self._due = now + self._time(code)

    def read(self, now: int, count: int) -> bytes:
        if self._illuminance(now) is None:
            raise Nak
        self._settle(now)
        return self._result.to_bytes(2, "big")[:count]
