"""The two engines of the registry behind one small face: SQLite in a file, PostgreSQL at a URL.

The SQL of `book` is what both understand, with `?` for values. Each engine brings its own types, its own refusal to
change an audit entry, and its own way to open. The only module that knows sqlite3 and psycopg here.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from citymote.errors import UsageError, need

from .base import FleetError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

VERSION = 1
SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE stations (
  station TEXT PRIMARY KEY, site TEXT, latitude DOUBLE PRECISION, longitude DOUBLE PRECISION, height DOUBLE PRECISION
);
CREATE TABLE nodes (
  node TEXT PRIMARY KEY,
  public BLOB NOT NULL,
  secret BLOB,                -- the label's claim secret, sealed; null when it is worth nothing any more
  credentials BLOB,           -- what the broker knows this node by, sealed
  site TEXT, tags TEXT NOT NULL DEFAULT '[]', board TEXT, firmware TEXT, runtime TEXT, owner TEXT,
  stage TEXT NOT NULL DEFAULT 'known', state BIGINT, detail BIGINT NOT NULL DEFAULT 0,
  seen TEXT, revoked TEXT, digest TEXT, trial BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE stays (
  station TEXT NOT NULL REFERENCES stations(station),
  node TEXT NOT NULL REFERENCES nodes(node),
  since TEXT NOT NULL,
  until TEXT                  -- null: it is there now
);
CREATE UNIQUE INDEX one_node_a_station ON stays (station) WHERE until IS NULL;
CREATE UNIQUE INDEX one_station_a_node ON stays (node) WHERE until IS NULL;
CREATE TABLE journal (
  number BIGINT PRIMARY KEY, time TEXT NOT NULL, node TEXT NOT NULL, stage TEXT NOT NULL, outcome TEXT NOT NULL,
  detail TEXT NOT NULL
);
CREATE INDEX journal_of_node ON journal (node, number);
CREATE TABLE audit (
  number BIGINT PRIMARY KEY, time TEXT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, node TEXT NOT NULL,
  outcome TEXT NOT NULL, detail TEXT NOT NULL, hash BLOB NOT NULL
);
"""
_COMMENT = re.compile(r"--[^\n]*")

Row = tuple[Any, ...]


