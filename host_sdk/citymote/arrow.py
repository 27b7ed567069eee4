"""Frames as columns: a pyarrow Table, for pandas, Polars, DuckDB and Parquet.

Messages are opened and gathered into chunks; `scan_frames` decodes the ordinary batch frames of a chunk at once with
numpy, under the same rules as the protocol's decoder, and leaves every frame it is not sure about to that decoder,
which accepts it or names what is wrong. So both ways give the same table and the same errors, and only their speed
differs. Needs the extra `arrow` (pyarrow and numpy).

Columns: node, epoch, seq, time, time_quality, quantity, sensor, value, unit, quality, sealed; words are dictionary
encoded. Rows are in the order in which `readings()` gives them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from citymote import wire
from citymote.capture import Damage, Message, Source, read
from citymote.decode import Decoder, Frame, Keys, OnError, decode_open, open_seal, row_times
from citymote.errors import FrameProblem, need
from citymote.reading import EPOCH_2000, TIME_QUALITIES
from citymote.registry import quantity
from citymote.scan_frames import Heads, Piece, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

np: Any = need("numpy", "arrow", "making tables")
pa: Any = need("pyarrow", "arrow", "making tables")

# A chunk is what is decoded at once: large enough that numpy's calls vanish beside their work, small enough for memory.
CHUNK_FRAMES = 8192
CHUNK_BYTES = 4 << 20
_ENVELOPES = tuple(bytes((first,)) for first in range(256) if wire.is_envelope(bytes((first,))))

_WORD = pa.dictionary(pa.int8(), pa.string())
SCHEMA: Any = pa.schema(
    [
        ("node", pa.dictionary(pa.int32(), pa.string())),
        ("epoch", pa.uint32()),
        ("seq", pa.uint32()),
        # Microseconds, because that is the one unit which pandas, Polars, DuckDB and Parquet all keep as it is.
        ("time", pa.timestamp("us", "UTC")),
        ("time_quality", _WORD),
        ("quantity", pa.dictionary(pa.int16(), pa.string())),
        ("sensor", pa.uint8()),
        ("value", pa.float64()),
        ("unit", _WORD),
        ("quality", _WORD),
        ("sealed", pa.bool_()),
    ]
)


def to_arrow(source: Source, keys: Keys = None, on_error: OnError = "raise", node: str | None = None) -> Any:
    """The readings of a source as one Table; arguments as for `citymote.readings`."""
    tables = list(iter_tables(source, Decoder(keys, on_error, node)))
    return pa.concat_tables([SCHEMA.empty_table(), *tables]).unify_dictionaries()


def iter_tables(source: Source, decoder: Decoder) -> Iterator[Any]:
    """The same chunk by chunk, for sources larger than memory; problems go the decoder's way."""
    # Parallel lists and a flat loop: what is done here once a message costs more than all of a frame's arithmetic.
    items: list[Message] = []
    frames: list[bytes] = []
    nodes: list[str | None] = []
    sealed: list[bool] = []
    room = CHUNK_BYTES
    for item in read(source):
        if isinstance(item, Damage):
            decoder.take(item)
            continue
        data = item[0]
        if data[:1] in _ENVELOPES:
            try:
                node, data = open_seal(item, decoder.opener)
            except FrameProblem as problem:
                decoder.report(problem, item)
                continue
            nodes.append(node)
            sealed.append(True)
        else:
            nodes.append(decoder.node)
            sealed.append(False)
        items.append(item)
        frames.append(data)
        room -= len(data)
        if room <= 0 or len(items) >= CHUNK_FRAMES:
            yield _table(decoder, items, frames, nodes, sealed)
            items, frames, nodes, sealed, room = [], [], [], [], CHUNK_BYTES
    if items:
        yield _table(decoder, items, frames, nodes, sealed)


def _table(
    decoder: Decoder, items: list[Message], frames: list[bytes], nodes: list[str | None], sealed: list[bool]
) -> Any:
    """One chunk: the scanner's frames, and those that it leaves to the protocol's decoder."""
    heads, pieces, unsure = scan(frames, nodes, sealed)
    decoder.tally.frames += len(items) - len(unsure)
    for index in unsure:
        try:
            frame = decode_open(items[index], frames[index], nodes[index], sealed[index])
        except FrameProblem as problem:
            decoder.report(problem, items[index])
            continue
        decoder.tally.frames += 1
        heads.set(index, int(frame.node, 16), frame.epoch, frame.seq, frame.body.clock)
        pieces.extend(_piece(index, frame))
    table = assemble(heads, pieces)
    decoder.tally.readings += table.num_rows
    return table


