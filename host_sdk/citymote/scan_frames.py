"""Many batch frames at once: the strict decoder again, over columns of bytes instead of byte by byte.

All frames of a chunk lie in one buffer and are read in lockstep: step i reads item i of every frame that has one,
with numpy doing for thousands of frames what a loop would do for one. Nothing is trusted here either: every rule of
SPEC 3 is checked, or the frame is handed back as unsure and read by the protocol's own decoder, which alone says what
is wrong with it. Unsure are also what is rare: events, status, descriptors, packed frames, shapes that only a few
frames have. Items are read in `scan_lanes`, columns in `scan_columns`. tests/host/test_scan.py holds the two decoders
against each other over golden, random and mutated frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from citymote import wire
from citymote.errors import need
from citymote.scan_columns import read_column, read_masks
from citymote.scan_lanes import ARRAY, BYTES, NULL, UINT, Lanes

np: Any = need("numpy", "arrow", "making tables")

# Below this many frames of one shape a loop over them is as fast as lockstep.
FEW = 8
# Explicit lists of columns that one chunk may have in lockstep: a fleet has a handful of kinds of node.
LISTS = 32


@dataclass(slots=True)
class Piece:
    """Frames of one shape. Arrays are (frames, rows) and (frames, rows, columns); None: nowhere, unchecked."""

    frames: Any  # positions in the chunk
    columns: tuple[wire.Column, ...]
    times: Any  # seconds since 2000
    values: Any  # integers at the registry's resolution; anything where absent
    absent: Any | None
    quality: Any | None


class Heads:
    """What the frames of a chunk say once each; `node` is the id's six bytes as a number."""

    def __init__(self, sealed: list[bool]) -> None:
        count = len(sealed)
        self.node = np.zeros(count, np.int64)
        self.epoch = np.zeros(count, np.uint32)
        self.seq = np.zeros(count, np.uint32)
        self.clock = np.zeros(count, np.int8)
        self.sealed = np.array(sealed, bool)

    def set(self, index: Any, node: Any, epoch: Any, seq: Any, clock: Any) -> None:
        """One frame's or several frames', from elsewhere."""
        self.node[index], self.epoch[index], self.seq[index], self.clock[index] = node, epoch, seq, clock


@dataclass(slots=True)
class _Start:
    """What the frames say before their columns, and the number of each one's list of columns (-1: unsure)."""

    items: Any
    clock: Any
    node: Any
    epoch: Any
    seq: Any
    time: Any
    count: Any
    interval: Any
    deviations: Any  # where the list of deviations from the interval begins, -1 where there is none
    kind: Any
    lists: list[tuple[wire.Column, ...]]


def scan(frames: list[bytes], nodes: list[str | None], sealed: list[bool]) -> tuple[Heads, list[Piece], list[int]]:
    """Heads and pieces of the frames that are sound beyond doubt, and the positions of all others.

    `nodes` names the sender where a seal or a link does; the name inside a sealed frame must agree.
    """
    heads = Heads(sealed)
    pieces: list[Piece] = []
    done = np.zeros(len(frames), bool)
    if len(frames) >= FEW:
        sizes = np.array([len(frame) for frame in frames], np.int64)
        start = np.cumsum(sizes) - sizes
        # Reading past a frame's end is found out when the ends are compared; the padding keeps it inside the buffer.
        buffer = np.frombuffer(b"".join(frames) + bytes(4 * wire.MAX_FRAME), np.uint8)
        lanes = Lanes(buffer, start.copy())
        lanes.check(sizes <= wire.MAX_FRAME)
        named = np.array([-1 if node is None else int(node, 16) for node in nodes], np.int64)
        head = _read_start(lanes, named, heads.sealed)
        shape = np.where(lanes.ok, head.kind << 8 | head.count, -1)
        keys: list[int] = np.unique(shape).tolist()
        for key in keys:
            chosen = np.flatnonzero(shape == key)
            if key < 0 or len(chosen) < FEW:
                continue
            piece = _read_rest(lanes.some(chosen), chosen, start + sizes, head, head.lists[key >> 8], key & 0xFF)
            if len(piece.frames):
                pieces.append(piece)
                sure = piece.frames
                done[sure] = True
                heads.set(sure, head.node[sure], head.epoch[sure], head.seq[sure], head.clock[sure])
    return heads, pieces, np.flatnonzero(~done).tolist()


