"""The demo itself: nodes at the poles, a broker, a collector, a store, and at the end the comparison and the page.

The pieces are those a city uses: the firmware, the provisioning (`claiming`, the first act), the collector, the store.
What is the demo's own is the world the chips sense, the broker when no other is named, and, for the nodes that are not
provisioned because a radio's seconds cannot be wound forward, their settings and the enrolment of their keys.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from citymote import registry
from citymote.broker import Broker
from citymote.capture import CaptureWriter
from citymote.collect import Collector
from citymote.keys import KeyFile, Opener
from citymote.reading import moment
from citymote.simulate import Fleet, Result, broker_settings
from citymote.storage.base import open_store
from citymote.testing import runtime
from citymote.transports.mqtt import Subscriber

from . import dataset, report
from . import options as asked
from .city_nodes import Pole, poles
from .claiming import Claimed, FirstAct
from .judging import Heard, Judged, judge
from .options import Options

if TYPE_CHECKING:
    from citymote.storage.base import Store

SETTLE = 60.0  # seconds that the collector gets for what the broker still holds when the last node has ended
AWAY = 5.0  # and that a broker gets to come back


@dataclass(frozen=True, slots=True)
class Figures:
    """The demo's one document. Readings are values that were there; absent ones are neither sent nor lost. What a node
    has measured counts as sent, also where it still waits in the node's store; there it is neither stored nor lost."""

    nodes: int
    frames: int
    readings_sent: int
    readings_stored: int
    lost: int
    duplicates: int
    mismatches: int
    bytes_on_wire: int
    bytes_per_reading: float
    seconds: float
    provisioned: int
    """Nodes that began in their boxes and were claimed and configured over BLE."""
    provision_seconds: float
    """Real seconds from the first one's being switched on until the last one was configured."""

    @property
    def good(self) -> bool:
        """Whether every reading came back once and equal."""
        return not (self.lost or self.duplicates or self.mismatches)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


