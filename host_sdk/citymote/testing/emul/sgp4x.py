"""Sensirion SGP40 and SGP41: raw signals of heated metal oxide layers on I2C (data sheets version 1.2 and 1.0).

Idle after power-up, with the heater off. A measurement takes humidity and temperature as two words and heats from then
on. A layer that is not warm yet, or a NOx layer that was not conditioned, gives a signal that is off.
"""

from __future__ import annotations

from .base import Nak, Source
from .sensirion import SensirionChip, without_crc, words

_WARM = 170  # ms from the heater's start until the VOC signal is right, as the makers' low-power example has it
_CONDITIONING = 10_000


class SGP4x(SensirionChip):
    """`passed` and `failed` are what the self-test says; `broken` makes it fail."""

    address = 0x59
    measure = 0
    duration = 0
    conditioning = 0
    passed = 0
    failed = 0

    def __init__(self, *signals: Source, serial: int = 0x0000_0123_4567) -> None:
        super().__init__()
        self._signals = signals
        self.serial = serial
        self.broken = False
        self.compensation = (0x8000, 0x6666)
        self.overcooked = False  # conditioned for longer than the data sheet allows
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        super().power_up(now)
        self._heating_since: int | None = None
        self._conditioning_since: int | None = None
        self._conditioned = 0

    @property
    def heating(self) -> bool:
        return self._heating_since is not None

    def present(self, now: int) -> bool:
        return all(source(now) is not None for source in self._signals)

    def command(self, now: int, data: bytes) -> None:
        if len(data) < 2:
            raise Nak
        code = data[0] << 8 | data[1]
        argument = without_crc(data[2:])
        if code == 0x3682:
            self._busy(now, 1)
            self._answer = words((self.serial >> 32, self.serial >> 16 & 0xFFFF, self.serial & 0xFFFF))
        elif code == 0x3615:
            self._busy(now, 1)
            self._heating_since = self._conditioning_since = None
        elif code == 0x280E:
            self._busy(now, 320)
            self._answer = words((self.failed if self.broken else self.passed,))
        elif code in (self.measure, self.conditioning) and code and len(argument) == 4:
            self.compensation = (argument[0] << 8 | argument[1], argument[2] << 8 | argument[3])
            self._busy(now, self.duration)
            if self._heating_since is None:
                self._heating_since = now
                self._conditioned = 0
            self._answer = self._measured(now, code == self.conditioning)
        else:
            raise Nak

    def _measured(self, now: int, conditioning: bool) -> bytes:
        if conditioning and self._conditioning_since is None:
            self._conditioning_since = now
        elif not conditioning and self._conditioning_since is not None:
            self._conditioned = now - self._conditioning_since
            self._conditioning_since = None
            self.overcooked = self.overcooked or self._conditioned > _CONDITIONING + 100
        cold = self._heating_since is not None and now - self._heating_since < _WARM
        ticks = [min(max(round(source(now) or 0.0), 0), 65535) for source in self._signals]
        if cold:
            ticks[0] = max(ticks[0] - 3000, 0)
        if len(ticks) > 1 and self._conditioned < _CONDITIONING:
            ticks[1] = max(ticks[1] - 2000, 0)
        return words(ticks[:1] if conditioning else ticks)


class SGP40(SGP4x):
    measure = 0x260F
    duration = 30
    passed = 0xD400
    failed = 0x4B00


class SGP41(SGP4x):
    measure = 0x2619
    duration = 50
    conditioning = 0x2612
    passed = 0xD400
    failed = 0xD401
