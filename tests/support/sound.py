"""Signals for the sound level meter, and the meter itself in a MicroPython VM that listens to a file of them."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOP = Path(__file__).resolve().parent.parent.parent
Signal = NDArray[np.float64]
Words = NDArray[np.int32]
SETTLE = 0.5
"""Seconds that the meter discards after a start."""


@dataclass(frozen=True)
class Heard:
    """What the meter made of one signal: levels in dB of a full-scale sine, so that 0 dB is full scale."""

    laeq: float | None
    lceq: float | None
    lzeq: float | None
    laf_max: float
    laf_min: float
    las_max: float
    lc_peak: float
    l10: float
    l50: float
    l90: float
    overload: bool
    fault: int
    blocks: int
    fast: list[float]
    """LAF every 125 ms."""
    slow: list[float]
    """LAS every 125 ms."""


def words(signal: Signal) -> Words:
    """24-bit samples, left-justified, clipped; 1.0 is full scale."""
    return (np.clip(np.rint(signal * 8388608), -8388608, 8388607).astype(np.int64) << 8).astype(np.int32)


def dithered(signal: Signal, seed: int = 1) -> Words:
    """The same with a triangular dither of 24 bits, as a converter's own noise is."""
    generator = np.random.default_rng(seed)
    noise = generator.random(len(signal)) + generator.random(len(signal)) - 1
    return words(signal + noise / 8388608)


def sine(frequency: float, seconds: float, dbfs: float = -20.0, rate: int = 48000, phase: float = 0.0) -> Signal:
    t = np.arange(round(seconds * rate)) / rate
    return 10 ** (dbfs / 20) * np.sin(2 * np.pi * frequency * t + phase)


def periodic_noise(seconds: float, slope: float, rate: int = 48000, seed: int = 1, low: float = 10.0) -> Signal:
    """Noise with power ~ f^-slope that repeats without a seam after `seconds`; mean square 1/2, a full-scale sine's."""
    n = round(seconds * rate)
    frequency = np.fft.rfftfreq(n, 1 / rate)
    shape = np.where(frequency >= low, np.maximum(frequency, low) ** (-slope / 2), 0)
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(frequency))
    sound = np.fft.irfft(shape * np.exp(1j * phase), n)
    return sound / np.sqrt(2 * np.mean(sound**2))


class Listener:
    """Runs signals through the node's own meter, all of them in one VM."""

    def __init__(self, run_vm: Callable[..., Any], application: Path) -> None:
        self._run = run_vm
        self._application = application

    def _execute(self, mode: str, signals: Sequence[Words], rate: int, arch: int, out: str, bands: int = 0) -> str:
        with tempfile.NamedTemporaryFile(suffix=".words") as f:
            for signal in signals:
                f.write(struct.pack("<I", len(signal)))
                f.write(np.ascontiguousarray(signal, dtype="<i4").tobytes())
            f.flush()
            result = self._run(
                TOP / "tests" / "support" / "on_node" / "listen.py", mode, f.name, str(rate), out, str(bands),
                path=[self._application, ".frozen"], heap="200k", arch=arch, timeout=300,
            )  # fmt: skip
        return str(result.checked().stdout)

    def levels(self, signals: Sequence[Words], rate: int = 48000, arch: int = 32) -> list[Heard]:
        """One result a signal, each heard from a fresh start."""
        # A microphone whose full-scale sine is 120 dB; levels come back relative to that.
        lines = self._execute("levels", signals, rate, arch, "-").splitlines()
        heard = [Heard(**json.loads(line)) for line in lines]
        assert len(heard) == len(signals), f"{len(signals)} signals, {len(heard)} answers"
        return heard

    def bands(
        self, signals: Sequence[Words], bands: int, rate: int = 48000, arch: int = 32
    ) -> list[list[float | None]]:
        """Each signal's levels in octave (1) or third-octave (3) bands, from the highest down."""
        lines = self._execute(str(bands), signals, rate, arch, "-").splitlines()
        assert len(lines) == len(signals), f"{len(signals)} signals, {len(lines)} answers"
        return [json.loads(line) for line in lines]

    def band_states(self, signal: Words, bands: int, rate: int = 48000, arch: int = 32) -> NDArray[np.int32]:
        """The state of the band filters after each block of 512 samples, one row a block."""
        with tempfile.NamedTemporaryFile(suffix=".states") as out:
            self._execute("band_states", [signal], rate, arch, out.name, bands)
            count = len(signal) // 512
            return np.frombuffer(Path(out.name).read_bytes(), dtype="<i4").reshape(count, -1)

    def states(self, signal: Words, rate: int = 48000, arch: int = 32) -> NDArray[np.int32]:
        """The 17 + 21 numbers of the meter's state after each block of 5 ms, one row a block; no second is closed."""
        with tempfile.NamedTemporaryFile(suffix=".states") as out:
            self._execute("states", [signal], rate, arch, out.name)
            return np.frombuffer(Path(out.name).read_bytes(), dtype="<i4").reshape(-1, 38)
