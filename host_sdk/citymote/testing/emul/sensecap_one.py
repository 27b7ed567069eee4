"""Seeed SenseCAP ONE: wind by ultrasound and the air's climate on RS-485, Modbus RTU (user manual, 4.1 and 6).

Means over 5 s of one sample a second. An S200 has only the wind. A probe that does not answer inside the device brings
exception 1 or 4 (6, error codes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from .base import Source
from .modbus import ModbusDevice, Refused

_WINDOW = 5


class SenseCAPOne(ModbusDevice):
    """`failure` is the exception that it answers with, 0 for none."""

    baudrate = 9600

    def __init__(
        self,
        wind_speed: Source,
        wind_direction: Source,
        temperature: Source | None = None,
        humidity: Source | None = None,
        pressure: Source | None = None,
        *,
        address: int = 44,
    ) -> None:
        super().__init__(wind_speed, wind_direction, address=address)
        self._climate = (temperature, humidity, pressure)
        self.failure = 0

    def inputs(self, now: int) -> Mapping[int, int]:
        if self.failure:
            raise Refused(self.failure)
        instants = [max(now - now % 1000 - 1000 * i, 0) for i in range(_WINDOW)]
        speeds = [self.sources[0](at) or 0.0 for at in instants]
        angles = [math.radians(self.sources[1](at) or 0.0) for at in instants]
        degrees = sorted(math.degrees(a) % 360 for a in angles)
        mean = math.degrees(math.atan2(sum(map(math.sin, angles)), sum(map(math.cos, angles)))) % 360
        values = [(0x08, degrees[0]), (0x0A, degrees[-1]), (0x0C, mean)]
        values += [(0x0E, min(speeds)), (0x10, max(speeds)), (0x12, sum(speeds) / _WINDOW)]
        for at, source, scale in zip((0x00, 0x02, 0x04), self._climate, (1, 1, 100), strict=True):
            if source is not None:
                values.append((at, (source(now) or 0.0) * scale))
        if self._climate[0] is not None:
            values.append((0x06, 0.0))
        table: dict[int, int] = {}
        for at, value in values:
            number = round(value * 1000)
            table |= {at: number >> 16 & 0xFFFF, at + 1: number & 0xFFFF}
        return table
