"""Columns of many frames of one shape at once: every form of SPEC 3.5, read in lockstep.

A column of each frame is looked at for its form, and the frames of each form are read together: absent, one value for
all rows, first value and deltas, deltas as a typed array, or changes under a mask; the last three with or without a
common step. Values come out as (row, frame); what breaks a rule marks its lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from citymote import wire
from citymote.errors import need
from citymote.scan_lanes import ARRAY, BYTES, NULL, SIZE, TAG, Lanes

np: Any = need("numpy", "arrow", "making tables")


@dataclass(slots=True)
class Block:
    """Values of one column: (row, frame). `absent` is None where nothing is."""

    values: Any
    absent: Any = None

    def nulls(self) -> Any:
        """`absent` as an array to write into."""
        if self.absent is None:
            self.absent = np.zeros(self.values.shape, bool)
        return self.absent


def read_column(lanes: Lanes, count: int) -> Block:
    """The next column of every lane."""
    first = lanes.peek()
    array = first >> 5 == ARRAY
    if array.all():
        return _read_arrays(lanes, count)
    block = Block(np.zeros((count, len(lanes)), np.int64))
    null = first == NULL
    chosen = np.flatnonzero(array)
    if len(chosen):
        part = lanes.some(chosen)
        inner = _read_arrays(part, count)
        lanes.back(chosen, part)
        block.values[:, chosen] = inner.values
        if inner.absent is not None:
            block.nulls()[:, chosen] = inner.absent
    chosen = np.flatnonzero(null)
    if len(chosen):
        lanes.pos[chosen] += 1
        block.nulls()[:, chosen] = True
    chosen = np.flatnonzero(~array & ~null)
    if len(chosen):
        part = lanes.some(chosen)
        block.values[:, chosen] = part.integer(wire.MIN_VALUE, wire.MAX_VALUE)
        lanes.back(chosen, part)
    return block


def _read_arrays(lanes: Lanes, count: int) -> Block:
    """Columns that are arrays, of whatever form."""
    length = lanes.length(ARRAY, wire.MAX_COUNT + 3)
    form, at = _forms(lanes, length)
    stepped = np.where(form != 0, at == 2, length == count + 1)
    step = np.ones(len(lanes), np.int64)
    some = np.flatnonzero(stepped)
    if len(some):
        part = lanes.some(some)
        step[some] = part.uint(wire.MAX_STEP)
        part.check(step[some] >= 2)
        lanes.back(some, part)
    length -= stepped
    kinds = [(kind, np.flatnonzero(form == kind)) for kind in (0, TAG, BYTES)]
    readers = {0: _read_list, TAG: _read_typed, BYTES: _read_masked}
    for kind, chosen in kinds:
        if len(chosen) == len(lanes):
            return readers[kind](lanes, length, count, step)
    block = Block(np.zeros((count, len(lanes)), np.int64))
    for kind, chosen in kinds:
        if not len(chosen):
            continue
        part = lanes.some(chosen)
        inner = readers[kind](part, length[chosen], count, step[chosen])
        lanes.back(chosen, part)
        block.values[:, chosen] = inner.values
        if inner.absent is not None:
            block.nulls()[:, chosen] = inner.absent
    return block


def _forms(lanes: Lanes, length: Any) -> tuple[Any, Any]:
    """What stands second or third in an array tells its form: the major type (TAG, BYTES or 0), and where it stands."""
    form, at = np.zeros(len(lanes), np.int64), np.zeros(len(lanes), np.int64)
    pos = lanes.pos.copy()
    for index in range(3):
        first = lanes.buffer[pos]
        major = first >> 5
        here = (form == 0) & (index < length)
        marks = here & ((major == TAG) | (major == BYTES))
        if index == 0:
            lanes.check(~marks)
        elif marks.any():
            form[marks], at[marks] = major[marks], index
        size = SIZE[first]
        lanes.check(~here | marks | (size > 0))
        pos += size
    return form, at


def _summed(lanes: Lanes, deltas: Any, absent: Any | None, step: Any) -> Block:
    """Values from deltas, every one of them within its limits."""
    if (step != 1).any():
        deltas *= step
    values = np.cumsum(deltas, axis=0)
    lanes.check(values.max(axis=0, initial=0) <= wire.MAX_VALUE)
    lanes.check(values.min(axis=0, initial=0) >= wire.MIN_VALUE)
    return Block(values, absent)


def _read_list(lanes: Lanes, length: Any, count: int, step: Any) -> Block:
    lanes.check(length == count)
    deltas, absent = lanes.integers(np.full(len(lanes), count), wire.MAX_DELTA, nullable=True)
    return _summed(lanes, deltas, absent, step)


def _read_typed(lanes: Lanes, length: Any, count: int, step: Any) -> Block:
    lanes.check(length == 2)
    deltas = np.zeros((count, len(lanes)), np.int64)
    deltas[0] = lanes.integer(wire.MIN_VALUE, wire.MAX_VALUE)
    tag = lanes.length(TAG, 0xFFFF)
    lanes.check((tag == wire.SINT8) | (tag == wire.SINT16))
    width = np.where(tag == wire.SINT16, 2, 1)
    size = lanes.length(BYTES, wire.MAX_FRAME)
    lanes.check(size == (count - 1) * width)
    rows = np.arange(count - 1)[:, None]
    for wide in (1, 2):
        chosen = np.flatnonzero((width == wide) & lanes.ok)
        if not len(chosen):
            continue
        start = lanes.pos[chosen]
        low = lanes.buffer[start + rows * wide]
        if wide == 1:
            deltas[1:, chosen] = low.view(np.int8)
        else:
            both = low | lanes.buffer[start + rows * 2 + 1].astype(np.uint16) << 8
            deltas[1:, chosen] = both.view(np.int16)
    lanes.pos += size
    return _summed(lanes, deltas, None, step)


def _read_masked(lanes: Lanes, length: Any, count: int, step: Any) -> Block:
    """First value or null, a mask over the rows behind it, and a delta or null for each row that changes."""
    number = len(lanes)
    null = lanes.peek() == NULL
    first = np.zeros(number, np.int64)
    lanes.pos += null
    some = np.flatnonzero(~null)
    part = lanes.some(some)
    first[some] = part.integer(wire.MIN_VALUE, wire.MAX_VALUE)
    lanes.back(some, part)
    changes, mask = read_masks(lanes, count - 1, length - 2)
    deltas, absent = lanes.integers(changes, wire.MAX_DELTA, nullable=True)
    # Where the k-th change of a lane stands; argsort by "no change" is stable, so the changes come first and in order.
    order = np.argsort(~mask, axis=0, kind="stable")
    spread = np.zeros((count, number), np.int64)
    gone = np.zeros((count, number), bool)
    spread[0], gone[0] = first, null
    for index in range(len(deltas)):
        chosen = np.flatnonzero(changes > index)
        row = order[index, chosen] + 1
        spread[row, chosen] = deltas[index, chosen]
        if absent is not None:
            gone[row, chosen] = absent[index, chosen]
    block = _summed(lanes, spread, None, step)
    if gone.any():
        # A row is absent when the last row that said anything is.
        said = np.zeros((count, number), np.int64)
        said[1:] = np.where(mask, np.arange(1, count)[:, None], 0)
        last = np.maximum.accumulate(said, axis=0)
        block.absent = np.take_along_axis(gone, last, axis=0)
        # Rows under the mask must change: null to null is none, neither is a number to itself.
        before = block.absent[:-1]
        same = np.where(before, block.absent[1:], (block.values[1:] == block.values[:-1]) & ~block.absent[1:])
    else:
        same = block.values[1:] == block.values[:-1]
    lanes.check(~(same & mask).any(axis=0))
    return block


def read_masks(lanes: Lanes, rows: int, elements: Any) -> tuple[Any, Any]:
    """Read a mask over `rows` rows of each lane: how many bits are set, which must be `elements`, and (row, lane) the
    bits.
    """
    size = lanes.length(BYTES, wire.MAX_COUNT)
    most = (rows + 7) // 8
    lanes.check((size >= 1) & (size <= most))
    size = np.where(lanes.ok, size, 0)
    width = int(size.max(initial=0))
    place = np.arange(width)[:, None]
    raw = np.where(place < size, lanes.buffer[lanes.pos + place], np.uint8(0)).astype(np.uint8)
    bits = np.zeros((max(most, width) * 8, len(lanes)), bool)
    if width:
        bits[: width * 8] = np.unpackbits(raw, axis=0).astype(bool)
        lanes.check(raw[np.maximum(size, 1) - 1, np.arange(len(lanes))] != 0)
    lanes.check(~bits[rows:].any(axis=0))
    found = bits.sum(axis=0)
    lanes.check(found == elements)
    lanes.pos += size
    # A marked lane reads nothing more here: what it would read is nobody's.
    bits[:, ~lanes.ok] = False
    return np.where(lanes.ok, found, 0), bits[:rows]
