"""The default store: one SQLite file that any tool can query.

A reading's row hangs on its frame, clustered by (frame, quantity, sensor, row), about 18 bytes, and written in the
order in which frames arrive, so that inserting stays an append for ever. Values are the wire's integers; the view
`readings` gives them as people read them (node, time, quantity, value, unit, quality ...), and the small tables
beside it make the file readable without this program.
"""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING

from citymote.reading import Reading, moment, time_quality_name
from citymote.registry import quantities, quantity
from citymote.storage.base import Query, quantity_id
from citymote.storage.ledger import LedgerStore, Stored, frame_conditions

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

_SCHEMA = """
CREATE TABLE quantities (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, unit TEXT NOT NULL, scale INTEGER NOT NULL, statistic TEXT NOT NULL
);
CREATE TABLE qualities (code INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE samples (
  frame INTEGER NOT NULL REFERENCES frames(id),
  quantity INTEGER NOT NULL,
  sensor INTEGER NOT NULL,
  row INTEGER NOT NULL,       -- position in the frame
  time INTEGER NOT NULL,      -- seconds since 2000
  value INTEGER,              -- in units of the registry's resolution; null where absent
  quality INTEGER NOT NULL,
  PRIMARY KEY (frame, quantity, sensor, row)
) WITHOUT ROWID;
CREATE VIEW readings AS
  SELECT n.node AS node, f.epoch AS epoch, f.seq AS seq,
    strftime('%Y-%m-%dT%H:%M:%SZ', s.time + 946684800, 'unixepoch') AS time,
    coalesce(c.name, 'clock_' || f.clock) AS time_quality,
    coalesce(q.name, 'quantity_' || s.quantity) AS quantity,
    s.sensor AS sensor,
    s.value * 1.0 / coalesce(q.scale, 1) AS value,
    coalesce(q.unit, '') AS unit,
    coalesce(u.name, 'quality_' || s.quality) AS quality,
    f.sealed AS sealed
  FROM samples s
    JOIN frames f ON f.id = s.frame
    JOIN nodes n ON n.id = f.node
    LEFT JOIN clocks c ON c.code = f.clock
    LEFT JOIN quantities q ON q.id = s.quantity
    LEFT JOIN qualities u ON u.code = s.quality;
"""


class SqliteStore(LedgerStore):
    """Frames and readings in one file."""

    def __init__(self, path: Path, create: bool = True) -> None:
        super().__init__(path, create, _SCHEMA)

    def _fill(self, db: sqlite3.Connection) -> None:
        # The registry is append-only: a newer program adds rows, and never changes one.
        from citymote.decode import QUALITY_NAMES

        rows = [(q.id, q.name, q.unit, 10**q.decimals, q.statistic) for q in quantities()]
        db.executemany("INSERT OR IGNORE INTO quantities VALUES (?, ?, ?, ?, ?)", rows)
        db.executemany("INSERT OR IGNORE INTO qualities VALUES (?, ?)", QUALITY_NAMES.items())

    def _keep(self, db: sqlite3.Connection, kept: list[Stored]) -> None:
        # Rows are zipped together in C, straight into SQLite: nothing in here runs once a reading.
        rows = chain.from_iterable(
            zip(
                repeat(number),
                repeat(line.quantity),
                repeat(line.instance),
                range(len(times)),
                times,
                line.values,
                line.quality,
                strict=False,
            )
            for number, times, lines in kept
            for line in lines
        )
        db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def iter_readings(self, query: Query | None = None) -> Iterator[Reading]:
        from citymote.decode import quality_name

        query = query or Query()
        frames, arguments = frame_conditions(query)
        samples, wanted = _conditions(query)
        outer = (
            "SELECT f.id, n.node, f.epoch, f.seq, f.clock, f.sealed FROM frames f JOIN nodes n ON n.id = f.node "
            f"WHERE {frames} ORDER BY f.node, f.epoch, f.seq"
        )
        inner = (
            "SELECT time, quantity, sensor, value, quality FROM samples "
            f"WHERE frame = ? {samples} ORDER BY row, quantity, sensor"
        )
        for number, node, epoch, seq, clock, sealed in self._db.execute(outer, arguments):
            how = time_quality_name(clock)
            for time, what, sensor, integer, quality in self._db.execute(inner, (number, *wanted)):
                entry = quantity(what)
                value = None if integer is None else entry.value(integer)
                moment_ = moment(time)
                yield Reading(
                    node,
                    seq,
                    epoch,
                    moment_,
                    how,
                    entry.name,
                    sensor,
                    value,
                    entry.unit,
                    quality_name(quality),
                    bool(sealed),
                )


def _conditions(query: Query) -> tuple[str, tuple[object, ...]]:
    """SQL for the samples of a query, and its arguments; frames are chosen by `frame_conditions`."""
    samples = ""
    arguments: list[object] = []
    if query.quantities:
        ids = [quantity_id(name) for name in query.quantities]
        samples += f" AND quantity IN ({','.join('?' * len(ids))})"
        arguments += ids
    since, until = query.bounds()
    if since is not None:
        samples += " AND time >= ?"
        arguments.append(since)
    if until is not None:
        samples += " AND time < ?"
        arguments.append(until)
    return samples, tuple(arguments)