class Database(ABC):
    """One connection. Errors of the engine come out as FleetError."""

    name: str

    @abstractmethod
    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """What a query gives."""

    @abstractmethod
    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Change something; how many rows."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """All of what is done inside, or nothing."""

    @abstractmethod
    def lock(self, table: str) -> None:
        """Let nobody else write to a table until the transaction ends."""

    @abstractmethod
    def close(self) -> None:
        """Let it go."""


def statements(schema: str) -> list[str]:
    """The single statements of a schema without triggers."""
    return [one.strip() for one in _COMMENT.sub("", schema).split(";") if one.strip()]


class SqliteDatabase(Database):
    """A file of its owner's alone (mode 0600)."""

    _GUARD = (
        "CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END",
        "CREATE TRIGGER audit_keeps BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END",
    )

    def __init__(self, path: Path, *, create: bool) -> None:
        import sqlite3

        self.name = str(path)
        self._error = sqlite3.Error
        fresh = not path.exists()
        if fresh and not create:
            raise FleetError(f"there is no registry at {path}", "", "Make one with `citymote fleet make`.")
        try:
            if fresh:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
            try:
                self._make(may=create)
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise FleetError(f"{path} cannot be opened as a registry", str(error)) from None

    def _make(self, *, may: bool) -> None:
        for pragma in ("foreign_keys = ON", "journal_mode = WAL", "synchronous = FULL"):
            self._db.execute(f"PRAGMA {pragma}")
        with self.transaction():
            tables = [name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if "meta" in tables:
                return
            if tables or not may:  # others' data is not ours to add to
                raise FleetError(f"{self.name} is no registry of a fleet")
            for statement in (*statements(SCHEMA), *self._GUARD):
                self._db.execute(statement)
            self.run("INSERT INTO meta VALUES ('version', ?)", (str(VERSION),))

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """What a query gives."""
        try:
            return self._db.execute(sql, cast("Any", values)).fetchall()
        except self._error as error:
            raise FleetError(f"{self.name} cannot be read", str(error)) from None

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Change something; how many rows."""
        try:
            return self._db.execute(sql, cast("Any", values)).rowcount
        except self._error as error:
            raise FleetError(f"{self.name} was not changed", str(error)) from None

    @contextmanager
    def transaction(self) -> Generator[None, None, None]:
        """All or nothing; a transaction inside another is part of that."""
        if self._db.in_transaction:
            yield
            return
        self.run("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self.run("COMMIT")

    def lock(self, table: str) -> None:
        """BEGIN IMMEDIATE has locked the file already."""

    def close(self) -> None:
        """Let it go."""
        self._db.close()


class PostgresDatabase(Database):
    """A database that several hosts share. The password comes from PGPASSFILE or PGPASSWORD, never from the URL."""

    _GUARD = (
        """CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the audit log only grows'; END $$""",
        """CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
           FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows()""",
    )

    def __init__(self, url: str, *, create: bool) -> None:
        if urlsplit(url).password is not None:
            raise UsageError(
                "the registry's URL carries a password", "others can read it there", "Put it into the file PGPASSFILE."
            )
        psycopg = cast("Any", need("psycopg", "postgres", "a registry in PostgreSQL"))
        self.name = url
        self._error: Any = psycopg.Error
        try:
            self._db: Any = psycopg.connect(url, autocommit=True, connect_timeout=10)
        except psycopg.Error as error:
            raise FleetError(f"{url} cannot be opened as a registry", str(error).strip()) from None
        try:
            self._make(may=create)
        except BaseException:
            self._db.close()
            raise

    def _make(self, *, may: bool) -> None:
        with self.transaction():
            self.run("SELECT pg_advisory_xact_lock(7141)")  # two hosts at once make one schema
            if self.rows("SELECT 1 FROM information_schema.tables WHERE table_name = 'audit'"):
                return
            if not may:
                raise FleetError(f"there is no registry at {self.name}", "", "Make one with `citymote fleet make`.")
            for statement in (*statements(SCHEMA.replace(" BLOB", " BYTEA")), *self._GUARD):
                self.run(statement)
            self.run("INSERT INTO meta VALUES ('version', ?)", (str(VERSION),))

    def _execute(self, sql: str, values: Sequence[object]) -> Any:
        if not values:
            return self._db.execute(sql)
        return self._db.execute(sql.replace("?", "%s"), tuple(values))

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """What a query gives."""
        try:
            return self._execute(sql, values).fetchall()
        except self._error as error:
            raise FleetError(f"{self.name} cannot be read", str(error).strip()) from None

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Change something; how many rows."""
        try:
            return self._execute(sql, values).rowcount
        except self._error as error:
            raise FleetError(f"{self.name} was not changed", str(error).strip()) from None

    @contextmanager
    def transaction(self) -> Generator[None, None, None]:
        """All or nothing."""
        with self._db.transaction():
            yield

    def lock(self, table: str) -> None:
        """Let nobody else write to it."""
        self.run(f"LOCK TABLE {table} IN EXCLUSIVE MODE")

    def close(self) -> None:
        """Let it go."""
        self._db.close()


def open_database(where: str | os.PathLike[str], *, create: bool) -> Database:
    """The engine that the place names."""
    text = str(where)
    if text.startswith(("postgresql://", "postgres://")):
        made: Database = PostgresDatabase(text, create=create)
    else:
        made = SqliteDatabase(Path(text), create=create)
    try:
        version = made.rows("SELECT value FROM meta WHERE name = 'version'")
        if not version or version[0][0] != str(VERSION):
            raise FleetError(
                f"{text} is a registry of another version", "", "Use the program that made it, or a newer one."
            )
    except BaseException:
        made.close()
        raise
    return made
