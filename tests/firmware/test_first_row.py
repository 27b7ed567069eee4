"""The first row after power-on: the clock is asked for before it, over a network that has to be joined first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from citymote.broker import Broker
from citymote.testing.bridge import Wiring
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.vm import GARBAGE, VirtualNode
from citymote.testing.wifi import WiFi
from citymote_protocol import frame

from .collecting import HEAP, START, Collector, stored

pytestmark = pytest.mark.usefixtures("run_vm")
INTERVAL = 60
LATE = 17  # seconds behind the stroke at which the power comes on
NETWORK = {"ssid": "city", "key": "a long key"}


def air(chip_now: int) -> float:
    del chip_now
    return 21.5


def times(folder: Path, broker: Broker, wifi: WiFi) -> tuple[list[int], list[int]]:
    """The times of the rows of ten minutes, and the states of the clock that they were told with."""
    settings: dict[str, Any] = {
        "interval": INTERVAL, "batch": 1, "status_interval": 0, "until": START + 600, "unsealed": True,
        "broker_host": "127.0.0.1", "broker_port": broker.port, "network": NETWORK,
    }  # fmt: skip
    board = {"board": "virtual", "sensors": [{"driver": "sht4x", "bus": "i2c0"}]}
    with (
        Collector(broker.port) as collector,
        VirtualNode(
            folder, settings=settings, board=board, wiring=Wiring({"i2c0": SHT4x(air, air)}),
            start_time=START + LATE, heap=HEAP, wifi=wifi, garbage=GARBAGE,
        ) as node,
    ):  # fmt: skip
        node.start()
        found = [one for one in stored(collector.all_of(node.wait(120))).values() if one.kind == frame.BATCH]
    return sorted(one.time_of(0) for one in found), [one.clock for one in found]


def test_every_row_lies_on_the_stroke_from_the_first_one_on(tmp_path: Path, broker: Broker) -> None:
    found, states = times(tmp_path / "n", broker, WiFi({"city": "a long key"}))
    assert found == list(range(START + INTERVAL, START + 601, INTERVAL))
    assert set(states) == {frame.NETWORK}, "the time is the network's, of each row"


def test_a_network_that_cannot_be_joined_holds_no_row_back(tmp_path: Path, broker: Broker) -> None:
    wifi = WiFi({})
    with VirtualNode(
        tmp_path / "n",
        settings={"interval": INTERVAL, "until": START + 600, "unsealed": True, "network": NETWORK, "drain": 1,
                  "broker_host": "127.0.0.1", "broker_port": broker.port},
        board={"board": "virtual", "sensors": [{"driver": "sht4x", "bus": "i2c0"}]},
        wiring=Wiring({"i2c0": SHT4x(air, air)}), start_time=START + LATE, heap=HEAP, wifi=wifi, garbage=GARBAGE,
    ) as node:  # fmt: skip
        node.start()
        node.run_until(90_000)
        assert [line.text for line in node.logs if "cannot be joined" in line.text]
        assert any("sampling" in line.text for line in node.logs)
