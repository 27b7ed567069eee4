"""Sensirion SCD30: carbon dioxide, temperature and humidity on I2C ("Interface description SCD30", version 1.0, May
2020).

Measuring, its interval and its calibration settings survive a power cut, as the description says. After power-up it
boots for 2 s. It holds the clock for 30 ms in every transfer, and for 150 ms in one of each day (1.1).
"""

from __future__ import annotations

import math
import struct

from .base import Nak, Source
from .sensirion import ContinuousChip, text, with_crc, without_crc, words

_BOOT = 2000
_DAY = 86_400_000
_SETTINGS = (0x4600, 0x5102, 0x5403, 0x5306, 0x5204)


class SCD30(ContinuousChip):
    """A source that is absent while another is not gives not-a-number."""

    address = 0x61

    def __init__(
        self, co2: Source, temperature: Source, humidity: Source, *, firmware: tuple[int, int] = (3, 66)
    ) -> None:
        super().__init__()
        self._sources = (co2, temperature, humidity)
        self.firmware = firmware
        self.settings = {0x4600: 2, 0x5102: 0, 0x5403: 0, 0x5306: 0, 0x5204: 400}
        self.pressure = 0
        self._pointer: int | None = None
        self._day = 0

    def power_up(self, now: int = 0) -> None:
        measuring = self.measuring
        super().power_up(now)
        self._pointer = None
        self._busy(now, _BOOT)
        if measuring:
            self.begin(now, 1000 * self.settings[0x4600])

    def stretch(self, now: int) -> int:
        today, self._day = self._day, now // _DAY
        return 30 if today == self._day else 150

    def present(self, now: int) -> bool:
        return any(source(now) is not None for source in self._sources)

    def command(self, now: int, data: bytes) -> None:
        if len(data) < 2:
            raise Nak
        code = data[0] << 8 | data[1]
        argument = without_crc(data[2:])
        self._pointer = code
        self._busy(now, 3)
        if argument:
            value = int.from_bytes(argument, "big")
            if code == 0x0010 and (value == 0 or 700 <= value <= 1400):
                self.pressure = value
                self.begin(now, 1000 * self.settings[0x4600])
            elif code in _SETTINGS:
                self.settings[code] = value
                if code == 0x4600 and self.measuring:
                    self.begin(now, 1000 * value)
            else:
                raise Nak
        elif code == 0x0104:
            self.measuring = False
        elif code == 0xD304:
            self._busy(now, 2000)
        elif code not in (0x0202, 0x0300, 0xD100, 0xD033, *_SETTINGS):
            raise Nak

    def answer(self, now: int) -> bytes | None:
        match self._pointer:
            case 0x0202:
                return words((1 if self.fresh(now) else 0,))
            case 0x0300:
                return self.take(now)
            case 0xD100:
                return with_crc(bytes(self.firmware))
            case 0xD033:
                return text("0123456789", 32)
            case int() as code if code in self.settings:
                return words((self.settings[code],))
            case _:
                return None

    def measured(self, instant: int) -> bytes:
        values = [math.nan if v is None else v for v in (source(instant) for source in self._sources)]
        return with_crc(struct.pack(">fff", *values))
