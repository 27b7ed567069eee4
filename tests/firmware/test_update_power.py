"""A whole update loses power at every operation on its flash, whole and torn, and again while it recovers.

`update_cuts.py` does the work inside a VM, with the node's boot and installer on real littlefs. Whatever happens, the
node starts exactly the old or exactly the new application, and ends updated when it is left alone. A failure prints
the id of its permutation, seed:operation:torn[:operation:torn]; its numbers as the arguments `SEED OPERATION 0 2 TORN
OPERATION TORN` of that script run it alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.vm import TOP, Result

SCRIPT = Path(__file__).with_name("update_cuts.py")
FAULTS = Path(__file__).with_name("update_faults.py")
SOURCES = [TOP / "firmware", TOP / "protocol"]
RANGES = 8


def _cut(run_vm: Callable[..., Result], *arguments: int, timeout: float = 120) -> dict[str, Any]:
    found = run_vm(SCRIPT, *[str(a) for a in arguments], heap="8m", path=SOURCES, timeout=timeout).checked()
    said: dict[str, Any] = json.loads(found.stdout.strip().splitlines()[-1])
    return said


@pytest.mark.parametrize("seed", [1, 2])
def test_every_cut_ends_in_the_old_or_the_new_application_and_then_in_the_new(
    run_vm: Callable[..., Result], seed: int
) -> None:
    said = _cut(run_vm, seed, 1, 1, 1)
    assert said["tried"] == 2 * said["operations"] > 100


@pytest.mark.parametrize("seed", [3, 4])
def test_a_sample_of_cuts_in_the_recovery_from_a_cut(run_vm: Callable[..., Result], seed: int) -> None:
    assert _cut(run_vm, seed, 1 + seed, 13, 2)["tried"] >= 100


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, RANGES + 1))
def test_every_cut_in_the_recovery_from_every_cut(run_vm: Callable[..., Result], first: int) -> None:
    assert _cut(run_vm, 5, first, -RANGES, 2, timeout=3000)["tried"] > 1000


def test_the_id_of_a_permutation_runs_it_alone(run_vm: Callable[..., Result]) -> None:
    assert _cut(run_vm, 1, 20, 0, 2, 1, 7, 0)["tried"] == 1


def _fault(run_vm: Callable[..., Result], case: str, seed: int) -> dict[str, Any]:
    found = run_vm(FAULTS, case, str(seed), heap="8m", path=SOURCES, timeout=300).checked()
    said: dict[str, Any] = json.loads(found.stdout.strip().splitlines()[-1])
    return said


def test_an_application_that_does_not_fit_leaves_the_old_one_running(run_vm: Callable[..., Result]) -> None:
    assert _fault(run_vm, "full", 1) == {"tried": 1, "updated": 0}


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_worn_blocks_cost_the_update_at_most(run_vm: Callable[..., Result], seed: int) -> None:
    said = _fault(run_vm, "worn", seed)
    assert said["tried"] == 86
    assert said["updated"] > 43, "littlefs goes round blocks that no longer take what is written"


@pytest.mark.parametrize("case", ["corrupt", "record", "running"])
def test_damage_ends_with_the_new_application_all_the_same(run_vm: Callable[..., Result], case: str) -> None:
    said = _fault(run_vm, case, 1)
    assert said["updated"] == said["tried"] >= 8
