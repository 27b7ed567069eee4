"""The duty-cycled profile: asleep between samples, on the same flash and memory, and nothing is lost or said twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from citymote.broker import Broker
from citymote.keys import KeyFile, Opener, generate_collector_key
from citymote.testing.bridge import Wiring
from citymote.testing.emul.sps30 import SPS30
from citymote.testing.vm import VirtualNode

from . import collecting
from .collecting import START, Collector, expected, rows, stored

pytestmark = pytest.mark.usefixtures("run_vm")
MINUTE = 60_000
HEAP = "160k"


def sleeper(folder: Path, hours: float, port: int = 0, **changes: Any) -> VirtualNode:
    return collecting.node(folder, hours, port, **{"heap": HEAP, "profile": "sleep", **changes})


def test_every_row_arrives_and_most_of_the_time_is_slept_through(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, sleeper(tmp_path / "n", 2, broker.port) as n:
        n.start()
        report = n.wait(200).report
        messages = collector.wait(report["frames"])
    assert rows(messages) == expected(1, 60)
    assert report["rows"] == 60
    assert len(messages) == report["frames"] == report["acked"]
    assert n.naps >= 58
    assert n.asleep > 0.95 * n.now, f"asleep {n.asleep / n.now:.1%}"


def test_batches_grow_over_sleeps_and_the_boot_stays_the_same(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, sleeper(tmp_path / "n", 2, broker.port, batch=10) as n:
        n.start()
        messages = collector.wait(n.wait(200).report["frames"])
    frames = stored(messages).values()
    assert max(frame.count for frame in frames if frame.kind == 0) == 10
    boots = {dict(zip(frame.columns, frame.values, strict=True))[103, 0] for frame in frames if frame.kind == 3}
    assert boots == {1}, "waking is no boot"
    uptimes = sorted(dict(zip(f.columns, f.values, strict=True))[102, 0] for f in frames if f.kind == 3)
    assert uptimes[-1] > 3600, "and the uptime goes on"


def test_no_number_of_a_key_is_used_twice_and_flash_is_spared(tmp_path: Path, broker: Broker) -> None:
    keys = KeyFile(collectors=[generate_collector_key()])
    sealed = {"collector_key": keys.collectors[0].public.hex()}
    with Collector(broker.port) as collector, sleeper(tmp_path / "n", 2, broker.port, **sealed) as n:
        n.run_until(30 * MINUTE)
        before = sum(block.programmed for block in n.wear("config"))
        n.run_until(60 * MINUTE)
        wakes = n.naps
        spent = sum(block.programmed for block in n.wear("config")) - before
        n.kill()
        n.start(off=1000)
        messages = collector.all_of(n.wait(200))
        keys.add_node(bytes.fromhex(n.event_data("identity")[0]["public_key"]))
    opened = [Opener(keys).open_envelope(message) for message in messages]
    nonces = [(found.boot_id, found.partial_iv) for found in opened]
    assert len(set(nonces)) == len(nonces)
    assert len({found.boot_id for found in opened}) == 2, "one before the power failed, one after"
    assert wakes > 28
    assert spent < 2000, f"{spent} bytes on /config in half an hour: the clock's notes, no boot counter"
    got = rows([found.frame for found in opened])
    assert set(got) >= set(range(1, 61)) - {30, 31}
    assert all(got[row] == expected(row, row)[row] for row in got)


@pytest.mark.parametrize("at", [31 * MINUTE + 2_000, 31 * MINUTE + 60_000, 32 * MINUTE - 1_000])
def test_power_that_fails_asleep_or_awake_costs_at_most_a_row(tmp_path: Path, broker: Broker, at: int) -> None:
    with Collector(broker.port) as collector, sleeper(tmp_path / "n", 1, broker.port) as n:
        n.run_until(at)
        n.kill()
        n.start(off=5_000)
        got = rows(collector.all_of(n.wait(200)))
    assert set(got) >= set(range(1, 31)) - {16}
    assert all(got[row] == expected(row, row)[row] for row in got)


def test_a_reset_while_awake_makes_a_new_boot_id(tmp_path: Path, broker: Broker) -> None:
    keys = KeyFile(collectors=[generate_collector_key()])
    sealed = {"collector_key": keys.collectors[0].public.hex()}
    with Collector(broker.port) as collector, sleeper(tmp_path / "n", 1, broker.port, **sealed) as n:
        # A crash after waking: the process dies, the memory that lives through sleep stays as it is.
        n.run_until(30 * MINUTE - 500)
        kept = n._kept  # pyright: ignore[reportPrivateUsage]
        assert kept, "it slept before"
        bridge = n._bridge  # pyright: ignore[reportPrivateUsage]
        assert bridge is not None
        assert bridge.kept == b"", "taken out as soon as it was read"
        n.kill()
        n.start()
        messages = collector.all_of(n.wait(200))
        keys.add_node(bytes.fromhex(n.event_data("identity")[0]["public_key"]))
    opened = [Opener(keys).open_envelope(message) for message in messages]
    assert len({found.boot_id for found in opened}) == 2
    assert len({(found.boot_id, found.partial_iv) for found in opened}) == len(opened)


def test_a_broker_that_is_away_is_tried_seldom_and_loses_nothing(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, sleeper(tmp_path / "n", 4, broker.port, grace=50) as n:
        n.at(30 * MINUTE, broker.stop)
        n.at(150 * MINUTE, broker.start)
        n.start()
        messages = collector.all_of(n.wait(250))
        tries = [line.now for line in n.logs if line.text.startswith("broker 127.0.0.1")]
    assert rows(messages) == expected(1, 120)
    assert len(tries) < 40, "a contact is given up after a minute, and the next one is later each time"


def test_a_clock_that_drifts_asleep_is_set_at_each_contact(tmp_path: Path, broker: Broker) -> None:
    # One in a hundred: what the slow oscillator of a chip may be off.
    with Collector(broker.port) as collector, sleeper(tmp_path / "n", 3, broker.port, drift=10_000, batch=1) as n:
        n.start()
        frames = stored(collector.all_of(n.wait(200)))
    times = sorted(frame.time_of(r) for frame in frames.values() if frame.kind == 0 for r in range(frame.count))
    assert all((time - START) % 120 == 0 for time in times), "rows keep to the node's clock"
    assert len(times) >= 88
    states = {frame.clock for frame in frames.values() if frame.kind == 0}
    assert states == {2}


def test_a_day_without_contact_makes_the_clock_an_estimate(tmp_path: Path, broker: Broker) -> None:
    changes = {"interval": 1800, "batch": 4, "status_interval": 0, "grace": 20}
    with Collector(broker.port) as collector, sleeper(tmp_path / "n", 60, broker.port, **changes) as n:
        n.at(2 * 60 * MINUTE, broker.stop)
        n.at(56 * 60 * MINUTE, broker.start)
        n.start()
        frames = stored(collector.all_of(n.wait(250)))
    batches = [frame for frame in frames.values() if frame.kind == 0]
    assert sum(frame.count for frame in batches) == 120
    # Rows of the second day were kept undated, and are dated by what the next contact says: nothing stays estimated.
    assert {frame.clock for frame in batches} == {2}


def test_without_any_time_rows_go_out_by_uptime_over_sleeps(tmp_path: Path, broker: Broker) -> None:
    with (
        Collector(broker.port) as collector,
        sleeper(tmp_path / "n", 2, broker.port, network_time=False, until=0) as n,
    ):
        n.run_until(hours=2)
        n.kill()
        batches = [frame for frame in stored(collector.messages).values() if frame.kind == 0]
    assert {frame.clock for frame in batches} == {0}
    times = [frame.time_of(r) for frame in batches for r in range(frame.count)]
    assert times == sorted(set(times))
    assert len(times) >= 30


def test_a_fan_is_off_while_the_node_sleeps(tmp_path: Path) -> None:
    dust = SPS30(*(collecting_air,) * 3)
    board = {"board": "virtual", "sensors": [{"driver": "sps30", "bus": "i2c0"}]}
    n = VirtualNode(
        tmp_path / "n",
        board=board,
        settings={"until": START + 3600, "profile": "sleep", "interval": 600},
        wiring=Wiring({"i2c0": dust}),
        start_time=START,
        heap=HEAP,
    )
    with n:
        n.start()
        report = n.wait(60, check=False).report
    assert report["rows"] == 6
    assert report["readings"] == 24, "each row woke the fan in time"
    # Awake through the first interval, which teaches it how long the fan takes; then half a minute for each row.
    assert n.asleep > 0.93 * (n.now - 600_000), f"asleep {n.asleep / n.now:.1%}"


def collecting_air(_now: int) -> float | None:
    return 10.0


def test_what_cannot_be_slept_through_is_named_and_the_node_stays_awake(tmp_path: Path, broker: Broker) -> None:
    climate, replay = collecting.BOARD["sensors"]
    board = collecting.BOARD | {"sensors": [climate, replay, {"driver": "rain_gauge", "bus": "counter0"}]}
    with Collector(broker.port) as collector, sleeper(tmp_path / "n", 0.5, broker.port, board=board) as n:
        n.start()
        collector.wait(n.wait(60).report["frames"])
    assert n.naps == 0
    assert any("no sleep with rain_gauge" in line.text for line in n.logs)


def test_settings_changed_meanwhile_start_the_node_anew(tmp_path: Path, broker: Broker) -> None:
    keys = KeyFile(collectors=[generate_collector_key()])
    with Collector(broker.port), sleeper(tmp_path / "n", 1, broker.port) as n:
        n.run_until(20 * MINUTE)
        path = n.directory / "settings.json"
        path.write_text(path.read_text()[:-1] + f', "collector_key": "{keys.collectors[0].public.hex()}"}}')
        n.run_until(30 * MINUTE)
        n.kill()
    boots = [line.text for line in n.logs if ", boot " in line.text]
    assert len(boots) == 2, boots
