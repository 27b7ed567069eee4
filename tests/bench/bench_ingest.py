"""Readings a second into the store: frames that are encoded already, bare and sealed, and a data file from its CSV on.

The collector's own loop runs, with its transactions, against a source that hands it messages from memory; no
network. The clock runs from the first message to the last commit. From CSV it runs from opening the file, and takes
in the encoder: the real S-DoT day where it is at hand, else a generated city of about its size. All of it happens
on one core.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import tempfile
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.bench.measuring import Missing, data_file, note

from citymote import registry
from citymote.collect import BATCH, Collector
from citymote.crypto import HostCrypto
from citymote.demo import city
from citymote.demo.dataset import Dataset, Station, read_csv
from citymote.demo.mapping import EPOCH_2000
from citymote.keys import KeyFile, Opener, generate_collector_key
from citymote.storage.base import open_store
from citymote.transports.mqtt import Incoming
from citymote_protocol import frame, p256, sealing
from citymote_protocol.quantities import ABSENT

FAMILY = "ingest"
NODES = 20
ROWS = 10  # a frame
ROUNDS = 3


class Memory:
    """A source of messages that are there already."""

    def __init__(self, payloads: Iterable[bytes]) -> None:
        self._left = iter([Incoming("", data, 0.0, (index, 1)) for index, data in enumerate(payloads)])

    def take(self, timeout: float, most: int = BATCH) -> list[Incoming]:
        del timeout
        return list(itertools.islice(self._left, most))

    def ack(self, messages: Sequence[Incoming]) -> None:
        del messages


def frames_of(station: Station, interval: int, node: bytes | None) -> Iterator[bytes]:
    """A station's rows as the frames of a node that always reaches its broker."""
    columns = tuple((number, 0) for number in station.quantities())
    encoder: Any = frame.Encoder(node, columns)
    for sequence, start in enumerate(range(0, len(station.rows), ROWS)):
        rows = station.rows[start : start + ROWS]
        values = [array("i", [row.get(number, ABSENT) for row in rows]) for number, _ in columns]
        moment = station.start + start * interval
        yield bytes(encoder.encode(1, sequence, moment, frame.NETWORK, interval, len(rows), values))


def stored(payloads: Iterable[bytes], place: str, opener: Opener | None = None) -> int:
    """Put messages into a fresh store; how many readings it then holds, absent ones not counted."""
    with open_store(place) as store:
        collector = Collector(Memory(payloads), store, opener, allow_unsealed=opener is None)
        while collector.step(0):
            pass
        if collector.report.failed or collector.report.duplicates:
            raise AssertionError(f"not everything was stored: {collector.report}")
        counts = store.counts()
        return counts.readings - counts.absent


def rate(payloads: list[bytes], folder: Path, kind: str = "sqlite", opener: Opener | None = None) -> float:
    """Readings a second, the best of some rounds, each into a store of its own."""
    best = 0.0
    for number in range(ROUNDS):
        name = folder / f"{kind}{number}{'sealed' if opener else ''}"
        began = time.perf_counter()
        count = stored(payloads, f"{kind}:{name}", opener)
        best = max(best, count / (time.perf_counter() - began))
    return best


def bare(data: Dataset) -> list[bytes]:
    """The frames of all nodes, unsealed."""
    names = [hashlib.sha256(station.name.encode()).digest()[:6] for station in data.stations]
    lines = zip(data.stations, names, strict=True)
    return [each for station, node in lines for each in frames_of(station, data.interval, node)]


def sealed(data: Dataset) -> tuple[list[bytes], Opener]:
    """The same frames as nodes send them by default, and the collector's opener."""
    crypto: Any = HostCrypto()
    keys = KeyFile(collectors=[generate_collector_key()])
    messages: list[bytes] = []
    for station in data.stations:
        private, public = p256.run(crypto.key_pair_steps())
        name = keys.add_node(public)
        sealer: Any = sealing.Sealer(crypto, name, private, keys.collectors[0].public, 1, bytes(range(8)))
        messages += [sealer.seal(each) for each in frames_of(station, data.interval, None)]
    return messages, Opener(keys)


def write_csv(path: Path) -> None:
    """A generated city as a file that the Smart Citizen mapping of the demo reads, one node after the other."""
    names = {"TEMP": "temperature", "HUM": "humidity", "LIGHT": "illuminance", "NOISE_A": "laeq", "PM_25": "pm2_5",
             "PM_10": "pm10"}  # fmt: skip
    station = city.generate(nodes=1, hours=24 * 30).stations[0]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["TIME", *names])
        for index, row in enumerate(station.rows):
            values = [registry.quantity(name).value(row[registry.quantity(name).id]) for name in names.values()]
            seconds = EPOCH_2000.timestamp() + station.start + index * 120
            writer.writerow([time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(seconds)), *values])


def from_csv(folder: Path) -> float:
    """Readings a second from a CSV file to the store."""
    try:
        path = data_file("sdot_1h_20200501_640nodes.csv")
    except Missing as missing:
        note(f"{missing}; a generated month in its place")
        path = folder / "city.csv"
        write_csv(path)
    began = time.perf_counter()
    data = read_csv(path)
    count = stored(bare(data), str(folder / "csv.db"))
    spent = time.perf_counter() - began
    if count != sum(station.present() for station in data.stations):
        raise AssertionError(f"{count} readings are stored of a file that holds others")
    return count / spent


def measure() -> dict[str, float]:
    data = city.generate(nodes=NODES, hours=24)
    frames = bare(data)
    messages, opener = sealed(data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        metrics = {
            "ingest.readings_per_s": rate(frames, folder),
            "ingest.readings_per_s_sealed": rate(messages, folder, opener=opener),
            "ingest.csv_readings_per_s": from_csv(folder),
        }
        try:
            metrics["ingest.readings_per_s_parquet"] = rate(frames, folder, "parquet")
        except ModuleNotFoundError as error:
            note(f"left out Parquet: no package {error.name}")
    return metrics
