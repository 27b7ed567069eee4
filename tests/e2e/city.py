"""A small city for the end-to-end tests: real firmware at every pole, any broker, a collector, a store, and an oracle.

`demo` runs the installed command as its users do. `City` puts the same pieces together where a test has to reach in
between them: to stop the broker at a virtual instant, to cut a node's power, to replace the collector. What the store
holds is judged here a second time, reading by reading and without the demo's own comparison, because a test must not
trust the verdict of what it tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from citymote import Collector, open_store
from citymote.cli import application
from citymote.demo.city_nodes import poles
from citymote.demo.compare import Verdict, compare
from citymote.keys import KeyFile, Opener
from citymote.simulate import Fleet, Plan, Result
from citymote.testing.vm import GARBAGE
from citymote.transports.mqtt import Subscriber

if TYPE_CHECKING:
    from citymote.demo.dataset import Dataset
    from citymote.testing.bridge import Event
    from citymote.testing.vm import VirtualNode

COMMAND = Path(sys.executable).parent / "citymote"
PATIENCE = 240.0  # seconds of a loaded machine; on a quiet one nothing here takes a tenth of it
FIGURES = (
    "nodes", "frames", "readings_sent", "readings_stored", "lost", "duplicates", "mismatches",
    "bytes_on_wire", "bytes_per_reading", "seconds", "provisioned", "provision_seconds",
)  # fmt: skip
Key = tuple[str, int, int, int]
"""One reading's place: node, quantity, sensor, time (s2000)."""


@dataclass(frozen=True)
class Told:
    """How the command ended. `figures` is its one document, if it printed one."""

    code: int
    out: str
    err: str

    @property
    def figures(self) -> dict[str, Any]:
        assert self.out.count("\n") == 1, f"one document on one line was expected:\n{self.out}\n{self.err}"
        return json.loads(self.out)

    def good(self) -> dict[str, Any]:
        """Its figures, once it is sure that every reading came back once and equal."""
        assert self.code == 0, f"exit status {self.code}:\n{self.out}{self.err}"
        figures = self.figures
        assert [figures[name] for name in ("lost", "duplicates", "mismatches")] == [0, 0, 0], (figures, self.err)
        assert figures["readings_stored"] == figures["readings_sent"] > 0
        return figures

    def refused(self, *said: str) -> None:
        """It ended with status 1 and these words on stderr, in a sentence and not in a traceback."""
        assert self.code == 1, f"exit status 1 was expected, not {self.code}:\n{self.out}{self.err}"
        assert "Traceback" not in self.err, self.err
        assert self.out == "", f"nothing was expected on stdout:\n{self.out}"
        for words in said:
            assert words in self.err, f"{words!r} is not in:\n{self.err}"


def demo(out: Path, *arguments: object, timeout: float = PATIENCE, **environment: str) -> Told:
    """`citymote demo --json --out OUT ...` to its end."""
    command = [str(COMMAND), "demo", "--json", "--out", str(out), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env={**os.environ, **environment}
    )
    return Told(done.returncode, done.stdout, done.stderr)


