"""Street sound of a wanted level, for virtual nodes: synthesised, the same for the same seed, exact by construction.

Ten seconds of sound that repeat without a seam: a hum (noise that falls with frequency, as distant traffic does), two
vehicles passing, and the hiss of tyres. It is made in the frequency domain and its A-weighted level is computed there
with the standard's own curve (IEC 61672-1:2013, annex E), bin by bin, so that any stretch of whole periods has the
wanted LAeq but for rounding. A rendering is then one multiplication. What is above half the sample rate is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERIOD = 10
"""Seconds after which the sound repeats."""


def _frequencies(count: int, rate: int) -> NDArray[np.float64]:
    return np.arange(count // 2 + 1, dtype=np.float64) * (rate / count)


def a_weighting(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """The power weight of A at each frequency, 1 at 1 kHz."""
    return _weight(frequency, (20.598997, 20.598997, 107.65265, 737.86223))


def c_weighting(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """The power weight of C at each frequency, 1 at 1 kHz."""
    return _weight(frequency, (20.598997, 20.598997))


def _weight(frequency: NDArray[np.float64], poles: tuple[float, ...]) -> NDArray[np.float64]:
    def power(f: NDArray[np.float64]) -> NDArray[np.float64]:
        f2 = f * f
        result = (12194.217**2 / (f2 + 12194.217**2)) ** 2
        for pole in poles:
            result = result * f2 / (f2 + pole**2)
        return result

    return power(frequency) / power(np.array([1000.0]))


def mean_power(sound: NDArray[np.float64], rate: int, weight: NDArray[np.float64] | None = None) -> float:
    """The mean square of a periodic sound, each frequency weighted with a power weight (one a bin of its rfft)."""
    bins = np.abs(np.fft.rfft(sound)) ** 2 / len(sound) ** 2
    bins[1:] *= 2
    if len(sound) % 2 == 0:
        bins[-1] /= 2
    return float(np.sum(bins if weight is None else bins * weight))


def level(sound: NDArray[np.float64], rate: int, weighting: str = "A") -> float:
    """The level of a periodic sound in dB, of a sine with amplitude 1: exact weighting in the frequency domain."""
    frequency = _frequencies(len(sound), rate)
    weight = {"A": a_weighting, "C": c_weighting}.get(weighting)
    return 10 * float(np.log10(2 * mean_power(sound, rate, weight(frequency) if weight else None)))


HIGHEST_BAND = {48000: 9, 24000: 6, 16000: 3}
"""Midband of the highest octave that a meter of that rate has, as x of 1000 * 10^(x / 10) Hz."""


def band_edges(rate: int, bands: int) -> list[tuple[float, float]]:
    """The edges of the octave (`bands` 1) or third-octave (3) bands of such a meter, highest first (IEC 61260-1)."""
    top, step = HIGHEST_BAND[rate], 1 if bands == 3 else 3
    first, last = (top + 1, -16) if bands == 3 else (top, -15)
    return [
        (1000 * 10 ** ((x - step / 2) / 10), 1000 * 10 ** ((x + step / 2) / 10)) for x in range(first, last - 1, -step)
    ]


def band_levels(sound: NDArray[np.float64], rate: int, bands: int) -> list[float]:
    """Levels of a periodic sound in ideal bands, highest first, in dB of a sine with amplitude 1."""
    frequency = _frequencies(len(sound), rate)
    return [
        10 * float(np.log10(2 * mean_power(sound, rate, ((frequency >= low) & (frequency < high)).astype(np.float64))))
        for low, high in band_edges(rate, bands)
    ]


@dataclass(frozen=True)
class Street:
    """One period of street sound with an A-weighted level of 0 dB (of a sine with amplitude 1), and what it is like."""

    rate: int
    seed: int
    samples: NDArray[np.float64]
    statistics: tuple[int, ...]
    """Relative to LAeq, in 0.001 dB: LAeq (0), LCeq, LZeq, LAFmax, LAFmin, LASmax, LCpeak, ten deciles of LAF."""

    peak: float
    """The largest magnitude among the samples."""

    def bands(self, bands: int) -> tuple[int, ...]:
        """Levels in octave (1) or third-octave (3) bands relative to LAeq, highest first, in 0.001 dB."""
        return _street_bands(self.rate, self.seed, bands)

    def window(self, first: int, count: int) -> NDArray[np.float64]:
        """`count` samples from sample number `first` on."""
        start = first % len(self.samples)
        if start + count <= len(self.samples):
            return self.samples[start : start + count]
        index = np.arange(start, start + count) % len(self.samples)
        return self.samples[index]


def _coloured(generator: np.random.Generator, rate: int, slope: float, low: float, high: float) -> NDArray[np.float64]:
    """Noise whose power falls with frequency to the power of `slope` between two corners, periodic in PERIOD."""
    frequency = _frequencies(rate * PERIOD, rate)
    shape = np.zeros_like(frequency)
    shape[1:] = (frequency[1:] / 1000) ** (-slope / 2)
    shape *= 1 / np.sqrt(1 + (low / np.maximum(frequency, 1e-3)) ** 8) / np.sqrt(1 + (frequency / high) ** 8)
    phase = generator.uniform(0, 2 * np.pi, len(frequency))
    sound = np.fft.irfft(shape * np.exp(1j * phase), rate * PERIOD)
    return sound / np.sqrt(np.mean(sound**2))


def _passing(rate: int, at: float, width: float) -> NDArray[np.float64]:
    """How the amplitude of a vehicle rises and falls, at 1/distance, wrapped around the period."""
    time = np.arange(rate * PERIOD) / rate
    away = (time - at + PERIOD / 2) % PERIOD - PERIOD / 2
    edge = 1 / np.sqrt(1 + (PERIOD / 2 / width) ** 2)
    return (1 / np.sqrt(1 + (away / width) ** 2) - edge) / (1 - edge)


@cache
def street(rate: int = 48000, seed: int = 0) -> Street:
    """The street with that seed: hum, two vehicles every ten seconds, 8 dB above it at their loudest."""
    generator = np.random.default_rng([seed, 20261122])
    frequency = _frequencies(rate * PERIOD, rate)
    weight = a_weighting(frequency)
    hum = _coloured(generator, rate, 1.3, 31.5, 0.3 * rate)
    sound = hum / np.sqrt(mean_power(hum, rate, weight))
    for loud in (2.6, 1.6):
        vehicle = _coloured(generator, rate, 0.8, 63.0, min(6000.0, 0.3 * rate))
        at = generator.uniform(0, PERIOD)
        envelope = loud * _passing(rate, at, generator.uniform(0.35, 0.6))
        sound = sound + vehicle / np.sqrt(mean_power(vehicle, rate, weight)) * envelope
    sound = sound / np.sqrt(2 * mean_power(sound, rate, weight))
    return Street(rate, seed, sound, _statistics(sound, rate), float(np.max(np.abs(sound))))


@cache
def _street_bands(rate: int, seed: int, bands: int) -> tuple[int, ...]:
    return tuple(round(1000 * level) for level in band_levels(street(rate, seed).samples, rate, bands))


@cache
def heard_by(rate: int, seed: int, corners: tuple[tuple[float, float], ...]) -> Street:
    """That street through a microphone whose response falls at low frequencies: (where it begins to, where it ends)."""
    whole = street(rate, seed)
    f2 = _frequencies(len(whole.samples), rate) ** 2
    shape = np.ones_like(f2)
    for high, low in corners:
        shape *= np.sqrt((f2 + low**2) / (f2 + high**2))
    sound = np.fft.irfft(np.fft.rfft(whole.samples) * shape, len(whole.samples))
    return Street(rate, seed, sound, whole.statistics, float(np.max(np.abs(sound))))


def _statistics(sound: NDArray[np.float64], rate: int) -> tuple[int, ...]:
    frequency = _frequencies(len(sound), rate)
    spectrum = np.fft.rfft(sound)
    a = np.fft.irfft(spectrum * np.sqrt(a_weighting(frequency)), len(sound))
    c = np.fft.irfft(spectrum * np.sqrt(c_weighting(frequency)), len(sound))
    block = rate // 200
    power = 2 * np.mean(a.reshape(-1, block) ** 2, axis=1)
    fast = 10 * np.log10(_exponential(power, 0.125))
    slow = 10 * np.log10(_exponential(power, 1.0))
    deciles = np.percentile(fast, np.arange(95, 0, -10))
    peak = 20 * np.log10(np.max(np.abs(c))) + 10 * np.log10(2)
    values = [level(sound, rate, w) for w in "ACZ"] + [fast.max(), fast.min(), slow.max(), peak, *deciles]
    return tuple(round(1000 * float(v)) for v in values)


def _exponential(power: NDArray[np.float64], tau: float) -> NDArray[np.float64]:
    """The exponential average of a periodic power with 5 ms between its values."""
    kernel = np.exp(-np.arange(len(power)) * 0.005 / tau)
    kernel /= kernel.sum()
    # Some numpys' types do not say what a product of two spectra is, others do.
    spectrum = cast(  # pyright: ignore[reportUnnecessaryCast]
        "NDArray[np.complex128]", np.fft.rfft(power) * np.fft.rfft(kernel)
    )
    return np.fft.irfft(spectrum, len(power))
