"""What benches share: how to say that something optional is missing, where the real data is, how to take a time.

A bench is a module `bench_*.py` with `FAMILY` and `measure() -> dict[str, float]`; `tools/bench.py` finds and runs
it. It measures and does not judge: what must hold is held by tests. A bench raises only where ours is wrong or
broken.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

TOP = Path(__file__).resolve().parent.parent.parent


class Missing(Exception):
    """Something optional that a bench needs is not on this machine; its metrics are left out."""


def note(text: str) -> None:
    """One line about what is left out of the tables that follow, and why."""
    print(f"  {text}", flush=True)


def optional(package: str) -> ModuleType:
    """An optional package, or Missing with its name."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise Missing(f"no package {error.name}: it comes with citymote[dev]") from None


def data_file(name: str) -> Path:
    """A file of the published data that is never part of the repository, or Missing with where it was looked for."""
    folder = Path(os.environ.get("CITYMOTE_DATA") or TOP.parent / "shared" / "data")
    path = folder / name
    if not path.exists():
        raise Missing(f"no {name} in {folder}: name its folder with CITYMOTE_DATA")
    return path


def fastest(what: Callable[[], object], rounds: int = 3) -> float:
    """Seconds of the fastest of some rounds: what disturbs a measurement only ever makes it slower."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        what()
        best = min(best, time.perf_counter() - began)
    return best
