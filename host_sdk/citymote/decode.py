"""From messages to frames to readings: opens seals, decodes strictly, and accounts for what it refuses.

Every message is a bare frame or a sealed envelope; its first byte says which (SPEC, chapter 4). The strict decoder is
`citymote_protocol.frame`, the same file that runs on the node; the seal is opened by the `Opener` handed in as
`keys`. What cannot be read is never dropped in silence: it is counted by its error code, named, and then skipped,
kept aside or fatal, as the caller wishes. Splitting a file into messages is capture.py's work, tables are arrow.py's.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple, Union, cast

from citymote import wire
from citymote.capture import Damage, Item, Message, Source, read
from citymote.errors import DamagedRecord, FrameProblem, RefusedFrame, UnopenableFrame, UsageError
from citymote.reading import Reading, moment, time_quality_name
from citymote.registry import quantity

if TYPE_CHECKING:
    from citymote.keys import Opener

OnError = str | Callable[[FrameProblem, Item], None]
ON_ERROR = ("raise", "skip", "keep")

# Messages that `readings` decodes together, and fewer than which it does one by one: numpy has to be worth its import.
CHUNK = 4096
LONG = 256


Keys = Union[None, str, "os.PathLike[str]", "Opener"]


class Sample(NamedTuple):
    """One value as the wire has it: integers at the registry's resolution. Stores keep these, so nothing is rounded."""

    time: int
    clock: int
    quantity: int
    instance: int
    value: int | None
    quality: int


@dataclass(slots=True)
class Frame:
    """A decoded frame with where it came from. `data` is the bare frame, without its seal."""

    node: str
    sealed: bool
    data: bytes
    body: wire.Body
    received: float | None = None
    where: str = ""

    @property
    def kind(self) -> str:
        """`batch`, `event`, `status` or `descriptor`; a packed frame is a batch like any other once it is decoded."""
        return wire.KINDS[self.body.kind]

    @property
    def epoch(self) -> int:
        return self.body.epoch

    @property
    def seq(self) -> int:
        return self.body.seq

    @property
    def interval(self) -> int:
        """Seconds that one reading stands for; 0 for the readings of an instant."""
        return self.body.interval if wire.is_batch(self.body) else 0

    @property
    def size(self) -> int:
        """How many readings the frame holds, absent ones included."""
        if wire.is_batch(self.body):
            return self.body.count * len(self.body.columns)
        return len(self.body.columns) if wire.is_event(self.body) else 0

    def samples(self) -> list[Sample]:
        """Every value of the frame, column by column."""
        return samples_of(self.body)

    def lines(self) -> tuple[list[int], list[Line]]:
        """The times of the frame's rows, and its columns."""
        return lines_of(self.body)

    def readings(self) -> Iterator[Reading]:
        """Every value of the frame as a typed reading, row by row."""
        return readings_of(self)


@dataclass(slots=True)
class Aside:
    """A message that was kept aside, with the reason."""

    data: bytes
    problem: FrameProblem
    received: float | None


@dataclass(slots=True)
class Tally:
    """What a decoder has seen so far."""

    frames: int = 0
    readings: int = 0
    problems: Counter[str] = field(default_factory=Counter[str])

    @property
    def failed(self) -> int:
        """Messages that gave no readings."""
        return sum(self.problems.values())


