"""Contacts that close once for each so much of something: a tipping bucket, a motion detector.

What comes in is given as a rate; it is followed in steps, and a pulse comes whenever enough has gathered.
"""

from __future__ import annotations

from .base import PulseInput, Source

_HOUR = 3_600_000


class Contact(PulseInput):
    """`rate` in units an hour, `size` units for one pulse. No source, or a cut wire: no pulses."""

    def __init__(self, rate: Source, size: float, *, step: int = 1000) -> None:
        self._rate = rate
        self._size = size
        self._step = step
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        self._at = now
        self._gathered = 0.0

    def count(self, now: int) -> int:
        step = max(self._step, (now - self._at) // 600)
        while self._at < now:
            part = min(step, now - self._at)
            self._gathered += max(self._rate(self._at) or 0.0, 0.0) * part / _HOUR
            self._at += part
        return int(self._gathered / self._size + 1e-6)


class RainGauge(Contact):
    """`rain_rate` in mm/h, `bucket` in micrometres for one tip."""

    def __init__(self, rain_rate: Source, *, bucket: int = 279) -> None:
        super().__init__(rain_rate, bucket / 1000)


class Motion(Contact):
    """`passages` an hour, one pulse each. For `dead` ms after a pulse who passes is not seen: an infrared detector
    holds its output for a while, and is blind for some seconds after.
    """

    def __init__(self, passages: Source, *, dead: int = 0) -> None:
        self._dead = dead
        super().__init__(passages, 1.0)

    def power_up(self, now: int = 0) -> None:
        super().power_up(now)
        self._passed = self._seen = 0
        self._blind_until = now

    def count(self, now: int) -> int:
        if not self._dead:
            return super().count(now)
        while self._at < now:
            passed = super().count(min(now, self._at + self._step))
            if passed > self._passed and self._at >= self._blind_until:
                self._seen += 1
                self._blind_until = self._at + self._dead
            self._passed = passed
        return self._seen
