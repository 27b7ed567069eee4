"""A-weighted levels by other people's libraries, in a folder of their own.

pyfar's wheel brings a top-level package `tests` that would hide this project's, and both bring scipy and more: so the
set-up puts them into build/peers/sound, and this file, run as a script with that folder on PYTHONPATH, answers.
Input: a .npz with signals, each two equal periods long; output: a JSON line per library with the level of each second
period, in dB of a full-scale sine.
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


def levels(signals: list[np.ndarray]) -> dict[str, list[float]]:
    """Library -> level of each signal; empty where the set-up could not get the libraries."""
    if not (FOLDER / "pyfar").is_dir():
        return {}
    with tempfile.NamedTemporaryFile(suffix=".npz") as f:
        np.savez(f, *signals)
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


def main(path: str) -> None:
    signals = list(np.load(path).values())
    for name, peer in (("pyfar", _pyfar), ("pyoctaveband", _pyoctaveband)):
        found = []
        for signal in signals:
            second = peer(signal)[len(signal) // 2 :]
            found.append(10 * math.log10(2 * float(np.mean(second**2))))
        print(json.dumps([name, found]))


if __name__ == "__main__":
    main(sys.argv[1])
