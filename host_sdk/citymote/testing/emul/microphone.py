"""I2S microphones: the words that a chip shifts out for a sound of a wanted level.

The sound is `citymote.testing.street`; this file is the chip: sensitivity, clipping at the acoustic overload point,
number of significant bits, where they sit in the word, self-noise if asked for. Figures are the data sheets' (INMP441
rev 1.1, ICS-43434 rev 1.2, SPH0645LM4H-B rev B, IM69D130 V1.0), written down here a second time on purpose: the
firmware's table must not be checked against itself. Words are 32 bits, left-justified, as a receiver in Philips mode
stores them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from citymote.testing.emul.base import Microphone, Source
from citymote.testing.street import Street, a_weighting, heard_by, street

if TYPE_CHECKING:
    from numpy.typing import NDArray

STREETS = 4
HOUR = 3_600_000
MINUTE = 60_000
LEAD = 1000
"""ms of sound before the minute that is heard: the meter discards what comes first."""


@dataclass(frozen=True)
class Chip:
    """Data sheet figures: dB, bits."""

    sensitivity: float
    """Level of 94 dB at 1 kHz relative to a full-scale sine."""
    overload: float
    """Acoustic overload point, dB."""
    noise: float
    """Self-noise, dB(A)."""
    bits: int
    shift: int = 0
    """Bits by which a sample sits lower than left-justified."""
    corners: tuple[tuple[float, float], ...] = ()
    """Where its response falls at low frequencies, and where that ends, Hz; estimated, see node/sound/equaliser.py."""


CHIPS = {
    "inmp441": Chip(-26.0, 120.0, 33.0, 24, corners=((50.1, 18.4), (50.1, 18.4))),
    "ics43434": Chip(-26.0, 120.0, 29.0, 24, corners=((41.8, 10.8), (41.8, 7.8))),
    "sph0645": Chip(-26.0, 120.0, 29.0, 18, corners=((49.3, 23.5), (35.5, 23.5))),
    "im69d130": Chip(-36.0, 130.0, 25.0, 20, corners=((21.2, 8.9), (21.2, 8.9))),
}


@cache
def _white(rate: int) -> float:
    """How much of white noise's power A weighting leaves, at that rate."""
    return float(np.mean(a_weighting(np.linspace(0, rate / 2, 4096))))


FAULTS = ("", "silent", "swapped", "frozen", "stuck", "dc")


