"""A node that is at work on an update goes on asking: what is newer, or taken back, or an emergency, does not wait."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.support.file_server import FileServer
from typer.testing import CliRunner

from citymote.broker import Broker
from citymote.cli import application
from citymote.decode import Decoder
from citymote.storage.base import open_store
from citymote.testing import slots
from citymote.testing.vm import VirtualNode

from .collecting import Collector, expected, rows
from .test_update import (
    DOWNLOADING,
    EMERGENCY,
    FAILED,
    NEW,
    REFUSED,
    RELEASE,
    VERIFIED,
    WINDOW,
    A,
    B,
    Publisher,
    confirmed_at,
    identify,
    slotted,
    states,
)

pytestmark = pytest.mark.usefixtures("run_vm")
BIG = "TEXT = (%s)\n" % "".join(f"'{k * k * 7919 % 99991:05x}'\n" for k in range(4000))
NEWER = {"node/extra.py": "NEW = 2\n"}


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "www")


@contextmanager
def node_of(
    folder: Path, publisher: Publisher, hours: float, **settings: Any
) -> Iterator[tuple[VirtualNode, FileServer, str]]:
    """One that asks about every ten minutes, its server and its id."""
    with FileServer(publisher.folder) as server, slotted(folder, hours, None, server, **settings) as node:
        yield node, server, identify(node)


def lose(publisher: Publisher, *files: Any) -> None:
    """The server does not have these any more."""
    for file in files:
        (publisher.folder / "files" / file.digest.hex()).unlink()


def changed(publisher: Publisher) -> None:
    """The release key is another from here on."""
    publisher.private = ec.generate_private_key(ec.SECP256R1())
    publisher.public = publisher.private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def is_at(node: VirtualNode, slot: int, floor: int) -> None:
    record = slots.boot_record(node.directory) or slots.BootRecord(A, trial=False, starts=0, why=0, floor=0)
    assert (record.slot, record.trial, record.floor) == (slot, False, floor), node.last_words()


def asked(server: FileServer) -> int:
    return sum(path == "/keys" for path, _ in server.requests)


def test_a_release_whose_files_are_gone_gives_way_to_a_newer_one(tmp_path: Path, publisher: Publisher) -> None:
    with node_of(tmp_path / "n", publisher, 2) as (node, server, name):
        made = publisher.publish(name, NEW, 2)
        lose(publisher, *[file for file in made if file.name == "node/extra.py"])
        node.run_until(hours=1)
        assert states(node)[-1:] == [DOWNLOADING], node.last_words()
        before = asked(server)
        assert before >= 3, "it goes on asking while it cannot get on"
        publisher.publish(name, NEWER, 3)
        node.wait(120, check=False)
    is_at(node, B, 3)


def test_what_is_not_newer_does_not_take_the_place_of_a_release_under_way(tmp_path: Path, publisher: Publisher) -> None:
    with node_of(tmp_path / "n", publisher, 3, update_window=WINDOW) as (node, _, name):
        publisher.publish(name, NEW, 3)
        node.run_until(hours=1)
        assert states(node)[-1:] == [VERIFIED], node.last_words()
        publisher.publish(name, NEWER, 2)
        node.wait(120, check=False)
    is_at(node, B, 3)
    assert states(node).count(VERIFIED) == 1
    assert any("not above what is under way" in line.text for line in node.logs)


def test_an_emergency_overtakes_what_waits_for_its_window(tmp_path: Path, publisher: Publisher) -> None:
    with node_of(tmp_path / "n", publisher, 3, update_window=WINDOW) as (node, _, name):
        publisher.publish(name, NEW, 2)
        node.run_until(hours=1)
        assert states(node)[-1:] == [VERIFIED], node.last_words()
        publisher.keys(2, EMERGENCY)
        publisher.publish(name, NEWER, 3)
        node.wait(120, check=False)
    is_at(node, B, 3)
    confirmed = confirmed_at(node)
    assert confirmed is not None
    assert confirmed < 7200


@pytest.mark.parametrize("offered", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_key_that_is_revoked_starts_nothing_any_more(tmp_path: Path, publisher: Publisher, offered: bool) -> None:
    with node_of(tmp_path / "n", publisher, 3, update_window=WINDOW) as (node, _, name):
        publisher.publish(name, NEW, 2)
        node.run_until(hours=1)
        assert states(node)[-1:] == [VERIFIED], node.last_words()
        changed(publisher)
        publisher.keys(2, RELEASE)
        if not offered:
            (publisher.folder / "nodes" / f"{name}.suit").unlink()
        node.wait(120, check=False)
    is_at(node, A, 0)
    assert node.event_data("update")[-1] == {"state": FAILED, "progress": 100, "reason": REFUSED}
    assert any("has been revoked" in line.text for line in node.logs)


def test_a_key_that_was_revoked_while_the_node_was_away_starts_nothing(tmp_path: Path, publisher: Publisher) -> None:
    with node_of(tmp_path / "n", publisher, 2) as (node, _, name):
        made = publisher.publish(name, NEW, 2)
        lose(publisher, *[file for file in made if file.name == "node/extra.py"])
        node.run_until(hours=0.5)
        assert states(node)[-1:] == [DOWNLOADING], node.last_words()
        node.restart(off=1000)
        changed(publisher)
        publisher.keys(2, RELEASE)
        node.wait(120, check=False)
    is_at(node, A, 0)
    assert node.event_data("update")[-1]["reason"] == REFUSED


def test_the_key_set_is_taken_while_a_download_stands_still_and_the_same_offer_goes_on(
    tmp_path: Path, publisher: Publisher
) -> None:
    with node_of(tmp_path / "n", publisher, 2) as (node, _, name):
        made = publisher.publish(name, NEW, 2)
        [extra] = [file for file in made if file.name == "node/extra.py"]
        lose(publisher, extra)
        node.run_until(hours=0.5)
        assert states(node)[-1:] == [DOWNLOADING], node.last_words()
        publisher.keys(2, RELEASE)
        node.run_until(hours=1)
        (publisher.folder / "files" / extra.digest.hex()).write_bytes(extra.packed or extra.data)
        node.wait(120, check=False)
    is_at(node, B, 2)


def kept(path: Path, messages: list[bytes]) -> Path:
    """A collector's store with these frames."""
    with open_store(path) as store:
        store.add(list(Decoder().frames(messages)))
    return path


