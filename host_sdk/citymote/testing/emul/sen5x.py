"""Sensirion SEN50, SEN54, SEN55 and SEN66: dust, climate, gas indices and (SEN66) carbon dioxide on I2C.

Datasheets "SEN5x", version 2, chapter 6, and "SEN6x", chapter 4. Both families speak the same way: 20 ms between a
question and its answer, one new set of values a second, all ones (or 0x7FFF) for what is not known. They differ in
address, commands of values, and how long stopping takes.
"""

from __future__ import annotations

from collections.abc import Sequence

from .base import Nak, Source
from .sensirion import ContinuousChip, text, with_crc, without_crc, words

_TIME = 20


class _Node(ContinuousChip):
    # What both families share.
    name = ""
    values = 0
    stop_time = 0
    settings_of = ()

    def __init__(self, sources: Sequence[Source | None], serial: str) -> None:
        super().__init__()
        self._sources = sources
        self.serial = serial
        self.settings: dict[int, bytes] = {}

    def power_up(self, now: int = 0) -> None:
        super().power_up(now)
        self.status = 0

    def present(self, now: int) -> bool:
        return any(source is not None and source(now) is not None for source in self._sources)

    def command(self, now: int, data: bytes) -> None:
        if len(data) < 2:
            raise Nak
        code = data[0] << 8 | data[1]
        argument = without_crc(data[2:])
        self._busy(now, _TIME)
        if argument:
            self.settings[code] = argument
        elif code == 0x0021:
            if self.measuring:
                raise Nak
            self.begin(now, 1000)
            self._busy(now, 50)
        elif code == 0x0104:
            if self.measuring:
                self.measuring = False
                self._busy(now, self.stop_time)
        elif code == 0x5607:
            pass  # fan cleaning
        elif code == 0xD304:
            self.power_up(now)
            self._busy(now, 100)
        else:
            self._answer = self._look(now, code)

    def _look(self, now: int, code: int) -> bytes:
        match code:
            case 0x0202:
                return words((1 if self.fresh(now) else 0,))
            case 0xD002 | 0xD014:
                return text(self.name, 32)
            case 0xD033:
                return text(self.serial, 32)
            case 0xD100:
                return with_crc(bytes((2, 0, 0, 4, 0, 1, 0, 0)))
            case 0xD206:
                return with_crc(self.status.to_bytes(4, "big"))
            case 0xD210:
                status, self.status = self.status, 0
                return with_crc(status.to_bytes(4, "big"))
            case self.values:
                return self.take(now) or words(self._words(None))
            case _ if code in self.settings:
                return with_crc(self.settings[code])
            case _:
                raise Nak

    def measured(self, instant: int) -> bytes:
        return words(self._words(instant))

    def _words(self, instant: int | None) -> list[int]:
        """Dust in tenths, humidity in hundredths, temperature in two-hundredths, indices in tenths, CO2 in ppm."""
        out: list[int] = []
        for i, (source, scale) in enumerate(zip(self._sources, (10, 10, 10, 10, 100, 200, 10, 10, 1), strict=False)):
            unsigned = i < 4 or i == 8
            value = source(instant) if source is not None and instant is not None else None
            if value is None:
                out.append(0xFFFF if unsigned else 0x7FFF)
            elif unsigned:
                out.append(min(max(round(value * scale), 0), 0xFFFE))
            else:
                out.append(min(max(round(value * scale), -0x8000), 0x7FFE) & 0xFFFF)
        return out


class SEN5x(_Node):
    """`product` decides which of the sources it has sensors for."""

    address = 0x69
    values = 0x03C4
    stop_time = 160

    def __init__(
        self,
        pm1: Source,
        pm2_5: Source,
        pm4: Source,
        pm10: Source,
        humidity: Source,
        temperature: Source,
        voc_index: Source,
        nox_index: Source,
        *,
        product: str = "SEN55",
        serial: str = "0123456789ABCDEF",
    ) -> None:
        climate = (humidity, temperature, voc_index) if product != "SEN50" else (None, None, None)
        super().__init__((pm1, pm2_5, pm4, pm10, *climate, nox_index if product == "SEN55" else None), serial)
        self.name = product


class SEN66(_Node):
    """All nine."""

    address = 0x6B
    values = 0x0300
    stop_time = 1400
    name = "SEN66"

    def __init__(
        self,
        pm1: Source,
        pm2_5: Source,
        pm4: Source,
        pm10: Source,
        humidity: Source,
        temperature: Source,
        voc_index: Source,
        nox_index: Source,
        co2: Source,
        *,
        serial: str = "0123456789ABCDEF",
    ) -> None:
        super().__init__((pm1, pm2_5, pm4, pm10, humidity, temperature, voc_index, nox_index, co2), serial)
