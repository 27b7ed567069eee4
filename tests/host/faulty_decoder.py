"""A decoder for the conformance kit with one fault, named by its argument; without one, our own as it is.

Each fault is one that real decoders have had: a check left out, a corner of a form forgotten, an answer in other types.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from citymote_protocol import cbor, read_columns, read_packed
from citymote_protocol.errors import FrameError
from citymote_protocol.frame import decode
from citymote_protocol.plain import to_plain

if TYPE_CHECKING:
    from collections.abc import Callable

Plain = dict[str, Any]


def rows(plain: Plain) -> bool:
    return plain["kind"] in ("batch", "packed")


def each_value(change: Callable[[Any], Any]) -> Callable[[Plain], None]:
    def apply(plain: Plain) -> None:
        if "values" in plain:
            plain["values"] = [
                [change(v) for v in column] if isinstance(column, list) else change(column)
                for column in plain["values"]
            ]

    return apply


def drop_times(plain: Plain) -> None:
    if rows(plain):
        plain["times"] = None


def time_of_the_last_row(plain: Plain) -> None:
    if rows(plain):
        plain["time"] = (
            plain["times"][-1] if plain["times"] else plain["time"] + (plain["count"] - 1) * plain["interval"]
        )


def shift_quality(plain: Plain) -> None:
    if rows(plain):
        plain["quality"] = [[c, start + 1, length, code] for c, start, length, code in plain["quality"]]


def drop_instances(plain: Plain) -> None:
    if "columns" in plain:
        plain["columns"] = [[quantity, 0] for quantity, _ in plain["columns"]]


def set(key: str, change: Callable[[Any], Any]) -> Callable[[Plain], None]:  # noqa: A001
    def apply(plain: Plain) -> None:
        if key in plain:
            plain[key] = change(plain[key])

    return apply


ANSWERS: dict[str, Callable[[Plain], None]] = {
    "null is zero": each_value(lambda v: 0 if v is None else v),
    "values are floats": each_value(lambda v: None if v is None else float(v)),
    "values are scaled": each_value(lambda v: None if v is None else v / 10),
    "values wrap at 16 bits": each_value(lambda v: None if v is None else (v + 0x8000) % 0x10000 - 0x8000),
    "irregular rows are regular": drop_times,
    "time is that of the last row": time_of_the_last_row,
    "quality is one row late": shift_quality,
    "quality is ignored": set("quality", lambda _: []),
    "instances are ignored": drop_instances,
    "epoch has 16 bits": set("epoch", lambda v: v & 0xFFFF),
    "clock state is forgotten": set("clock", lambda _: 0),
    "unknown fields are dropped": set("options", lambda _: []),
    "minor version is ignored": set("minor", lambda _: 0),
    "node is a number": set("node", lambda v: None if v is None else int(v, 16)),
    "columns are reversed": set("values", lambda v: list(reversed(v))),
}
# A check that is left out: what should be refused with this code is taken for a frame.
LEFT_OUT = [
    "trailing",
    "truncated",
    "not_shortest",
    "indefinite",
    "float",
    "duplicate_column",
    "column_length",
    "mask",
    "quality",
    "critical",
    "version",
    "times",
    "value",
    "packed_rest",
    "packed_form",
]


def patched(fault: str) -> None:
    if fault == "step is forgotten":
        original = read_columns._read_deltas
        read_columns._read_deltas = lambda reader, count, _step, last, values: original(reader, count, 1, last, values)
    elif fault == "words are big endian":
        plain_bytes = cbor.Reader.bytes

        def swapped(self: Any, most: int = 255) -> bytes:
            before = self.data[self.pos - 2 : self.pos]
            data = plain_bytes(self, most)
            return (
                b"".join(data[i : i + 2][::-1] for i in range(0, len(data), 2))
                if bytes(before) == b"\xd8\x4d"
                else data
            )

        cbor.Reader.bytes = swapped
    elif fault == "zigzag is two's complement":
        read_packed._unzigzag = lambda code: code if code < 1 << 20 else code - (1 << 24)


def main() -> None:
    fault = sys.argv[1] if len(sys.argv) > 1 else ""
    patched(fault)
    for number, line in enumerate(sys.stdin, 1):
        data = bytes.fromhex(line)
        try:
            answer = to_plain(decode(data))
            if fault in ANSWERS:
                ANSWERS[fault](answer)
        except FrameError as error:
            left_out = fault == f"{error.code} is not checked"
            answer = {"kind": "batch"} if left_out else {"error": "bad" if fault == "one code for all" else error.code}
        except (ValueError, IndexError, TypeError):
            answer = {"error": "crash"}
        if fault == "dies on a long frame" and len(data) > 300:
            sys.exit(3)
        if fault == "never answers a bad frame" and "error" in answer:
            time.sleep(60)
        text = json.dumps(answer)
        print(text if fault != "prints a report" else f"frame {number} is fine", flush=True)


if __name__ == "__main__":
    main()
