"""The typed face of `citymote_protocol`, which runs on MicroPython and therefore carries no annotations.

Host modules import the protocol's decoder through here: the names are the same, the types are written down once, and
nothing is wrapped at run time that would cost time in the decoder's path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, cast

from citymote_protocol import cose as _cose
from citymote_protocol import frame as _frame
from citymote_protocol import limits as _limits
from citymote_protocol import quality as _quality
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


__all__ = [
    "KINDS",
    "MAX_QUALITY",
    "MINOR",
    "QUALITY_WORDS",
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
    "decode",
    "expand_quality",
    "is_batch",
    "is_envelope",
    "is_event",
    "parse_envelope",
    "quality_word",
    "words_of",
]