def _piece(index: int, frame: Frame) -> Iterator[Piece]:
    """What the protocol's decoder gave for one frame, in the shape of the scanner's results."""
    body = frame.body
    if wire.is_batch(body):
        codes = wire.expand_quality(body.quality, len(body.columns), body.count)
        columns = [list(column) for column in body.values]
        times = row_times(body)
        marks = [list(line) if line is not None else [0] * body.count for line in codes]
    elif wire.is_event(body):
        flags = dict(body.quality)
        columns = [[value] for value in body.values]
        times = [body.time]
        marks = [[flags.get(column, 0)] for column in range(len(columns))]
    else:
        return
    absent = np.array([[value is None for value in column] for column in columns], bool).T[None]
    values = np.array([[value or 0 for value in column] for column in columns], np.int64).T[None]
    quality = np.array(marks, np.int8).T[None]
    yield Piece(np.array([index]), tuple(body.columns), np.array(times, np.int64)[None], values, absent, quality)


def assemble_frames(frames: list[Frame]) -> Any:
    """The table of frames that are decoded already."""
    heads = Heads([frame.sealed for frame in frames])
    pieces: list[Piece] = []
    for index, frame in enumerate(frames):
        heads.set(index, int(frame.node, 16), frame.epoch, frame.seq, frame.body.clock)
        pieces.extend(_piece(index, frame))
    return assemble(heads, pieces)


def assemble(heads: Heads, pieces: list[Piece]) -> Any:
    """One table out of frames in any number of shapes, rows in the frames' order."""
    sizes = np.zeros(len(heads.node), np.int64)
    for piece in pieces:
        sizes[piece.frames] = piece.times.shape[1] * len(piece.columns)
    rows = int(sizes.sum())
    places: list[Any] = [slice(None)]
    if len(pieces) != 1:
        starts = np.cumsum(sizes) - sizes
        places = [
            (starts[piece.frames][:, None] + np.arange(piece.times.shape[1] * len(piece.columns))).ravel()
            for piece in pieces
        ]
    value, time = np.empty(rows, np.float64), np.empty(rows, np.int64)
    quality, sensor, what = np.zeros(rows, np.int8), np.empty(rows, np.uint8), np.empty(rows, np.int32)
    absent = np.zeros(rows, bool)
    for piece, place in zip(pieces, places, strict=True):
        shape = piece.values.shape
        scale = np.array([10.0 ** quantity(number).decimals for number, _ in piece.columns])
        # Division by a power of ten rounds correctly: the same value as Python's, and the shortest digits when printed.
        value[place] = (piece.values / scale).ravel()
        time[place] = np.repeat(piece.times.ravel(), shape[2])
        each = shape[0] * shape[1]
        sensor[place] = np.tile(np.array([instance for _, instance in piece.columns], np.uint8), each)
        what[place] = np.tile(np.array([number for number, _ in piece.columns], np.int32), each)
        if piece.absent is not None:
            absent[place] = piece.absent.ravel()
        if piece.quality is not None:
            quality[place] = piece.quality.ravel()
    numbers = sorted({number for piece in pieces for number, _ in piece.columns})
    entries = [quantity(number) for number in numbers]
    units = sorted({entry.unit for entry in entries})
    code = np.zeros(max(numbers, default=0) + 1, np.int16)
    code[numbers] = np.arange(len(numbers))
    unit_code = np.zeros(len(code), np.int8)
    unit_code[numbers] = [units.index(entry.unit) for entry in entries]
    nodes, node_code = np.unique(heads.node, return_inverse=True)
    columns = [
        _words(np.repeat(node_code.astype(np.int32), sizes), [f"{node:012x}" for node in nodes.tolist()]),
        pa.array(np.repeat(heads.epoch, sizes)),
        pa.array(np.repeat(heads.seq, sizes)),
        pa.array((time + EPOCH_2000) * 1_000_000).cast(SCHEMA.field("time").type),
        _words(np.repeat(heads.clock, sizes), list(TIME_QUALITIES)),
        _words(code[what], [entry.name for entry in entries]),
        pa.array(sensor),
        pa.array(value, mask=absent) if absent.any() else pa.array(value),
        _words(unit_code[what], units),
        _words(quality, list(QUALITIES)),
        pa.array(np.repeat(heads.sealed, sizes)),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


QUALITIES = tuple(wire.quality_word(code) for code in range(wire.MAX_QUALITY + 1))


def _words(codes: Any, words: list[str]) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words, pa.string()))