def _read_start(lanes: Lanes, named: Any, sealed: Any) -> _Start:
    """Read the head of every frame up to its columns."""
    items = lanes.length(ARRAY, wire.MAX_COLUMNS + 9)
    lanes.check(items >= 9)
    # Version 1 and kind 0, a batch, leave the clock's three bits; anything above them is something else.
    clock = lanes.uint(wire.MAX_CLOCK)
    node = _read_node(lanes, named, sealed)
    epoch, seq, time = (lanes.uint(most) for most in (wire.MAX_EPOCH, wire.MAX_SEQ, wire.MAX_TIME))
    count = lanes.uint(wire.MAX_COUNT)
    lanes.check(count >= 1)
    interval, deviations = _read_interval(lanes, count)
    numbers, lists = _read_lists(lanes)
    return _Start(items, clock, node, epoch, seq, time, count, interval, deviations, numbers, lists)


def _read_node(lanes: Lanes, named: Any, sealed: Any) -> Any:
    """Who speaks: six bytes or null, together with what the seal or the link says."""
    null = lanes.peek() == NULL
    at = lanes.pos + 1
    inner = np.zeros(len(lanes), np.int64)
    for place in range(6):
        inner = inner << 8 | lanes.buffer[at + place]
    lanes.check(null | (lanes.peek() == (BYTES << 5 | 6)))
    lanes.check(np.where(null, named >= 0, ~sealed | (inner == named)))
    lanes.pos += np.where(null, 1, 7)
    return np.where(null, named, inner)


def _read_interval(lanes: Lanes, count: Any) -> tuple[Any, Any]:
    """The interval, and where the deviations from it stand; they are passed over here."""
    deviations = np.full(len(lanes), -1, np.int64)
    irregular = np.flatnonzero(lanes.peek() >> 5 == ARRAY)
    if not len(irregular):
        return lanes.uint(wire.MAX_INTERVAL), deviations
    interval = np.zeros(len(lanes), np.int64)
    regular = np.flatnonzero(lanes.peek() >> 5 != ARRAY)
    part = lanes.some(regular)
    interval[regular] = part.uint(wire.MAX_INTERVAL)
    lanes.back(regular, part)
    part = lanes.some(irregular)
    deviations[irregular] = part.pos
    length = part.length(ARRAY, wire.MAX_COUNT + 1)
    part.check(length >= 2)
    interval[irregular] = part.uint(wire.MAX_INTERVAL)
    # A mask is one item of these and its bytes have to be passed over; then the deviations under it.
    masked = np.flatnonzero((part.peek() >> 5 == BYTES) & part.ok)
    behind = length - 1
    if len(masked):
        inner = part.some(masked)
        inner.pos += inner.length(BYTES, wire.MAX_COUNT)
        part.back(masked, inner)
        behind[masked] -= 1
    part.integers(np.where(part.ok, behind, 0), wire.MAX_GAP, nullable=False)
    lanes.back(irregular, part)
    return interval, deviations


def _read_lists(lanes: Lanes) -> tuple[Any, list[tuple[wire.Column, ...]]]:
    """Which columns each frame has, as numbers into a list; frames with one beyond the first LISTS are unsure."""
    numbers = np.full(len(lanes), -1, np.int64)
    lists: list[tuple[wire.Column, ...]] = []
    major = lanes.peek() >> 5
    short = np.flatnonzero((major == UINT) & lanes.ok)
    if len(short):
        part = lanes.some(short)
        names = part.uint(wire.MAX_SET)
        lanes.back(short, part)
        for name in np.unique(names).tolist():
            columns = wire.quantity_set(name)
            if columns is not None:
                numbers[short[names == name]] = len(lists)
                lists.append(columns)
    left = np.flatnonzero((major == ARRAY) & lanes.ok)
    # Frames of one kind of node spell their columns with the same bytes: read one frame's list, find all that begin so.
    while len(left) and len(lists) < LISTS:
        found = wire.column_list(lanes.buffer[lanes.pos[left[0]] :][: wire.MAX_FRAME].tobytes())
        if found is None:
            left = left[1:]
            continue
        columns, size = found
        place = np.arange(size)
        pattern = lanes.buffer[lanes.pos[left[0]] + place]
        same = (lanes.buffer[lanes.pos[left][:, None] + place] == pattern).all(axis=1)
        numbers[left[same]] = len(lists)
        lanes.pos[left[same]] += size
        lists.append(columns)
        left = left[~same]
    lanes.check(numbers >= 0)
    return numbers, lists


