"""A batch decoder written from the text of SPEC 3 and 4 and nothing else, on cbor2 and strings of bits.

It shares no code with citymote_protocol and checks nothing: it is here so that an error made twice in the same module,
once in the writer and once in the reader, does not pass, and so that the text is known to be enough.
"""

from __future__ import annotations

from typing import Any

import cbor2

from citymote_protocol import quantities  # the registry is data: chapter 2

_registry: Any = quantities


def decode(data: bytes) -> dict[str, Any]:
    """What a batch or packed frame says, in the plain form of SPEC 7.6."""
    items = cbor2.loads(data)
    options = items.pop() if isinstance(items[-1], dict) else {}
    head = items.pop(0)
    kind = {0: "batch", 2: "packed"}[head >> 3 & 7]
    node = None
    if kind == "batch" or isinstance(items[0], bytes):
        node = items.pop(0)
    out: dict[str, Any] = {
        "kind": kind,
        "node": None if node is None else node.hex(),
        "epoch": items[0],
        "seq": items[1],
        "clock": head & 7,
        "minor": options.get(0, 0),
    }
    runs = options.get(1, [])
    out["quality"] = [runs[at : at + 4] for at in range(0, len(runs), 4)]
    if kind == "packed":
        out["columns"] = _columns(items[2])
        return {**out, **_Stream(items[3]).rows(len(out["columns"]))}
    out["time"], out["count"], interval = items[2:5]
    out["columns"] = _columns(items[5])
    out["interval"] = interval if isinstance(interval, int) else interval[0]
    out["times"] = None
    if not isinstance(interval, int):
        extra = interval[1:]
        if isinstance(extra[0], bytes):
            deviations = iter(extra[1:])
            extra = [next(deviations) if bit else 0 for bit in _mask(extra[0], out["count"] - 1)]
        out["times"] = [out["time"]]
        for deviation in extra:
            out["times"].append(out["times"][-1] + out["interval"] + deviation)
    out["values"] = [_column(item, out["count"]) for item in items[6:]]
    return out


def _columns(item: Any) -> list[list[int]]:
    if isinstance(item, int):
        return [list(column) for column in _registry.quantity_set(item)]
    return [[each, 0] if isinstance(each, int) else each for each in item]


def _mask(mask: bytes, gaps: int) -> list[bool]:
    bits = "".join(f"{byte:08b}" for byte in mask).ljust(gaps, "0")
    return [bit == "1" for bit in bits[:gaps]]


def _column(item: Any, count: int) -> list[int | None]:
    if item is None or isinstance(item, int):
        return [item] * count
    special = next((at for at in (1, 2) if at < len(item) and isinstance(item[at], (bytes, cbor2.CBORTag))), None)
    step = 1
    if special == 2 or (special is None and len(item) == count + 1):
        step, item = item[0], item[1:]
    if special is None:
        return _sums(item, 0, step)
    if isinstance(item[1], bytes):
        changes = iter(_sums(item[2:], item[0] or 0, step))
        out = [None if item[0] is None else item[0] * step]
        for bit in _mask(item[1], count - 1):
            out.append(next(changes) if bit else out[-1])
        return out
    width = {72: 1, 77: 2}[item[1].tag]
    raw = item[1].value
    deltas = [int.from_bytes(raw[at : at + width], "little", signed=True) for at in range(0, len(raw), width)]
    return _sums([item[0], *deltas], 0, step)


def _sums(deltas: list[int | None], last: int, step: int) -> list[int | None]:
    out: list[int | None] = []
    for delta in deltas:
        if delta is None:
            out.append(None)
            continue
        last += delta
        out.append(last * step)
    return out


class _Stream:
    def __init__(self, data: bytes) -> None:
        self.bits = iter("".join(f"{byte:08b}" for byte in data))

    def b(self, size: int) -> int:
        return int("0" + "".join(next(self.bits) for _ in range(size)), 2)

    def number(self) -> int:
        length = self.b(4)
        if length == 15:
            return self.b(30)
        return (1 << (length - 1)) + self.b(length - 1) if length else 0

    def parameter(self) -> int:
        k = self.b(3)
        return k if k < 7 else self.b(4)

    def rice(self, k: int) -> int:
        ones = 0
        while ones < 20 and self.b(1):
            ones += 1
        return self.b(24) if ones == 20 else (ones << k) + self.b(k)

    def ones(self, most: int) -> int:
        found = 0
        while found < most and self.b(1):
            found += 1
        return found

    def rows(self, width: int) -> dict[str, Any]:
        out: dict[str, Any] = {"time": self.b(32), "count": self.number()}
        minutes = self.b(1)
        out["interval"] = self.number() * (60 if minutes else 1)
        out["times"] = None
        if self.b(1):
            late = self.series(self.ones(4), out["count"], True)
            out["times"] = [out["time"] + row * out["interval"] + each for row, each in enumerate(late)]
        gaps, signed = self.b(1), self.b(1)
        out["values"] = []
        before: list[int] | None = None
        for _ in range(width):
            form = self.ones(4)
            if form == 4:
                out["values"].append([None] * out["count"])
                before = None
                continue
            present = [True] * out["count"]
            if gaps and self.b(1):
                present = [self.b(1) == 1 for _ in range(out["count"])]
            full = all(present)
            minus = full and before is not None and self.b(1)
            values = self.series(form, sum(present), bool(signed or minus))
            if minus and before is not None:
                values = [a + b for a, b in zip(values, before, strict=True)]
            before = values if full else None
            rest = iter(values)
            out["values"].append([next(rest) if here else None for here in present])
        return out

    def series(self, form: int, rows: int, signed: bool) -> list[int]:
        step = 1
        if form != 3 and self.b(1):
            step = self.b(16) if self.b(1) else 10
        base = self.number()
        if signed:
            base = _unzigzag(base)
        if form == 3:
            return [base] * rows
        k = self.parameter()
        out = [base]
        if form == 0:
            while len(out) < rows:
                out.append(out[-1] + _unzigzag(self.rice(k)))
        elif form == 1:
            out = [base + _unzigzag(self.rice(k)) for _ in range(rows)]
        else:
            change = self.parameter()
            while len(out) < rows:
                out += [out[-1]] * self.rice(k)
                if len(out) < rows:
                    out.append(out[-1] + _unzigzag(self.rice(change) + 1))
        return [value * step for value in out]


def _unzigzag(code: int) -> int:
    return -(code + 1) // 2 if code & 1 else code // 2
