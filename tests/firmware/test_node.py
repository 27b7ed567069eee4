"""The whole node, the real firmware on a real MicroPython, against brokers that come and go and power that fails.

Each reading arrives once and equal, whatever happened to the broker, the power or the clock; what the node says about
itself is looked at as well. TLS is in `test_node_tls`.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.host import brokers

import citymote
from citymote.broker import Broker
from citymote.descriptor import Descriptor, Position
from citymote.keys import KeyFile, Opener, generate_collector_key
from citymote_protocol.frame import decode
from citymote_protocol.read_header import is_envelope

from . import collecting
from .collecting import START, Collector, expected, node, rows, stored

pytestmark = pytest.mark.usefixtures("run_vm")
MINUTE = 60_000
HOUR = 60 * MINUTE


@pytest.fixture
def mosquitto_broker(mosquitto: object, tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.Broker(mosquitto.broker, tmp_path / "mosquitto") as found:  # type: ignore[attr-defined]
        yield found


def test_every_reading_of_three_hours_arrives_once_and_equal(tmp_path: Path, mosquitto_broker: brokers.Broker) -> None:
    with Collector(mosquitto_broker.port) as collector, node(tmp_path / "n", 3, mosquitto_broker.port) as n:
        n.start()
        report = n.wait(60).report
        messages = collector.wait(report["frames"])
    assert rows(messages) == expected(1, 90)
    assert len(messages) == report["frames"] == report["acked"]
    assert report["rows"] == 90
    assert report["readings"] == 900
    kinds = [frame.kind for frame in stored(messages).values()]
    assert kinds.count(4) == 1, "one descriptor"
    assert kinds.count(3) == 4, "a status at start and every hour"


def described(tmp_path: Path, broker: Broker, board: dict[str, Any], **settings: Any) -> Descriptor:
    with Collector(broker.port) as collector, node(tmp_path / "n", 0.1, broker.port, board=board, **settings) as n:
        n.start()
        messages = collector.wait(n.wait(60).report["frames"])
    (found,) = citymote.descriptors(messages)
    return found


def test_a_node_says_what_its_board_knows_of_sensors_and_support(tmp_path: Path, broker: Broker) -> None:
    climate, replay = collecting.BOARD["sensors"]
    facts = {"serial": "A1", "batch": "2026-W07", "calibrated": 9500, "pm_class": 1, "model": "SHT45"}
    about = {"maker": "Example Works", "hardware": "rev C", "support_until": 13149}
    board = collecting.BOARD | {"about": about, "sensors": [climate | {"about": facts}, replay]}
    found = described(tmp_path, broker, board)
    assert (found.model, found.maker, found.hardware) == ("virtual", "Example Works", "rev C")
    assert found.support_until == date(2036, 1, 1)
    assert found.runtime.startswith("micropython 1.")
    first, second = found.sensors
    assert (first.driver, first.serial, first.batch, first.model) == ("sht4x", "A1", "2026-W07", "SHT45")
    assert (first.calibrated, first.pm_class) == (date(2026, 1, 4), 1)
    assert [sense.quantity for sense in first.senses] == ["temperature", "humidity"]
    assert (second.driver, second.serial, second.pm_class) == ("replay", "", None)
    assert len(found.batch_columns) == 10


def test_a_node_says_where_its_owner_has_put_it(tmp_path: Path, broker: Broker) -> None:
    place = [37_566_500, 126_978_000, 4]
    found = described(tmp_path, broker, collecting.BOARD, station="pole-17", place=place)
    assert (found.station, found.position) == ("pole-17", Position(37.5665, 126.978, 4))


def test_what_is_unusual_does_not_wait_for_its_batch(tmp_path: Path, broker: Broker) -> None:
    climate, replay = collecting.BOARD["sensors"]
    # Rows bring 101, 102, 103 ... tenths of a degree; with four readings a row, three of each come before its end.
    board = collecting.BOARD | {"sensors": [climate | {"alarms": {"temperature": [0, 109]}, "reads": 4}, replay]}
    sent: list[int] = []
    with Collector(broker.port) as collector, node(tmp_path / "n", 0.5, broker.port, board=board, batch=60) as n:
        n.on_event(lambda event: sent.append(event.now), "acked")
        n.start()
        messages = collector.wait(n.wait(60).report["frames"])
    frames = stored(messages)
    (event,) = [frame for frame in frames.values() if frame.kind == 1]
    assert (event.columns, event.values) == (((3, 0),), [110])
    begins = START + 9 * collecting.INTERVAL
    assert begins < event.time <= begins + collecting.INTERVAL // 4, "the first reading of the row that is unusual"
    assert any(abs(START * 1000 + now - event.time * 1000) < 2000 for now in sent), "it was sent at once"
    assert rows(messages) == expected(1, 15), "the batch reports it as well"


def test_the_end_of_what_is_unusual_is_an_event_too(tmp_path: Path, broker: Broker) -> None:
    climate, replay = collecting.BOARD["sensors"]
    board = collecting.BOARD | {
        "sensors": [climate | {"alarms": {"humidity": [0, 303], "temperature": [104, 200]}}, replay]
    }
    with Collector(broker.port) as collector, node(tmp_path / "n", 0.5, broker.port, board=board) as n:
        n.start()
        messages = collector.wait(n.wait(60).report["frames"])
    events = [frame for frame in stored(messages).values() if frame.kind == 1]
    assert [(event.columns[0][0], event.values[0]) for event in sorted(events, key=lambda frame: frame.seq)] == [
        (3, 101),  # too cold from the start
        (3, 104),  # and usual again
        (4, 304),  # too damp
    ]


def test_facts_that_no_frame_can_carry_do_not_stop_the_node(tmp_path: Path, broker: Broker) -> None:
    climate, replay = collecting.BOARD["sensors"]
    board = collecting.BOARD | {"sensors": [climate | {"about": {"serial": "x" * 65, "calibrated": "soon"}}, replay]}
    found = described(tmp_path, broker, board)
    assert [(sensor.driver, sensor.serial) for sensor in found.sensors] == [("sht4x", ""), ("replay", "")]


def test_packed_frames_say_the_same(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, node(tmp_path / "n", 2, broker.port, packed=True) as n:
        n.start()
        messages = collector.wait(n.wait(60).report["frames"])
    assert rows(messages) == expected(1, 60)
    assert all(frame.packed for frame in stored(messages).values() if frame.kind == 0)


def test_a_broker_that_vanishes_and_comes_back_costs_nothing(tmp_path: Path, mosquitto_broker: brokers.Broker) -> None:
    with Collector(mosquitto_broker.port) as collector, node(tmp_path / "n", 4, mosquitto_broker.port, grace=200) as n:
        n.at(70 * MINUTE, mosquitto_broker.stop)
        n.at(80 * MINUTE, mosquitto_broker.start)
        n.start()
        report = n.wait(100).report
        messages = collector.wait(report["frames"])
    assert report["pending"] == 0
    assert rows(messages) == expected(1, 120)


def test_while_nobody_listens_frames_grow_long_and_the_status_waits(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, node(tmp_path / "n", 24, broker.port, grace=50) as n:
        n.at(1 * HOUR + 1, broker.stop)
        n.at(22 * HOUR, broker.start)
        n.start()
        report = n.wait(100).report
        messages = collector.wait(report["frames"])
    assert rows(messages) == expected(1, 720)
    frames = [frame for frame in stored(messages).values() if frame.kind == 0]
    assert max(frame.count for frame in frames) == 60
    statuses = [frame.time for frame in stored(messages).values() if frame.kind == 3]
    assert len(statuses) < 14, "no status an hour into a queue"


def test_a_backlog_goes_out_within_the_budget(tmp_path: Path, broker: Broker) -> None:
    changes = {"batch": 1, "batch_backlog": 1, "publish_rate": 10, "status_interval": 0, "drain": 7200}
    with Collector(broker.port), node(tmp_path / "n", 12, broker.port, **changes) as n:
        n.at(1, broker.stop)
        n.at(10 * HOUR, broker.start)
        n.start()
        report = n.wait(100).report
        acked = [event.now for event in n.events if event.name == "acked"]
    assert report["pending"] == 0
    assert len(acked) == 360
    for i, at in enumerate(acked):
        within = sum(1 for other in acked[i:] if other < at + 10 * MINUTE)
        assert within <= 60 + 10 * 10 + 5, f"{within} frames in ten minutes"


def test_attempts_to_connect_are_spread_and_never_stop(tmp_path: Path, broker: Broker) -> None:
    broker.stop()
    with node(tmp_path / "n", 6, broker.port, drain=0, grace=20) as n:
        n.start()
        n.wait(60, check=False)
        tries = [line.now for line in n.logs if line.text.startswith("broker 127.0.0.1: ")]
    waits = [(b - a) / 1000 for a, b in pairwise(tries)]
    assert waits[0] <= 2
    assert max(waits) <= 301
    assert min(waits[9:]) >= 149
    assert len({round(wait) for wait in waits[9:]}) > 10, "not at the same distance every time"


@pytest.mark.parametrize("seconds", [1, 119, 121, 3599, 4003])
def test_a_node_killed_at_any_moment_loses_at_most_the_row_in_progress(
    tmp_path: Path, broker: Broker, seconds: int
) -> None:
    with Collector(broker.port) as collector, node(tmp_path / "n", 2, broker.port) as n:
        n.run_until(seconds * 1000)
        n.kill()
        n.start(off=10_000)
        messages = collector.all_of(n.wait(60))
    got = rows(messages)
    due = expected(1, 60)
    killed_in = seconds // 120 + 1
    assert {row: values for row, values in got.items() if row != killed_in} == {
        row: values for row, values in due.items() if row != killed_in
    }


def test_kills_again_and_again_store_no_row_twice(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, node(tmp_path / "n", 3, broker.port) as n:
        for seconds in range(700, 10000, 1300):
            n.run_until(seconds * 1000)
            n.kill()
            n.start(off=3_000)
        got = rows(collector.all_of(n.wait(60)))
    assert len(got) >= 90 - 8
    assert all(got[row] == expected(row, row)[row] for row in got)


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("flash", ["store", "config"])
def test_power_cut_within_a_write_is_survived(tmp_path: Path, broker: Broker, flash: str, torn: bool) -> None:
    with Collector(broker.port) as collector, node(tmp_path / "n", 2, broker.port) as n:
        n.run_until(20 * MINUTE)
        n.kill()
        for at in (1, 3, 8, 21):
            n.cut_power(flash, at, torn=torn)
            n.start()
            n.wait(60, check=False)
        if n.endings[-1].code:
            n.start()
            n.wait(60)
        got = rows(collector.all_of(n.endings[-1]))
    assert all(got[row] == expected(row, row)[row] for row in got)
    assert len(got) >= 60 - 5


def test_the_same_seed_and_data_give_the_same_frames(tmp_path: Path, broker: Broker) -> None:
    def run(name: str) -> list[bytes]:
        with Collector(broker.port) as collector, node(tmp_path / name, 6, broker.port, seed=5) as n:
            n.start()
            return collector.wait(n.wait(60).report["frames"])

    first = run("a")
    assert run("b")[-len(first) :] == first


def test_readings_taken_before_the_time_is_known_are_dated_afterwards(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, node(tmp_path / "n", 2, broker.port, network_time=False) as n:
        n.at(31 * MINUTE, lambda: collecting.answer_for_time(n))
        n.start()
        frames = stored(collector.all_of(n.wait(60)))
    batches = [frame for frame in frames.values() if frame.kind == 0]
    assert {frame.clock for frame in batches} == {2}
    times = sorted(frame.time_of(row) for frame in batches for row in range(frame.count))
    assert times[0] == START + 120, "the first row, dated half an hour later"
    assert len(times) >= 59


def test_without_any_time_readings_go_out_as_what_they_are(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, node(tmp_path / "n", 2, broker.port, network_time=False, until=0) as n:
        n.run_until(hours=2)
        n.kill()
        batches = [frame for frame in stored(collector.messages).values() if frame.kind == 0]
    assert {frame.clock for frame in batches} == {0}
    assert min(frame.time for frame in batches) == 120
    assert sum(frame.count for frame in batches) >= 50


def test_a_status_tells_of_what_was_discarded(tmp_path: Path, broker: Broker) -> None:
    late = 70 * HOUR
    with (
        Collector(broker.port) as collector,
        node(tmp_path / "n", 72, broker.port, store_capacity=65536, batch=1, batch_backlog=1, grace=20) as n,
    ):
        n.at(1 * HOUR + 1, broker.stop)
        n.at(late, broker.start)
        n.start()
        report = n.wait(200).report
        messages = collector.all_of(n.endings[-1])
    frames = stored(messages)
    assert report["discarded_rows"] > 0
    got = rows(messages)
    missing = sorted(set(range(1, 2161)) - set(got))
    # A frame under way when its segment goes, or the broker does, counts as discarded and may have arrived.
    assert 0 <= report["discarded_rows"] - len(missing) <= 8
    assert missing[-1] - missing[0] < len(missing) + 8, "the oldest go, in one piece"
    assert max(missing) < 2160 - 800, "the newest stay"
    last = max((frame for frame in frames.values() if frame.kind == 3), key=lambda frame: frame.time)
    assert last.values[[c[0] for c in last.columns].index(107)] == report["discarded_frames"]


def test_bad_settings_are_named_and_the_node_lives(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, node(tmp_path / "n", 1, broker.port, batch=-3, colour="red") as n:
        n.start()
        messages = collector.all_of(n.wait(60))
    said = [line.text for line in n.logs]
    assert any("batch: -3 is not between 1 and 255" in text for text in said)
    assert any("colour: no such setting" in text for text in said)
    assert rows(messages) == expected(1, 30)


def test_a_refused_login_has_its_reason_and_the_password_is_nowhere(tmp_path: Path) -> None:
    with Broker(users={"pole": "right"}) as broker:
        n = node(tmp_path / "n", 1, broker.port, broker_user="pole", broker_password="hunter2secret", drain=60)
        with n:
            n.start()
            ending = n.wait(60, check=False)
    assert ending.code == 3
    assert ending.report["reason"] == "pending"
    assert any("bad user name or password" in line.text or "not authorized" in line.text for line in n.logs)
    assert "hunter2secret" not in str(n.logs) + n.output()


def test_frames_are_sealed_for_the_collector_over_restarts_and_nothing_goes_bare(
    tmp_path: Path, broker: Broker
) -> None:
    keys = KeyFile(collectors=[generate_collector_key()])
    with (
        Collector(broker.port) as collector,
        node(tmp_path / "n", 2, broker.port, collector_key=keys.collectors[0].public.hex()) as n,
    ):
        n.run_until(50 * MINUTE + 30_000)
        n.kill()
        n.start(off=5_000)
        messages = collector.all_of(n.wait(60))
        keys.add_node(bytes.fromhex(n.event_data("identity")[0]["public_key"]))
        opener = Opener(keys)
        opened = [opener.open_envelope(message) for message in messages]
    assert len({found.boot_id for found in opened}) == 2
    assert len({(found.boot_id, found.partial_iv) for found in opened}) == len(opened), "a nonce twice"
    got = rows([found.frame for found in opened])
    assert {row: got[row] for row in got if row != 26} == {
        row: values for row, values in expected(1, 60).items() if row != 26
    }


def test_a_collector_key_that_is_none_keeps_every_frame_at_home(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, node(tmp_path / "n", 1, broker.port, collector_key="02" + "ff" * 32) as n:
        n.start()
        ending = n.wait(60, check=False)
        assert collector.messages == []
    assert ending.report["pending"] == ending.report["frames"] > 0
    assert any("frames cannot be sealed" in line.text for line in n.logs)


def test_without_a_collector_key_frames_wait_until_there_is_one(tmp_path: Path, broker: Broker) -> None:
    key = generate_collector_key().public.hex()
    with Collector(broker.port) as collector, node(tmp_path / "n", 2, broker.port, unsealed=False) as n:
        n.run_until(50 * MINUTE + 30_000)
        n.kill()
        assert collector.messages == []
        assert any("frames wait here" in line.text for line in n.logs)
        (path,) = (tmp_path / "n").rglob("settings.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"collector_key": key}))
        n.start(off=5_000)
        ending = n.wait(60)
        messages = collector.all_of(ending)
    assert ending.report["pending"] == 0
    assert all(is_envelope(message) for message in messages)


def test_a_collector_key_goes_before_the_leave_to_send_bare_frames(tmp_path: Path, broker: Broker) -> None:
    key = generate_collector_key().public.hex()
    with (
        Collector(broker.port) as collector,
        node(tmp_path / "n", 1, broker.port, collector_key=key, unsealed=True) as n,
    ):
        n.start()
        collector.wait(n.wait(60).report["frames"])
    assert all(is_envelope(message) for message in collector.messages)


def test_login_and_link_state(tmp_path: Path) -> None:
    with (
        Broker(users={"pole": "right", "eye": "x"}) as broker,
        Collector(broker.port, "eye", "x") as collector,
        node(tmp_path / "n", 1, broker.port, broker_user="pole", broker_password="right") as n,
    ):
        n.start()
        collector.wait(n.wait(60).report["frames"])
    topics = {topic.rsplit("/", 1)[1]: payload for topic, payload in collector.others}
    assert topics["link"] in (b"online", b"offline")


def test_two_days_leave_the_heap_as_it_was(tmp_path: Path, broker: Broker) -> None:
    with Collector(broker.port) as collector, node(tmp_path / "n", 48, broker.port, memory=True) as n:
        n.start()
        statuses = [decode(message) for message in collector.all_of(n.wait(100))]
    free = [frame.values[0] for frame in statuses if frame.kind == 3]
    first, last = sorted(free[3 : len(free) // 2]), sorted(free[len(free) // 2 :])
    assert last[len(last) // 2] > first[len(first) // 2] - 1500, f"the heap shrinks: {free[::6]}"
    assert min(free[3:]) > max(free[3:]) - 6144, f"a moment takes too much: {free[::6]}"
    assert ssl.OPENSSL_VERSION  # the peers' side of the TLS tests is the system's OpenSSL
    assert collecting.HEAP
