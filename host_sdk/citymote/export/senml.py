"""SenML packs (RFC 8428) in JSON and CBOR: one pack for the whole export, one run of records for each frame.

Names are `citymote:<node id>:<quantity>`, with `:<sensor>` behind it for the second and later sensors of a quantity.
Units are SenML's own, secondary ones included (RFC 8798), which is a feature that the version number has to declare:
bver = 10 + 2^4 (RFC 9100). SenML knows neither absent values nor quality: an absent reading is no record, and a text
record `<name>:quality` says why, as it does beside every value whose quality is not "unchecked". Each frame begins
with a text record of its clock's state.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, BinaryIO

import cbor2

from citymote.export.base import Exporter, Options, entry_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from citymote.decode import Frame
    from citymote.reading import Reading

BASE_VERSION = 10 + (1 << 4)
# RFC 8428, table 6
_BASE = {"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6}
LABELS = _BASE | {"n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8}

Value = str | int | Decimal
Record = dict[str, Value]


def records(frame: Frame, readings: Iterable[Reading]) -> Iterator[Record]:
    """The SenML records of one frame. Numbers are exact: integers or decimals, never binary fractions."""
    base: int | None = None
    for r in readings:
        at = int(r.time.timestamp())
        if base is None:
            base = at
            yield {"bn": f"citymote:{r.node}:", "bt": base, "n": "time_quality", "vs": r.time_quality}
        name = r.quantity if r.sensor == 0 else f"{r.quantity}:{r.sensor}"
        record: Record = {"n": name}
        if r.value is not None:
            unit, factor = entry_of(r.quantity).senml
            exact = Decimal(repr(r.value)) * Decimal(repr(factor))
            if unit:
                record["u"] = unit
            record["v"] = int(exact) if exact == exact.to_integral_value() else exact
            if at != base:
                record["t"] = at - base
            yield record
        if r.quality != "unchecked":
            mark: Record = {"n": f"{name}:quality", "vs": r.quality}
            if at != base:
                mark["t"] = at - base
            yield mark


class SenmlJsonExporter(Exporter):
    """application/senml+json."""

    def __init__(self, out: BinaryIO, options: Options | None = None) -> None:
        super().__init__(out, options)
        self._first = True

    def add(self, frame: Frame, readings: list[Reading]) -> None:
        for record in records(frame, readings):
            if self._first:
                record = {"bver": BASE_VERSION, **record}
            self.out.write(b"[" if self._first else b",\n ")
            self._first = False
            plain = {key: float(value) if isinstance(value, Decimal) else value for key, value in record.items()}
            self.out.write(json.dumps(plain, separators=(",", ":")).encode())
        self.written += len(readings)

    def close(self) -> None:
        self.out.write(b"[]\n" if self._first else b"]\n")
        super().close()


class SenmlCborExporter(Exporter):
    """application/senml+cbor: one array of definite length, written when all records are known."""

    def __init__(self, out: BinaryIO, options: Options | None = None) -> None:
        super().__init__(out, options)
        self._parts: list[bytes] = []

    def add(self, frame: Frame, readings: list[Reading]) -> None:
        for record in records(frame, readings):
            if not self._parts:
                record = {"bver": BASE_VERSION, **record}
            self._parts.append(cbor2.dumps({LABELS[key]: value for key, value in record.items()}, canonical=True))
        self.written += len(readings)

    def close(self) -> None:
        count = len(self._parts)
        head = bytes((0x80 | count,)) if count < 24 else b"\x9a" + count.to_bytes(4, "big")
        if 24 <= count < 0x10000:
            head = b"\x98" + bytes((count,)) if count < 0x100 else b"\x99" + count.to_bytes(2, "big")
        self.out.write(head)
        for part in self._parts:
            self.out.write(part)
        super().close()
