"""Nodes come and go while a collector runs: each frame is judged by the key file as it is when the frame is handled."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.host.making import SealingNode, batch

from citymote import Collector, open_store
from citymote.keys import KeyFile, Opener, generate_collector_key
from citymote.transports.mqtt import Incoming

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from citymote.storage.base import Store


class Source:
    """What a broker would send, in memory."""

    def __init__(self) -> None:
        self.waiting: list[Incoming] = []
        self.acked = 0

    def say(self, node: SealingNode, *seqs: int, topic: str = "") -> None:
        name = topic or node.id.hex()
        for seq in seqs:
            payload = node.seal(batch(seq, node=None))
            self.waiting.append(Incoming(f"citymote/{name}/frames", payload, time.time(), (1, 1)))

    def take(self, timeout: float, most: int = 500) -> list[Incoming]:
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return taken

    def ack(self, messages: object) -> None:
        self.acked += len(messages)  # type: ignore[arg-type]


class Desk:
    """A key file, a store, and what is said while collectors work with them."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.keys = KeyFile.create(folder / "city.keys")
        self.store = store
        self.source = Source()
        self.said: list[str] = []

    def node(self) -> SealingNode:
        return SealingNode(self.keys.collectors[-1])

    def register(self, *nodes: SealingNode) -> None:
        """As another program does, while collectors run."""
        assert self.keys.path is not None
        file = KeyFile.load(self.keys.path)
        for node in nodes:
            file.add_node(node.public)
        file.save()

    def collector(self) -> Collector:
        return Collector(self.source, self.store, self.keys.path, on_problem=self.said.append)

    def stored(self) -> list[tuple[str, int]]:
        return [(frame.node, frame.seq) for frame in self.store.iter_frames()]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_store(tmp_path / "s.db") as store:
        yield Desk(tmp_path, store)


def settle(collector: Collector) -> None:
    """Rounds until nothing moves."""
    while collector.step(0):
        pass


def test_a_node_that_is_registered_while_it_runs_is_heard(desk: Desk) -> None:
    collector, node = desk.collector(), desk.node()
    settle(collector)
    desk.register(node)
    desk.source.say(node, 0, 1)
    settle(collector)
    assert desk.stored() == [(node.id.hex(), 0), (node.id.hex(), 1)]
    assert desk.said == []


def test_a_node_that_is_removed_while_it_runs_is_not_heard_any_more(desk: Desk) -> None:
    node = desk.node()
    desk.register(node)
    collector = desk.collector()
    desk.source.say(node, 0)
    settle(collector)
    assert desk.keys.path is not None
    file = KeyFile.load(desk.keys.path)
    file.remove_node(node.id)
    file.save()
    desk.source.say(node, 1)
    settle(collector)
    assert desk.stored() == [(node.id.hex(), 0)]
    assert collector.report.aside_by_code == {"unknown_node": 1}


def test_what_came_before_the_key_is_opened_when_the_key_comes(desk: Desk) -> None:
    collector, node, stranger = desk.collector(), desk.node(), desk.node()
    desk.source.say(node, 0, 1, 2)
    desk.source.say(stranger, 0)
    settle(collector)
    assert (collector.report.aside, collector.report.failed) == (4, 4)
    desk.register(node)
    settle(collector)
    assert desk.stored() == [(node.id.hex(), seq) for seq in range(3)]
    assert [kept.node for kept in desk.store.aside()] == [stranger.id.hex()]
    report = collector.report
    assert (report.reopened, report.aside, report.failed, report.stored) == (3, 1, 1, 3)
    assert (report.received, desk.source.acked) == (4, 4), "they came once"


def test_what_came_in_an_earlier_run_is_opened_at_the_start_of_the_next(desk: Desk) -> None:
    node = desk.node()
    desk.source.say(node, *range(1200))
    settle(desk.collector())
    desk.register(node)
    later = desk.collector()
    settle(later)
    assert len(desk.stored()) == 1200, "more than fit in one round"
    assert (later.report.reopened, later.report.failed, desk.store.counts().aside) == (1200, 0, 0)


