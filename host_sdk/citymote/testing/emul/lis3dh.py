"""STMicroelectronics LIS3DH: three axes of acceleration on I2C (datasheet DocID17530 revision 2).

Powered down after power-up. In FIFO mode it collects 32 samples and stops, in stream mode the oldest gives way; bypass
empties it. Bit 7 of a register's address makes it count on, and in the FIFO from OUT_Z_H back to OUT_X_L.
"""

from __future__ import annotations

from .base import Source
from .registers import RegisterChip

_RATES = {1: 1, 2: 10, 3: 25, 4: 50, 5: 100, 6: 200, 7: 400}
_DIGITS = (1, 2, 4, 12)  # mg a digit in high resolution, by full scale
_STANDARD_GRAVITY = 9.80665
_OUT = range(0x28, 0x2E)


class LIS3DH(RegisterChip):
    """Sources in m/s2 along x, y, z, gravity included; sampled at the chip's own rate."""

    def __init__(self, x: Source, y: Source, z: Source, *, address: int = 0x18, who_am_i: int = 0x33) -> None:
        super().__init__(x, y, z)
        self.address = address
        self.who_am_i = who_am_i
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        super().power_up(now)
        self._registers = {0x20: 0x07, 0x23: 0x00, 0x24: 0x00, 0x2E: 0x00}
        self._since = now
        self._fifo_since: int | None = None
        self._taken = 0
        self._increment = False

    def _rate(self) -> int:
        return _RATES.get(self._registers[0x20] >> 4, 0)

    def _filled(self, now: int) -> int:
        """Samples waiting in the FIFO. In stream mode those that nobody took in time are gone."""
        if self._fifo_since is None or not self._rate():
            return 0
        come = (now - self._fifo_since) * self._rate() // 1000
        if self._registers[0x2E] & 0xC0 == 0x40:
            return min(come, 32) - self._taken
        self._taken = max(self._taken, come - 32)
        return come - self._taken

    def _fifo(self) -> bool:
        return bool(self._registers[0x24] & 0x40) and self._registers[0x2E] & 0xC0 != 0

    def write(self, now: int, data: bytes) -> None:
        if data:
            self._increment = bool(data[0] & 0x80)
            data = bytes([data[0] & 0x7F]) + data[1:]
        super().write(now, data)

    def after(self, register: int) -> int:
        if not self._increment:
            return register
        if register == 0x2D and self._fifo():
            return 0x28
        return register + 1 & 0x7F

    def get(self, now: int, register: int) -> int:
        if register == 0x0F:
            return self.who_am_i
        if register == 0x27:
            return 0x08 if self._rate() else 0
        if register == 0x2F:
            count = self._filled(now)
            return (0x40 if count == 32 else 0) | (0x20 if count == 0 else 0) | min(count, 31)
        if register in _OUT:
            return self._out(now, register)
        return self._registers.get(register, 0)

    def _out(self, now: int, register: int) -> int:
        instant = now
        if self._fifo() and self._fifo_since is not None:
            instant = self._fifo_since + (self._taken + 1) * 1000 // max(self._rate(), 1)
        axis = (register - 0x28) // 2
        metres = self.sources[axis](instant) if self._rate() else 0.0
        milli_g = (metres or 0.0) / _STANDARD_GRAVITY * 1000
        unused = 4 if self._registers[0x23] & 0x08 else 6  # 12 bits in high resolution, 10 in normal mode
        digits = round(milli_g / (_DIGITS[self._registers[0x23] >> 4 & 3] << unused - 4))
        most = 0x8000 >> unused
        word = min(max(digits, -most), most - 1) << unused & 0xFFFF
        if register == 0x2D and self._fifo():
            self._taken += 1
        return word >> 8 if register & 1 else word

    def put(self, now: int, register: int, value: int) -> None:
        if register == 0x2E:
            if value & 0xC0 == 0:
                self._fifo_since = None
            elif self._fifo_since is None:
                self._fifo_since, self._taken = now, 0
        if 0x1E <= register <= 0x3F:
            self._registers[register] = value
