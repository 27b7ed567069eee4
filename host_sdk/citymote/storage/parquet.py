"""A store for engines: the ledger of frames beside Parquet files by day, for Spark, DuckDB, Polars or Ray to read.

A folder with `frames.db` (the ledger, which decides what is stored, and keeps the frames themselves) and
`readings/day=2026-11-22/part-<first frame>.parquet`. Files are derived from the ledger, many frames at a time: under
the ledger's write lock the frames behind the last one written are read, their files are put in place whole, and then
the mark is moved. A kill before the mark moves leaves files that the next attempt writes again under the same names,
with at least the same rows: nothing is missing or doubled.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from citymote.arrow import assemble_frames
from citymote.decode import Frame, decode_bare
from citymote.errors import FrameProblem, StoreError, need
from citymote.storage.ledger import LedgerStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from citymote.reading import Reading
    from citymote.storage.base import Query
    from citymote.storage.ledger import Stored

_SCHEMA = """
CREATE TABLE written (one INTEGER PRIMARY KEY CHECK (one = 1), frame INTEGER NOT NULL);
INSERT INTO written VALUES (1, 0);
"""

# Readings that wait for their file: a file of this many takes about 4 MB, what engines like to read at once.
WAITING = 1_000_000
# Frames in one round at most, so that a folder which has fallen behind is caught up in bounded memory.
ROUND = 20_000


class ParquetStore(LedgerStore):
    """Frames in a ledger, readings in Parquet files."""

    def __init__(self, folder: Path, create: bool = True) -> None:
        self.folder = folder
        super().__init__(folder / "frames.db", create, _SCHEMA)
        self._waiting = 0
        self._added = False

    def _keep(self, db: sqlite3.Connection, kept: list[Stored]) -> None:
        self._waiting += sum(len(times) * len(lines) for _, times, lines in kept)
        self._added = True

    def add(
        self,
        frames: Iterable[Frame],
        problems: Iterable[tuple[FrameProblem, bytes, float | None]] = (),
        reopened: Iterable[int] = (),
    ) -> list[str]:
        outcomes = super().add(frames, problems, reopened)
        if self._waiting >= WAITING:
            self.flush()
        return outcomes

    def flush(self) -> int:
        """Write what the files do not have yet; returns how many frames that were."""
        done = 0
        while True:
            frames = self._round()
            done += frames
            if frames < ROUND:
                self._waiting = 0
                return done

    def _round(self) -> int:
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            last = int(db.execute("SELECT frame FROM written").fetchone()[0])
            rows = db.execute(
                "SELECT f.id, n.node, f.sealed, f.data FROM frames f JOIN nodes n ON n.id = f.node "
                "WHERE f.id > ? ORDER BY f.id LIMIT ?",
                (last, ROUND),
            ).fetchall()
            if rows:
                self._write(
                    last + 1, [Frame(node, bool(sealed), data, decode_bare(data)) for _, node, sealed, data in rows]
                )
                db.execute("UPDATE written SET frame = ?", (rows[-1][0],))
            db.execute("COMMIT")
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if isinstance(error, (sqlite3.Error, OSError)):
                then = "The frames are safe in the ledger; the files are written at the next attempt."
                raise StoreError(f"cannot write to {self.folder}", str(error), then) from error
            raise
        return len(rows)

    def _write(self, first: int, frames: list[Frame]) -> None:
        compute: Any = need("pyarrow.compute", "arrow", "a Parquet store")
        parquet: Any = need("pyarrow.parquet", "arrow", "a Parquet store")
        table = assemble_frames(frames)
        days = compute.strftime(table["time"], "%Y-%m-%d")
        for day in compute.unique(days).to_pylist():
            part = table.filter(compute.equal(days, day)).unify_dictionaries()
            folder = self.folder / "readings" / f"day={day}"
            folder.mkdir(parents=True, exist_ok=True)
            final = folder / f"part-{first:010d}.parquet"
            # The leading dot keeps engines from reading a file that is not whole.
            fresh = folder / f".{final.name}.new"
            parquet.write_table(part, fresh, compression="zstd")
            fresh.replace(final)

    def iter_readings(self, query: Query | None = None) -> Iterator[Reading]:
        for _, readings in self.iter_selected(query):
            yield from readings

    def close(self) -> None:
        if self._added:
            self.flush()
        super().close()
