"""A release goes to real virtual nodes, signed and in stages; one is cut off, and a bad one rolls back.

The nodes are the real firmware on real littlefs, each in a process of its own with its own time; they find releases in
a folder behind a file server, and tell of them through a broker, a collector and a store. The desk sees nothing else of
them.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.collecting import BOARD, INTERVAL, START, expected, wiring
from tests.support.file_server import FileServer

from citymote import crypto, open_store
from citymote.broker import Broker
from citymote.collect import Collector
from citymote.keys import KeyFile, Opener
from citymote.testing import runtime, slots
from citymote.testing.vm import VirtualNode
from citymote.transports.mqtt import Subscriber
from citymote.update import make, sbom, signing
from citymote.update.bundle import Bundle, pack
from citymote.update.desk import Desk
from citymote.update.keyring import Key, KeySet
from citymote.update.plan import Amount, Plan, stages
from citymote.update.publish import Publication
from citymote.update.version import Version

pytestmark = [pytest.mark.usefixtures("run_vm"), pytest.mark.timeout(600)]
STEP = 0.25  # virtual hours between two looks of the desk
OFF = 600  # seconds that one node is without power
BAD = {"node/sampling.py": "class Sampler:\n    pass\n"}


def private(number: int) -> signing.SigningKey:
    secret = bytes([number]) * 32
    return signing.SigningKey(crypto.public_key(secret), lambda digest: crypto.sign(secret, digest))


ROOT, FIRST, SECOND = private(1), private(2), private(3)


class City:
    """Some nodes, their file server, broker, collector and store, and the desk of who looks after them."""

    def __init__(self, folder: Path, count: int, hours: float) -> None:
        self.folder = folder
        self.machine = runtime.micropython(32)
        self.publication = Publication(folder / "www")
        self.keys = KeySet(0, ()).changed([Key(FIRST.public, "release")])
        self.publish_keys()
        self.broker = Broker()
        self.broker.start()
        self.server = FileServer(folder / "www")
        self.server.__enter__()
        self.file = KeyFile.create(folder / "city.keys")
        self.store = open_store(folder / "city.db")
        self.subscriber = Subscriber(self.broker.url, client_id="rollout")
        self.collector = Collector(self.subscriber, self.store, Opener(self.file))
        self.subscriber.start()
        assert self.subscriber.wait(15)
        self.thread = threading.Thread(target=self.collector.run, daemon=True)
        self.thread.start()
        self.hours = 0.0
        self.until = hours
        self.nodes = [self._node(number) for number in range(count)]
        self.move(0.01)
        self.ids = [str(node.event_data("identity")[0]["node"]) for node in self.nodes]
        self.desk = Desk(folder / "updates.db", folder / "city.db")

    def _node(self, number: int) -> VirtualNode:
        settings = {
            "until": START + int(self.until * 3600), "broker_host": "127.0.0.1", "broker_port": self.broker.port,
            "collector_key": self.file.collectors[-1].public.hex(), "update_root": ROOT.public.hex(),
            "update_url": self.server.url, "update_interval": 300,
        }  # fmt: skip
        made = VirtualNode(
            self.folder / f"n{number}", settings=settings, board=BOARD, wiring=wiring(), start_time=START, heap="300k",
            slotted=True, seed=number, grace=20_000,
        )  # fmt: skip
        made.on_event(lambda event: self.file.add_node(bytes.fromhex(event.data["public_key"])), "identity")
        return made

    def publish_keys(self) -> None:
        self.publication.put_keys(self.keys.statement(ROOT.owner), self.keys, ROOT.public)

    def release(self, version: str, files: dict[str, str], sequence: int, by: signing.SigningKey = FIRST) -> Bundle:
        """The application with some files replaced by these sources, as a signed bundle."""
        tree = self.folder / f"tree-{version}"
        shutil.copytree(slots.application(self.machine, BOARD), tree)
        for name, source in files.items():
            (tree / name).with_suffix(".mpy").unlink(missing_ok=True)
            (tree / name).write_text(source)
        recipe = make.Recipe(Version.parse(version), (), runtime="1.25")
        one = make.target(recipe, make.Kind(self.machine.architecture, ("virtual",)), tree)
        modules = {name: ("00" * 32, [one[0].name]) for name in ("node/app.py", "node/store.py")}
        document = sbom.write(recipe.version, modules, {}, runtime="1.25")
        return signing.sign_bundle(pack(recipe.version, "1.25", [one], sbom=document), sequence, [signing.signer(by)])

    def move(self, hours: float) -> None:
        """Let all nodes live on for some hours, and take in what they sent."""
        self.hours += hours
        for node in self.nodes:
            node.run_until(hours=self.hours, timeout=120)
        self.drain()

    def drain(self) -> None:
        """Wait until nothing comes any more: what a node has had acknowledged is on its way through the broker."""
        came, quiet = -1, 0
        while quiet < 5:
            quiet = quiet + 1 if self.collector.report.received == came else 0
            came = self.collector.report.received
            time.sleep(0.1)

    def go(self, release: Bundle, plan: Plan, over: Callable[[], bool], condition: str = "") -> int:
        """Roll out, until that is so or the nodes' time is over."""
        number = self.desk.begin(release, ROOT.public, condition, self.publication, plan).number
        while not over() and self.hours + STEP < self.until:
            self.desk.step()
            self.move(STEP)
        self.desk.step()
        return number

    def finish(self) -> None:
        for node in self.nodes:
            node.wait(240)
        self.drain()
        self.desk.step()

    def texts(self) -> dict[str, str]:
        return {one.facts.node: one.text for one in self.desk.status()}

    def slot(self, number: int) -> tuple[int, bool, int]:
        found = slots.boot_record(self.nodes[number].directory)
        return (found.slot, found.trial, found.floor) if found else (0, False, 0)

    def rows(self, number: int) -> dict[int, list[Any]]:
        """Row number -> values in the store; fails where a row is there twice."""
        found: dict[int, list[Any]] = {}
        with open_store(self.folder / "city.db", create=False) as store:
            frames = list(store.iter_frames())
        for frame in frames:
            if frame.node != self.ids[number] or frame.kind != "batch":
                continue
            times, lines = frame.lines()
            for row, moment in enumerate(times):
                place, rest = divmod(moment - START, INTERVAL)
                assert rest == 0, "a row off the clock"
                assert place not in found, f"row {place} twice"
                found[place] = [line.values[row] for line in lines]
        return found

    def close(self) -> None:
        for node in self.nodes:
            node.kill()
        self.desk.close()
        self.collector.stop()
        self.thread.join()
        self.subscriber.stop(forget=True)
        self.store.close()
        self.server.__exit__()
        self.broker.stop()


