"""A cup anemometer: a contact that closes once for every so many millimetres of wind."""

from __future__ import annotations

from .base import PulseInput, Source

_STEP = 1000


class Anemometer(PulseInput):
    """`wind_speed` in m/s is followed in steps of a second; below `offset` the cups stand still (v = slope x f +
    offset).
    """

    def __init__(self, wind_speed: Source, *, slope: int = 667, offset: int = 0) -> None:
        self._speed = wind_speed
        self._slope = slope
        self._offset = offset
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        self._at = now
        self._turned = 0.0  # mm of wind that have passed the cups, as they see it

    def count(self, now: int) -> int:
        while now - self._at > 600_000:  # nobody looks closely at what passed between two gates
            step = max(60_000, (now - self._at - 120_000) // 8)
            self._turned += self._passed(self._at, 1) * step / 1000
            self._at += step
        while self._at < now:
            step = min(_STEP, now - self._at)
            self._turned += self._passed(self._at, 1) * step / 1000
            self._at += step
        return int(self._turned / self._slope + 1e-9)

    def _passed(self, instant: int, seconds: int) -> float:
        speed = self._speed(instant)
        if speed is None:
            return 0.0
        return max(speed * 1000 - self._offset, 0.0) * seconds
