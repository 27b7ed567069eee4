"""What the host knows of updates, in one SQLite file: releases and what is in them, nodes, rollouts, holds and pins.

Everything that a decision rests on is in it before the decision shows in the folder that nodes poll, so a host that is
killed and started again goes on where it was. The tables are plain, for anybody's own questions; "which nodes run
component X at version Y" is one query over what the SBOMs of the releases list (`running`).
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from citymote.errors import StoreError, UsageError

from . import sbom
from .bundle import Bundle
from .member import Member, State
from .plan import Plan

APPLICATION_ID = 0x434D5550  # "CMUP"
VERSION = 1
_SCHEMA = """
CREATE TABLE releases (
  content TEXT PRIMARY KEY,     -- SHA-256 of the bundle's head
  version TEXT NOT NULL,
  runtime TEXT NOT NULL
);
CREATE TABLE components (
  content TEXT NOT NULL REFERENCES releases(content),
  target TEXT NOT NULL,         -- '' where every target has it
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  PRIMARY KEY (name, version, content, target)
) WITHOUT ROWID;
CREATE TABLE nodes (
  node TEXT PRIMARY KEY,
  board TEXT NOT NULL DEFAULT '',
  firmware TEXT NOT NULL DEFAULT '',  -- as its descriptor says
  runtime TEXT NOT NULL DEFAULT '',
  seen REAL,                    -- Unix seconds
  content TEXT,                 -- the release that it confirmed last, and the target of it
  target TEXT,
  state INTEGER NOT NULL DEFAULT 0,
  progress INTEGER NOT NULL DEFAULT 0,
  sequence INTEGER NOT NULL DEFAULT 0,
  reason INTEGER NOT NULL DEFAULT 0,
  confirmed INTEGER NOT NULL DEFAULT 0,  -- the highest sequence that it confirmed
  epoch INTEGER NOT NULL DEFAULT -1,     -- of the event that said so, and its number
  seq INTEGER NOT NULL DEFAULT -1
) WITHOUT ROWID;
CREATE TABLE rules (
  kind TEXT NOT NULL,           -- hold or pin
  scope TEXT NOT NULL,          -- node or site
  name TEXT NOT NULL,
  version TEXT NOT NULL,        -- of a pin
  why TEXT NOT NULL,
  PRIMARY KEY (kind, scope, name)
) WITHOUT ROWID;
CREATE TABLE rollouts (
  id INTEGER PRIMARY KEY,
  content TEXT NOT NULL REFERENCES releases(content),
  version TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  condition TEXT NOT NULL,      -- the expression that chose the nodes
  plan TEXT NOT NULL,
  emergency INTEGER NOT NULL,
  status TEXT NOT NULL,         -- running, paused, aborted, finished
  why TEXT NOT NULL,
  stage INTEGER NOT NULL,
  settled REAL,                 -- since when this stage has ended well
  created REAL NOT NULL,
  publication TEXT NOT NULL
);
CREATE TABLE envelopes (
  rollout INTEGER NOT NULL REFERENCES rollouts(id),
  target TEXT NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (rollout, target)
) WITHOUT ROWID;
CREATE TABLE members (
  rollout INTEGER NOT NULL REFERENCES rollouts(id),
  node TEXT NOT NULL,
  target TEXT NOT NULL,
  stage INTEGER NOT NULL,
  state TEXT NOT NULL,
  since REAL NOT NULL,
  offered REAL,
  progress INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  why TEXT NOT NULL,
  heard TEXT NOT NULL,          -- the last event of the node that counted
  PRIMARY KEY (rollout, node)
) WITHOUT ROWID;
CREATE INDEX members_by_node ON members(node);
CREATE TABLE history (rollout INTEGER NOT NULL, time REAL NOT NULL, what TEXT NOT NULL);
CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID
"""
_NODE = (
    "node, board, firmware, runtime, seen, content, target, state, progress, sequence, reason, confirmed, epoch, seq"
)
_ROLLOUT = (
    "id, content, version, sequence, condition, plan, emergency, status, why, stage, settled, created, publication"
)


class Seen(NamedTuple):
    """What is known of a node from its own frames. The last eight are of its newest update event, -1 and 0 where none
    has come."""

    node: str
    board: str = ""
    firmware: str = ""
    runtime: str = ""
    seen: float | None = None
    content: str | None = None
    target: str | None = None
    state: int = 0
    progress: int = 0
    sequence: int = 0
    reason: int = 0
    confirmed: int = 0
    epoch: int = -1
    seq: int = -1

    @property
    def event(self) -> str:
        """What names that event."""
        return f"{self.epoch}:{self.seq}"


class Rule(NamedTuple):
    """A hold, or a pin to a version, of a node or a whole site."""

    kind: str
    scope: str
    name: str
    version: str
    why: str


@dataclass
class Rollout:
    """One release on its way to some nodes."""

    number: int
    content: str
    version: str
    sequence: int
    condition: str
    plan: Plan
    emergency: bool
    status: str
    why: str
    stage: int
    settled: float | None
    created: float
    publication: str


class Conducted(UsageError):
    """Somebody else takes the rollouts of this book forward already."""


class Book:
    """The database. It is made when it is not there; one program at a time writes, any number read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"cannot open {path}", str(error), "Check the path, its permissions and the disk."
            ) from None

    def _open(self) -> None:
        db = self._db
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        with self.transaction():
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            ours = int(db.execute("PRAGMA application_id").fetchone()[0]) == APPLICATION_ID
            if version == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                for statement in _SCHEMA.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {VERSION}")
            elif not ours or version != VERSION:
                raise StoreError(f"{self.path} is a database of something else, or of another version")

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All of it or nothing, durable at the end. One inside another is part of it."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def conducting(self) -> Generator[None]:
        """For whoever takes rollouts forward: one program at a time; Conducted where there is one already."""
        handle = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Conducted(f"another program takes the rollouts of {self.path} forward", "", "Let it.") from None
            yield
        finally:
            os.close(handle)

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- releases -----------------------------------------------------------------------------------------------------

    def learn(self, bundle: Bundle) -> None:
        """Know a release and what is in it."""
        with self.transaction():
            row = (bundle.content, str(bundle.version), bundle.runtime)
            if self._db.execute("INSERT OR IGNORE INTO releases VALUES (?, ?, ?)", row).rowcount == 0:
                return
            rows = [
                (bundle.content, target, one.name, one.version)
                for one in sbom.components(bundle.sbom)
                for target in (one.targets or ("",))
            ]
            self._db.executemany("INSERT OR IGNORE INTO components VALUES (?, ?, ?, ?)", rows)

    def releases(self) -> list[tuple[str, str]]:
        """(content, version) of every release that is known."""
        return self._db.execute("SELECT content, version FROM releases").fetchall()

    def components(self, content: str, target: str) -> dict[str, str]:
        """Name -> version of what that release has for that target."""
        statement = "SELECT name, version FROM components WHERE content = ? AND target IN ('', ?)"
        return dict(self._db.execute(statement, (content, target)).fetchall())

    def running(self, name: str, version: str | None = None) -> list[tuple[str, str]]:
        """(node, version) of the nodes that run a component, at that version or at any: one query.

        A node's runtime is what it says itself; its modules are those of the release that it confirmed.
        """
        statement = """
            SELECT n.node, c.version FROM nodes n
              JOIN components c ON c.content = n.content AND c.target IN ('', n.target)
              WHERE c.name = :name AND c.version = coalesce(:version, c.version) AND c.version != ''
                AND NOT (c.name = :runtime AND n.runtime != '')
            UNION
            SELECT n.node, n.runtime FROM nodes n
              WHERE :name = :runtime AND n.runtime = coalesce(:version, n.runtime) AND n.runtime != ''
            ORDER BY 1
        """
        asked = {"name": name, "version": version, "runtime": sbom.MICROPYTHON}
        return self._db.execute(statement, asked).fetchall()

    # -- nodes --------------------------------------------------------------------------------------------------------

    def nodes(self) -> dict[str, Seen]:
        """Every node that has been heard."""
        return {row[0]: Seen(*row) for row in self._db.execute(f"SELECT {_NODE} FROM nodes")}

    def keep_nodes(self, nodes: Iterable[Seen]) -> None:
        """Write what is known of these nodes."""
        self._db.executemany(f"INSERT OR REPLACE INTO nodes ({_NODE}) VALUES ({', '.join('?' * 14)})", nodes)

    def mark(self, name: str) -> int:
        """How far something has been read."""
        found = self._db.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
        return int(found[0]) if found else 0

    def set_mark(self, name: str, value: int) -> None:
        """Remember how far something has been read."""
        self._db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, value))

    # -- holds and pins -----------------------------------------------------------------------------------------------

    def rules(self) -> list[Rule]:
        """Every hold and pin."""
        return [Rule(*row) for row in self._db.execute("SELECT kind, scope, name, version, why FROM rules")]

    def set_rule(self, rule: Rule) -> None:
        """Hold or pin; one that is there is replaced."""
        self._db.execute("INSERT OR REPLACE INTO rules VALUES (?, ?, ?, ?, ?)", rule)

    def drop_rule(self, kind: str, scope: str, name: str) -> None:
        """Let go; UsageError where there is nothing to let go."""
        statement = "DELETE FROM rules WHERE kind = ? AND scope = ? AND name = ?"
        if self._db.execute(statement, (kind, scope, name)).rowcount == 0:
            raise UsageError(f"the {scope} {name} has no {kind}")

    # -- rollouts -----------------------------------------------------------------------------------------------------

    def add_rollout(self, made: Rollout, envelopes: dict[str, bytes], members: Iterable[Member]) -> int:
        """A new rollout; its number."""
        with self.transaction():
            columns = _ROLLOUT.partition(", ")[2]
            statement = f"INSERT INTO rollouts ({columns}) VALUES ({', '.join('?' * 12)})"
            made.number = int(self._db.execute(statement, _row(made)).lastrowid or 0)
            rows = [(made.number, target, data) for target, data in envelopes.items()]
            self._db.executemany("INSERT INTO envelopes VALUES (?, ?, ?)", rows)
            self.keep_members(made.number, members)
            self.note(made.number, made.created, f"begun for {made.condition or 'all nodes'}")
        return made.number

    def keep_rollout(self, made: Rollout) -> None:
        """Write what has changed of it."""
        statement = "UPDATE rollouts SET status = ?, why = ?, stage = ?, settled = ? WHERE id = ?"
        self._db.execute(statement, (made.status, made.why, made.stage, made.settled, made.number))

    def rollouts(self) -> list[Rollout]:
        """All of them, oldest first."""
        found = self._db.execute(f"SELECT {_ROLLOUT} FROM rollouts ORDER BY id").fetchall()
        return [_rollout(*row) for row in found]

    def active(self) -> list[Rollout]:
        """Those that are running or paused, or of which nodes are still under way."""
        statement = (
            "SELECT DISTINCT r.id FROM rollouts r LEFT JOIN members m ON m.rollout = r.id AND r.status = 'aborted' "
            "AND m.state IN ('offered', 'downloading', 'verified', 'trial') "
            "WHERE r.status IN ('running', 'paused') OR m.node IS NOT NULL"
        )
        numbers = {number for (number,) in self._db.execute(statement)}
        return [made for made in self.rollouts() if made.number in numbers]

    def rollout(self, number: int) -> Rollout:
        """One of them; UsageError where there is none of that number."""
        for made in self.rollouts():
            if made.number == number:
                return made
        raise UsageError(f"there is no rollout {number}", "", "See `citymote update rollout list`.")

    def envelopes(self, number: int) -> dict[str, bytes]:
        """Target -> envelope of a rollout."""
        return dict(self._db.execute("SELECT target, data FROM envelopes WHERE rollout = ?", (number,)).fetchall())

    def members(self, number: int) -> dict[str, Member]:
        """A rollout's nodes."""
        statement = (
            "SELECT node, target, stage, state, since, offered, progress, reason, failures, why, heard "
            "FROM members WHERE rollout = ?"
        )
        return {row[0]: _member(*row) for row in self._db.execute(statement, (number,))}

    def keep_members(self, number: int, members: Iterable[Member]) -> None:
        """Write these members' states."""
        rows = (
            (number, m.node, m.target, m.stage, str(m.state), m.since, m.offered, m.progress, m.reason, m.failures,
             m.why, m.heard)
            for m in members
        )  # fmt: skip
        self._db.executemany(f"INSERT OR REPLACE INTO members VALUES ({', '.join('?' * 12)})", rows)

    def note(self, number: int, time: float, what: str) -> None:
        """A line of a rollout's history."""
        self._db.execute("INSERT INTO history VALUES (?, ?, ?)", (number, time, what))

    def history(self, number: int) -> Iterator[tuple[float, str]]:
        """A rollout's history, oldest first."""
        yield from self._db.execute("SELECT time, what FROM history WHERE rollout = ? ORDER BY rowid", (number,))


def _row(made: Rollout) -> tuple[Any, ...]:
    return (
        made.content, made.version, made.sequence, made.condition, json.dumps(made.plan.as_json()), made.emergency,
        made.status, made.why, made.stage, made.settled, made.created, made.publication,
    )  # fmt: skip


def _rollout(
    number: int, content: str, version: str, sequence: int, condition: str, plan: str, emergency: int, *rest: Any
) -> Rollout:
    made = Plan.from_json(json.loads(plan))
    return Rollout(number, content, version, sequence, condition, made, bool(emergency), *rest)


def _member(node: str, target: str, stage: int, state: str, *rest: Any) -> Member:
    return Member(node, target, stage, State(state), *rest)