class Decoder:
    """Decodes any number of sources with one set of keys and one account.

    `on_error` is "raise", "skip", "keep" (then see `aside`), or a function called with each problem and its item.
    `node` names the sender of frames that do not say it themselves, as a LoRaWAN link does.
    """

    def __init__(self, keys: Keys = None, on_error: OnError = "raise", node: str | None = None) -> None:
        if not callable(on_error) and on_error not in ON_ERROR:
            raise UsageError(f"on_error={on_error!r} means nothing", "", "Use 'raise', 'skip', 'keep' or a function.")
        self.opener = open_keys(keys)
        self.on_error = on_error
        self.node = node
        self.tally = Tally()
        self.aside: list[Aside] = []

    def frames(self, source: Source) -> Iterator[Frame]:
        """The frames of a source, in its order."""
        for item in read(source):
            frame = self.take(item)
            if frame is not None:
                yield frame

    def readings(self, source: Source) -> Iterator[Reading]:
        """The readings of a source, in its order."""
        tally = self.tally
        items = read(source)
        if not isinstance(source, Iterator) and find_spec("numpy") is not None:
            # A source that is there as a whole can be read many messages at a time. What an iterator gives is passed on
            # message by message: it may be somebody's live stream.
            while len(chunk := list(islice(items, CHUNK))) >= LONG:
                from citymote import bulk

                yield from bulk.readings(self, chunk)
            items = iter(chunk)
        for item in items:
            frame = self.take(item)
            if frame is not None:
                made = list(readings_of(frame))
                tally.readings += len(made)
                yield from made

    def take(self, item: Item) -> Frame | None:
        """One message or piece of damage: its frame, or None once its problem has been dealt with."""
        try:
            frame = self.decode(item)
        except FrameProblem as problem:
            self.report(problem, item)
            return None
        self.tally.frames += 1
        return frame

    def decode(self, item: Item) -> Frame:
        """The frame of one item; raises the FrameProblem whatever `on_error` says."""
        if isinstance(item, Damage):
            raise DamagedRecord(
                item.where, item.code, item.why, "Ask for the original file, or go on without this record."
            )
        return open_and_decode(item, self.opener, self.node)

    def report(self, problem: FrameProblem, item: Item) -> None:
        """Account for a message that gave no frame."""
        self.tally.problems[problem.code] += 1
        if callable(self.on_error):
            self.on_error(problem, item)
        elif self.on_error == "raise":
            raise problem
        elif self.on_error == "keep":
            received = item.received if isinstance(item, Message) else None
            self.aside.append(Aside(item.data, problem, received))


def open_keys(keys: Keys) -> Opener | None:
    """An opener from what a caller may hand in: nothing, a key file's path, or an opener."""
    if keys is None:
        return None
    if isinstance(keys, (str, os.PathLike)):
        from citymote.keys import Opener

        return Opener.from_file(keys)
    return keys


def open_and_decode(message: Message, opener: Opener | None, named: str | None = None) -> Frame:
    """Open the seal if there is one, then decode strictly. `named` is the node that the link says is speaking."""
    if not wire.is_envelope(message.data):
        return decode_open(message, message.data, named, sealed=False)
    node, data = open_seal(message, opener)
    return decode_open(message, data, node, sealed=True)


def decode_open(message: Message, data: bytes, node: str | None, sealed: bool) -> Frame:
    """The frame of a message whose seal is off; `node` is who sealed it, or who the link says is speaking."""
    where = message.where
    try:
        body = wire.decode(data)
    except wire.FrameError as error:
        code = wire.code_of(error)
        raise RefusedFrame(where, code, wire.words_of(error), f"See SPEC chapter 8, {code}.", node=node) from None
    inner = body.node
    if inner is not None:
        if sealed and inner.hex() != node:
            why = f"the frame inside names node {inner.hex()}, its seal is of node {node}"
            then = "Look at the node that sealed it: it passes on what is not its own."
            raise RefusedFrame(where, "inner_node", why, then, node=node)
        node = inner.hex()
    if node is None:
        why = "the frame names no node and no seal names one"
        raise RefusedFrame(where, "node_missing", why, "Say which node it is from (--node, node=...).")
    return Frame(node, sealed, data, body, message.received, where)


def decode_bare(data: bytes) -> wire.Body:
    """The body of a bare frame that has been through here before."""
    return wire.decode(data)


def open_seal(message: Message, opener: Opener | None) -> tuple[str, bytes]:
    """The node and the bare frame inside an envelope."""
    try:
        claimed: str | None = wire.parse_envelope(message.data).kid.hex()
    except wire.ProtocolError as error:
        raise RefusedFrame(message.where, wire.code_of(error), wire.words_of(error), "See SPEC chapter 5.") from None
    if opener is None:
        why = "it is sealed and no keys were given"
        raise UnopenableFrame(message.where, "no_keys", why, "Give a key file (--keys FILE, keys=...).", node=claimed)
    try:
        node, data = opener.open(message.data)
    except wire.ProtocolError as error:
        next_ = "Check that the key file holds this node's key and the collector key that the node was given."
        raise UnopenableFrame(message.where, wire.code_of(error), wire.words_of(error), next_, node=claimed) from None
    return node.hex(), data