def told(out: Path, *arguments: object) -> Told:
    """The same within this process, for what is refused before anything starts."""
    done = CliRunner().invoke(application(), ["demo", "--json", "--out", str(out), *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Told(done.exit_code, done.stdout, done.stderr)


class Collecting:
    """The collector in a thread, against any broker; `settle` waits for frames that the broker still holds."""

    def __init__(self, url: str, keys: KeyFile, store: Path, ca_file: Path | None = None, user: str = "tests") -> None:
        self.problems: list[str] = []
        self._news = threading.Condition()
        self._store = open_store(store)
        self._subscriber = Subscriber(
            url, client_id=f"collector-{user}", ca_file=str(ca_file) if ca_file else None, log=self.problems.append
        )
        self.collector = Collector(
            self._subscriber, self._store, Opener(keys), on_problem=self.problems.append, on_progress=self._heard
        )
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._subscriber.start()
        self._thread.start()

    def _run(self) -> None:
        try:
            self.collector.run()
        except Exception as error:  # noqa: BLE001 - raised again where the test can see it
            self._error = error

    def _heard(self, _: object) -> None:
        with self._news:
            self._news.notify_all()

    def subscribed(self) -> None:
        """Returns when the broker knows what we want: a real broker drops what nobody has asked for."""
        assert self._subscriber.wait(60), self.problems

    def settle(self, frames: int) -> None:
        """Returns when so many frames are stored."""
        with self._news:
            enough = self._news.wait_for(lambda: self.collector.report.stored >= frames, 60)
        assert enough, f"{self.collector.report.stored} of {frames} frames arrived; {self.problems[-5:]}"

    def close(self) -> None:
        self.collector.stop()
        self._thread.join(60)
        self._subscriber.stop()
        self._store.close()
        if self._error is not None:
            raise self._error


@dataclass
class Found:
    """The store's readings that are there, by place, and every place that came more than once."""

    values: dict[Key, int]
    twice: list[Key]

    @classmethod
    def of(cls, store: Path) -> Found:
        values: dict[Key, int] = {}
        times: Counter[Key] = Counter()
        with open_store(store, create=False) as place:
            for frame in place.iter_frames():
                for sample in frame.samples() if frame.kind in ("batch", "event") else ():
                    key = (frame.node, sample.quantity, sample.instance, sample.time)
                    times[key] += 1
                    if sample.value is not None:
                        values[key] = sample.value
        return cls(values, [key for key, count in times.items() if count > 1])


def bare_frames(store: Path) -> list[bytes]:
    """The frames in a store without their seals (whose keys differ from run to run), by node and sequence."""
    with open_store(store, create=False) as place:
        return [frame.data for frame in sorted(place.iter_frames(), key=lambda f: (f.node, f.epoch, f.seq))]


@dataclass
class City:
    """Nodes at the stations of `data`, all their files in `folder`. `settings` go to every node.

    `heap` is what each has, in KB; left out, it has the demo's plenty, and garbage that may lie for a faster run.
    """

    folder: Path
    data: Dataset
    chips: int = 1
    sound: bool = False
    heard: str = "never"
    seed: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    restarts: tuple[int, ...] = ()
    off: int = 0
    heap: int | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.keys = KeyFile.create(self.folder / "city.keys")
        self.store = self.folder / "readings.db"
        self.poles = poles(self.data, self.chips, self.seed, sound=self.sound)
        for pole in self.poles:
            pole.plan.heard = self.heard
            pole.plan.restarts = self.restarts
            pole.plan.off = self.off
        self.results: list[Result] = []
        self.nodes: dict[str, VirtualNode] = {}
        self._ids: dict[str, str] = {}

    def collect(self, url: str, ca_file: Path | None = None) -> Collecting:
        """A collector into the city's store."""
        return Collecting(url, self.keys, self.store, ca_file)

    def run(
        self,
        url: str,
        prepare: Callable[[VirtualNode], None] | None = None,
        before_start: Callable[[VirtualNode], None] | None = None,
    ) -> list[Result]:
        """Let every node live to its end; `prepare` gets each before its first start, `before_start` before every one.

        Power comes back on a full second. A time server tells no fractions, so a node that started within one would
        sample up to a second late, and the world of these tests changes at once when an interval is over.
        """

        def ready(plan: Plan, node: VirtualNode) -> None:
            self.nodes[plan.name] = node
            start = node.start

            def start_on_the_second(*, off: int = 0) -> None:
                if before_start:
                    before_start(node)
                start(off=off + -(node.now + off) % 1000)

            node.start = start_on_the_second  # type: ignore[method-assign]
            if prepare:
                prepare(node)

        with Fleet(
            [pole.plan for pole in self.poles],
            self.folder / "nodes",
            broker=url,
            settings=self.node_settings(),
            prepare=ready,
            on_event=self._heard,
            timeout=PATIENCE,
            heap=None if self.heap is None else f"{self.heap}k",
            garbage=GARBAGE if self.heap is None else 0,
        ) as fleet:
            self.results = fleet.run()
        return self.results

    def node_settings(self) -> dict[str, Any]:
        """What all nodes of the city are told, below what a pole's own plan says."""
        return {
            "collector_key": self.keys.collectors[-1].public.hex(),
            "publish_rate": 0,
            "status_interval": 0,
            "drain": 7200,
            **self.settings,
        }

    def _heard(self, name: str, event: Event) -> None:
        if event.name == "identity":
            self._ids[name] = event.data["node"]
            self.keys.add_node(bytes.fromhex(event.data["public_key"]))

    # -- the judgement ------------------------------------------------------------------------------------------------

    def expected(self) -> dict[Key, tuple[int, int]]:
        """What every sensor of every node had to say, and its step: (value, step)."""
        wanted: dict[Key, tuple[int, int]] = {}
        for pole in self.poles:
            expectation, station = pole.expectation, pole.expectation.station
            for index, row in enumerate(station.rows):
                for (quantity, sensor), step in expectation.columns.items():
                    value = expectation.value(row, (quantity, sensor))
                    if value is not None:
                        time = station.start + index * self.data.interval
                        wanted[(self._ids[pole.plan.name], quantity, sensor, time)] = (value, step)
        return wanted

    def verdict(self) -> Verdict:
        """What the demo's own comparison says."""
        expectations = {self._ids[pole.plan.name]: pole.expectation for pole in self.poles}
        with open_store(self.store, create=False) as place:
            return compare(expectations, place.iter_frames())

    def ended_well(self) -> None:
        """Every node came to the end of its run with nothing left in its store and nothing given up."""
        for result in self.results:
            assert result.error is None, f"node {result.name}: {result.error}"
            state = {name: result.report[name] for name in ("reason", "pending", "discarded_rows")}
            assert state == {"reason": "done", "pending": 0, "discarded_rows": 0}, (result.name, dict(result.report))

    def judge(self, excused: Iterable[int] = ()) -> set[int]:
        """Nothing lost, twice, changed or invented, but for rows at `excused` times; which of these are incomplete."""
        wanted, found, may_miss = self.expected(), Found.of(self.store), set(excused)
        assert found.twice == [], f"stored twice: {found.twice[:5]}"
        missing = [key for key in wanted if key not in found.values]
        lost = [key for key in missing if key[3] not in may_miss]
        assert lost == [], f"{len(lost)} readings lost, among them {lost[:5]} (excused: {sorted(may_miss)})"
        known = {key[:3] for key in wanted}
        for key, value in found.values.items():
            if key in wanted:
                right, step = wanted[key]
                assert abs(right - value) * 2 <= (step if step > 1 else 0), f"{key}: {value} stored, {right} played"
            else:
                # What only a chip knows of (a percentile of sound) has no original; everything else would be invented.
                assert key[:3] not in known, f"{key}: {value} stored, where nothing was"
        return {key[3] for key in missing}


def rows_around(city: City, instants: Iterable[int]) -> set[int]:
    """Times of the rows that were in the making at these instants (ms of the nodes' story)."""
    times: set[int] = set()
    for pole in city.poles:
        start, interval = pole.plan.world.start_time, city.data.interval
        for instant in instants:
            moment = start + instant / 1000
            # From the end of the row before (whose writing may just have begun) to the end of the one it falls into.
            for row in range(int(moment // interval), int(moment // interval) + 2):
                if moment - 2 <= row * interval < moment + interval:
                    times.add(row * interval)
    return times
