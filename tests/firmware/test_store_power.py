"""The store loses power at every operation on its flash, whole and torn, and keeps what it promised.

`store_cuts.py` does the work inside a VM. A failure prints the id of its permutation, seed:operation:torn; to see it
alone, run `store_cuts.py SEED OPERATION 0` in a MicroPython with firmware/ and protocol/ on its path.
"""

from __future__ import annotations

import json
import re
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


def _fill(run_vm: Callable[..., Result], *arguments: int, timeout: float = 120) -> dict[str, Any]:
    script = SCRIPT.with_name("store_fill.py")
    found = run_vm(script, *[str(a) for a in arguments], heap="3m", path=SOURCES, timeout=timeout)
    said: dict[str, Any] = json.loads(found.checked().stdout)
    return said


def test_ten_days_without_a_link_take_a_ninth_of_what_ninety_may(run_vm: Callable[..., Result]) -> None:
    said = _fill(run_vm, 10, 0)
    assert said["used"] <= said["capacity"] / 9
    assert said["discarded_rows"] == 0


@pytest.mark.slow
def test_ninety_days_of_ten_quantities_at_two_minutes_fit_one_megabyte(run_vm: Callable[..., Result]) -> None:
    said = _fill(run_vm, 90, 0, timeout=600)
    assert said["rows"] == 64800
    assert said["discarded_rows"] == 0
    assert said["blocks_free"] > 10


@pytest.mark.slow
def test_when_the_store_is_full_the_oldest_rows_go_and_are_counted(run_vm: Callable[..., Result]) -> None:
    said = _fill(run_vm, 125, 0, timeout=900)
    assert 0 < said["discarded_rows"] < said["rows"]
    assert said["used"] <= said["capacity"]


@pytest.mark.parametrize("days", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_a_delivered_life_wears_the_flash_as_the_page_on_it_says(run_vm: Callable[..., Result], days: int) -> None:
    page = (TOP / "docs" / "flash-wear.md").read_text()
    found = re.search(rf"^\| {days} \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert found, f"no row for {days} days"
    erases, worst = int(found[1]), int(found[2])
    said = _fill(run_vm, days, 1, timeout=400)
    # another littlefs may place its blocks a little differently
    assert said["erases"] == pytest.approx(erases, rel=0.05)
    assert said["erases_worst_block"] == pytest.approx(worst, rel=0.2)
    assert said["pending"] == 0


def test_the_years_that_the_page_on_wear_names_follow_from_its_table() -> None:
    page = (TOP / "docs" / "flash-wear.md").read_text()
    (erases, worst) = (int(n) for n in re.findall(r"^\| 30 \| (\d+) \| (\d+) \|$", page, re.MULTILINE)[0])
    year = 365.25 / 30
    assert f"{round(erases / 256 * year)} erases a block" in page
    assert f"{round(worst * year):,} of the worst block: {int(100_000 / (worst * year))} years" in page