@dataclass(slots=True)
class Outcome:
    """All that a run came to: the figures, the page, the store, and what went wrong in words. `failed`: what was wrong
    with nodes; `waiting`: readings that none of them could deliver."""

    figures: Figures
    page: Path
    store: Path
    title: str
    notes: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])
    waiting: int = 0
    rows: list[tuple[str, str, int, int, str, str, str]] = field(
        default_factory=list[tuple[str, str, int, int, str, str, str]]
    )

    @property
    def good(self) -> bool:
        """Whether every node came to the end of its day, and every reading to the store, once and equal."""
        return self.figures.good and bool(self.figures.readings_stored) and not (self.failed or self.waiting)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a progress bar wants to know."""

    nodes: int
    of: int
    frames: int
    readings: int


class _Collecting:
    """A collector in a thread of its own, from the first node's boot to the last frame's commit."""

    def __init__(self, subscriber: Subscriber, keys: KeyFile, store: Store, capture: CaptureWriter) -> None:
        self.problems: list[str] = []
        self.subscriber = subscriber
        self.collector = Collector(subscriber, store, Opener(keys), False, capture, self.problems.append)
        self.error: Exception | None = None
        self.on_error: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="citymote-collector", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.collector.run()
        except Exception as error:  # noqa: BLE001 - handed to the main thread
            self.error = error
            self.on_error()

    def settle(self, frames: int) -> None:
        """Wait until so many frames are stored, as long as they keep coming."""
        held, since = -1, time.monotonic()
        while self.collector.report.stored < frames and self.error is None:
            if time.monotonic() - since > (SETTLE if self.subscriber.connected else AWAY):
                break
            if self.collector.report.received != held:
                held, since = self.collector.report.received, time.monotonic()
            time.sleep(0.02)

    def outages(self) -> list[str]:
        """What there is to say of a broker that was not always there."""
        if not self.subscriber.losses:
            return []
        end = "was away for a while" if self.subscriber.connected else "has gone, and did not come back"
        return [f"the broker {self.subscriber.address} {end}"]

    def stop(self) -> None:
        """Commit what has come."""
        self.collector.stop()
        self._thread.join()
        if self.error is not None:
            raise self.error


def run(options: Options, progress: Callable[[Progress], None] | None = None) -> Outcome:
    """Tell the whole story. The folder `options.out` then holds the store, a capture of the sealed frames as they came
    (`day.cmcap`), the key file that opens them, the nodes with their flash, and the page.
    """
    begun = time.monotonic()
    # Whatever can be refused is refused in front of `empty_folder`: what an earlier run has left goes only for another.
    asked.check_extras("the demo", options.parquet)
    asked.keep_apart(options)
    data = asked.data(options)
    link = asked.link(options)
    line = poles(data, options.chips, options.seed, sound=options.sound, claimed=options.claim)
    place = options.out / ("readings" if options.parquet else "readings.db")
    notes = list(data.notes)
    with _broker(options.broker) as url, _subscribed(url, link, options) as subscriber:
        runtime.application(runtime.micropython().architecture)  # may be missing, too
        folder = asked.empty_folder(options.out)
        link = link or broker_settings(url)
        keys = KeyFile.create(folder / "city.keys")
        with (
            open_store(f"parquet:{place}" if options.parquet else place) as store,
            CaptureWriter(folder / "day.cmcap") as capture,
        ):
            collecting = _Collecting(subscriber, keys, store, capture)
            try:
                first = _first_act(line, folder, link, keys, url, options)
                heard = Heard(keys)
                results = _nodes(line, folder, _settings(link, keys), heard, collecting, progress)
                claimed = first.proved() if first else Claimed()
                collecting.settle(heard.acked)
            finally:
                notes += collecting.outages()
                collecting.stop()
            keys.save()
            failed = claimed.failed + [f"node {result.name}: {result.error}" for result in results if result.error]
            judged = judge(line, results, heard, store, folder / "nodes")
            notes += [*failed, *judged.words()]
            notes += collecting.problems[-5:] if collecting.collector.report.failed else []
            figures = _figures(judged, collecting.collector, claimed, time.monotonic() - begun)
            rows, page = _page(data, figures, store, judged)
    path = folder / "report.html"
    path.write_text(page, "utf-8")
    notes += judged.verdict.examples
    return Outcome(figures, path, place, data.title, notes, failed, judged.waiting, rows)


@contextmanager
def _broker(url: str | None) -> Generator[str, None, None]:
    """The address of the broker that was named, or of one of our own."""
    if url is not None:
        yield url
        return
    with Broker() as broker:
        yield broker.url


@contextmanager
def _subscribed(url: str, link: Mapping[str, Any], options: Options) -> Generator[Subscriber, None, None]:
    """A subscription that stands, and of which nothing is left behind on the broker; BrokerError when it does not come
    to that."""
    name = f"citymote-demo-{time.time_ns():x}"  # never the name of a collector in service
    ca = str(options.ca_file) if options.ca_file else None
    subscriber = Subscriber(url, client_id=name, password=link.get("broker_password"), ca_file=ca)
    subscriber.start()
    try:
        if not subscriber.wait(15.0, patient=False):
            raise subscriber.no_answer()
        yield subscriber
    finally:
        subscriber.stop(forget=True)


def _settings(link: dict[str, Any], keys: KeyFile) -> dict[str, Any]:
    """What every node is told, whoever tells it."""
    return {
        **link,
        "collector_key": keys.collectors[-1].public.hex(),
        "batch": 10,
        # An hourly file must not mean a frame an hour: the demo's rows wait for their batch.
        "max_delay": 0,
        "publish_rate": 0,
        # A day has 384 pings at the usual keepalive, each a real round trip that virtual time waits for.
        "broker_keepalive": 3600,
        "status_interval": 86400,
    }


def _first_act(
    line: list[Pole], folder: Path, link: dict[str, Any], keys: KeyFile, url: str, options: Options
) -> FirstAct | None:
    """The first poles' nodes are claimed and configured; None where that is not asked for."""
    plans = [pole.plan for pole in line[: options.claim]]
    if not plans:
        return None
    act = FirstAct(
        plans, folder, _settings(link, keys), keys, url, options.told,
        ca_file=options.ca_file, password=link.get("broker_password"),
    )  # fmt: skip
    act.configure()
    return act


