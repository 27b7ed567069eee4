"""A satellite receiver sets the node's clock: where no network does, from the first reading that knows the time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.firmware.collecting import HEAP, START, Collector

import citymote
from citymote import Reading
from citymote.broker import Broker
from citymote.testing.bridge import Wiring
from citymote.testing.emul.gnss import GNSS
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.vm import VirtualNode

pytestmark = pytest.mark.usefixtures("run_vm")
SENSORS: list[dict[str, Any]] = [{"driver": "sht4x", "bus": "i2c0"}, {"driver": "gnss", "bus": "uart0"}]


def told(folder: Path, receiver: GNSS, seconds: int, *, network_time: bool = False, **settings: Any) -> list[Reading]:
    """The readings of temperature of a node with this receiver."""
    wiring = Wiring({"i2c0": SHT4x(lambda now: 21.5, lambda now: 45.0), "uart0": receiver})
    with Broker() as broker, Collector(broker.port) as collector:
        given = {"until": START + seconds, "broker_host": "127.0.0.1", "broker_port": broker.port, "unsealed": True}
        with VirtualNode(
            folder, settings=given | settings, board={"board": "virtual", "sensors": SENSORS}, wiring=wiring,
            start_time=START, network_time=network_time, heap=HEAP,
        ) as node:  # fmt: skip
            node.start()
            messages = collector.all_of(node.wait(60))
    return [r for r in citymote.readings(messages) if r.quantity == "temperature"]


def receiver(start: int = START, acquisition: int = 0) -> GNSS:
    return GNSS(lambda now: 37.5, lambda now: 127.0, lambda now: 38.0, start=start, acquisition=acquisition)


def seconds_of(readings: list[Reading]) -> list[int]:
    zero = citymote.reading.moment(START)  # type: ignore[attr-defined]
    return sorted(round((r.time - zero).total_seconds()) for r in readings)


def test_without_a_network_rows_are_dated_by_satellites(tmp_path: Path) -> None:
    readings = told(tmp_path / "n", receiver(), 1200, time_source="none")
    assert seconds_of(readings) == list(range(120, 1201, 120))
    assert {r.time_quality for r in readings} == {"satellite"}


def test_rows_from_before_the_receiver_knew_are_dated_afterwards(tmp_path: Path) -> None:
    readings = told(tmp_path / "n", receiver(acquisition=400_000), 1200, time_source="none")
    found = seconds_of(readings)
    assert found[-1] == 1200 and len(found) >= 9
    assert all(abs(second % 120 - 60) >= 58 for second in found), "within two seconds of the instants"
    assert readings[-1].time_quality == "satellite"


def test_a_networks_time_is_kept_where_the_two_agree(tmp_path: Path) -> None:
    readings = told(tmp_path / "n", receiver(), 600, network_time=True)
    assert {r.time_quality for r in readings} == {"network"}


def test_a_receiver_that_says_what_cannot_be_is_not_believed(tmp_path: Path) -> None:
    """One whose weeks have rolled over tells a date of the past."""
    readings = told(
        tmp_path / "n", receiver(start=START - 1024 * 7 * 86400), 600, network_time=True, time_earliest=START - 86400
    )
    assert seconds_of(readings) == list(range(120, 601, 120))
    assert {r.time_quality for r in readings} == {"network"}
