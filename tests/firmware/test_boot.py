"""The boot: its record on raw flash, and the choice of the slot, line by line as SPEC 14.4 has it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.vm import TOP, Result

SCRIPT = Path(__file__).with_name("boot_vm.py")
SOURCES = [TOP / "firmware", TOP / "protocol"]
CHAPTER = TOP / "protocol" / "spec" / "14-updates.md"
SOURCE = TOP / "firmware" / "slots.py"
TRIES = 3
State = tuple[int, int, int, bool, bool, bool, int | None, list[int] | None]


def _run(run_vm: Callable[..., Result], case: str) -> Any:
    return json.loads(run_vm(SCRIPT, case, heap="4m", path=SOURCES, timeout=120).checked().stdout.splitlines()[-1])


def _lines() -> dict[int, list[str]]:
    """The table of 14.4: number: cells."""
    text = CHAPTER.read_text(encoding="utf-8").split("## 14.4")[1].split("## 14.5")[0]
    rows = re.findall(r"^\| (\d) \|(.*)\|$", text, re.MULTILINE)
    return {int(number): [cell.strip() for cell in rest.split("|")] for number, rest in rows}


def _applies(number: int, cells: list[str], state: str, starts: int, mine: bool, theirs: bool, works: bool) -> bool:
    """Whether a line fits, read off its own words."""
    said, condition = cells[0], cells[1]
    if said not in (state, "anything"):
        return False
    known = {
        f"fewer than {TRIES} starts, the slot is whole, and the count can be written": starts < TRIES
        and mine
        and works,
        "the other is whole": theirs,
        "the slot is whole": mine,
        "neither is whole": not mine and not theirs,
    }
    return known[condition]


def _expected(cells: list[str], slot: int, state: int, starts: int, works: bool) -> tuple[int | None, Any]:
    """(slot to start, entry saved) that the line's last two cells say."""
    start = {"the slot": slot, "the other": slot ^ 1}.get(cells[2])
    entry: Any = None
    if cells[3] == "one start more":
        entry = [slot, state, starts + 1, 0]
    elif cells[3].startswith("other, confirmed, why "):
        entry = [slot ^ 1, 0, 0, int(cells[3][-1])]
    return start, entry if works else None


def test_the_boot_decides_as_the_table_says_in_every_state(run_vm: Callable[..., Result]) -> None:
    lines = _lines()
    used: set[int] = set()
    states: list[State] = _run(run_vm, "table")
    for slot, state, starts, mine, theirs, works, chosen, saved in states:
        word = ("confirmed", "trial")[state]
        number = next(n for n in range(2, 8) if _applies(n, lines[n], word, starts, mine, theirs, works))
        used.add(number)
        what = f"{word}, {starts} starts, whole: {mine}, other whole: {theirs}, flash works: {works}"
        assert (chosen, saved) == _expected(lines[number], slot, state, starts, works), f"line {number}: {what}"
    assert used == set(range(2, 8)), "a line that no state reaches"


def test_the_code_has_the_lines_in_the_order_of_the_table() -> None:
    numbers = [
        int(n) for marks in re.findall(r"#(?: line)? (\d(?:, \d)*)", SOURCE.read_text()) for n in marks.split(", ")
    ]
    assert [n for n in numbers if n < 8] == list(range(1, 8))
    assert "line 8" in SOURCE.read_text()
    assert list(_lines()) == list(range(1, 9))


def test_the_boot_is_short_enough_to_be_read_by_everybody() -> None:
    assert len(SOURCE.read_text().splitlines()) < 150


def test_the_newest_entry_counts_over_many_turns_of_the_log(run_vm: Callable[..., Result]) -> None:
    assert _run(run_vm, "log") == [True, 1, 3, 699]


def test_a_cut_at_any_operation_leaves_the_entry_before_or_the_new_one(run_vm: Callable[..., Result]) -> None:
    assert _run(run_vm, "torn") == 78


def test_entries_that_do_not_take_are_passed_over_and_the_last_good_one_stays(run_vm: Callable[..., Result]) -> None:
    assert _run(run_vm, "worn") == 199


def test_a_damaged_record_is_none_and_can_be_written_again(run_vm: Callable[..., Result]) -> None:
    assert _run(run_vm, "garbage") == [False, 1]


@pytest.mark.parametrize("name", ["record", "index"])
def test_the_chapter_says_the_sizes_that_the_code_has(name: str) -> None:
    text = CHAPTER.read_text(encoding="utf-8")
    if name == "record":
        assert "erase blocks of 4096 bytes" in text
        assert "entries of 32 bytes" in text
        assert "BLOCK, ENTRY = 4096, 32" in SOURCE.read_text()
    else:
        from citymote_protocol import file_index

        assert f"1 to {file_index.LONGEST_NAME} bytes" in text
        assert f"At most {file_index.MOST_FILES} files" in text
        assert file_index.LARGEST_FILE == 1 << 20