def _nodes(
    line: list[Pole],
    folder: Path,
    settings: dict[str, Any],
    heard: Heard,
    collecting: _Collecting,
    progress: Callable[[Progress], None] | None,
) -> list[Result]:
    from citymote.testing.vm import GARBAGE

    def step(_: Result, done: int, of: int) -> None:
        if collecting.error is not None:
            raise collecting.error
        if progress:
            progress(Progress(done, of, collecting.collector.report.stored, collecting.collector.report.readings))

    with Fleet(
        [pole.plan for pole in line],
        folder / "nodes",
        settings=settings,
        garbage=GARBAGE,
        progress=step,
        on_event=heard,
    ) as fleet:
        # Nothing is acknowledged any more then, and no node would come to its end.
        collecting.on_error = fleet.stop
        if collecting.error is not None:
            raise collecting.error
        return fleet.run()


def _figures(judged: Judged, collector: Collector, claimed: Claimed, seconds: float) -> Figures:
    verdict = judged.verdict
    return Figures(
        nodes=judged.nodes,
        frames=collector.report.stored,
        readings_sent=judged.sent,
        readings_stored=verdict.stored,
        lost=verdict.lost,
        duplicates=verdict.duplicates,
        mismatches=verdict.mismatches,
        bytes_on_wire=collector.report.bytes,
        bytes_per_reading=round(collector.report.bytes / verdict.stored, 3) if verdict.stored else 0.0,
        seconds=round(seconds, 2),
        provisioned=len(claimed.first_frame),
        provision_seconds=claimed.seconds,
    )


def _page(
    data: dataset.Dataset, figures: Figures, store: Store, judged: Judged
) -> tuple[list[tuple[str, str, int, int, str, str, str]], str]:
    """The stored readings, not the played ones, on a grid of intervals: the terminal's table and the page."""
    start = min(station.start for station in data.stations)
    count = max((station.start - start) // data.interval + len(station.rows) for station in data.stations)
    grid: dict[int, dict[str, list[float | None]]] = {}
    absent: Counter[tuple[int, str]] = Counter()
    for frame in store.iter_frames():
        if frame.kind != "batch" or frame.node not in judged.expectations:
            continue
        for sample in frame.samples():
            index = (sample.time - start) // data.interval
            if sample.instance or not 0 <= index < count:
                continue
            line = grid.setdefault(sample.quantity, {}).setdefault(frame.node, [None] * count)
            if sample.value is not None:
                line[index] = registry.quantity(sample.quantity).value(sample.value)
            else:
                absent[sample.quantity, frame.node] += 1
    plots = {
        number: [report.Series(node, line, absent[number, node]) for node, line in sorted(nodes.items())]
        for number, nodes in sorted(grid.items())
    }
    headline = {
        "nodes": f"{figures.nodes:,}",
        "readings stored": f"{figures.readings_stored:,}",
        "frames": f"{figures.frames:,}",
        "lost": f"{figures.lost:,}",
        "duplicates": f"{figures.duplicates:,}",
        "mismatches": f"{figures.mismatches:,}",
        "bytes per reading": f"{figures.bytes_per_reading:.2f}",
        "seconds": f"{figures.seconds:.1f}",
    }
    bad = {name for name in ("lost", "duplicates", "mismatches") if getattr(figures, name)}
    if judged.waiting:
        headline["wait in nodes"] = f"{judged.waiting:,}"
        bad.add("wait in nodes")
    hours = count * data.interval / 3600
    subtitle = (
        f"{figures.nodes} virtual nodes with the real firmware on MicroPython, {hours:g} hours, "
        f"one row every {data.interval} s; sealed CBOR frames over MQTT"
    )
    page = report.page(data.title, subtitle, headline, bad, moment(start), timedelta(seconds=data.interval), plots)
    return report.summary(plots), page
