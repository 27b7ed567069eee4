"""Bytes on the wire of our own frames, on the Smart Citizen minute data: what `make bench` compares others with.

`measure(path)` gives {metric: number} by the names that DESIGN fixes. Ten quantities at the registry's resolution, real
gaps and real jitter of the rows included, a set id, a six-byte node id, sequences from 1000 on; a reading is a value
that is there.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from statistics import median
from typing import Any, cast

from citymote_protocol import frame, quantities
from citymote_protocol.errors import EncodeError

_frame: Any = frame
_quantities: Any = quantities
NODE = bytes.fromhex("010203040506")
INTERVAL = 60
S2000 = 946684800
# column of the file, quantity, factor to the registry's unit (the file has kPa)
COLUMNS = (
    ("PM_25", "pm2_5", 1),
    ("PM_10", "pm10", 1),
    ("TEMP", "temperature", 1),
    ("HUM", "humidity", 1),
    ("LIGHT", "illuminance", 1),
    ("NOISE_A", "laeq", 1),
    ("PM_1", "pm1", 1),
    ("PRESS", "pressure", 10),
    ("CCS811_VOCS", "voc", 1),
    ("CCS811_ECO2", "eco2", 1),
)
BATCHES = (1, 5, 10, 60)
LIMITS = (51, 115, 222)
WIDE = 4096


@dataclass(frozen=True)
class Row:
    time: int
    values: tuple[int | None, ...]


def columns() -> tuple[tuple[int, int], ...]:
    return tuple((_quantities.by_name(name), 0) for _, name, _ in COLUMNS)


def load(path: Path) -> list[Row]:
    """The rows that have any reading at all."""
    scales = [
        factor * 10 ** _quantities.decimals(quantity)
        for (quantity, _), (_, _, factor) in zip(columns(), COLUMNS, strict=True)
    ]
    rows: list[Row] = []
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            values = tuple(
                int((Decimal(line[name]) * scale).to_integral_value(ROUND_HALF_EVEN)) if line[name] else None
                for (name, _, _), scale in zip(COLUMNS, scales, strict=True)
            )
            if any(value is not None for value in values):
                rows.append(Row(int(datetime.fromisoformat(line["TIME"]).timestamp()) - S2000, values))
    return rows


def arguments(rows: Sequence[Row], seq: int) -> tuple[Any, ...]:
    """What `Encoder.encode` takes for these rows, up to `packed`."""
    absent = _quantities.ABSENT
    data = [
        array("i", [absent if row.values[i] is None else cast("int", row.values[i]) for row in rows])
        for i in range(len(COLUMNS))
    ]
    return 1, seq, rows[0].time, _frame.NETWORK, INTERVAL, len(rows), data, None


def frames(rows: Sequence[Row], batch: int, packed: bool) -> list[bytes]:
    """The rows as frames of `batch` rows, cut without overlap; what does not fill a frame is left out."""
    encoder = _frame.Encoder(NODE, columns(), WIDE)
    out: list[bytes] = []
    for start in range(0, len(rows) - batch + 1, batch):
        part = rows[start : start + batch]
        out.append(bytes(encoder.encode(*arguments(part, 1000 + len(out)), packed, [row.time for row in part])))
    return out


def samples_in(rows: Sequence[Row], limit: int, packed: bool) -> float:
    """Median of how many rows fit frames of `limit` bytes without a node id, filled greedily one after the other."""
    encoder = _frame.Encoder(None, columns(), limit)
    counts: list[int] = []
    start = 0
    while start < len(rows):
        fitting = 0
        for count in range(1, min(255, len(rows) - start) + 1):
            part = rows[start : start + count]
            try:
                encoder.encode_into(*arguments(part, len(counts) & 255), packed, [row.time for row in part])
            except EncodeError:
                break
            fitting = count
        counts.append(fitting)
        start += max(fitting, 1)
    return median(counts[:-1])


def measure(path: Path, progress: Callable[[str], None] = lambda _: None) -> dict[str, float]:
    rows = load(path)
    found: dict[str, float] = {}
    for batch in BATCHES:
        used = rows[: len(rows) // batch * batch]
        readings = sum(value is not None for row in used for value in row.values)
        for packed, name in ((False, "cbor"), (True, "packed")):
            progress(f"batch {batch} {name}")
            size = sum(len(each) for each in frames(rows, batch, packed))
            found[f"wire.bytes_per_reading.sck01.batch{batch}.{name}"] = round(size / readings, 4)
    for limit in LIMITS:
        for packed, name in ((False, "cbor"), (True, "packed")):
            progress(f"{limit} bytes {name}")
            found[f"wire.samples_in.{limit}.{name}"] = samples_in(rows, limit, packed)
    return found
