"""A node out of slots: it starts as a board does, and a new application proves itself or gives its slot back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from citymote.broker import Broker
from citymote.testing import runtime, slots
from citymote.testing.vm import GARBAGE, VirtualNode

from .collecting import BOARD, START, Collector, expected, rows, wiring

pytestmark = pytest.mark.usefixtures("run_vm")
A, B = 0, 1
UNCONFIRMED, DAMAGED, GIVEN_BACK = 1, 2, 3


def slotted(folder: Path, hours: float, broker: Broker | None, **settings: Any) -> VirtualNode:
    settings = {"until": START + int(hours * 3600), "unsealed": True} | settings
    if broker:
        settings |= {"broker_host": "127.0.0.1", "broker_port": broker.port}
    return VirtualNode(
        folder, settings=settings, board=BOARD, wiring=wiring(), start_time=START, heap="300k", garbage=GARBAGE,
        slotted=True,
    )  # fmt: skip


def other_version(folder: Path, files: dict[str, str]) -> Path:
    """The application with some files replaced by these sources."""
    tree = folder / "tree"
    shutil.copytree(slots.application(runtime.micropython(32), BOARD), tree)
    for name, source in files.items():
        (tree / name).with_suffix(".mpy").unlink(missing_ok=True)
        (tree / name).write_text(source)
    return tree


def put_on_trial(node: VirtualNode, folder: Path, files: dict[str, str], sequence: int = 2) -> None:
    slots.fill(runtime.micropython(32), other_version(folder, files), node.directory / "slot_b.img", sequence)
    slots.switch(node.directory, B)


def test_a_node_starts_out_of_slot_a_as_it_left_the_factory(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, slotted(tmp_path / "n", 1, broker) as node:
        node.start()
        messages = collector.all_of(node.wait(60))
    assert rows(messages) == expected(1, 30)
    assert slots.boot_record(node.directory) is None, "a start that decides nothing writes nothing"


def test_a_new_application_that_works_is_confirmed_with_its_sequence(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, slotted(tmp_path / "n", 1, broker) as node:
        put_on_trial(node, tmp_path, {"node/extra.py": "NEW = 1\n"}, sequence=7)
        node.start()
        messages = collector.all_of(node.wait(60))
    assert slots.boot_record(node.directory) == slots.BootRecord(B, trial=False, starts=0, why=0, floor=7)
    assert node.event_data("confirmed") == [{"sequence": 7}]
    assert rows(messages) == expected(1, 30)


def test_an_application_that_does_not_load_is_left_at_once(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, slotted(tmp_path / "n", 1, broker) as node:
        put_on_trial(node, tmp_path, {"node/app.py": "this is no Python\n"})
        node.start()
        messages = collector.all_of(node.wait(60))
    assert slots.boot_record(node.directory) == slots.BootRecord(A, trial=False, starts=0, why=DAMAGED, floor=0)
    assert rows(messages) == expected(1, 30)


BROKEN_START = """
from . import hal


async def main():
    hal.reset()
"""


def test_an_application_that_resets_again_and_again_is_left_after_three_starts(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, slotted(tmp_path / "n", 1, broker) as node:
        put_on_trial(node, tmp_path, {"node/app.py": BROKEN_START})
        node.start()
        messages = collector.all_of(node.wait(60))
    assert slots.boot_record(node.directory) == slots.BootRecord(A, trial=False, starts=0, why=UNCONFIRMED, floor=0)
    assert len(node.endings) == 4
    assert rows(messages) == expected(1, 30)


def test_an_application_whose_frames_nobody_acknowledges_gives_its_slot_back(tmp_path: Path) -> None:
    with slotted(tmp_path / "n", 2, None, broker_host="127.0.0.1", broker_port=9) as node:
        put_on_trial(node, tmp_path, {"node/extra.py": "NEW = 1\n"})
        node.start()
        ending = node.wait(60, check=False)
    assert slots.boot_record(node.directory) == slots.BootRecord(A, trial=False, starts=0, why=GIVEN_BACK, floor=0)
    assert any("no frame acknowledged" in line.text for line in node.logs)
    assert ending.report["pending"] > 0, "what was measured meanwhile is there"
    assert ending.report["discarded_rows"] == 0


def test_without_an_uplink_rows_are_proof_enough(tmp_path: Path) -> None:
    with slotted(tmp_path / "n", 1, None) as node:
        put_on_trial(node, tmp_path, {"node/extra.py": "NEW = 1\n"}, sequence=3)
        node.start()
        node.wait(60, check=False)
    assert slots.boot_record(node.directory) == slots.BootRecord(B, trial=False, starts=0, why=0, floor=3)


@pytest.mark.parametrize("torn", [False, True])
def test_power_that_fails_while_a_start_is_counted_leaves_a_node_that_starts(
    tmp_path: Path, broker: Broker, torn: bool
) -> None:
    with Collector(broker.port) as collector, slotted(tmp_path / "n", 1, broker) as node:
        put_on_trial(node, tmp_path, {"node/extra.py": "NEW = 1\n"}, sequence=2)
        node.cut_power("boot", 1, torn=torn)
        node.start()
        node.wait(60, check=False)
        node.start(off=1000)
        messages = collector.all_of(node.wait(60))
    assert slots.boot_record(node.directory) == slots.BootRecord(B, trial=False, starts=0, why=0, floor=2)
    assert rows(messages).keys() == expected(1, 30).keys()
