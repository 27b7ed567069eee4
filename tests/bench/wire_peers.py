"""Other formats that say the same readings: each as its users would write it, and each decoded back before it counts.

A peer's `encode(rows)` gives one message for a batch; `decode(data, rows)` gives (times, values) again, where
`rows` stands for the schema only (columns, decimals, interval). Row formats say node, time and names in every row,
as they do over MQTT, and have no sequence number, which is in their favour. Delta formats carry what our frame
carries: node, store epoch, sequence, time, interval, deviations from it, and columns of zigzag deltas; absent rows
are listed apart.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.bench import gorilla
from tests.bench.measuring import Missing, optional
from tests.bench.wire_data import EPOCH, NODE, Row, Rows

from citymote.demo.mapping import EPOCH_2000

Said = tuple[list[int], list[Row]]
UNIX_2000 = 946_684_800


@dataclass(frozen=True)
class Peer:
    """One format."""

    name: str
    encode: Callable[[Rows, int], bytes]
    decode: Callable[[bytes, Rows], Said]


def _integer(value: Any, decimals: int) -> int | None:
    return None if value is None else round(value * 10**decimals)


def _deltas(rows: Rows) -> tuple[list[list[int]], list[int]]:
    """For each column its first value and differences, and the places of absent rows: column * 256 + row."""
    columns: list[list[int]] = []
    gaps: list[int] = []
    for number, column in enumerate(zip(*rows.values, strict=True)):
        line: list[int] = []
        last = 0
        for row, value in enumerate(column):
            if value is None:
                gaps.append(number << 8 | row)
            else:
                line.append(value - last)
                last = value
        columns.append(line)
    return columns, gaps


def _undo(columns: list[list[int]], gaps: list[int], count: int) -> list[Row]:
    missing = set(gaps)
    lines: list[Row] = []
    for number, deltas in enumerate(columns):
        line: Row = []
        value, used = 0, iter(deltas)
        for row in range(count):
            if number << 8 | row in missing:
                line.append(None)
            else:
                value += next(used)
                line.append(value)
        lines.append(line)
    return [list(row) for row in zip(*lines, strict=True)]


def _deviations(rows: Rows) -> list[int]:
    """How much each gap between rows differs from the interval; nothing where none does."""
    found = [b - a - rows.interval for a, b in itertools.pairwise(rows.times)]
    return found if any(found) else []


def _times(first: int, interval: int, deviations: list[int], count: int) -> list[int]:
    times = [first]
    for row in range(count - 1):
        times.append(times[-1] + interval + (deviations[row] if deviations else 0))
    return times


def _dicts(rows: Rows) -> list[dict[str, float]]:
    """Named numbers of each row; what is absent is not there."""
    return [
        {
            name: value / 10**decimals if decimals else value
            for name, decimals, value in zip(rows.names, rows.decimals, row, strict=True)
            if value is not None
        }
        for row in rows.values
    ]


def _from_dict(found: dict[str, Any], rows: Rows) -> Row:
    return [_integer(found.get(name), decimals) for name, decimals in zip(rows.names, rows.decimals, strict=True)]


def _json() -> Peer:
    def encode(rows: Rows, _: int) -> bytes:
        return json.dumps(
            [
                {"id": NODE.hex(), "time": f"{EPOCH_2000 + timedelta(seconds=time):%Y-%m-%dT%H:%M:%SZ}", **row}
                for time, row in zip(rows.times, _dicts(rows), strict=True)
            ],
            separators=(",", ":"),
        ).encode()

    def decode(data: bytes, rows: Rows) -> Said:
        found = json.loads(data)
        times = [int((datetime.fromisoformat(row["time"]) - EPOCH_2000).total_seconds()) for row in found]
        return times, [_from_dict(row, rows) for row in found]

    return Peer("json_rows", encode, decode)


def _msgpack() -> Peer:
    msgpack = optional("msgpack")

    def encode(rows: Rows, _: int) -> bytes:
        packed: bytes = msgpack.packb(
            [{"id": NODE, "time": UNIX_2000 + time, **row} for time, row in zip(rows.times, _dicts(rows), strict=True)]
        )
        return packed

    def decode(data: bytes, rows: Rows) -> Said:
        found = msgpack.unpackb(data)
        return [row["time"] - UNIX_2000 for row in found], [_from_dict(row, rows) for row in found]

    return Peer("msgpack_rows", encode, decode)


# RFC 8428, table 4: the labels of SenML's CBOR form.
_BASE_NAME, _BASE_TIME, _NAME, _VALUE, _TIME = -2, -3, 0, 2, 6


def _senml() -> Peer:
    import cbor2

    def number(value: int, decimals: int) -> Any:
        """The shortest exact form: an integer, or a decimal fraction (tag 4)."""
        while decimals and value % 10 == 0:
            value, decimals = value // 10, decimals - 1
        return cbor2.CBORTag(4, [-decimals, value]) if decimals else value

    def encode(rows: Rows, _: int) -> bytes:
        records: list[dict[int, Any]] = []
        for time, row in zip(rows.times, rows.values, strict=True):
            for name, decimals, value in zip(rows.names, rows.decimals, row, strict=True):
                if value is not None:
                    record: dict[int, Any] = {_NAME: name, _VALUE: number(value, decimals)}
                    if time != rows.times[0]:
                        record[_TIME] = time - rows.times[0]
                    records.append(record)
        records[0] = {_BASE_NAME: f"{NODE.hex()}/", _BASE_TIME: UNIX_2000 + rows.times[0], **records[0]}
        return cbor2.dumps(records)

    def decode(data: bytes, rows: Rows) -> Said:
        base = 0
        found: dict[int, dict[str, Any]] = {}
        for record in cbor2.loads(data):
            base = record.get(_BASE_TIME, base)
            found.setdefault(base + record.get(_TIME, 0) - UNIX_2000, {})[record[_NAME]] = Decimal(record[_VALUE])
        return list(found), [_from_dict(row, rows) for row in found.values()]

    return Peer("senml_cbor", encode, decode)


def _protobuf() -> Peer:
    """Built at run time, so that nobody needs a schema compiler: packed `sint32` for all that is repeated."""
    descriptor_pb2 = optional("google.protobuf.descriptor_pb2")
    pool = optional("google.protobuf.descriptor_pool").DescriptorPool()
    factory = optional("google.protobuf.message_factory")
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="peer.proto", package="peer", syntax="proto3")
    message = file.message_type.add(name="Frame")

    def field(number: int, name: str, kind: int, repeated: bool = False) -> None:
        label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
        message.field.add(name=name, number=number, type=kind, label=label)

    field(1, "node", kinds.TYPE_BYTES)
    field(2, "epoch", kinds.TYPE_UINT32)
    field(3, "seq", kinds.TYPE_UINT32)
    field(4, "time", kinds.TYPE_UINT32)
    field(5, "interval", kinds.TYPE_UINT32)
    for column in range(10):  # numbers 6..15 still take one byte
        field(6 + column, f"column{column}", kinds.TYPE_SINT32, True)
    field(16, "deviations", kinds.TYPE_SINT32, True)
    field(17, "gaps", kinds.TYPE_UINT32, True)
    frame = factory.GetMessageClass(pool.AddSerializedFile(file.SerializeToString()).message_types_by_name["Frame"])

    def encode(rows: Rows, sequence: int) -> bytes:
        columns, gaps = _deltas(rows)
        said = {f"column{number}": line for number, line in enumerate(columns)}
        made = frame(node=NODE, epoch=EPOCH, seq=sequence, time=rows.times[0], interval=rows.interval,
                     deviations=_deviations(rows), gaps=gaps, **said)  # fmt: skip
        data: bytes = made.SerializeToString()
        return data

    def decode(data: bytes, rows: Rows) -> Said:
        found = frame.FromString(data)
        columns = [list(getattr(found, f"column{number}")) for number in range(len(rows.columns))]
        gaps = list(found.gaps)
        count = len(columns[0]) + sum(gap >> 8 == 0 for gap in gaps)
        return _times(found.time, found.interval, list(found.deviations), count), _undo(columns, gaps, count)

    return Peer("protobuf_delta", encode, decode)


def _avro() -> Peer:
    fastavro = optional("fastavro")
    integers = {"type": "array", "items": "int"}
    schema = fastavro.parse_schema(
        {
            "type": "record",
            "name": "Frame",
            "fields": [
                {"name": "node", "type": {"type": "fixed", "name": "Node", "size": 6}},
                *({"name": name, "type": "int"} for name in ("epoch", "seq", "time", "interval")),
                *({"name": name, "type": integers} for name in ("deviations", "gaps")),
                *({"name": f"column{number}", "type": integers} for number in range(10)),
            ],
        }
    )

    def encode(rows: Rows, sequence: int) -> bytes:
        columns, gaps = _deltas(rows)
        record = {"node": NODE, "epoch": EPOCH, "seq": sequence, "time": rows.times[0], "interval": rows.interval,
                  "deviations": _deviations(rows), "gaps": gaps}  # fmt: skip
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, record | {f"column{i}": line for i, line in enumerate(columns)})
        return out.getvalue()

    def decode(data: bytes, rows: Rows) -> Said:
        found = fastavro.schemaless_reader(io.BytesIO(data), schema, None)
        columns = [found[f"column{number}"] for number in range(len(rows.columns))]
        gaps = found["gaps"]
        count = len(columns[0]) + sum(gap >> 8 == 0 for gap in gaps)
        return _times(found["time"], found["interval"], found["deviations"], count), _undo(columns, gaps, count)

    return Peer("avro_delta", encode, decode)


def _gorilla() -> Peer:
    def encode(rows: Rows, _: int) -> bytes:
        bits = gorilla.Bits()
        bits.put(int.from_bytes(NODE, "big"), 48)
        bits.put(len(rows.times), 8)
        gorilla.put_times(bits, rows.times)
        for decimals, column in zip(rows.decimals, zip(*rows.values, strict=True), strict=True):
            present = [value / 10**decimals for value in column if value is not None]
            bits.put(len(present) < len(column), 1)
            if len(present) < len(column):
                for value in column:
                    bits.put(value is not None, 1)
            if present:
                gorilla.put_values(bits, present)
        return bits.bytes()

    def decode(data: bytes, rows: Rows) -> Said:
        bits = gorilla.Taking(data)
        assert bits.get(48) == int.from_bytes(NODE, "big")
        count = bits.get(8)
        times = gorilla.get_times(bits, count)
        lines: list[Row] = []
        for decimals in rows.decimals:
            there = [bool(bits.get(1)) for _ in range(count)] if bits.get(1) else [True] * count
            values = iter(gorilla.get_values(bits, sum(there)) if any(there) else ())
            lines.append([_integer(next(values), decimals) if here else None for here in there])
        return times, [list(row) for row in zip(*lines, strict=True)]

    return Peer("gorilla_f64", encode, decode)


def peers(say: Callable[[str], None]) -> list[Peer]:
    """Those that this machine has; each that is missing is said."""
    found: list[Peer] = []
    for make in (_json, _senml, _msgpack, _protobuf, _avro, _gorilla):
        try:
            found.append(make())
        except Missing as missing:
            say(f"left out {make.__name__[1:]}: {missing}")
    return found