class I2SMicrophone(Microphone):
    """A microphone in a street whose LAeq is `laeq`, in dB.

    heard: "always", "never", or "minute": of every hour of uptime one minute (and the second before it) is rendered as
    sound, and `between` tells the levels of all the rest, with those in `bands` ("octave", "third") if there are to be
    any. `error`: by how many dB it is more sensitive than its data sheet says. `response`: it hears low frequencies as
    badly as its kind does, else it is flat. `calibrator`: while not None, a tone of 1 kHz and so many dB takes the
    street's place. fault: "silent" (the data line is open), "swapped" (it speaks in the other channel), "frozen",
    "stuck" (one bit of the sample is always 1), "dc" (a quarter of full scale on top).
    """

    def __init__(
        self,
        laeq: Source,
        chip: str = "inmp441",
        rate: int = 48000,
        heard: str = "minute",
        minute: int = 20,
        self_noise: bool = False,
        seed: int = 0,
        error: float = 0.0,
        response: bool = False,
        bands: str = "",
    ) -> None:
        if chip not in CHIPS:
            raise ValueError(f"no microphone {chip!r}; there are {', '.join(CHIPS)}")
        if heard not in ("always", "never", "minute"):
            raise ValueError(f"heard is always, never or minute, not {heard!r}")
        if not 0 <= minute < 60:
            raise ValueError(f"minute is 0 to 59, not {minute}")
        self.laeq = laeq
        self.chip = CHIPS[chip]
        self.rate = rate
        self.heard = heard
        self.minute = minute
        self.fault = ""
        self.calibrator: float | None = None
        self.tone = 1000.0
        self.error = error
        self._response = response
        self._bands = {"": 0, "octave": 1, "third": 3}[bands]
        # A handful of streets serves any number of nodes, each at another moment of its ten seconds.
        self._street = seed % STREETS
        self._offset = seed * 7919
        self._seed = seed
        self._self_noise = self_noise
        self._full = 1 << (self.chip.bits - 1)
        self._clip = min(1.0, 10 ** ((self.chip.overload - 94 + self.chip.sensitivity) / 20))
        self._noise: np.random.Generator | None = None
        self.power_up()

    @property
    def sound(self) -> Street:
        if self._response:
            return heard_by(self.rate, self._street, self.chip.corners)
        return street(self.rate, self._street)

    def power_up(self, now: int = 0) -> None:
        self._noise = np.random.default_rng([self._seed, 1]) if self._self_noise else None

    def samples(self, now: int, count: int) -> bytes:
        """The words that end at `now`. The level is the one that begins after them: see `between`."""
        if self.fault in ("silent", "swapped"):
            return bytes(4 * count)
        return self._words(now, count)

    def frames(self, now: int, count: int) -> bytes:
        """Both halves of the frames that end at `now`."""
        both = np.zeros((count, 2), dtype="<i4")
        if self.fault != "silent":
            both[:, 1 if self.fault == "swapped" else 0] = np.frombuffer(self._words(now, count), dtype="<i4")
        return both.tobytes()

    def _words(self, now: int, count: int) -> bytes:
        wanted = self.laeq(now + 1) if self.calibrator is None else self.calibrator
        if wanted is None:
            return bytes(4 * count)
        first = now * self.rate // 1000 - count + self._offset
        # 94 dB SPL is `sensitivity` below the full-scale sine, which is an amplitude of 1 here.
        gain = 10 ** ((wanted - 94 + self.chip.sensitivity + self.error) / 20)
        if self.calibrator is not None:
            value = gain * np.sin(2 * np.pi * self.tone / self.rate * (np.arange(count) + first % (100 * self.rate)))
        else:
            value = self.sound.window(first, count) * gain
        if self._noise is None and not self.fault and gain * self.sound.peak < self._clip:
            # The usual case, in as few steps as possible: a node asks fifty times a second.
            return self._shifted(np.rint(value * self._full).astype(np.int32))
        if self._noise is not None:
            level = 10 ** ((self.chip.noise - 94 + self.chip.sensitivity) / 20)
            rms = level / np.sqrt(2 * _white(self.rate))
            value = value + rms * self._noise.standard_normal(count)
        if self.fault == "dc":
            value = value + 0.25
        full = self._full
        integer = np.clip(np.rint(np.clip(value, -self._clip, self._clip) * full), -full, full - 1).astype(np.int32)
        if self.fault == "frozen":
            integer[:] = full // 7
        elif self.fault == "stuck":
            integer |= 1 << (self.chip.bits - 12)
        return self._shifted(integer)

    def _shifted(self, integer: NDArray[np.int32]) -> bytes:
        return (integer << (32 - self.chip.bits) >> self.chip.shift).astype("<i4", copy=False).tobytes()

    def schedule(self, now: int) -> tuple[bool, int]:
        """Whether sound is rendered now, and until when that stays so."""
        if self.heard != "minute":
            return self.heard == "always", now + HOUR
        start = now - now % HOUR + self.minute * MINUTE - LEAD
        if start + MINUTE + LEAD <= now:
            start += HOUR
        if now < start:
            return False, start
        return True, start + MINUTE + LEAD

    def between(self, now: int, start: int, end: int) -> tuple[int, ...] | None:
        """The levels of the time from `start` to `end` in 0.001 dB, as a meter without error would have them.

        LAeq is the energy mean of the source, looked at in the middle of each second or of each of 60 parts; the others
        follow it as they do in the street's sound. None if the microphone was not there in any of them.
        """
        parts = max(1, min(60, (end - start) // 1000))
        levels = [self.laeq(start + (2 * k + 1) * (end - start) // (2 * parts)) for k in range(parts)]
        there = [v for v in levels if v is not None]
        if not there:
            return None
        if min(there) == max(there):
            mean = there[0]
        else:
            mean = 10 * float(np.log10(np.mean(10 ** (np.array(there) / 10))))
        relative = self.sound.statistics
        high, low = round(1000 * (max(there) - mean)), round(1000 * (min(there) - mean))
        mean += self.error
        extra = (0, 0, 0, high, low, high, high, *(0,) * 10)
        levels = [round(1000 * mean) + r + x for r, x in zip(relative, extra, strict=True)]
        if self._bands:
            levels += [round(1000 * mean) + r for r in self.sound.bands(self._bands)]
        return tuple(levels)
