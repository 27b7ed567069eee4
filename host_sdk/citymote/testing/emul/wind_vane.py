"""Wind vanes on an ADC pin: a potentiometer with a resistor at each end, or eight reed switches and their resistors."""

from __future__ import annotations

from .base import AnalogInput, Source

# Argent Data Systems 80422: ohms at each of sixteen directions, clockwise from north
_OHMS = (33000, 6570, 8200, 891, 1000, 688, 2200, 1410, 3900, 3140, 16000, 14120, 120000, 42120, 64900, 21880)


class WindVane(AnalogInput):
    """`direction` in degrees. Unplugged, the linear kind's pin is pulled down and the stepped kind's up."""

    def __init__(
        self,
        direction: Source,
        *,
        kind: str = "linear",
        minimum: int = 250,
        maximum: int = 2250,
        supply: int = 3300,
        pull_up: int = 10000,
    ) -> None:
        self._direction = direction
        self._linear = kind == "linear"
        self._minimum, self._maximum = minimum * 1000, maximum * 1000
        self._supply, self._pull_up = supply * 1000, pull_up

    def microvolts(self, now: int) -> int:
        degrees = self._direction(now)
        if self._linear:
            if degrees is None:
                return 0
            return round(self._minimum + degrees % 360 * (self._maximum - self._minimum) / 360)
        if degrees is None:
            return self._supply
        ohms = _OHMS[round(degrees % 360 / 22.5) % 16]
        return self._supply * ohms // (ohms + self._pull_up)
