"""Sensirion SCD4x: carbon dioxide, temperature and humidity on I2C (datasheet "SCD4x", version 1.3, chapter 3).

While it measures it refuses all but a few commands; reading empties its buffer, and an empty buffer is not
acknowledged. After power-up it takes 1 s to become idle (3.1).
"""

from __future__ import annotations

from .base import Nak, Source
from .sensirion import ContinuousChip, without_crc, words

_BOOT = 1000
_WHILE_MEASURING = {0xEC05, 0x3F86, 0xE000, 0xE4B8}
# 3.6 and 3.7: settings of one word, by the command that reads each, and their values from the factory
_GET = {0x2318: 0x241D, 0x2322: 0x2427, 0x2313: 0x2416, 0xE000: 0xE000}


class SCD4x(ContinuousChip):
    """With only some of its sources absent the chip answers, with a wrong CRC on those words."""

    address = 0x62

    def __init__(
        self,
        co2: Source,
        temperature: Source,
        humidity: Source,
        *,
        serial: int = 0xF896_9F07_3BBE,
        variant: int = 0x1440,
    ) -> None:
        super().__init__()
        self._sources = (co2, temperature, humidity)
        self.serial = serial
        self.variant = variant
        self.power_up(-_BOOT)

    def power_up(self, now: int = 0) -> None:
        super().power_up(now)
        self._busy(now, _BOOT)
        self._asleep = False
        self.settings = {0x241D: 1498, 0x2427: 0, 0x2416: 1, 0xE000: 1013}

    def present(self, now: int) -> bool:
        return any(source(now) is not None for source in self._sources)

    def write(self, now: int, data: bytes) -> None:
        if data == b"\x36\xf6" and self.present(now):  # wake up: never acknowledged (3.10.4)
            if self._asleep:
                self._asleep = False
                self._busy(now, 30)
            raise Nak
        if self._asleep:
            raise Nak
        super().write(now, data)

    def command(self, now: int, data: bytes) -> None:
        if len(data) < 2:
            raise Nak
        code = data[0] << 8 | data[1]
        argument = without_crc(data[2:])
        if self.measuring and code not in _WHILE_MEASURING:
            raise Nak
        if argument:
            if code not in self.settings:
                raise Nak
            self.settings[code] = int.from_bytes(argument, "big")
            self._busy(now, 1)
        elif code in (0x21B1, 0x21AC):
            self.begin(now, 5000 if code == 0x21B1 else 30000)
        elif code == 0x3F86:
            self.measuring = False
            self._busy(now, 500)
        elif code == 0x36E0:
            self._asleep = True
        elif code == 0x3646:
            self.power_up(now)
            self._busy(now, 30)
        else:
            self._busy(now, 1)
            self._answer = self._look(now, code)

    def _look(self, now: int, code: int) -> bytes | None:
        match code:
            case 0xEC05:
                return self.take(now) if self.fresh(now) else None
            case 0xE4B8:
                return words((0x8006 if self.fresh(now) else 0x8000,))
            case 0x3682:
                return words((self.serial >> 32, self.serial >> 16 & 0xFFFF, self.serial & 0xFFFF))
            case 0x202F:
                return words((self.variant,))
            case _ if code in _GET:
                return words((self.settings[_GET[code]],))
            case _:
                raise Nak

    def measured(self, instant: int) -> bytes:
        co2, temperature, humidity = (source(instant) for source in self._sources)
        values = (
            round(co2 or 0.0),
            round(((temperature or 0.0) + 45) * 65535 / 175),
            round((humidity or 0.0) * 65535 / 100),
        )
        reply = bytearray(words(min(max(v, 0), 65535) for v in values))
        for i, source in enumerate((co2, temperature, humidity)):
            if source is None:
                reply[3 * i + 2] ^= 0xFF
        return bytes(reply)
