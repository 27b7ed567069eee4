"""The collector against a real Mosquitto: every frame ends in the store once, whatever dies in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from tests.host.brokers import Broker, Publisher
from tests.host.making import NODE, batch, batches

from citymote import Collector, open_store
from citymote.collect import topic_node
from citymote.errors import UsageError
from citymote.simulate import broker_settings
from citymote.transports.mqtt import VARIABLE, Incoming, Subscriber, parse_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from citymote.storage.base import Counts

NAME = NODE.hex()


@pytest.fixture
def broker(mosquitto, tmp_path: Path) -> Iterator[Broker]:
    with Broker(mosquitto.broker, tmp_path / "broker") as running:
        yield running


def subscribe_first(broker: Broker, log=None) -> None:
    """Make the collector's session, so that the broker keeps what comes while nobody is there."""
    subscriber = Subscriber(broker.url, log=log)
    subscriber.start()
    try:
        assert subscriber.wait(20)
    finally:
        subscriber.stop()


def command(broker: Broker, store: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "citymote",
        "collect",
        broker.url,
        "--store",
        str(store),
        "--allow-unsealed",
        "--json",
        *more,
    ]


def collect(broker: Broker, store: Path, *more: str) -> dict[str, object]:
    done = subprocess.run(
        command(broker, store, "--idle", "1.5", *more), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def counts(store: Path) -> Counts:
    with open_store(store, create=False) as place:
        return place.counts()


def test_frames_published_while_away_are_stored(broker: Broker, tmp_path: Path) -> None:
    subscribe_first(broker)
    frames = batches(40)
    with Publisher(broker) as publisher:
        for frame in frames:
            publisher.send(NAME, frame)
    report = collect(broker, tmp_path / "s.db")
    assert report["stored"] == 40
    assert report["aside"] == report["conflicts"] == 0
    with open_store(tmp_path / "s.db") as place:
        assert [frame.data for frame in place.iter_frames()] == frames


@pytest.mark.parametrize("step", [150, pytest.param(37, marks=pytest.mark.slow)])
def test_sigkill_at_any_moment_loses_and_doubles_nothing(broker: Broker, tmp_path: Path, step: int) -> None:
    """`step`: by how many frames more it has grown at each next kill: five kills, or a dozen."""
    subscribe_first(broker)
    store = tmp_path / "s.db"
    total = 3000
    with Publisher(broker) as publisher:
        for frame in batches(total):
            publisher.send(NAME, frame)
    kills = 0
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        before = counts(store).frames if store.exists() else 0
        if before >= total * 0.75:  # the next would want more than there is
            break
        process = subprocess.Popen(command(broker, store), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Kill while frames are coming in: as soon as the store has grown by a different amount each time.
        while process.poll() is None and time.monotonic() < deadline:
            if store.exists() and frames_in(store) > before + step * (kills + 1):
                break
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.003)  # and not all of a core for looking
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        kills += 1
    report = collect(broker, store)
    found = counts(store)
    assert kills >= 3, "the collector was never killed in the middle"
    assert found.frames == total, f"{total - found.frames} frames lost over {kills} kills ({report})"
    assert found.conflicts == found.aside == 0
    assert found.readings == total * 5 * 10


def frames_in(store: Path) -> int:
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM frames").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_a_broker_that_goes_and_comes_back_is_waited_for(broker: Broker, tmp_path: Path) -> None:
    said: list[str] = []
    subscriber = Subscriber(broker.url, log=said.append)
    with open_store(tmp_path / "s.db") as store:
        collector = Collector(subscriber, store, allow_unsealed=True)
        subscriber.start()
        try:
            assert subscriber.wait(20)
            with Publisher(broker) as publisher:
                publisher.send(NAME, batch(0))
            assert collector.run(seconds=20, frames=1).stored == 1
            broker.stop()
            while not any("lost" in line for line in said):
                assert collector.step(0.2) == 0
            broker.start()
            with Publisher(broker) as publisher:
                publisher.send(NAME, batch(1))
            assert collector.run(seconds=40, frames=2).stored == 2
        finally:
            subscriber.stop()
    assert any("again" in line for line in said), said


def test_what_cannot_be_decoded_is_kept_with_its_reason_and_acknowledged(broker: Broker, tmp_path: Path) -> None:
    subscribe_first(broker)
    good = batch(0)
    with Publisher(broker) as publisher:
        publisher.send(NAME, good[:-1])
        publisher.send(NAME, b"not a frame")
        publisher.send(NAME, good)
        publisher.send("ffffffffffff", batch(1))
    report = collect(broker, tmp_path / "s.db")
    assert report["stored"] == 1
    assert report["aside"] == 3
    with open_store(tmp_path / "s.db") as place:
        kept = list(place.aside())
    assert {message.data for message in kept} == {good[:-1], b"not a frame", batch(1)}
    assert kept[0].code == "truncated"
    assert kept[2].code == "topic"
    assert collect(broker, tmp_path / "s.db")["received"] == 0, "the broker still holds what was kept aside"


def test_wrong_password_is_said_and_ends_the_collector(mosquitto, tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    users = folder / "users"
    subprocess.run(
        [mosquitto.passwd, "-b", "-c", users, "collector", "right"], check=True, timeout=30, capture_output=True
    )
    with Broker(mosquitto.broker, folder, f"allow_anonymous false\npassword_file {users}\n") as broker:
        line = command(broker, tmp_path / "s.db", "--idle", "5")
        line[4] = broker.url.replace("://", "://collector@")
        wrong = subprocess.run(
            line, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, VARIABLE: "wrong"}
        )
        assert wrong.returncode == 1
        assert VARIABLE in wrong.stderr, wrong.stderr
        assert "wrong" not in wrong.stderr, "the password was shown"
        with Publisher(broker, "collector", "right") as publisher:
            publisher.send(NAME, batch(0))
        secret = tmp_path / "secret"
        secret.write_text("right\n")
        right = subprocess.run(
            [*line, "--password-file", str(secret)], capture_output=True, text=True, timeout=60, check=False
        )
        assert right.returncode == 0, right.stderr


def test_capture_keeps_every_message(broker: Broker, tmp_path: Path) -> None:
    subscribe_first(broker)
    frames = batches(3)
    with Publisher(broker) as publisher:
        for frame in frames:
            publisher.send(NAME, frame)
    collect(broker, tmp_path / "s.db", "--capture", str(tmp_path / "all.cmcap"))
    from citymote import Decoder

    assert [frame.data for frame in Decoder().frames(tmp_path / "all.cmcap")] == frames


class Memory:
    """A source of messages in memory; notes what is acknowledged when."""

    def __init__(self, payloads: list[bytes], topic: str = f"citymote/{NAME}/frames") -> None:
        self.waiting = [
            Incoming(topic, payload, 1_700_000_000.0, (1, index)) for index, payload in enumerate(payloads, 1)
        ]
        self.acked: list[int] = []

    def take(self, timeout: float, most: int = 1000) -> list[Incoming]:
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return taken

    def ack(self, messages) -> None:
        self.acked += [message.token[1] for message in messages]


def test_nothing_is_acknowledged_before_it_is_committed(tmp_path: Path) -> None:
    source = Memory(batches(3))
    with open_store(tmp_path / "s.db") as store:
        real = store.add

        def failing(*arguments):
            real(*arguments)
            raise OSError("the disk is gone")

        store.add = failing  # type: ignore[method-assign]
        with pytest.raises(OSError, match="gone"):
            Collector(source, store, allow_unsealed=True).step(0)
    assert source.acked == []


def test_a_frame_sent_again_counts_as_a_duplicate(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        collector = Collector(Memory([batch(0), batch(0), batch(1)]), store, allow_unsealed=True)
        collector.step(0)
        assert (collector.report.stored, collector.report.duplicates, collector.report.failed) == (2, 1, 0)


def test_other_bytes_under_one_key_are_a_conflict_that_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    with open_store(tmp_path / "s.db") as store:
        collector = Collector(Memory([batch(0), batch(0, seed=9)]), store, allow_unsealed=True, on_problem=said.append)
        collector.step(0)
        assert collector.report.conflicts == 1
        assert [conflict.data for conflict in store.conflicts()] == [batch(0, seed=9)]
        assert [frame.data for frame in store.iter_frames()] == [batch(0)]
    assert len(said) == 1
    assert NAME in said[0]


def test_without_keys_bare_frames_need_to_be_allowed(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store, pytest.raises(UsageError, match="--allow-unsealed"):
        Collector(Memory([]), store)


def test_stop_from_another_thread_ends_the_run(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        collector = Collector(Memory([]), store, allow_unsealed=True)
        thread = threading.Thread(target=collector.run)
        thread.start()
        collector.stop()
        thread.join(10)
        assert not thread.is_alive()


def test_topic_names_a_node_only_with_twelve_digits() -> None:
    assert topic_node(f"citymote/{NAME}/frames") == NAME
    assert topic_node("citymote/pole-7/frames") is None
    assert topic_node(f"citymote/{NAME.upper()}/frames") is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://host", "no broker URL"),
        ("mqtt://user:secret@host", "carries a password"),
        ("mqtt://host/path", "no path"),
        ("mqtt://host:99999", "no broker URL"),
        ("mqtt://", "no broker URL"),
        ("user:secret@host", "no broker URL"),
        ("mqtt://user:secret/more@host", "no broker URL"),
        ("mqtt://user:12/secret@host", "no path"),
        ("mqtt://user:secret#more@host", "no broker URL"),
    ],
)
def test_urls_that_cannot_be_meant_are_refused_without_their_secrets(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["user:secret@host", "mqtt://user:secret/more@host", "mqtt://user:secret#more@host", "mqtt://u:12/secret@h"]
)
def test_a_nodes_broker_that_cannot_be_meant_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        broker_settings(url)
    assert "secret" not in str(caught.value)


def test_url_defaults() -> None:
    assert str(parse_url("mqtts://me@broker.example")) == "mqtts://me@broker.example:8883"
    assert str(parse_url("mqtt://[::1]")) == "mqtt://[::1]:1883"


def test_a_broker_that_is_not_there_is_said_once_and_waited_for(tmp_path: Path) -> None:
    from tests.host.brokers import free_port

    said: list[str] = []
    subscriber = Subscriber(f"mqtt://127.0.0.1:{free_port()}", log=said.append)
    subscriber.start()
    try:
        assert not subscriber.wait(3)
    finally:
        subscriber.stop()
    assert len(said) == 1
    assert "cannot reach" in said[0]
