"""A-weighted levels and third-octave levels by other people's libraries, in a folder of their own.

pyfar's wheel brings a top-level package `tests` that would hide this project's, and both bring scipy and more: so the
set-up puts them into build/peers/sound, and this file, run as a script with that folder on PYTHONPATH, answers.
Input: a .npz with signals, each two equal periods long, named `a0` ... for A-weighted levels and `t0` ... for bands;
output: a JSON line per library and kind with the level of each second period, in dB of a full-scale sine. The library
`exact` is scipy's response of the standard's analogue filter (IEC 61672-1, annex E), applied to each line of the
spectrum.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parents[2] / "build" / "peers" / "sound"
RATE = 48000


def levels(weighted: list[np.ndarray], thirds: list[np.ndarray]) -> dict[str, list[Any]]:
    """Levels by library: `a.LIBRARY` a number a signal, `t.LIBRARY` its third octaves from 10 kHz down to 25 Hz.

    Empty where the set-up could not get the libraries.
    """
    if not (FOLDER / "pyfar").is_dir():
        return {}
    with tempfile.NamedTemporaryFile(suffix=".npz") as f:
        signals = {f"a{k}": signal for k, signal in enumerate(weighted)}
        signals.update({f"t{k}": signal for k, signal in enumerate(thirds)})
        np.savez(f, **signals)
        f.flush()
        command = [sys.executable, str(Path(__file__).resolve()), f.name]
        path = {**os.environ, "PYTHONPATH": str(FOLDER)}
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, cwd=FOLDER, env=path)
    return dict(json.loads(line) for line in done.stdout.splitlines())


def _pyfar(signal: np.ndarray) -> np.ndarray:
    import pyfar  # type: ignore[import-not-found]
    from pyfar.dsp.filter.frequency_weighting import frequency_weighting_filter  # type: ignore[import-not-found]

    filtered: Any = frequency_weighting_filter(pyfar.Signal(signal, RATE), "A")
    return np.asarray(filtered.time[0])


def _pyoctaveband(signal: np.ndarray) -> np.ndarray:
    from pyoctaveband import weighting_filter  # type: ignore[import-not-found]

    return np.asarray(weighting_filter(signal, RATE, curve="A"))


def _exact(signal: np.ndarray) -> float:
    """The level of the second period by scipy's response of the analogue filter at each line of its spectrum."""
    from scipy import signal as filters  # type: ignore[import-not-found]

    second = signal[len(signal) // 2 :]
    corners = np.array([20.598997, 20.598997, 107.65265, 737.86223, 12194.217, 12194.217])
    poles = -2 * np.pi * corners
    lines = np.fft.rfft(second)
    frequency = np.append(np.fft.rfftfreq(len(second), 1 / RATE), 1000.0)
    _, response = filters.freqs_zpk(np.zeros(4), poles, 1.0, 2 * np.pi * frequency)
    power = np.abs(lines / len(second) * response[:-1] / np.abs(response[-1])) ** 2
    power[1:] *= 2
    if len(second) % 2 == 0:
        power[-1] /= 2
    return 10 * math.log10(2 * float(np.sum(power)))


def _thirds(signal: np.ndarray) -> list[float]:
    from pyoctaveband import octavefilter  # type: ignore[import-not-found]

    found: Any = octavefilter(signal, RATE, fraction=3, order=6, limits=[25, 10500], sigbands=True)
    levels: list[float] = []
    for frequency, band in zip(found[1], found[2], strict=True):
        if 24 < frequency < 10600:
            second = np.asarray(band)[len(signal) // 2 :]
            levels.append(10 * math.log10(2 * float(np.mean(second**2))))
    return levels[::-1]


def main(path: str) -> None:
    signals = dict(np.load(path))
    weighted = [signal for name, signal in signals.items() if name[0] == "a"]
    thirds = [signal for name, signal in signals.items() if name[0] == "t"]
    print(json.dumps(["a.exact", [_exact(signal) for signal in weighted]]))
    for name, peer in (("pyfar", _pyfar), ("pyoctaveband", _pyoctaveband)):
        found = []
        for signal in weighted:
            second = peer(signal)[len(signal) // 2 :]
            found.append(10 * math.log10(2 * float(np.mean(second**2))))
        print(json.dumps(["a." + name, found]))
    print(json.dumps(["t.pyoctaveband", [_thirds(signal) for signal in thirds]]))


if __name__ == "__main__":
    main(sys.argv[1])
