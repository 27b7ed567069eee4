"""The typed face of `citymote_protocol`, which runs on MicroPython and therefore carries no annotations.

Host modules import the protocol's decoder through here: the names are the same, the types are written down once, and
nothing is wrapped at run time that would cost time in the decoder's path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, cast

from citymote_protocol import cbor as _cbor
from citymote_protocol import columns as _columns
from citymote_protocol import cose as _cose
from citymote_protocol import frame as _frame
from citymote_protocol import limits as _limits
from citymote_protocol import quality as _quality
from citymote_protocol import quantities as _quantities
from citymote_protocol import read_batch as _read_batch
from citymote_protocol import read_header as _read_header
from citymote_protocol import sealing as _sealing
from citymote_protocol.errors import FrameError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Column = tuple[int, int]
Run = tuple[int, int, int, int]
SealError: type[ValueError] = cast("Any", _cose).SealError


class Body(Protocol):
    """What all kinds of decoded frames say."""

    kind: int
    node: bytes | None
    epoch: int
    seq: int
    time: int
    clock: int
    minor: int
    options: Sequence[tuple[int, bytes]]


class Batch(Body, Protocol):
    """Rows of readings: one list a column, None where absent."""

    interval: int
    count: int
    columns: Sequence[Column]
    values: Sequence[Sequence[int | None]]
    quality: Sequence[Run]
    times: Sequence[int] | None
    packed: bool


class Event(Body, Protocol):
    """One row of readings, of an event or a status frame."""

    columns: Sequence[Column]
    values: Sequence[int | None]
    quality: Sequence[tuple[int, int]]


class Envelope(Protocol):
    """A sealed message, taken apart and not yet opened."""

    kid: bytes
    kid_context: bytes
    partial_iv: bytes


_untyped: Any = _frame
decode: Callable[[bytes], Body] = _untyped.decode
is_envelope: Callable[[bytes], bool] = _untyped.is_envelope
parse_envelope: Callable[[bytes], Envelope] = cast("Any", _sealing).parse
expand_quality: Callable[[Sequence[Run], int, int], list[bytearray | None]] = cast("Any", _quality).expand
quality_word: Callable[[int], str] = cast("Any", _quality).name
QUALITY_WORDS: tuple[tuple[int, str], ...] = cast("Any", _quality).NAMES
VERSION: int = _limits.VERSION
MINOR: int = _limits.MINOR
MAX_FRAME: int = _limits.MAX_FRAME
MAX_COLUMNS: int = _limits.MAX_COLUMNS
MAX_COUNT: int = _limits.MAX_COUNT
MAX_EPOCH: int = _limits.MAX_EPOCH
MAX_SEQ: int = _limits.MAX_SEQ
MAX_TIME: int = _limits.MAX_TIME
MAX_INTERVAL: int = _limits.MAX_INTERVAL
MAX_GAP: int = _limits.MAX_GAP
MAX_SET: int = _limits.MAX_SET
MAX_STEP: int = _limits.MAX_STEP
MAX_DELTA: int = _limits.MAX_DELTA
MAX_VALUE: int = _limits.MAX_VALUE
MIN_VALUE: int = _limits.MIN_VALUE
MAX_CLOCK: int = cast("int", _untyped.ESTIMATED)
SINT8: int = cast("Any", _columns).SINT8
SINT16: int = cast("Any", _columns).SINT16
MAX_QUALITY: int = cast("Any", _quality).MAX_CODE

_BATCHES = (cast("int", _untyped.BATCH), cast("int", _untyped.PACKED))
_EVENTS = (cast("int", _untyped.EVENT), cast("int", _untyped.STATUS))
KINDS = {
    cast("int", _untyped.BATCH): "batch",
    cast("int", _untyped.EVENT): "event",
    cast("int", _untyped.PACKED): "packed",
    cast("int", _untyped.STATUS): "status",
    cast("int", _untyped.DESCRIPTOR): "descriptor",
}


def is_batch(body: Body) -> TypeGuard[Batch]:
    """Whether a frame has rows."""
    return body.kind in _BATCHES


def is_event(body: Body) -> TypeGuard[Event]:
    """Whether a frame has one row: an event, or a node's status."""
    return body.kind in _EVENTS


def code_of(error: ValueError) -> str:
    """The specification's code of a FrameError or SealError."""
    return str(cast("Any", error).code)


def words_of(error: ValueError) -> str:
    """An error's message without its code, which is named beside it."""
    code = code_of(error)
    return str(error).removeprefix(code).removeprefix(": ") or code


quantity_set: Callable[[int], tuple[Column, ...] | None] = cast("Any", _quantities).quantity_set


def column_list(data: bytes) -> tuple[tuple[Column, ...], int] | None:
    """The columns that an explicit list at the beginning of `data` names, and its size; None if it is not sound."""
    reader: Any = cast("Any", _cbor).Reader(data)
    try:
        columns: tuple[Column, ...] = cast("Any", _read_header).read_columns(reader)
    except FrameError:
        return None
    return columns, cast("int", reader.pos)


def option_runs(data: bytes, columns: tuple[Column, ...], count: int) -> Sequence[Run] | None:
    """The quality runs of a batch's optional fields, which are all of `data`; None if they are not sound."""
    frame: Any = _untyped.Batch()
    frame.columns, frame.count = columns, count
    reader: Any = cast("Any", _cbor).Reader(data)
    try:
        cast("Any", _read_header).read_options(reader, frame, cast("Any", _read_batch).read_quality)
        reader.finish()
    except FrameError:
        return None
    return cast("Sequence[Run]", frame.quality)


__all__ = [
    "KINDS",
    "MAX_CLOCK",
    "MAX_COLUMNS",
    "MAX_COUNT",
    "MAX_DELTA",
    "MAX_EPOCH",
    "MAX_FRAME",
    "MAX_GAP",
    "MAX_INTERVAL",
    "MAX_QUALITY",
    "MAX_SEQ",
    "MAX_SET",
    "MAX_STEP",
    "MAX_TIME",
    "MAX_VALUE",
    "MINOR",
    "MIN_VALUE",
    "QUALITY_WORDS",
    "SINT8",
    "SINT16",
    "VERSION",
    "Batch",
    "Body",
    "Column",
    "Envelope",
    "Event",
    "FrameError",
    "ProtocolError",
    "Run",
    "SealError",
    "code_of",
    "column_list",
    "decode",
    "expand_quality",
    "is_batch",
    "is_envelope",
    "is_event",
    "option_runs",
    "parse_envelope",
    "quality_word",
    "quantity_set",
    "words_of",
]