def test_how_far_a_download_is_comes_to_who_asks_for_its_status(tmp_path: Path, publisher: Publisher) -> None:
    with (
        Broker() as broker,
        Collector(broker.port) as collector,
        FileServer(publisher.folder) as server,
        slotted(tmp_path / "n", 1, broker, server) as node,
    ):
        name = identify(node)
        made = publisher.publish(name, {"node/extra.py": BIG})
        [extra] = [file for file in made if file.name == "node/extra.py"]
        part = extra.packed[:8000]
        (publisher.folder / "files" / extra.digest.hex()).write_bytes(part)  # and no more of it
        messages = collector.all_of(node.wait(120))
    assert rows(messages).keys() == expected(1, 30).keys(), "no row is lost meanwhile"
    arguments = ["update", "status", "--book", tmp_path / "book", "--store", kept(tmp_path / "store.db", messages)]
    done = CliRunner().invoke(application(), [str(each) for each in (*arguments, "--allow-unsealed", "--json")])
    told: dict[str, Any] = json.loads(done.stdout)
    percent = 100 * len(part) // len(extra.packed)
    assert percent - 20 <= told.pop("progress") <= percent, "a file counts by what is there of it"
    assert (told["node"], told["state"]) == (name, "downloading")
    assert told["text"].startswith("in no rollout; downloading, ")