def quality_name(code: int) -> str:
    """Text of a quality code."""
    return _QUALITY[code] if 0 <= code < len(_QUALITY) else f"quality_{code}"


_QUALITY: tuple[str, ...] = tuple(wire.quality_word(code) for code in range(wire.MAX_QUALITY + 1))
QUALITY_NAMES: dict[int, str] = dict(wire.QUALITY_WORDS)


@cache
def column_words(number: int) -> tuple[str, str, int]:
    """Name, unit and scale of a quantity."""
    entry = quantity(number)
    return entry.name, entry.unit, 10**entry.decimals


class Line(NamedTuple):
    """One column of a frame: a value and a quality code for each row."""

    quantity: int
    instance: int
    values: Sequence[int | None]
    quality: Sequence[int]


def lines_of(body: wire.Body) -> tuple[list[int], list[Line]]:
    """The times of a decoded frame's rows, and its columns; a descriptor has neither."""
    if wire.is_batch(body):
        count = body.count
        codes = wire.expand_quality(body.quality, len(body.columns), count)
        plain = bytes(count)
        return row_times(body), [
            Line(what, instance, values, line or plain)
            for (what, instance), values, line in zip(body.columns, body.values, codes, strict=True)
        ]
    if wire.is_event(body):
        marks = dict(body.quality)
        return [body.time], [
            Line(what, instance, (value,), (marks.get(index, 0),))
            for index, ((what, instance), value) in enumerate(zip(body.columns, body.values, strict=True))
        ]
    return [], []


def samples_of(body: wire.Body) -> list[Sample]:
    """Every value of a decoded frame, column by column."""
    times, lines = lines_of(body)
    clock = body.clock
    return [
        _new(Sample, (time, clock, line.quantity, line.instance, value, code))
        for line in lines
        for time, value, code in zip(times, line.values, line.quality, strict=True)
    ]


def row_times(body: wire.Batch) -> list[int]:
    """Seconds since 2000 of each row of a batch."""
    if body.times is not None:
        return list(body.times)
    start, interval = body.time, body.interval
    return [start + row * interval for row in range(body.count)]


_new: Any = cast(
    "Any", tuple
).__new__  # a NamedTuple's own constructor costs twice as much, and this one runs once a reading


def readings_of(frame: Frame) -> Iterator[Reading]:
    """Every value of a frame as a typed reading, row by row."""
    body, node, sealed = frame.body, frame.node, frame.sealed
    if wire.is_batch(body):
        epoch, seq, count = body.epoch, body.seq, body.count
        how = time_quality_name(body.clock)
        codes = wire.expand_quality(body.quality, len(body.columns), count)
        lines: list[Iterable[tuple[str, int, float | None, str, str]]] = []
        for (what, instance), values, line in zip(body.columns, body.values, codes, strict=False):
            name, unit, scale = column_words(what)
            scaled = [None if value is None else value / scale for value in values]
            marks = repeat("unchecked", count) if line is None else [quality_name(code) for code in line]
            lines.append(zip(repeat(name, count), repeat(instance), scaled, repeat(unit), marks))
        for time, row in zip(row_times(body), zip(*lines, strict=False), strict=False):
            when = moment(time)
            for name, instance, value, unit, mark in row:
                yield _new(Reading, (node, seq, epoch, when, how, name, instance, value, unit, mark, sealed))
        return
    for time, clock, what, instance, value, code in samples_of(body):
        name, unit, scale = column_words(what)
        number = None if value is None else value / scale
        how = time_quality_name(clock)
        yield Reading(
            node, body.seq, body.epoch, moment(time), how, name, instance, number, unit, quality_name(code), sealed
        )
