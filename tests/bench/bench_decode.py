"""Decoding to Python objects and to Arrow columns, ours with all checks on beside the best library of each format.

The same rows everywhere: the Smart Citizen Kit's day (or a generated pole), in batches of 10 and 60, repeated until
there are enough frames. Ours gives full readings (node, sequence, time and its quality, quantity, sensor, value,
unit, quality, seal); the peers give what their format says (time, quantity, value), unchecked, which is in their
favour. Times are of the processor, because benches share machines.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from tests.bench import bench_wire, wire_data, wire_peers
from tests.bench.measuring import Missing, data_file, note, optional
from tests.bench.wire_data import FIRST_SEQUENCE, NODE, Rows

import citymote
from citymote.crypto import HostCrypto
from citymote.keys import KeyFile, Opener, generate_collector_key
from citymote_protocol import p256, sealing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAMILY = "decode"
READINGS = 400_000
BATCHES = (10, 60)
ROUNDS = 3
UNIX_2000 = 946_684_800


@dataclass(frozen=True)
class Subject:
    """One format: its messages of all batches, and how they become objects and columns."""

    name: str
    messages: list[bytes]
    objects: Callable[[list[bytes]], int]
    arrow: Callable[[list[bytes]], int]


def processor(what: Callable[[list[bytes]], int], messages: list[bytes]) -> float:
    """Readings a second of processor time, the best of some rounds."""
    best = 0.0
    for _ in range(ROUNDS):
        began = time.process_time()
        count = what(messages)
        best = max(best, count / (time.process_time() - began))
    return best


def table(times: Any, names: Any, values: Any) -> int:
    """What every peer's columns become; the names are codes into the schema's, as cheap as can be."""
    made = pa.table({"time": pa.array(times), "quantity": pa.array(names), "value": pa.array(values)})
    return made.num_rows - made["value"].null_count


def ours(name: str, messages: list[bytes], keys: Opener | None = None) -> Subject:
    def objects(given: list[bytes]) -> int:
        return sum(reading.value is not None for reading in citymote.readings(given, keys=keys))

    def arrow(given: list[bytes]) -> int:
        made = citymote.to_arrow(given, keys=keys)
        return made.num_rows - made["value"].null_count

    return Subject(name, messages, objects, arrow)


def senml(batches: list[Rows]) -> Subject:
    import cbor2

    def walk(messages: list[bytes]) -> Iterator[tuple[int, str, float]]:
        for message in messages:
            base = 0
            for record in cbor2.loads(message):
                base = record.get(-3, base)
                yield base + record.get(6, 0), record[0], float(record[2])

    def arrow(messages: list[bytes]) -> int:
        times, names, values = zip(*walk(messages), strict=True)
        return table(times, pa.array(names).dictionary_encode(), values)

    peer = next(peer for peer in wire_peers.peers(lambda _: None) if peer.name == "senml_cbor")
    return Subject(
        "senml_cbor",
        encoded(peer.encode, batches),
        lambda given: sum(value is not None for _, _, value in walk(given)),
        arrow,
    )


def json_rows(batches: list[Rows]) -> Subject:
    orjson = optional("orjson")
    names = batches[0].names

    def objects(messages: list[bytes]) -> int:
        made = (
            (row["time"], name, row[name])
            for message in messages
            for row in orjson.loads(message)
            for name in names
            if name in row
        )
        return sum(value is not None for _, _, value in made)

    def arrow(messages: list[bytes]) -> int:
        rows = [row for message in messages for row in orjson.loads(message)]
        times = np.array([row["time"][:-1] for row in rows], "datetime64[s]")
        values = np.array([[row.get(name) for row in rows] for name in names], np.float64)
        return table(
            np.tile(times, len(names)),
            np.repeat(np.arange(len(names)), len(rows)),
            pa.array(values.ravel(), from_pandas=True),
        )

    peer = next(peer for peer in wire_peers.peers(lambda _: None) if peer.name == "json_rows")
    return Subject("json_orjson", encoded(peer.encode, batches), objects, arrow)


def deltas(
    name: str,
    messages: list[bytes],
    parse: Callable[[bytes], tuple[int, int, list[int], list[int], Any]],
    batches: list[Rows],
) -> Subject:
    """Formats of delta columns: `parse` gives first time, interval, deviations, gaps and columns of one message."""
    scales = [10.0**decimals for decimals in batches[0].decimals]
    quantities = batches[0].names

    def objects(given: list[bytes]) -> int:
        return sum(value is not None for _, _, value in walk(given))

    def walk(given: list[bytes]) -> Iterator[tuple[int, str, float | None]]:
        for message in given:
            first, interval, deviations, gaps, columns = parse(message)
            missing = set(gaps)
            count = len(columns[0]) + sum(gap >> 8 == 0 for gap in gaps)
            times = rows_of(first, interval, deviations, count)
            for number, (quantity, column, scale) in enumerate(zip(quantities, columns, scales, strict=True)):
                values = itertools.accumulate(column)
                for row, at in enumerate(times):
                    yield at, quantity, None if number << 8 | row in missing else next(values) / scale

    def arrow(given: list[bytes]) -> int:
        times, names, values = [], [], []
        for message in given:
            first, interval, deviations, gaps, columns = parse(message)
            count = len(columns[0]) + sum(gap >> 8 == 0 for gap in gaps)
            at = np.array(rows_of(first, interval, deviations, count))
            for number, (column, scale) in enumerate(zip(columns, scales, strict=True)):
                line = np.cumsum(np.array(column, np.int64)) / scale
                if gaps:
                    whole = np.full(count, np.nan)
                    there = np.ones(count, bool)
                    there[[gap & 255 for gap in gaps if gap >> 8 == number]] = False
                    whole[there] = line
                    line = whole
                values.append(line)
                times.append(at)
                names.append(np.full(count, number, np.int8))
        return table(np.concatenate(times), np.concatenate(names), pa.array(np.concatenate(values), from_pandas=True))

    return Subject(name, messages, objects, arrow)


def rows_of(first: int, interval: int, deviations: list[int], count: int) -> list[int]:
    if not deviations:
        return [first + row * interval for row in range(count)]
    return list(itertools.accumulate((interval + each for each in deviations), initial=first))


def msgpack_delta(batches: list[Rows]) -> Subject:
    msgpack = optional("msgpack")

    def encode(rows: Rows, sequence: int) -> bytes:
        columns, gaps = wire_peers._deltas(rows)
        made: bytes = msgpack.packb(
            [NODE, 1, sequence, rows.times[0], rows.interval, wire_peers._deviations(rows), gaps, columns]
        )
        return made

    def parse(message: bytes) -> tuple[int, int, list[int], list[int], Any]:
        _, _, _, first, interval, deviations, gaps, columns = msgpack.unpackb(message)
        return first, interval, deviations, gaps, columns

    return deltas("msgpack_delta", encoded(encode, batches), parse, batches)


def protobuf_delta(batches: list[Rows]) -> Subject:
    """Packed `sint32` columns, the schema built at run time."""
    descriptors = optional("google.protobuf.descriptor_pb2")
    kinds = descriptors.FieldDescriptorProto
    file = descriptors.FileDescriptorProto(name="bench.proto", package="bench", syntax="proto3")
    message = file.message_type.add(name="Frame")
    columns = [f"column{number}" for number in range(len(batches[0].columns))]
    single = [("node", kinds.TYPE_BYTES), *((name, kinds.TYPE_UINT32) for name in ("epoch", "seq", "time", "interval"))]
    repeated = [*((name, kinds.TYPE_SINT32) for name in [*columns, "deviations"]), ("gaps", kinds.TYPE_UINT32)]
    for number, (name, kind) in enumerate([*single, *repeated], 1):
        label = kinds.LABEL_REPEATED if number > len(single) else kinds.LABEL_OPTIONAL
        message.field.add(name=name, number=number, type=kind, label=label)
    pool = optional("google.protobuf.descriptor_pool").DescriptorPool()
    described = pool.AddSerializedFile(file.SerializeToString()).message_types_by_name["Frame"]
    frame = optional("google.protobuf.message_factory").GetMessageClass(described)

    def encode(rows: Rows, sequence: int) -> bytes:
        lines, gaps = wire_peers._deltas(rows)
        made = frame(
            node=NODE, epoch=1, seq=sequence, time=rows.times[0], interval=rows.interval,
            deviations=wire_peers._deviations(rows), gaps=gaps, **dict(zip(columns, lines, strict=True)),
        )  # fmt: skip
        data: bytes = made.SerializeToString()
        return data

    def parse(data: bytes) -> tuple[int, int, list[int], list[int], Any]:
        found = frame.FromString(data)
        lines = [getattr(found, name) for name in columns]
        return found.time, found.interval, list(found.deviations), list(found.gaps), lines

    return deltas("protobuf_delta", encoded(encode, batches), parse, batches)


def encoded(coder: Callable[[Rows, int], bytes], batches: list[Rows]) -> list[bytes]:
    return [coder(rows, FIRST_SEQUENCE + index) for index, rows in enumerate(batches)]


def sealed(frames: list[bytes]) -> tuple[list[bytes], Opener]:
    crypto: Any = HostCrypto()
    private, public = p256.run(crypto.key_pair_steps())
    keys = KeyFile(collectors=[generate_collector_key()])
    sealer: Any = sealing.Sealer(crypto, keys.add_node(public), private, keys.collectors[0].public, 1, bytes(range(8)))
    return [sealer.seal(frame) for frame in frames], Opener(keys)


def subjects(rows: Rows, size: int) -> Iterator[Subject]:
    batches = rows.batches(size)
    frames = encoded(bench_wire._ours(rows.columns, False), batches)
    yield ours("citymote", frames)
    listed = bench_wire._swapped(rows)
    yield ours("citymote_list", encoded(bench_wire._ours(listed.columns, False), listed.batches(size)))
    yield ours("citymote_packed", encoded(bench_wire._ours(rows.columns, True), batches))
    yield ours("citymote_sealed", *sealed(encoded(bench_wire._ours(rows.columns, False, None), batches)))
    for make in (senml, json_rows, msgpack_delta, protobuf_delta):
        try:
            yield make(batches)
        except Missing as missing:
            note(f"left out {make.__name__}: {missing}")


def measure() -> dict[str, float]:
    try:
        rows = wire_data.kit(data_file("sck_1min_geo.csv"))
    except Missing as missing:
        note(f"{missing}; a generated city pole in its place")
        rows = wire_data.pole()
    metrics: dict[str, float] = {}
    for size in BATCHES:
        present = sum(cut.readings() for cut in rows.batches(size))
        suffix = "" if size == BATCHES[0] else f".batch{size}"
        for subject in subjects(rows, size):
            slow = subject.name == "citymote_packed"
            messages = subject.messages * max(1, READINGS // (present * (4 if slow else 1)))
            for kind, what in (("objects", subject.objects), ("arrow", subject.arrow)):
                expected = present * (len(messages) // len(subject.messages))
                if what(messages) != expected:
                    raise AssertionError(f"{subject.name}: not {expected} readings")
                metrics[f"decode.readings_per_s.{kind}.{subject.name}{suffix}"] = processor(what, messages)
    return metrics


if __name__ == "__main__":
    for metric, value in measure().items():
        print(f"{metric:60} {value / 1e6:8.2f} M/s")
