"""Sensirion SHT3x: temperature and humidity on I2C, two bytes a command (datasheet "SHT3x-DIS", version 7)."""

from __future__ import annotations

from .base import Nak, Source
from .sensirion import SensirionChip, words

_SINGLE = {0x2400: 16, 0x240B: 7, 0x2416: 5, 0x2C06: 16, 0x2C0D: 7, 0x2C10: 5}
_STRETCHING = (0x2C06, 0x2C0D, 0x2C10)  # 4.3: the read that follows is held until the measurement is there
_HEATED_BY = 3.0  # kelvin; 4.10 speaks of some degrees


class SHT3x(SensirionChip):
    """Idle until told to measure; NAK while measuring, or the clock held where the command asks for that; each result
    can be read once. Status register as in 4.11.
    """

    def __init__(
        self, temperature: Source, humidity: Source, *, serial: int = 0x0F5A_1234, address: int = 0x44
    ) -> None:
        super().__init__()
        self.address = address
        self.serial = serial
        self._sources = (temperature, humidity)
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        super().power_up(now)
        self.status = 0x8010
        self.heater = False
        self._holds = False

    def stretch(self, now: int) -> int:
        return max(0, self._busy_until - now) if self._holds else 0

    def read(self, now: int, count: int) -> bytes:
        return super().read(max(now, self._busy_until) if self._holds else now, count)

    def present(self, now: int) -> bool:
        return any(source(now) is not None for source in self._sources)

    def command(self, now: int, data: bytes) -> None:
        if len(data) < 2:
            raise Nak
        code = data[0] << 8 | data[1]
        self._holds = code in _STRETCHING
        if code in _SINGLE:
            self._answer = self._measured(now)
            self._busy(now, _SINGLE[code])
        elif code == 0x30A2:
            self.power_up(now)
            self._busy(now, 2)
        elif code in (0x306D, 0x3066):
            self.heater = code == 0x306D
        elif code == 0xF32D:
            self._answer = words((self.status | (0x2000 if self.heater else 0),))
        elif code == 0x3041:
            self.status = 0
        elif code == 0x3780:
            self._answer = words((self.serial >> 16, self.serial & 0xFFFF))
        elif code not in (0x303E, 0x3093):
            raise Nak

    def _measured(self, now: int) -> bytes:
        temperature, humidity = (source(now) for source in self._sources)
        heated = _HEATED_BY if self.heater else 0.0
        ticks = (
            round(((temperature or 0.0) + heated + 45) * 65535 / 175),
            round((humidity or 0.0) * 0.95**heated * 65535 / 100),
        )
        reply = bytearray(words(min(max(t, 0), 65535) for t in ticks))
        for i, value in enumerate((temperature, humidity)):
            if value is None:
                reply[3 * i + 2] ^= 0xFF
        return bytes(reply)
