"""Plausibility in the whole node: what a board's description calls impossible, a leap or a contradiction is marked.

The rules by themselves are in tests/shared/test_node_statistics.py; sensors that stand still or warm up, in
tests/e2e/test_sensor_faults.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import citymote
from citymote.broker import Broker
from citymote.testing.bridge import Wiring
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.vm import GARBAGE, VirtualNode

from .collecting import HEAP, START, Collector

pytestmark = pytest.mark.usefixtures("run_vm")
INTERVAL = 60
# -20.0 to 45.0 degrees; more than 5.0 in a row is a leap; two sensors may be 2.0 apart.
LIMITS = {"temperature": [-200, 450, 50, 20]}


def judged(
    folder: Path, broker: Broker, *courses: list[float], limits: dict[str, Any] | None = None
) -> list[list[tuple[float | None, str]]]:
    """What arrives of one temperature sensor for each course of values, a value a row: (value, quality)."""

    def chip(course: list[float], address: int) -> SHT4x:
        def now(ms: int) -> float:
            return course[min(len(course), -(-ms // (INTERVAL * 1000)) or 1) - 1]

        made = SHT4x(now, lambda ms: 40.0 + ms // 60_000 % 7)
        made.address = address
        return made

    chips = [chip(course, 0x44 + index) for index, course in enumerate(courses)]
    sensors = [
        {"driver": "sht4x", "bus": "i2c0", "settings": {"address": one.address}, "limits": limits or {}}
        for one in chips
    ]  # fmt: skip
    settings = {
        "interval": INTERVAL, "until": START + len(courses[0]) * INTERVAL, "unsealed": True,
        "broker_host": "127.0.0.1", "broker_port": broker.port,
    }  # fmt: skip
    with (
        Collector(broker.port) as collector,
        VirtualNode(
            folder, settings=settings, board={"board": "virtual", "sensors": sensors}, heap=HEAP, garbage=GARBAGE,
            wiring=Wiring({"i2c0": chips}), start_time=START,
        ) as node,
    ):  # fmt: skip
        node.start()
        found = [r for r in citymote.readings(collector.all_of(node.wait(60))) if r.quantity == "temperature"]
    return [
        [(r.value, r.quality) for r in sorted(found, key=lambda r: r.time) if r.sensor == index]
        for index in range(len(courses))
    ]


def test_a_value_beyond_the_range_is_marked_and_kept(tmp_path: Path, broker: Broker) -> None:
    (said,) = judged(tmp_path / "n", broker, [44.0, 45.5, 44.5], limits=LIMITS)
    assert said == [(44.0, "unchecked"), (45.5, "likely_invalid"), (44.5, "unchecked")]


def test_a_leap_is_suspicious_and_what_follows_from_there_is_not(tmp_path: Path, broker: Broker) -> None:
    (said,) = judged(tmp_path / "n", broker, [20.0, 25.0, 30.1, 30.2], limits=LIMITS)
    assert said == [(20.0, "unchecked"), (25.0, "unchecked"), (30.1, "suspicious"), (30.2, "unchecked")]


def test_two_sensors_that_contradict_each_other_are_both_suspicious(tmp_path: Path, broker: Broker) -> None:
    one, other = judged(tmp_path / "n", broker, [20.0, 21.0, 22.0], [21.9, 23.1, 23.9], limits=LIMITS)
    assert one == [(20.0, "unchecked"), (21.0, "suspicious"), (22.0, "unchecked")]
    assert other == [(21.9, "unchecked"), (23.1, "suspicious"), (23.9, "unchecked")]


def test_without_a_rule_of_the_boards_only_the_impossible_is_marked(tmp_path: Path, broker: Broker) -> None:
    one, other = judged(tmp_path / "n", broker, [20.0, 60.0, 86.0], [30.0, 30.1, 30.2])
    assert one == [(20.0, "unchecked"), (60.0, "unchecked"), (86.0, "likely_invalid")]
    assert {quality for _, quality in other} == {"unchecked"}
