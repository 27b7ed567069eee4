"""The node's identity in a real MicroPython VM, on a real littlefs whose flash loses power at every operation."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("identity_vm.py")


@pytest.fixture
def case(run_vm: Callable[..., Any]) -> Callable[[str], str]:
    """Runs one function of identity_vm.py and returns what it printed. Its flash is in the heap, so that is larger."""

    def run(name: str) -> str:
        return run_vm(SCRIPT, name, heap="600k", timeout=120).checked().stdout

    return run


def numbers(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"(\w+) (\d+)", text)}


def test_a_key_pair_is_drawn_once_and_names_the_node(case: Callable[[str], str]) -> None:
    said = case("real")
    assert "id True" in said
    assert "public True" in said
    assert "boots 1 2" in said
    assert "claim 16 True" in said


def test_the_private_key_is_in_no_repr(case: Callable[[str], str]) -> None:
    assert re.search(r"shown False False Identity\([0-9a-f]{12}\)", case("real"))


def test_a_power_cut_at_any_operation_of_the_first_boot_leaves_one_identity(case: Callable[[str], str]) -> None:
    said = numbers(case("first_boot_cuts"))
    assert said["cuts"] > 10, "the first boot writes at least ten times"
    assert said["complete"] >= 1
    assert said["changed"] == 0, "an identity changed after it had been given out, or between boots"


def test_a_power_cut_at_any_operation_of_a_later_boot_keeps_identity_and_counter(case: Callable[[str], str]) -> None:
    said = numbers(case("later_boot_cuts"))
    assert said["cuts"] >= 3
    assert (said["changed"], said["backwards"]) == (0, 0)


def test_a_power_cut_at_any_operation_leaves_settings_and_counters_old_or_new(case: Callable[[str], str]) -> None:
    said = case("small_files_cuts")
    assert numbers(said)["cuts"] > 20
    assert numbers(said)["between"] == 0
    assert "differ True" in said


def test_boot_ids_differ_even_when_flash_is_restored_from_images(case: Callable[[str], str]) -> None:
    said = numbers(case("restored_images"))
    assert said["different"] == said["boots"] == 300
    assert said["counters"] < 300, "the images did set the counter back, else this shows nothing"


def test_without_entropy_no_identity_is_drawn(case: Callable[[str], str]) -> None:
    said = case("refusals")
    assert "no radio no_entropy []" in said
    assert "dead no_entropy []" in said
    assert "dead, real curve no_entropy" in said


def test_hedged_random_numbers_refuse_while_the_generator_does(case: Callable[[str], str]) -> None:
    assert "hedge refuses 2" in case("refusals")


def test_one_damaged_or_missing_copy_is_repaired_and_two_are_refused(case: Callable[[str], str]) -> None:
    said = case("damage")
    for name in ("identity.bin", "identity.bak"):
        assert f"{name} spoiled True" in said
        assert f"{name} removed True" in said
    assert "boot.bin spoiled True 1" in said
    assert "both spoiled damaged" in said
    assert "one removed damaged" in said
    assert "both removed lost" in said


def test_worn_flash_keeps_the_node_alive_but_gives_no_new_identity(case: Callable[[str], str]) -> None:
    said = case("worn")
    assert "worn True 2 False 8" in said
    assert "worn at first storage" in said


def test_a_weak_generator_is_kept_apart_by_the_stored_seed(case: Callable[[str], str]) -> None:
    said = numbers(case("hedged"))
    assert said["different"] == said["draws"] == 40
