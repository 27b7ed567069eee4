"""A recording to measure the sound level meter with: somebody's, or the voices that Debian's package alsa-utils brings.

`$CITYMOTE_RECORDING` names a WAV file of 48 kHz and 16 bits (its first channel is taken). Without it the package is
fetched once from this machine's own archive, as the other tools' are, and its spoken channel names are used: a real
microphone in a real room. Neither is part of this project; where there is none the benchmark says so and goes on.
"""

from __future__ import annotations

import contextlib
import os
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import aptget

PACKAGE = "alsa-utils"
FILES = ("Front_Center.wav", "Front_Left.wav", "Rear_Right.wav", "Side_Left.wav")
RATE = 48000
WHERE = "usr/share/sounds/alsa"


def _read(path: Path) -> NDArray[np.float64]:
    with wave.open(str(path), "rb") as file:
        if file.getframerate() != RATE or file.getsampwidth() != 2:
            raise aptget.Unavailable(f"{path} is not of {RATE} Hz and 16 bits")
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, file.getnchannels())
    return samples[:, 0].astype(np.float64) / 32768


def _voices() -> Path:
    system = Path("/") / WHERE
    if (system / FILES[0]).is_file():
        return system
    cache = aptget.cache_folder()
    folder = cache / "recordings"
    with aptget.locked(cache):
        if not (folder / WHERE / FILES[0]).is_file():
            with contextlib.closing(aptget.own_archive(cache / "apt-recordings")) as apt:
                apt.unpack([PACKAGE], folder)
    return folder / WHERE


def recording() -> NDArray[np.float64]:
    """Some seconds of sound between -1 and 1; aptget.Unavailable where this machine can have none."""
    named = os.environ.get("CITYMOTE_RECORDING")
    if named:
        return _read(Path(named))
    folder = _voices()
    try:
        return np.concatenate([_read(folder / name) for name in FILES])
    except OSError as error:
        raise aptget.Unavailable(f"{PACKAGE} came without its recordings ({error})") from error