def test_what_opens_and_is_refused_for_another_reason_is_kept_with_that(desk: Desk) -> None:
    collector, node = desk.collector(), desk.node()
    desk.source.say(node, 0, topic="0102030405aa")
    settle(collector)
    desk.register(node)
    settle(collector)
    (kept,) = desk.store.aside()
    assert (kept.code, kept.node) == ("topic", node.id.hex())
    assert desk.stored() == []
    report = collector.report
    assert (report.aside, report.reopened, report.failed) == (1, 0, 1)
    assert {code: count for code, count in report.aside_by_code.items() if count} == {"topic": 1}
    assert "kept aside" in desk.said[-1] and "topic" in desk.said[-1]


def test_a_frame_that_is_opened_late_is_stored_once(desk: Desk) -> None:
    collector, node = desk.collector(), desk.node()
    desk.source.say(node, 7)
    again = desk.source.waiting[0]
    settle(collector)
    desk.register(node)
    desk.source.waiting.append(again)
    settle(collector)
    assert desk.stored() == [(node.id.hex(), 7)]
    assert collector.report.duplicates == 1


def test_a_collector_key_that_is_added_opens_what_it_was_sealed_for(desk: Desk) -> None:
    collector = desk.collector()
    assert desk.keys.path is not None
    fresh = generate_collector_key()
    node = SealingNode(fresh)
    desk.register(node)
    desk.source.say(node, 0)
    settle(collector)
    assert collector.report.aside_by_code == {"authentication": 1}
    file = KeyFile.load(desk.keys.path)
    file.add_collector(fresh)
    file.save()
    settle(collector)
    assert desk.stored() == [(node.id.hex(), 0)]


def test_a_key_file_that_is_spoilt_is_said_once_and_the_old_keys_stay(desk: Desk) -> None:
    node = desk.node()
    desk.register(node)
    collector = desk.collector()
    assert desk.keys.path is not None
    desk.keys.path.write_bytes(b"{}")
    for seq in range(3):
        desk.source.say(node, seq)
        settle(collector)
    assert len(desk.stored()) == 3
    assert len(desk.said) == 1
    assert "the keys stay as they were" in desk.said[0]


def test_what_somebody_else_has_put_aside_meanwhile_is_opened_all_the_same(desk: Desk) -> None:
    """Another collector of the same store, or an earlier run whose clock was ahead of this one's."""
    node = desk.node()
    desk.source.say(node, 0, 1)
    desk.source.waiting = [each._replace(received=time.time() + 1e6) for each in desk.source.waiting]
    settle(desk.collector())
    later = desk.collector()
    desk.register(node)
    settle(later)
    assert desk.stored() == [(node.id.hex(), 0), (node.id.hex(), 1)]
    assert (later.report.reopened, later.report.aside, later.report.failed) == (2, 0, 0)


def test_a_key_file_that_others_could_read_is_taken_up_once_they_cannot(desk: Desk) -> None:
    collector, node = desk.collector(), desk.node()
    desk.register(node)
    assert desk.keys.path is not None
    desk.keys.path.chmod(0o644)
    desk.source.say(node, 0)
    settle(collector)
    assert "chmod 600" in desk.said[0]
    desk.keys.path.chmod(0o600)
    settle(collector)
    assert desk.stored() == [(node.id.hex(), 0)]


def test_keys_handed_in_as_an_opener_are_the_callers(desk: Desk) -> None:
    node = desk.node()
    assert desk.keys.path is not None
    mine = KeyFile.load(desk.keys.path)
    mine.add_node(node.public)
    collector = Collector(desk.source, desk.store, Opener(mine))
    desk.register(desk.node())  # the file changes, and does not have what was added by hand
    desk.source.say(node, 0)
    settle(collector)
    assert desk.stored() == [(node.id.hex(), 0)]
