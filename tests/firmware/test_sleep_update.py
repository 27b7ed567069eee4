"""A node that sleeps updates itself at its contacts: no row is lost, and nothing that leads nowhere keeps it awake."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.file_server import FileServer

from citymote.broker import Broker
from citymote.testing import slots
from citymote.testing.bridge import Event
from citymote.testing.vm import VirtualNode

from .collecting import START, Collector, rows
from .test_update import (
    CONFIRMED,
    DOWNLOADING,
    EMERGENCY,
    GIVEN_BACK,
    NEW,
    RELEASE,
    ROLLED_BACK,
    TRIAL,
    VERIFIED,
    WINDOW,
    A,
    B,
    Publisher,
    confirmed_at,
    identify,
    slotted,
    states,
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("run_vm")
MINUTE = 60_000
INTERVAL = 600


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "www")


def sleeper(
    folder: Path, hours: float, broker: Broker, server: FileServer | None, grace: int = 200, **settings: Any
) -> VirtualNode:
    """It samples every ten minutes and asks every twenty or so; a reply that does not come costs the test little."""
    settings = {"profile": "sleep", "interval": INTERVAL, "update_interval": 1200, "batch": 2} | settings
    node = slotted(folder, hours, broker, server, **settings)
    node.grace = grace
    return node


@contextmanager
def sleeping(
    folder: Path, hours: float, broker: Broker, publisher: Publisher, **settings: Any
) -> Iterator[tuple[Collector, FileServer, VirtualNode]]:
    """Such a node, whom its frames reach, and where it asks."""
    with (
        Collector(broker.port) as collector,
        FileServer(publisher.folder) as server,
        sleeper(folder, hours, broker, server, **settings) as node,
    ):
        yield collector, server, node


def instants(hours: float) -> set[int]:
    """The rows, of two minutes each, that end with an interval of such a node."""
    return {row for row in range(1, int(hours * 30) + 1) if (START + 120 * row) % INTERVAL == 0}


def asked(publisher: Publisher, node: VirtualNode) -> int:
    """Bytes of the answer to a question for an update: the envelope comes once to be known, and once to be kept."""
    offer = f"nodes/{node.event_data('identity')[0]['node']}.suit"
    return sum((publisher.folder / path).stat().st_size for path in ("keys", offer, offer))


def booted(slot: int, floor: int, why: int = 0) -> slots.BootRecord:
    return slots.BootRecord(slot, trial=False, starts=0, why=why, floor=floor)


def test_a_sleeping_node_updates_itself_and_no_row_is_lost(
    tmp_path: Path, broker: Broker, publisher: Publisher
) -> None:
    with sleeping(tmp_path / "n", 3, broker, publisher) as (collector, _, node):
        publisher.publish(identify(node), NEW)
        messages = collector.all_of(node.wait(120))
        said = node.last_words()
    assert slots.boot_record(node.directory) == booted(B, 2), said
    assert states(node)[-3:] == [VERIFIED, TRIAL, CONFIRMED]
    assert rows(messages).keys() == instants(3), "no row is lost, none is there twice"
    awake = node.now - node.asleep
    assert awake < 22 * MINUTE, f"the first interval, the trial's and moments: {awake / MINUTE:.1f} minutes"


def test_it_asks_now_and_then_and_not_at_every_contact(tmp_path: Path, broker: Broker, publisher: Publisher) -> None:
    with sleeping(tmp_path / "n", 4, broker, publisher, update_interval=3600) as (collector, server, node):
        node.start()
        collector.all_of(node.wait(120))
    asked = [path for path, _ in server.requests if path == "/keys"]
    assert 2 <= len(asked) <= 8
    assert node.asleep > 0.95 * node.now


def test_a_refused_offer_is_not_verified_again_after_a_sleep(
    tmp_path: Path, broker: Broker, publisher: Publisher
) -> None:
    with sleeping(tmp_path / "n", 4, broker, publisher, update_root="02" * 33) as (collector, server, node):
        publisher.publish(identify(node), NEW)
        collector.all_of(node.wait(120))
    assert len([path for path, _ in server.requests if path.startswith("/nodes/")]) > 4
    assert len([line for line in node.logs if "updates:" in line.text]) == 1


@pytest.mark.parametrize("away", ["refuses", "says nothing"])
def test_a_file_server_that_does_not_answer_costs_no_row_and_little_power(
    tmp_path: Path, broker: Broker, away: str
) -> None:
    with socket.socket() as silent, Collector(broker.port) as collector:
        silent.bind(("127.0.0.1", 0))
        if away == "says nothing":
            silent.listen(64)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with sleeper(tmp_path / "n", 2, broker, None, update_url=url) as node:
            node.start()
            messages = collector.all_of(node.wait(120))
    tries = [line.text for line in node.logs if "updates:" in line.text]
    assert 3 <= len(tries) <= 10
    assert rows(messages).keys() == instants(2)
    awake = node.now - node.asleep - 10 * MINUTE  # the first interval
    assert awake < (len(tries) if away == "says nothing" else 1) * MINUTE + 12 * 5_000


def test_a_file_server_that_does_not_answer_costs_no_row_of_a_short_interval(tmp_path: Path, broker: Broker) -> None:
    with socket.socket() as silent, Collector(broker.port) as collector:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with sleeper(tmp_path / "n", 0.15, broker, None, update_url=url, interval=20, update_interval=60) as node:
            node.start()
            report = node.wait(120).report
            collector.wait(report["frames"])
    assert any("updates: no answer in time" in line.text for line in node.logs)
    assert report["rows"] == 27, "it goes on sampling while it waits"


def test_a_download_that_stalls_is_left_and_goes_on_at_a_later_contact(
    tmp_path: Path, broker: Broker, publisher: Publisher
) -> None:
    with sleeping(tmp_path / "n", 4, broker, publisher) as (collector, server, node):
        big = "TEXT = (%s)\n" % "".join(f"'{k * k * 7919 % 99991:05x}'\n" for k in range(4000))
        made = publisher.publish(identify(node), {"node/extra.py": big})
        size = next(len(file.packed) for file in made if file.name == "node/extra.py")
        assert size > 10_000
        # it lacks two files, of which this one comes first
        server.stall = server.sent + asked(publisher, node) + 8_000
        while not server.stalled:
            node.run_until(node.now + 5 * MINUTE)
        at, asleep = node.now, node.asleep
        node.run_until(at + 30 * MINUTE)
        assert node.asleep - asleep > 20 * MINUTE, "it does not wait for the server"
        assert states(node)[-1] == DOWNLOADING
        server.resume()
        messages = collector.all_of(node.wait(120))
        said = node.last_words()
    assert slots.boot_record(node.directory) == booted(B, 2), said
    offsets = [int(wanted.removeprefix("bytes=").rstrip("-")) for _, wanted in server.requests if wanted]
    assert offsets, "the rest is asked for, not the whole"
    assert min(offsets) >= 4096
    assert rows(messages).keys() == instants(4)


def test_a_loss_of_power_in_the_middle_costs_the_update_nothing(
    tmp_path: Path, broker: Broker, publisher: Publisher
) -> None:
    with sleeping(tmp_path / "n", 4, broker, publisher) as (collector, _, node):
        publisher.publish(identify(node), NEW)
        cut: list[int] = []

        def heard(event: Event) -> None:
            if event.data["state"] == DOWNLOADING and event.data["progress"] and not cut:
                cut.append(event.data["progress"])
                node.kill()

        node.on_event(heard, "update")
        assert node.wait(120, check=False).code == -9
        assert 0 < cut[0] < 100
        node.start(off=1000)
        collector.all_of(node.wait(120))
    assert slots.boot_record(node.directory) == booted(B, 2)


def test_a_bad_release_is_rolled_back_and_the_node_sleeps_on(
    tmp_path: Path, broker: Broker, publisher: Publisher
) -> None:
    with sleeping(tmp_path / "n", 4, broker, publisher) as (collector, _, node):
        publisher.publish(identify(node), {"fit.py": "raise ValueError('nothing fits')\n"})
        messages = collector.all_of(node.wait(120))
    record = slots.boot_record(node.directory)
    assert record is not None
    assert (record.slot, record.trial, record.floor) == (A, False, 0)
    assert states(node).count(VERIFIED) == 1, "and it is not taken again"
    assert states(node)[-1] == ROLLED_BACK
    assert rows(messages).keys() == instants(4)
    assert node.now - node.asleep < 32 * MINUTE, "three first intervals at most"


def test_a_release_that_reaches_nobody_is_given_back_within_its_time(
    tmp_path: Path, broker: Broker, publisher: Publisher
) -> None:
    with sleeping(tmp_path / "n", 4, broker, publisher) as (collector, _, node):
        publisher.publish(identify(node), {"connect.py": "raise OSError(5)\n"})
        messages = collector.all_of(node.wait(120))
        said = node.last_words()
    assert slots.boot_record(node.directory) == booted(A, 0, GIVEN_BACK), said
    assert any("no frame acknowledged" in line.text for line in node.logs)
    assert rows(messages).keys() == instants(4), "it samples in its trial, and what it measured is there"
    assert node.now - node.asleep < 80 * MINUTE, "awake for the trial, half an hour and two intervals, and no longer"


def windowed(
    folder: Path, broker: Broker, publisher: Publisher, role: int, hours: float, interval: int = INTERVAL
) -> VirtualNode:
    """A node that was offered a release in the first hour, with a window in the third; the run is over."""
    publisher.keys(2, role)
    changes: dict[str, Any] = {"update_window": WINDOW, "interval": interval, "batch": 1}
    with sleeping(folder, hours, broker, publisher, **changes) as (collector, _, node):
        publisher.publish(identify(node), NEW)
        collector.all_of(node.wait(120))
        said = node.last_words()
    assert slots.boot_record(node.directory) == booted(B, 2), said
    return node


def test_a_verified_release_waits_for_the_window_asleep(tmp_path: Path, broker: Broker, publisher: Publisher) -> None:
    node = windowed(tmp_path / "n", broker, publisher, RELEASE, 3)
    confirmed = confirmed_at(node)
    assert confirmed is not None
    assert 7200 <= confirmed < 7860
    assert node.now - node.asleep < 22 * MINUTE


def test_a_node_with_long_intervals_wakes_for_the_window(tmp_path: Path, broker: Broker, publisher: Publisher) -> None:
    node = windowed(tmp_path / "n", broker, publisher, RELEASE, 5, 7200)
    begun = [line.now // 1000 for line in node.logs if "verified, starting it" in line.text]
    assert len(begun) == 1
    assert 7200 <= begun[0] < 7260


def test_an_emergency_waits_for_no_window(tmp_path: Path, broker: Broker, publisher: Publisher) -> None:
    confirmed = confirmed_at(windowed(tmp_path / "n", broker, publisher, EMERGENCY, 1.5))
    assert confirmed is not None
    assert confirmed < 3600
