"""A clock that is wrong: rows keep to the right minutes, and its error and its state travel with the data."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from citymote.broker import Broker
from citymote.registry import quantity
from citymote.testing.bridge import Wiring
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.vm import GARBAGE, VirtualNode
from citymote_protocol import frame

from .collecting import HEAP, START, Collector, stored

pytestmark = pytest.mark.usefixtures("run_vm")
MINUTE = 60_000
INTERVAL = 60
DRIFT = quantity("clock_drift").id
STATE = quantity("clock_state").id


def made(folder: Path, broker: Broker, **settings: Any) -> VirtualNode:
    """A node that asks for the time every ten minutes and tells of itself as often."""
    given: dict[str, Any] = {
        "interval": INTERVAL, "batch": 5, "time_interval": 600, "status_interval": 600, "unsealed": True,
        "broker_host": "127.0.0.1", "broker_port": broker.port, "until": START + 3600,
    }  # fmt: skip
    return VirtualNode(
        folder, settings=given | settings, board={"board": "virtual", "sensors": [{"driver": "sht4x", "bus": "i2c0"}]},
        wiring=Wiring({"i2c0": SHT4x(lambda now: 21.5, lambda now: 45.0)}), start_time=START, heap=HEAP,
        garbage=GARBAGE,
    )  # fmt: skip


def later(node: VirtualNode, seconds: int) -> Callable[[], None]:
    """From then on the time server says so much more than before."""

    def change() -> None:
        bridge = node._bridge  # pyright: ignore[reportPrivateUsage]
        assert bridge is not None and bridge.wall is not None
        bridge.wall += seconds * 1000

    return change


def lived(node: VirtualNode, broker: Broker) -> tuple[list[int], dict[int, list[Any]], list[Any]]:
    """(the rows' times, the statuses' figures by quantity, the batches)."""
    with Collector(broker.port) as collector, node:
        node.start()
        frames = sorted(stored(collector.all_of(node.wait(120))).values(), key=lambda one: one.seq)
    batches = [one for one in frames if one.kind == frame.BATCH]
    statuses = [one for one in frames if one.kind == frame.STATUS]
    figures = {column[0]: [one.values[i] for one in statuses] for i, column in enumerate(statuses[0].columns)}
    return [one.time_of(row) for one in batches for row in range(one.count)], figures, batches


def test_a_jump_ahead_leaves_a_gap_and_is_told(tmp_path: Path, broker: Broker) -> None:
    node = made(tmp_path / "n", broker)
    node.at(25 * MINUTE, later(node, 300))
    times, told, _ = lived(node, broker)
    assert all(time % INTERVAL == 0 for time in times), "on the minute, before and after"
    steps = [b - a for a, b in pairwise(times)]
    assert sorted(set(steps)) == [60, 360]
    assert steps.count(360) == 1
    assert told[DRIFT][:3] == [0, 0, 0]
    assert -300 in told[DRIFT], "five minutes behind"
    assert told[DRIFT][-1] == 0, "and right again the next time"


def test_a_jump_back_loses_no_row_and_is_told(tmp_path: Path, broker: Broker) -> None:
    node = made(tmp_path / "n", broker)
    node.at(25 * MINUTE, later(node, -300))
    times, told, batches = lived(node, broker)
    seconds = [time - START for time in times]
    at = next(i for i, (a, b) in enumerate(pairwise(seconds), 1) if b < a)
    assert seconds[:at] == list(range(60, 60 * at + 1, 60)), "dated by the clock of that time"
    before, during = seconds[at - 1], seconds[at]
    assert during - 1 <= before - 300 + 60 <= during, "the row under way is dated by the clock that is right"
    first = during // 60 * 60 + 60
    assert seconds[at + 1 :] == list(range(first, 3601, 60)), "and then on the minute, up to the end"
    assert {299, 300} & set(told[DRIFT]), "so much ahead: who reads the rows before it knows by how much they are off"
    assert {one.clock for one in batches} == {2}


def test_a_clock_that_drifts_says_by_how_much_and_makes_no_gap(tmp_path: Path, broker: Broker) -> None:
    node = made(tmp_path / "n", broker)
    for minute in range(5, 60, 10):
        node.at(minute * MINUTE, later(node, 2))
    times, told, _ = lived(node, broker)
    assert [round(time / 60) for time in times] == list(range(times[0] // 60, times[0] // 60 + 60)), "a row a minute"
    off = [time % 60 for time in times if time % 60]
    assert off == [2] * len(off), "the row in which the clock was set is dated as it was measured"
    assert len(off) <= 6
    assert set(told[DRIFT][2:]) == {-2}


def test_what_is_only_estimated_after_a_restart_says_so(tmp_path: Path, broker: Broker) -> None:
    node = made(tmp_path / "n", broker, until=0)
    with Collector(broker.port) as collector, node:
        node.run_until(20 * MINUTE)
        node.kill()
        node.network_time = False
        node.start(off=1000)
        node.run_until(hours=2)
        node.kill()
        frames = sorted(stored(collector.messages).values(), key=lambda one: one.seq)
    clocks = [one.clock for one in frames if one.kind == frame.BATCH]
    assert clocks[0] == 2
    assert clocks[-1] == 4, "estimated"
    states = [one.values[[c[0] for c in one.columns].index(STATE)] for one in frames if one.kind == frame.STATUS]
    assert (states[0], states[-1]) == (2, 4)
