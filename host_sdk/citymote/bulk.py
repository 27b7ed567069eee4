"""Readings of many messages at once, where numpy is at hand: the lockstep scanner in front, Python objects behind it.

What comes out is what the protocol's decoder would give, in the same order and with the same problems in the same
places; only the batch frames that `scan_frames` is sure about take the short way. A day's file decodes several times
as fast like this.
"""

from __future__ import annotations

from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, cast

from citymote import wire
from citymote.capture import Damage, Item
from citymote.decode import column_words, open_seal, quality_name, readings_of
from citymote.errors import FrameProblem
from citymote.reading import Reading, moment, time_quality_name
from citymote.scan_frames import Heads, Piece, scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from citymote.decode import Decoder

# Calling `Reading` costs twice as much as the tuple that it is.
_make: Any = partial(cast("Any", tuple).__new__, Reading)


def readings(decoder: Decoder, items: Sequence[Item]) -> Iterator[Reading]:
    """The readings of a chunk of items; problems go the decoder's way when their turn comes."""
    frames: list[bytes] = []
    nodes: list[str | None] = []
    sealed: list[bool] = []
    places: list[int] = []
    for place, item in enumerate(items):
        if isinstance(item, Damage):
            continue
        data, node, closed = item.data, decoder.node, wire.is_envelope(item.data)
        if closed:
            try:
                node, data = open_seal(item, decoder.opener)
            except FrameProblem:
                continue  # it is met again below, in its turn
        frames.append(data)
        nodes.append(node)
        sealed.append(closed)
        places.append(place)
    heads, pieces, _ = scan(frames, nodes, sealed)
    ready: dict[int, _Row] = {}
    for piece in pieces:
        shape = _Shape(piece)
        for index, row in zip(piece.frames.tolist(), _rows(heads, piece), strict=True):
            ready[places[index]] = shape, row
    tally = decoder.tally
    for place, item in enumerate(items):
        found = ready.pop(place, None)
        if found is None:
            frame = decoder.take(item)
            if frame is None:
                continue
            made = list(readings_of(frame))
        else:
            tally.frames += 1
            made = found[0].readings(found[1])
        tally.readings += len(made)
        yield from made


class _Shape:
    """What the frames of a piece have in common: the members of a reading that repeat in every frame."""

    def __init__(self, piece: Piece) -> None:
        count = piece.times.shape[1]
        words = [column_words(number) for number, _ in piece.columns]
        self._width = len(words)
        self._names = [name for name, _, _ in words] * count
        self._units = [unit for _, unit, _ in words] * count
        self._instances = [instance for _, instance in piece.columns] * count

    def readings(self, row: tuple[Any, ...]) -> list[Reading]:
        """The readings of one frame, row by row; a loop without a line of Python for each of them."""
        node, epoch, seq, how, sealed, times, values, absent, quality = row
        width = self._width
        if absent is not None:
            values = [None if gone else value for value, gone in zip(values, absent, strict=True)]
        members = zip(
            repeat(node),
            repeat(seq),
            repeat(epoch),
            chain.from_iterable(repeat(moment(time), width) for time in times),
            repeat(how),
            self._names,
            self._instances,
            values,
            self._units,
            repeat("unchecked") if quality is None else map(quality_name, quality),
            repeat(sealed),
            strict=False,
        )
        return list(map(_make, members))


_Row = tuple[_Shape, tuple[Any, ...]]


def _rows(heads: Heads, piece: Piece) -> Iterator[tuple[Any, ...]]:
    """For each frame of a piece, what its readings are made of, as Python values."""
    scales = [float(column_words(number)[2]) for number, _ in piece.columns]
    chosen = piece.frames
    count = len(chosen)
    return zip(
        [f"{node:012x}" for node in heads.node[chosen].tolist()],
        heads.epoch[chosen].tolist(),
        heads.seq[chosen].tolist(),
        [time_quality_name(clock) for clock in heads.clock[chosen].tolist()],
        heads.sealed[chosen].tolist(),
        piece.times.tolist(),
        (piece.values / scales).reshape(count, -1).tolist(),
        piece.absent.reshape(count, -1).tolist() if piece.absent is not None else repeat(None),
        piece.quality.reshape(count, -1).tolist() if piece.quality is not None else repeat(None),
        strict=False,
    )
