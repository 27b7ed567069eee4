"""Bus clear, bit by bit: whatever a chip was interrupted in, clocking frees the bus, with no clock too many."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from citymote.testing.emul.lines import IDLE, StuckLines

UNSTICK = Path(__file__).resolve().parents[2] / "firmware/node/hal/unstick.py"


class Wire:
    """An open-drain pin on one of the two lines."""

    def __init__(self, lines: StuckLines, which: int, driven: list[int]) -> None:
        self.lines, self.which, self.driven = lines, which, driven

    def value(self, x: int | None = None) -> int:
        if x is not None:
            self.driven[self.which] = x
        return self.lines.drive(self.driven[0], self.driven[1])[self.which]


def cleared(lines: StuckLines) -> bool:
    driven = [1, 1]
    return load().free(Wire(lines, 0, driven), Wire(lines, 1, driven), lambda: None)


@cache
def load() -> Any:
    """`node.hal.unstick` by itself: its package opens the platform's hardware."""
    spec = importlib.util.spec_from_file_location("unstick", UNSTICK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_chip_interrupted_at_any_bit_of_any_byte_lets_go_within_nine_clocks() -> None:
    for byte in range(256):
        for at in range(9):
            lines = StuckLines(byte, at)
            assert cleared(lines), f"byte {byte:02x} at bit {at}"
            assert lines.state == IDLE, f"byte {byte:02x} at bit {at}: the chip still waits"
            assert lines.clocks <= 9


def test_a_chip_that_acknowledges_for_ever_lets_go() -> None:
    for at in range(9):
        lines = StuckLines(None, at)
        assert cleared(lines)
        assert lines.state == IDLE
        assert lines.clocks <= 2


def test_a_free_bus_sees_nothing_but_a_stop() -> None:
    lines = StuckLines(0xFF)
    assert cleared(lines)
    assert lines.clocks == 1


@pytest.mark.parametrize("lines", [StuckLines(shorted=True), StuckLines(clock_held=True)], ids=["short", "clock"])
def test_what_no_clock_can_free_is_reported(lines: StuckLines) -> None:
    assert not cleared(lines)
    assert not lines.free
