"""The store loses power at every operation on its flash, whole and torn, and keeps what it promised.

`store_cuts.py` does the work inside a VM. A failure prints the id of its permutation, seed:operation:torn; to see it
alone, run `store_cuts.py SEED OPERATION 0` in a MicroPython with firmware/ and protocol/ on its path.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.vm import TOP, Result

SCRIPT = Path(__file__).with_name("store_cuts.py")
SOURCES = [TOP / "firmware", TOP / "protocol"]


def _cut(run_vm: Callable[..., Result], *arguments: int, timeout: float = 120) -> dict[str, Any]:
    found = run_vm(SCRIPT, *[str(a) for a in arguments], heap="4m", path=SOURCES, timeout=timeout)
    assert found.stdout.strip(), found.stderr[-3000:]
    said: dict[str, Any] = json.loads(found.stdout.strip().splitlines()[-1])
    assert "failed" not in said, f"the store broke a promise at {said['failed']}"
    found.checked()
    return said


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_sample_of_all_cuts_loses_nothing_and_repeats_no_sequence(run_vm: Callable[..., Result], seed: int) -> None:
    said = _cut(run_vm, seed, 1 + seed, 29)
    assert said["tried"] >= 40
    assert said["discarded"] > 0, "the workload is to fill the store"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 25))
def test_every_cut_loses_nothing_and_repeats_no_sequence(run_vm: Callable[..., Result], seed: int) -> None:
    said = _cut(run_vm, seed, 1, 1, timeout=1500)
    assert said["tried"] == 2 * said["operations"]


def test_the_id_of_a_permutation_runs_it_alone(run_vm: Callable[..., Result]) -> None:
    assert _cut(run_vm, 2, 100, 0)["tried"] == 2
