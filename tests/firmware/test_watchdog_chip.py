"""A watchdog chip on the board takes the power away from a node that does not pulse it: while all goes on, it does.

It is pulsed whenever the node's own watchdog is fed; that this ends with progress is in test_core.py.
"""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.claimable import BOARD as CLAIMABLE
from tests.support.claimable import street

from citymote import boards
from citymote.testing.emul.base import Pin

from . import collecting

pytestmark = pytest.mark.usefixtures("run_vm")
PATIENCE = 300_000
"""ms; what the node promises its own watchdog, too."""


class Chip(Pin):
    """Knows when it was pulsed."""

    def __init__(self) -> None:
        self.pulses: list[int] = []

    def set(self, now: int, level: int) -> None:
        if self.level and not level:
            self.pulses.append(now)
        super().set(now, level)


def test_a_node_at_work_pulses_it(tmp_path: Path) -> None:
    chip = Chip()
    board = collecting.BOARD | {"pins": {"watchdog": {"out": True}}}
    with collecting.node(tmp_path / "n", 2, board=board, drain=0) as node:
        node.wiring.connect("watchdog", chip)
        node.start()
        node.wait(60, check=False)
    assert len(chip.pulses) >= 2 * 3_600_000 // PATIENCE
    assert chip.pulses[0] < PATIENCE
    assert max(later - earlier for earlier, later in pairwise(chip.pulses)) < PATIENCE


@pytest.mark.usefixtures("micropython32")
def test_a_node_without_an_owner_pulses_it_while_it_waits(tmp_path: Path) -> None:
    chip = Chip()
    with street(tmp_path, start=False, speed=60) as fresh:
        board = {**CLAIMABLE, "pins": {**CLAIMABLE["pins"], "watchdog": {"out": True}}}
        (fresh.node.directory / "board.json").write_text(json.dumps(board))
        fresh.node.wiring.connect("watchdog", chip)
        fresh.node.speed = 60
        fresh.node.start()
        asyncio.run(fresh.until("service", lambda data: data["state"] == 0))
        asyncio.run(asyncio.sleep(3))
    assert len(chip.pulses) > 10
    assert max(later - earlier for earlier, later in pairwise(chip.pulses)) < PATIENCE


def test_a_board_without_one_has_nothing_pulsed(tmp_path: Path) -> None:
    chip = Chip()
    with collecting.node(tmp_path / "n", 1, drain=0) as node:
        node.wiring.connect("watchdog", chip)
        node.start()
        node.wait(60, check=False)
    assert chip.pulses == []


@pytest.mark.parametrize("name", ["airgradient-one", "airgradient-open-air"])
def test_boards_that_have_one_say_so(name: str) -> None:
    assert boards.load(name)["pins"]["watchdog"]["out"]
