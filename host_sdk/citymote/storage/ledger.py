"""The part of a store that every backend shares: which frames are in, which met a key already taken, which gave
nothing.

One SQLite file in write-ahead mode with full synchronisation: a transaction that has returned survives a kill and a
power cut, and a message may then be acknowledged. The frame's own bytes stay beside its readings, about one byte a
reading: they are the evidence, and what any later version of a decoder can read again. Backends add what they do with
the readings.
"""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, cast

from citymote.errors import FrameProblem, StoreError
from citymote.reading import TIME_QUALITIES
from citymote.storage.base import CONFLICT, DUPLICATE, STORED, Arrival, Conflict, Counts, Kept, Query, Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from citymote.decode import Frame, Line

APPLICATION_ID = 0x434D5452  # "CMTR", so that `file` and others can tell what the database is
VERSION = 1

_SCHEMA = """
CREATE TABLE nodes (id INTEGER PRIMARY KEY, node TEXT NOT NULL UNIQUE);
CREATE TABLE clocks (code INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE frames (
  id INTEGER PRIMARY KEY,
  node INTEGER NOT NULL REFERENCES nodes(id),
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  kind TEXT NOT NULL,
  first INTEGER,              -- seconds since 2000 of the first and last reading; null where the frame has none
  last INTEGER,
  clock INTEGER,
  sealed INTEGER NOT NULL,
  readings INTEGER NOT NULL,  -- rows, absent ones included
  absent INTEGER NOT NULL,
  received REAL,              -- Unix seconds
  hash BLOB NOT NULL,         -- SHA-256 of the bare frame
  data BLOB NOT NULL,         -- the bare frame
  UNIQUE (node, epoch, seq)
);
CREATE INDEX frames_by_time ON frames(last, first);
CREATE TABLE conflicts (
  node INTEGER NOT NULL REFERENCES nodes(id),
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  received REAL,
  sealed INTEGER NOT NULL,
  hash BLOB NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (node, epoch, seq, hash)
);
CREATE TABLE aside (
  id INTEGER PRIMARY KEY,
  received REAL,
  source TEXT NOT NULL,
  node TEXT,
  code TEXT NOT NULL,
  why TEXT NOT NULL,
  data BLOB NOT NULL
);
CREATE TABLE tally (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""


class Stored(NamedTuple):
    """A frame that has just been stored: its row, and what there is to keep of it."""

    number: int
    times: list[int]
    lines: list[Line]


class LedgerStore(Store):
    """A store whose frames are in SQLite; where their readings go is the subclass's affair."""

    def __init__(self, path: Path, create: bool = True, schema: str = "") -> None:
        self.path = path
        if not create and not path.exists():
            raise StoreError(f"there is no store at {path}", "", "Check the path; `citymote collect` makes a store.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            try:
                self._open(_SCHEMA + schema)
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"cannot open the store {path}", str(error), "Check the path, its permissions and the disk."
            ) from error
        self._node_ids: dict[str, int] = {}

    def _open(self, schema: str) -> None:
        db = self._db
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA cache_size = -65536")
        # Two programs may open a new store at once: the one that comes second finds the version written.
        db.execute("BEGIN IMMEDIATE")
        try:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            application = int(db.execute("PRAGMA application_id").fetchone()[0])
            empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if version == 0 and empty:
                for statement in schema.split(";\n"):
                    if statement.strip():
                        db.execute(statement)
                db.executemany("INSERT INTO clocks VALUES (?, ?)", enumerate(TIME_QUALITIES))
                self._fill(db)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {VERSION}")
            elif application != APPLICATION_ID:
                raise StoreError(
                    f"{self.path} is a database of something else", "", "Choose another file for the store."
                )
            elif version != VERSION:
                why = f"its version is {version}, this program writes version {VERSION}"
                raise StoreError(
                    f"{self.path} is a store of another version", why, "Use the citymote that made it, and export."
                )
            else:
                self._fill(db)
        except BaseException:
            db.execute("ROLLBACK")
            db.close()
            raise
        db.execute("COMMIT")

    def _fill(self, db: sqlite3.Connection) -> None:
        """Write what a backend's tables need from this version's registry."""

    @abstractmethod
    def _keep(self, db: sqlite3.Connection, kept: list[Stored]) -> None:
        """Keep the readings of newly stored frames, inside the open transaction."""

    def add(
        self,
        frames: Iterable[Frame],
        problems: Iterable[tuple[FrameProblem, bytes, float | None]] = (),
        reopened: Iterable[int] = (),
    ) -> list[str]:
        db = self._db
        outcomes: list[str] = []
        kept: list[Stored] = []
        try:
            db.execute("BEGIN IMMEDIATE")
            outcomes.extend(self._add_frame(db, frame, kept) for frame in frames)
            if kept:
                self._keep(db, kept)
            db.executemany("DELETE FROM aside WHERE id = ?", ((mark,) for mark in reopened))
            for problem, data, received in problems:
                row = (received, problem.where, problem.node, problem.code, problem.why, data)
                db.execute("INSERT INTO aside(received, source, node, code, why, data) VALUES (?, ?, ?, ?, ?, ?)", row)
            duplicates = outcomes.count(DUPLICATE)
            if duplicates:
                db.execute(
                    "INSERT INTO tally VALUES ('duplicates', ?) "
                    "ON CONFLICT(name) DO UPDATE SET count = count + excluded.count",
                    (duplicates,),
                )
            db.execute("COMMIT")
        except BaseException as error:
            self._node_ids.clear()  # ids drawn inside the lost transaction are gone with it
            if db.in_transaction:
                db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StoreError(
                    f"cannot write to the store {self.path}", str(error), "Nothing was acknowledged."
                ) from error
            raise
        return outcomes

    def _add_frame(self, db: sqlite3.Connection, frame: Frame, kept: list[Stored]) -> str:
        node = self._node_id(db, frame.node)
        times, lines = frame.lines()
        digest = sha256(frame.data).digest()
        row = (
            node,
            frame.epoch,
            frame.seq,
            frame.kind,
            times[0] if times else None,
            times[-1] if times else None,
            frame.body.clock if times else None,
            frame.sealed,
            len(times) * len(lines),
            sum(line.values.count(None) for line in lines),
            frame.received,
            digest,
            frame.data,
        )
        cursor = db.execute("INSERT OR IGNORE INTO frames VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        if cursor.rowcount == 1:
            kept.append(Stored(cast("int", cursor.lastrowid), times, lines))
            return STORED
        key = (node, frame.epoch, frame.seq)
        stored = db.execute("SELECT hash FROM frames WHERE node = ? AND epoch = ? AND seq = ?", key).fetchone()
        if stored[0] == digest:
            return DUPLICATE
        row = (*key, frame.received, frame.sealed, digest, frame.data)
        db.execute("INSERT OR IGNORE INTO conflicts VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return CONFLICT

    def _node_id(self, db: sqlite3.Connection, node: str) -> int:
        known = self._node_ids.get(node)
        if known is None:
            db.execute("INSERT OR IGNORE INTO nodes(node) VALUES (?)", (node,))
            known = int(db.execute("SELECT id FROM nodes WHERE node = ?", (node,)).fetchone()[0])
            self._node_ids[node] = known
        return known

    def counts(self) -> Counts:
        db = self._db
        frames, readings, absent = db.execute("SELECT count(*), total(readings), total(absent) FROM frames").fetchone()
        by_code = dict(db.execute("SELECT code, count(*) FROM aside GROUP BY code ORDER BY code").fetchall())
        duplicates = db.execute("SELECT count FROM tally WHERE name = 'duplicates'").fetchone()
        return Counts(
            nodes=db.execute("SELECT count(DISTINCT node) FROM frames").fetchone()[0],
            frames=frames,
            readings=int(readings),
            absent=int(absent),
            duplicates=duplicates[0] if duplicates else 0,
            conflicts=db.execute("SELECT count(*) FROM conflicts").fetchone()[0],
            aside=sum(by_code.values()),
            aside_by_code=by_code,
        )

    def iter_frames(self, query: Query | None = None) -> Iterator[Frame]:
        condition, arguments = frame_conditions(query) if query is not None else ("1", ())
        for _, frame in self._frames(condition, arguments):
            yield frame

    def iter_descriptors(self, nodes: tuple[str, ...] = ()) -> Iterator[Frame]:
        condition = "f.kind = 'descriptor'"
        if nodes:
            condition += f" AND n.node IN ({','.join('?' * len(nodes))})"
        for _, frame in self._frames(condition, nodes):
            yield frame

    def arrivals(self, after: int = 0, kinds: tuple[str, ...] = ()) -> Iterator[Arrival]:
        from citymote.decode import Frame, decode_bare

        statement = (
            "SELECT f.id, n.node, f.kind, f.sealed, f.received, "
            f"CASE WHEN f.kind IN ({','.join('?' * len(kinds))}) THEN f.data END "
            "FROM frames f JOIN nodes n ON n.id = f.node WHERE f.id > ? ORDER BY f.id"
        )
        for mark, node, kind, sealed, received, data in self._db.execute(statement, (*kinds, after)):
            frame = None
            if data is not None:
                frame = Frame(node, bool(sealed), data, decode_bare(data), received, str(self.path))
            yield Arrival(mark, node, kind, bool(sealed), received, frame)

    def _frames(self, condition: str, arguments: tuple[object, ...]) -> Iterator[tuple[int, Frame]]:
        """Frames by node, store epoch and sequence, as the unique key's index has them."""
        from citymote.decode import Frame, decode_bare

        statement = (
            "SELECT f.id, n.node, f.sealed, f.data, f.received FROM frames f JOIN nodes n ON n.id = f.node "
            f"WHERE {condition} ORDER BY f.node, f.epoch, f.seq"
        )
        for number, node, sealed, data, received in self._db.execute(statement, arguments):
            yield number, Frame(node, bool(sealed), data, decode_bare(data), received, str(self.path))

    def conflicts(self) -> Iterator[Conflict]:
        statement = (
            "SELECT n.node, c.epoch, c.seq, c.received, c.sealed, c.data "
            "FROM conflicts c JOIN nodes n ON n.id = c.node ORDER BY c.node, c.epoch, c.seq"
        )
        for node, epoch, seq, received, sealed, data in self._db.execute(statement):
            yield Conflict(node, epoch, seq, received, bool(sealed), data)

    def aside(self, after: int = 0, codes: tuple[str, ...] = (), most: int | None = None) -> Iterator[Kept]:
        wanted = f"AND code IN ({','.join('?' * len(codes))})" if codes else ""
        statement = (
            f"SELECT received, source, node, code, why, data, id FROM aside WHERE id > ? {wanted} ORDER BY id LIMIT ?"
        )
        for row in self._db.execute(statement, (after, *codes, -1 if most is None else most)):
            yield Kept(*row)

    def close(self) -> None:
        self._db.close()


def frame_conditions(query: Query) -> tuple[str, tuple[object, ...]]:
    """SQL for the frames that may hold readings of a query, over `frames f` and `nodes n`, and its arguments."""
    text = "f.readings > 0"
    arguments: list[object] = []
    if query.nodes:
        text += f" AND n.node IN ({','.join('?' * len(query.nodes))})"
        arguments += query.nodes
    since, until = query.bounds()
    if since is not None:
        text += " AND f.last >= ?"
        arguments.append(since)
    if until is not None:
        text += " AND f.first < ?"
        arguments.append(until)
    return text, tuple(arguments)