def _read_rest(
    lanes: Lanes, chosen: Any, ends: Any, head: _Start, columns: tuple[wire.Column, ...], count: int
) -> Piece:
    """Columns, times and quality of frames of one shape; those that are sound."""
    width = len(columns)
    left = head.items[chosen] - 8 - width
    lanes.check((left >= 0) & (left <= 1))
    times = _times(lanes, head, chosen, count)
    limit = ends[chosen]
    values = np.empty((len(chosen), count, width), np.int32)
    absent: Any = None
    for index in range(width):
        # A lane that has left its frame is lost: send it back, so that no lane runs away from the buffer.
        lanes.check(lanes.pos <= limit)
        lanes.pos = np.where(lanes.ok, lanes.pos, limit)
        block = read_column(lanes, count)
        # Values of marked lanes may be anything; they are dropped below and need only fit.
        values[:, :, index] = np.where(lanes.ok, block.values, 0).T
        if block.absent is not None:
            if absent is None:
                absent = np.zeros(values.shape, bool)
            absent[:, :, index] = block.absent.T
    quality = _read_quality(lanes, left, limit, columns, count)
    lanes.check(lanes.pos == limit)
    sound = np.flatnonzero(lanes.ok)
    if len(sound) == len(chosen):
        return Piece(chosen, columns, times, values, absent, quality)
    return Piece(
        chosen[sound],
        columns,
        times[sound],
        values[sound],
        None if absent is None else absent[sound],
        None if quality is None else quality[sound],
    )


def _times(lanes: Lanes, head: _Start, chosen: Any, count: int) -> Any:
    """(frame, row) seconds since 2000 of every row."""
    interval, begin = head.interval[chosen], head.deviations[chosen]
    gaps = np.repeat(interval[:, None], count - 1, axis=1)
    irregular = np.flatnonzero(begin >= 0)
    if len(irregular):
        part = Lanes(lanes.buffer, begin[irregular])
        length = part.length(ARRAY, wire.MAX_COUNT + 1)
        part.uint(wire.MAX_INTERVAL)
        masked = part.peek() >> 5 == BYTES
        listed = np.flatnonzero(~masked)
        if len(listed):
            inner = part.some(listed)
            inner.check(length[listed] == count)
            rows = np.full(len(listed), count - 1)
            deviations, _ = inner.integers(rows, wire.MAX_GAP, nullable=False)
            gaps[irregular[listed]] += deviations.T
            part.back(listed, inner)
        under = np.flatnonzero(masked)
        if len(under):
            inner = part.some(under)
            changes, mask = read_masks(inner, count - 1, length[under] - 2)
            deviations, _ = inner.integers(changes, wire.MAX_GAP, nullable=False)
            order = np.argsort(~mask, axis=0, kind="stable")
            for index in range(len(deviations)):
                some = np.flatnonzero(changes > index)
                gaps[irregular[under[some]], order[index, some]] += deviations[index, some]
            part.back(under, inner)
        lanes.ok[irregular] &= part.ok
    lanes.check(((gaps >= 1) & (gaps <= wire.MAX_GAP)).all(axis=1) if count > 1 else np.ones(len(chosen), bool))
    times = np.cumsum(np.concatenate((head.time[chosen][:, None], gaps), axis=1), axis=1)
    lanes.check(times[:, -1] <= wire.MAX_TIME)
    return times


def _read_quality(lanes: Lanes, left: Any, limit: Any, columns: tuple[wire.Column, ...], count: int) -> Any:
    """(frame, row, column) quality codes, if any frame has some. Optional fields are few: the protocol reads them."""
    quality: Any = None
    lanes.check((left == 0) | (lanes.pos < limit))
    for index in np.flatnonzero((left == 1) & lanes.ok).tolist():
        rest = lanes.buffer[lanes.pos[index] : limit[index]].tobytes()
        runs = wire.option_runs(rest, columns, count)
        if runs is None:
            lanes.ok[index] = False
            continue
        lanes.pos[index] = limit[index]
        for column, start, length, code in runs:
            if quality is None:
                quality = np.zeros((len(lanes), count, len(columns)), np.int8)
            quality[index, start : start + length, column] = code
    return quality