@pytest.fixture
def city(tmp_path: Path) -> Iterator[Callable[..., City]]:
    made: list[City] = []

    def build(count: int, hours: float) -> City:
        made.append(City(tmp_path, count, hours))
        return made[-1]

    yield build
    for one in made:
        one.close()


def test_a_release_reaches_all_one_is_cut_off_and_comes_back_and_a_bad_one_rolls_back(
    city: Callable[..., City],
) -> None:
    made = city(3, 3.0)
    number = made.desk.begin(
        made.release("2.0.0", {"node/extra.py": "NEW = 2\n"}, 2),
        ROOT.public, "", made.publication, Plan(stages=stages("1,100%"), soak=0),
    ).number  # fmt: skip
    made.desk.step()
    (canary,) = made.publication.offers()
    victim = made.nodes[next(k for k, node in enumerate(made.ids) if node != canary)]
    cut = False
    while made.desk.book.rollout(number).status == "running" and made.hours < 2:
        made.move(STEP)
        made.desk.step()
        if not cut and len(list(made.publication.offers())) == 2:
            # the canary is through; one of the others loses its power in the middle of the download
            victim.cut_power("slot_b", 150)
            victim.restart(off=1000)
            assert victim.wait(120, check=False).reason == "power cut"
            victim.start(off=OFF * 1000)
            cut = True
    assert cut
    assert made.desk.counts(number) == {"confirmed": 3}
    assert made.desk.book.rollout(number).status == "finished"
    assert [made.slot(k) for k in range(3)] == [(1, False, 2)] * 3
    assert all(text.startswith("confirmed") for text in made.texts().values())
    assert {one.facts.version for one in made.desk.status()} == {"2.0.0"}
    assert [node for node, _ in made.desk.running("node.app", "2.0.0")] == sorted(made.ids)
    runtimes = made.desk.running("micropython")
    assert [node for node, _ in runtimes] == sorted(made.ids)
    assert all(version.startswith(".".join(map(str, made.machine.version))) for _, version in runtimes)
    # now a bad one
    bad = made.go(
        made.release("2.1.0", BAD, 3),
        Plan(stages=stages("1,100%"), soak=0, abort_at=Amount.parse("5%")),
        lambda: made.desk.book.rollout(number + 1).status == "aborted",
    )
    made.finish()
    assert made.desk.book.rollout(bad).status == "aborted"
    assert made.desk.counts(bad) == {"waiting": 2, "rolled_back": 1}
    assert [made.slot(k)[:2] for k in range(3)] == [(1, False)] * 3, "all run what they ran"
    assert sum("rolled back" in text and "because" in text for text in made.texts().values()) == 1
    last = int(made.until * 3600) // INTERVAL
    for k, node in enumerate(made.nodes):
        rows = made.rows(k)
        # A clock that a start sets anew, by whole seconds, samples up to a second after the stroke: these chips show
        # the next row's values already.
        assert all(values in [expected(r, r)[r] for r in (row, row + 1)] for row, values in rows.items())
        gone = sorted(expected(1, last).keys() - rows.keys())
        if node is not victim:
            assert not gone, "no row is lost"
        else:  # without power nothing is measured: that is all that is missing
            assert len(gone) <= OFF // INTERVAL + 2
            assert gone == list(range(gone[0], gone[0] + len(gone))) if gone else True


def test_a_rotated_key_signs_the_next_release_and_a_revoked_one_nothing(city: Callable[..., City]) -> None:
    made = city(1, 4.0)
    plan = Plan(stages=stages("100%"), soak=0, abort_at=Amount.parse("100%"))

    def over(number: int) -> Callable[[], bool]:
        return lambda: made.desk.book.rollout(number).status != "running"

    old = made.release("2.0.0", {"node/extra.py": "NEW = 2\n"}, 2)
    assert made.go(old, plan, over(1)) == 1
    assert made.desk.counts(1) == {"confirmed": 1}
    made.keys = made.keys.changed([Key(SECOND.public, "release")], [FIRST.kid])
    made.publish_keys()
    made.go(made.release("2.1.0", {"node/extra.py": "NEW = 3\n"}, 3, SECOND), plan, over(2))
    assert made.desk.counts(2) == {"confirmed": 1}
    # what the revoked key signs is refused by the node itself, whatever the host would say
    revoked = made.release("2.2.0", {"node/extra.py": "NEW = 4\n"}, 4)
    made.publication.put_files(revoked)
    made.publication.offer(made.ids[0], next(iter(revoked.envelopes.values())))
    made.move(0.75)
    made.finish()
    failed = [event for event in made.nodes[0].event_data("update") if event["state"] == 7]
    assert {event["reason"] for event in failed} == {5}
    assert made.slot(0)[2] == 3
