"""The demo's second act: releases to nodes that are at work, with everything going wrong that may.

Version 1 runs. Version 2 is signed, published and rolled out, first to one node, then to the others, of which one loses
its power in the middle of the download and comes back right. A third release is bad: the node that gets it first
returns to version 2 by itself, and nobody else ever sees it. Meanwhile all of them measure, and what is stored is held
against what their chips showed. The nodes are the real firmware on real littlefs, each in a process and a time of its
own; the host sees of them what they publish in a folder's file server and a broker, and nothing else.
"""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from citymote import crypto
from citymote.broker import Broker
from citymote.collect import Collector
from citymote.errors import CitymoteError
from citymote.keys import KeyFile, Opener
from citymote.storage.base import open_store
from citymote.testing import runtime, slots
from citymote.testing.bridge import Event, Wiring
from citymote.testing.emul.replay import Replay
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.vm import GARBAGE, VirtualNode
from citymote.transports.mqtt import Subscriber
from citymote.update import make, sbom, signing
from citymote.update.bundle import Bundle, pack
from citymote.update.desk import Desk
from citymote.update.keyring import Key, KeySet
from citymote.update.plan import Plan, stages
from citymote.update.publish import Publication
from citymote.update.version import Version

START = 850000080  # s2000, a multiple of the interval
INTERVAL = 120
STEP = 0.25  # virtual hours between two looks of the desk
OFF = 600  # seconds without power
_REPLAYED = (1, 2, 5, 6, 7, 8, 9, 10)
_NAMES = ("pm2_5", "pm10", "wind_direction", "wind_speed", "illuminance", "uv_index", "laeq", "acceleration_x")
BOARD: dict[str, Any] = {
    "board": "virtual",
    "sensors": [
        {"driver": "sht4x", "bus": "i2c0"},
        {"driver": "replay", "bus": "uart0", "settings": {"quantities": list(_NAMES)}},
    ],
}
GOOD = {"node/extra.py": "NEW = 2\n"}
BAD = {"fit.py": "raise ValueError('nothing fits')\n"}


