"""Bytes per reading on the wire: ours and others', the same real readings, the same cuts into batches, one run.

Every format is decoded back and compared with what went in before its bytes count. Ours are measured as a node
sends them: with a set id (`cbor`, `packed`), with an explicit list of quantities (`cbor_list`, `packed_list`), and
sealed (`cbor_sealed`, `packed_sealed`: the envelope names the node). `entropy` is what no coder of single first
differences can beat: their order-0 entropy, without any header. `samples_in` is how many samples of ten quantities
a LoRaWAN frame takes.
"""

from __future__ import annotations

import itertools
import math
import statistics
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench import wire_data, wire_peers, wire_sizes
from tests.bench.measuring import Missing, data_file, note
from tests.bench.wire_data import EPOCH, FIRST_SEQUENCE, NODE, Rows

from citymote.crypto import HostCrypto
from citymote.keys import KeyFile, Opener, generate_collector_key
from citymote_protocol import frame, p256, sealing
from citymote_protocol.limits import MAX_FRAME
from citymote_protocol.quantities import ABSENT

FAMILY = "wire"
Coder = Callable[[Rows, int], bytes]
Decoder = Callable[[bytes, Rows], wire_peers.Said]


def _arrays(rows: Rows) -> list[array[int]]:
    return [
        array("i", [ABSENT if value is None else value for value in column])
        for column in zip(*rows.values, strict=True)
    ]


def _own_times(rows: Rows) -> list[int] | None:
    """The times where the rows are not regular, as the node's store hands them over."""
    regular = all(b - a == rows.interval for a, b in itertools.pairwise(rows.times))
    return None if regular else rows.times


def _ours(columns: tuple[tuple[int, int], ...], packed: bool, node: bytes | None = NODE) -> Coder:
    encoder: Any = frame.Encoder(node, columns, MAX_FRAME)

    def encode(rows: Rows, sequence: int) -> bytes:
        given = (rows.interval, len(rows.times), _arrays(rows), None, packed, _own_times(rows))
        return bytes(encoder.encode(EPOCH, sequence, rows.times[0], frame.NETWORK, *given))

    return encode


def _check(said: wire_peers.Said, rows: Rows, name: str) -> None:
    if said != (rows.times, rows.values):
        raise AssertionError(f"{name}: what came back of the batch at {rows.times[0]} is not what went in")


def _said(batch: Any, rows: Rows) -> wire_peers.Said:
    """A decoded frame as rows, its columns in the order of `rows`."""
    order = [batch.columns.index(column) for column in rows.columns]
    lines = zip(*(batch.values[at] for at in order), strict=True)
    return [batch.time_of(row) for row in range(batch.count)], [list(line) for line in lines]


def _total(batches: list[Rows], coder: Coder, back: Decoder, name: str) -> int:
    size = 0
    for index, rows in enumerate(batches):
        data = coder(rows, FIRST_SEQUENCE + index)
        _check(back(data, rows), rows, name)
        size += len(data)
    return size


def _swapped(rows: Rows) -> Rows:
    """The same with the last two columns swapped: no set has them in this order, so the frame must list them."""

    def swap(line: Any) -> Any:
        return [*line[:-2], line[-1], line[-2]]

    return Rows(rows.name, rows.interval, tuple(swap(rows.columns)), rows.times, [swap(row) for row in rows.values])


def _sealed(columns: tuple[tuple[int, int], ...], packed: bool) -> tuple[Coder, Decoder]:
    """Ours as a node sends it by default: the envelope names the node, the frame inside does not."""
    crypto: Any = HostCrypto()
    private, public = p256.run(crypto.key_pair_steps())
    keys = KeyFile(collectors=[generate_collector_key()])
    sealer: Any = sealing.Sealer(crypto, keys.add_node(public), private, keys.collectors[0].public, 1, bytes(range(8)))
    opener = Opener(keys)
    bare = _ours(columns, packed, None)
    return (
        lambda rows, sequence: sealer.seal(bare(rows, sequence)),
        lambda data, rows: _said(frame.decode(opener.open(data)[1]), rows),
    )


def _frames_metrics(rows: Rows, peers: list[wire_peers.Peer]) -> Iterator[tuple[str, float]]:
    listed = _swapped(rows)
    entropy = entropy_bytes(rows)
    for size in wire_sizes.BATCHES:
        name = f"wire.bytes_per_reading.{rows.name}.batch{size}"
        batches = rows.batches(size)
        readings = sum(cut.readings() for cut in batches)

        def back(data: bytes, cut: Rows) -> wire_peers.Said:
            return _said(frame.decode(data), cut)

        for packed, kind in ((False, "cbor"), (True, "packed")):
            yield f"{name}.{kind}", _total(batches, _ours(rows.columns, packed), back, kind) / readings
            coder = _ours(listed.columns, packed)
            yield f"{name}.{kind}_list", _total(listed.batches(size), coder, back, kind) / readings
            yield f"{name}.{kind}_sealed", _total(batches, *_sealed(rows.columns, packed), kind) / readings
        for peer in peers:
            yield f"{name}.{peer.name}", _total(batches, peer.encode, peer.decode, peer.name) / readings
        yield f"{name}.entropy", entropy


def entropy_bytes(rows: Rows) -> float:
    """Order-0 entropy of each column's first differences, in bytes, as a mean over the columns."""
    found: list[float] = []
    for column in zip(*rows.values, strict=True):
        present = [value for value in column if value is not None]
        counts = Counter(b - a for a, b in itertools.pairwise(present))
        total = counts.total()
        found.append(-sum(n / total * math.log2(n / total) for n in counts.values()) / 8)
    return statistics.fmean(found)


def samples_in(path: Path) -> dict[str, float]:
    """Samples of ten quantities that fit a LoRaWAN frame: median over a day, each frame filled as far as it goes."""
    rows = wire_sizes.load(path)
    return {
        f"wire.samples_in.{limit}.{kind}": wire_sizes.samples_in(rows, limit, packed)
        for limit in wire_sizes.LIMITS
        for packed, kind in ((False, "cbor"), (True, "packed"))
    }


def measure() -> dict[str, float]:
    peers = wire_peers.peers(note)
    try:
        path = data_file("sck_1min_geo.csv")
    except Missing as missing:
        note(f"{missing}; a generated city pole in its place")
        return dict(_frames_metrics(wire_data.pole(), peers))
    return dict(_frames_metrics(wire_data.kit(path), peers)) | samples_in(path)
