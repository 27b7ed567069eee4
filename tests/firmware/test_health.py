"""What a status frame tells of its node, read off the frames of a real one to which all of it happens."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import citymote
from citymote.broker import Broker
from citymote.testing.bridge import Wiring
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.vm import GARBAGE, VirtualNode
from citymote.testing.wifi import WiFi
from citymote_protocol import frame

from .collecting import HEAP, START, Collector, stored

pytestmark = pytest.mark.usefixtures("run_vm")
MINUTE = 60_000
INTERVAL = 60
NETWORK = {"ssid": "city", "key": "a long key"}
CLIMATE: dict[str, Any] = {"driver": "sht4x", "bus": "i2c0"}


def air(chip_now: int) -> float:
    del chip_now
    return 21.5


def told(
    folder: Path,
    broker: Broker,
    minutes: int,
    prepare: Callable[[VirtualNode], None] = lambda node: None,
    wifi: WiFi | None = None,
    restarts: tuple[int, ...] = (),
    **settings: Any,
) -> tuple[dict[str, list[float | None]], list[Any]]:
    """(quantity: what each status says of it, in their order; all frames) of a node that tells each ten minutes."""
    given: dict[str, Any] = {
        "interval": INTERVAL, "batch": 5, "status_interval": 600, "until": START + minutes * 60, "unsealed": True,
        "broker_host": "127.0.0.1", "broker_port": broker.port,
    }  # fmt: skip
    wiring = Wiring({"i2c0": SHT4x(air, air)})
    board = {"board": "virtual", "sensors": [CLIMATE]}
    with (
        Collector(broker.port) as collector,
        VirtualNode(
            folder, settings=given | settings, board=board, wiring=wiring, start_time=START, heap=HEAP, wifi=wifi,
            garbage=GARBAGE,
        ) as node,
    ):  # fmt: skip
        prepare(node)
        for minute in restarts:
            node.run_until(minute * MINUTE)
            node.kill()
            node.start(off=1000)
        if not restarts:
            node.start()
        frames = list(stored(collector.all_of(node.wait(120))).values())
    statuses = sorted((one for one in frames if one.kind == frame.STATUS), key=lambda one: one.seq)
    names = [citymote.registry.quantity(number).name for number, _ in statuses[0].columns]
    return {name: [one.values[index] for one in statuses] for index, name in enumerate(names)}, frames


def test_the_signal_is_that_of_the_network_that_it_has_joined(tmp_path: Path, broker: Broker) -> None:
    wifi = WiFi({"city": "a long key"}, signal=-67)

    def prepare(node: VirtualNode) -> None:
        node.at(20 * MINUTE, lambda: setattr(wifi, "signal", -91))

    said, _ = told(tmp_path / "n", broker, 45, prepare, wifi, network=NETWORK)
    assert said["signal_strength"] == [-67, -67, -91, -91, -91], "joined for the time, before the first row"


def test_without_a_radio_network_the_signal_is_absent(tmp_path: Path, broker: Broker) -> None:
    said, _ = told(tmp_path / "n", broker, 15)
    assert said["signal_strength"] == [None, None]


def test_a_node_that_sleeps_tells_the_signal_of_its_last_contact(tmp_path: Path, broker: Broker) -> None:
    wifi = WiFi({"city": "a long key"}, signal=-71)
    said, _ = told(tmp_path / "n", broker, 45, wifi=wifi, network=NETWORK, profile="sleep")
    assert set(said["signal_strength"]) == {-71}


def test_a_sensor_that_falls_silent_grows_old(tmp_path: Path, broker: Broker) -> None:
    def prepare(node: VirtualNode) -> None:
        node.at(25 * MINUTE + 1, lambda: node.wiring.fault("i2c0", errno.ENODEV))
        node.at(45 * MINUTE + 1, lambda: node.wiring.fault("i2c0", None))

    said, _ = told(tmp_path / "n", broker, 62, prepare)
    ages = said["sensor_age"]
    assert ages[0] == 1_000_000_000, "never heard of, before the first row"
    assert all(age is not None and age < INTERVAL for age in (ages[1], ages[2], ages[-1])), ages
    silent = [age for age in ages if age is not None and INTERVAL <= age < 1_000_000_000]
    assert len(silent) == 2
    assert silent[1] - silent[0] == 600, "it is as much older as the time between the two"


def test_what_waits_in_the_store_is_counted(tmp_path: Path, broker: Broker) -> None:
    def prepare(node: VirtualNode) -> None:
        node.at(24 * MINUTE + 30_000, broker.stop)
        node.at(30 * MINUTE + 30_000, broker.start)

    said, _ = told(tmp_path / "n", broker, 55, prepare, batch=1, batch_backlog=1)
    depth, failures = said["store_depth"], said["link_failures"]
    assert depth[2] == 1, "the row that has just been taken"
    assert depth[3] == 6, "a frame for each row since the broker went"
    assert depth[5] == 1, "and all that is gone out again"
    assert failures[3] > failures[2]


def test_why_it_started_and_how_often_is_told(tmp_path: Path, broker: Broker) -> None:
    said, _ = told(tmp_path / "n", broker, 30, restarts=(13,))
    assert set(said["reset_cause"]) == {1}, "power"
    assert said["boot_count"] == [1, 1, 2, 2]
    first, second, anew, last = said["uptime"]
    assert (first, anew) == (0, 0)
    assert all(600 <= uptime < 900 for uptime in (second, last) if uptime), "ten minutes, and to the end of a batch"


def test_waking_is_no_new_boot_and_its_uptime_goes_on(tmp_path: Path, broker: Broker) -> None:
    said, _ = told(tmp_path / "n", broker, 45, profile="sleep")
    assert said["reset_cause"][0] == 1
    assert set(said["reset_cause"][1:]) == {4}, "sleep"
    assert set(said["boot_count"]) == {1}
    assert said["uptime"] == sorted(said["uptime"])