def row_of(now: int) -> int:
    """Which row the story time `now` (ms) belongs to."""
    return -(-now // (INTERVAL * 1000))


def value(quantity: int, row: int) -> int:
    """What the chips show of a quantity in that row, as the integer on the wire."""
    if quantity in (3, 4):  # temperature and humidity, as an SHT4x can have them
        return (100 + row % 150) if quantity == 3 else (300 + row % 200)
    return quantity * 10 + row % 97


def shown(row: int) -> list[int]:
    """All that the chips show in a row."""
    return [value(quantity, row) for quantity in range(1, 11)]


def wiring() -> Wiring:
    """The chips of one node."""
    climate = SHT4x(lambda now: value(3, row_of(now)) / 10, lambda now: value(4, row_of(now)) / 10)
    return Wiring({"i2c0": [climate], "uart0": Replay(lambda now: {q: value(q, row_of(now)) for q in _REPLAYED})})


def key_of(number: int) -> signing.SigningKey:
    """A key of the demo, the same every time: never one of a city's."""
    secret = bytes([number]) * 32
    return signing.SigningKey(crypto.public_key(secret), lambda digest: crypto.sign(secret, digest))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


class City:
    """Some nodes, and their file server, broker, collector, store and desk. `hours`: how long the nodes live."""

    def __init__(
        self, folder: Path, count: int, hours: float, root: signing.SigningKey, first: signing.SigningKey
    ) -> None:
        self.folder = folder
        self.root = root
        self.hours, self.until = 0.0, hours
        self.machine = runtime.micropython(32)
        self.publication = Publication(folder / "www")
        self.keys = KeySet(0, ()).changed([Key(first.public, "release")])
        self.publish_keys()
        self._broker = Broker()
        self._broker.start()
        handler = functools.partial(_Quiet, directory=str(folder / "www"))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self._file = KeyFile.create(folder / "city.keys")
        self._store = open_store(folder / "city.db")
        self._subscriber = Subscriber(self._broker.url, client_id="citymote-demo-update")
        self.collector = Collector(self._subscriber, self._store, Opener(self._file))
        self._subscriber.start()
        if not self._subscriber.wait(15):
            raise CitymoteError("the demo's broker does not answer")
        self._thread = threading.Thread(target=self.collector.run, daemon=True)
        self._thread.start()
        self.nodes = [self._node(number) for number in range(count)]
        self.move(0.01)
        self.ids = [str(node.event_data("identity")[0]["node"]) for node in self.nodes]
        self.desk = Desk(folder / "updates.db", folder / "city.db")

    def _node(self, number: int) -> VirtualNode:
        settings = {
            "until": START + int(self.until * 3600), "broker_host": "127.0.0.1", "broker_port": self._broker.port,
            "collector_key": self._file.collectors[-1].public.hex(), "update_root": self.root.public.hex(),
            "update_url": f"http://127.0.0.1:{self._server.server_address[1]}", "update_interval": 300,
        }  # fmt: skip
        made = VirtualNode(
            self.folder / f"node{number + 1}", settings=settings, board=BOARD, wiring=wiring(), start_time=START,
            heap="300k", garbage=GARBAGE, slotted=True, seed=number, grace=20_000,
        )  # fmt: skip
        made.on_event(self._enrol, "identity")
        return made

    def _enrol(self, event: Event) -> None:
        self._file.add_node(bytes.fromhex(event.data["public_key"]))

    def publish_keys(self) -> None:
        """Put the key set where nodes find it."""
        self.publication.put_keys(self.keys.statement(self.root.owner), self.keys, self.root.public)

    def release(self, version: str, files: Mapping[str, str], sequence: int, by: signing.SigningKey) -> Bundle:
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

    def begin(self, release: Bundle, plan: Plan, condition: str = "") -> int:
        """Begin a rollout; its number."""
        return self.desk.begin(release, self.root.public, condition, self.publication, plan).number

    def go(self, over: Callable[[], bool]) -> None:
        """Take the rollouts forward until that is so, or the nodes' time is nearly over."""
        self.desk.step()
        while not over() and self.hours + STEP < self.until:
            self.move(STEP)
            self.desk.step()

    def status(self, number: int) -> str:
        """A rollout's."""
        return self.desk.book.rollout(number).status

    def finish(self) -> None:
        """Let the nodes live to their end."""
        for node in self.nodes:
            node.wait(240)
        self.drain()
        self.desk.step()

    def cut(self, node: VirtualNode) -> None:
        """Take a node's power away while it writes what it downloads, and give it back later."""
        node.cut_power("slot_b", 150)
        node.restart(off=1000)
        ending = node.wait(120, check=False)
        if ending.reason != "power cut":
            raise CitymoteError(f"the demo's node was to lose its power, and ended with {ending.reason}")
        node.start(off=OFF * 1000)

    def texts(self) -> dict[str, str]:
        """Node -> the sentence about its update."""
        return {one.facts.node: one.text for one in self.desk.status()}

    def rows(self, number: int) -> dict[int, list[Any]]:
        """Row number -> values of a node in the store; CitymoteError where a row is there twice, or off the clock."""
        with open_store(self.folder / "city.db", create=False) as store:
            frames = [one for one in store.iter_frames() if one.node == self.ids[number] and one.kind == "batch"]
        found: dict[int, list[Any]] = {}
        for frame in frames:
            times, lines = frame.lines()
            for at, moment in enumerate(times):
                row, rest = divmod(moment - START, INTERVAL)
                if rest or row in found:
                    raise CitymoteError(f"node {frame.node}: row {row} is there twice, or off the clock")
                found[row] = [line.values[at] for line in lines]
        return found

    def lost(self, number: int) -> list[int]:
        """Rows that a node should have and the store has not."""
        return sorted(set(range(1, int(self.until * 3600) // INTERVAL + 1)) - self.rows(number).keys())

    def wrong(self, number: int) -> list[int]:
        """Rows in which something else is stored than the chips showed. A clock that a start sets anew, by whole
        seconds, samples up to a second after the stroke: these chips show the next row's values then."""
        return [row for row, values in self.rows(number).items() if values not in (shown(row), shown(row + 1))]

    def close(self) -> None:
        """End everything."""
        for node in self.nodes:
            node.kill()
        self.desk.close()
        self.collector.stop()
        self._thread.join()
        self._subscriber.stop(forget=True)
        self._store.close()
        self._server.shutdown()
        self._server.server_close()
        self._broker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Story:
    """How the act went."""

    nodes: int
    updated: int = 0
    cut_off: str = ""
    rolled_back: str = ""
    unharmed: int = 0
    lost: int = 0
    wrong: int = 0
    without_power: int = 0
    lines: list[str] = field(default_factory=list[str])

    @property
    def good(self) -> bool:
        """Whether it went as it should."""
        whole = (
            self.updated == self.nodes and self.unharmed == self.nodes - 1 and bool(self.cut_off and self.rolled_back)
        )
        return whole and not self.lost and not self.wrong

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "nodes": self.nodes, "updated": self.updated, "cut_off": self.cut_off, "rolled_back": self.rolled_back,
            "unharmed": self.unharmed, "rows_lost": self.lost, "rows_wrong": self.wrong,
            "rows_without_power": self.without_power, "good": self.good,
        }  # fmt: skip


def run(folder: Path, told: Callable[[str], None], count: int = 3, hours: float = 3.0) -> Story:
    """Tell it, in a folder that is empty or not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    root, release = key_of(1), key_of(2)
    story = Story(count)
    with City(folder, count, hours, root, release) as city:
        told(f"{count} nodes run version 1")
        plan = Plan(stages=stages("1,100%"), soak=0)
        first = city.begin(city.release("2.0.0", GOOD, 2, release), plan)
        city.desk.step()
        (canary,) = city.publication.offers()
        told(f"version 2 is signed and published; {canary} is offered it first")
        city.go(lambda: len(list(city.publication.offers())) == count - 1 or city.status(first) != "running")
        told(f"{canary}: {city.texts()[canary]}; now the others")
        victim = next(k for k, node in enumerate(city.ids) if node != canary)
        city.cut(city.nodes[victim])
        story.cut_off = city.ids[victim]
        told(f"{story.cut_off} loses its power in the middle of the download, for {OFF // 60} minutes")
        city.go(lambda: city.status(first) != "running")
        story.updated = city.desk.counts(first).get("confirmed", 0)
        for node, text in city.texts().items():
            told(f"{node}: version 2, {text}")
        bad = city.begin(city.release("2.1.0", BAD, 3, release), plan)
        told("version 2.1 is bad, and nobody knows yet")
        city.go(lambda: city.status(bad) != "running")
        city.finish()
        for node, text in city.texts().items():
            told(f"{node}: {text}")
            if "rolled back" in text:
                story.rolled_back = node
        told(f"the rollout of version 2.1 is {city.status(bad)}: {city.desk.book.rollout(bad).why}")
        story.unharmed = city.desk.counts(bad).get("waiting", 0)
        for number in range(count):
            missing = city.lost(number)
            if number == victim:  # nothing is measured without power: rows that follow one another, no others
                story.without_power = len(missing)
                whole = not missing or missing == list(range(missing[0], missing[0] + len(missing)))
                story.lost += 0 if whole and len(missing) <= OFF // INTERVAL + 2 else len(missing)
            else:
                story.lost += len(missing)
            story.wrong += len(city.wrong(number))
        told(f"rows lost: {story.lost}; rows that differ from what the chips showed: {story.wrong}")
    return story
