"""What every store of readings promises, and the function that chooses one.

A store takes decoded frames and keeps a frame together with its readings or not at all. The key of a frame is (node,
store epoch, sequence): the same frame received twice is stored once, other bytes under the same key are kept aside as
a conflict and reported, and messages that could not be decoded are kept with their reason. Which engine does it is a
matter of the path given.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from citymote.errors import FrameProblem, UsageError
from citymote.reading import s2000
from citymote.registry import quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from citymote.decode import Frame
    from citymote.reading import Reading

STORED, DUPLICATE, CONFLICT = "stored", "duplicate", "conflict"


class Kept(NamedTuple):
    """A message that gave no readings: why, and its bytes. `mark` grows from one to the next."""

    received: float | None
    source: str
    node: str | None
    code: str
    why: str
    data: bytes
    mark: int


class Conflict(NamedTuple):
    """A frame that came under a key already taken by other bytes."""

    node: str
    epoch: int
    seq: int
    received: float | None
    sealed: bool
    data: bytes


class Arrival(NamedTuple):
    """A frame in the order of its arrival. `mark` grows from one to the next; `frame` is there for the kinds asked for.
    """

    mark: int
    node: str
    kind: str
    sealed: bool
    received: float | None
    frame: Frame | None


@dataclass(frozen=True, slots=True)
class Counts:
    """What a store holds, and what it has met since it was made."""

    nodes: int
    frames: int
    readings: int  # absent ones included
    absent: int
    duplicates: int
    conflicts: int
    aside: int
    aside_by_code: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Query:
    """Which readings: every member narrows, `since` is inclusive, `until` exclusive."""

    nodes: tuple[str, ...] = ()
    quantities: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for name in self.quantities:
            quantity_id(name)

    def wants(self, reading: Reading) -> bool:
        """Whether a reading is one of those asked for."""
        if self.nodes and reading.node not in self.nodes:
            return False
        if self.quantities and reading.quantity not in self.quantities:
            return False
        if self.since is not None and reading.time < self.since:
            return False
        return self.until is None or reading.time < self.until

    def bounds(self) -> tuple[int | None, int | None]:
        """`since` and `until` in seconds since 2000. Readings are at whole seconds: a bound inside one moves to the
        next.
        """
        return _ceil(self.since), _ceil(self.until)


def quantity_id(name: str) -> int:
    """The id behind a quantity's name, the stand-in names of unknown ones included."""
    prefix, _, number = name.rpartition("_")
    if prefix == "quantity" and number.isdecimal():
        return int(number)
    try:
        return quantity(name).id
    except KeyError:
        raise UsageError(
            f"no quantity is called {name!r}", "", "See protocol/spec/2-quantities.md for the names."
        ) from None


def _ceil(time: datetime | None) -> int | None:
    return None if time is None else s2000(time) + (1 if time.microsecond else 0)


class Store(ABC):
    """A place for frames and readings that survives being killed at any instant."""

    @abstractmethod
    def add(
        self,
        frames: Iterable[Frame],
        problems: Iterable[tuple[FrameProblem, bytes, float | None]] = (),
        reopened: Iterable[int] = (),
    ) -> list[str]:
        """Keep frames, and messages that gave none, in one transaction; `reopened` are the marks of messages that were
        kept aside and are among these now.

        Returns `stored`, `duplicate` or `conflict` for each frame, in order; when it has returned, they are on disk.
        """

    @abstractmethod
    def counts(self) -> Counts:
        """How much is in the store."""

    @abstractmethod
    def iter_readings(self, query: Query | None = None) -> Iterator[Reading]:
        """Readings by frame as stored: by node, then store epoch and sequence, then time."""

    @abstractmethod
    def iter_frames(self, query: Query | None = None) -> Iterator[Frame]:
        """The frames that are stored, as received; with a query, those that may hold readings it asks for."""

    @abstractmethod
    def iter_descriptors(self, nodes: tuple[str, ...] = ()) -> Iterator[Frame]:
        """The descriptor frames of these nodes, or of all: by node, then store epoch and sequence."""

    @abstractmethod
    def arrivals(self, after: int = 0, kinds: tuple[str, ...] = ()) -> Iterator[Arrival]:
        """The frames that were stored behind a mark; those of these kinds decoded."""

    def iter_selected(self, query: Query | None = None) -> Iterator[tuple[Frame, list[Reading]]]:
        """Frames with those of their readings that a query asks for; frames without any are passed over."""
        query = query or Query()
        for frame in self.iter_frames(query):
            readings = [reading for reading in frame.readings() if query.wants(reading)]
            if readings:
                yield frame, readings

    @abstractmethod
    def conflicts(self) -> Iterator[Conflict]:
        """Frames that came under a key already taken."""

    @abstractmethod
    def aside(self, after: int = 0, codes: tuple[str, ...] = (), most: int | None = None) -> Iterator[Kept]:
        """Messages that gave no readings, in the order of their arrival: those behind a mark, of these codes (or of
        all), so many at most."""

    @abstractmethod
    def close(self) -> None:
        """Finish and let go of the files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_store(place: str | os.PathLike[str], create: bool = True) -> Store:
    """The store at a path: `parquet:DIR` or a folder is Parquet by day, anything else one SQLite file."""
    text = os.fspath(place)
    if text.startswith("parquet:") or Path(text).is_dir():
        from citymote.storage.parquet import ParquetStore

        return ParquetStore(Path(text.removeprefix("parquet:")), create=create)
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "sqlite":
        text = rest
    elif colon and "/" not in scheme and "\\" not in scheme and len(scheme) > 1:
        raise UsageError(f"no store is called {scheme}:", "", "Use a file (SQLite), sqlite:FILE or parquet:FOLDER.")
    from citymote.storage.sqlite import SqliteStore

    return SqliteStore(Path(text), create=create)
