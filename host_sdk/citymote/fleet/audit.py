"""Who did what to which node, in a log that only grows: each entry carries the hash of the one before.

Changing or removing an entry breaks the chain from there on, and `verify` says where. Cutting off the end is not seen
by the chain itself: whoever has to prove completeness writes `head` down elsewhere from time to time (a bill, another
machine), and finds it again in the chain. The database refuses changes of entries, too, but its owner could lift that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from .base import FleetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .database import Database

FIRST = bytes(32)
_PIECE = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One deed. `time` is UTC, `who` the id of the host key that acted, `outcome` "ok" or what went wrong."""

    number: int
    time: datetime
    who: str
    what: str
    node: str | None
    outcome: str
    detail: str
    digest: bytes


def _hash(before: bytes, number: int, time: str, who: str, what: str, node: str, outcome: str, detail: str) -> bytes:
    said = json.dumps([number, time, who, what, node, outcome, detail], ensure_ascii=True, separators=(",", ":"))
    return sha256(before + said.encode()).digest()


def write(db: Database, who: str, what: str, node: str | None, outcome: str, detail: str) -> int:
    """Append an entry; its number. Entries of several hosts follow one another: the log is locked meanwhile."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    with db.transaction():
        db.lock("audit")
        last = db.rows("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
        number, before = (int(last[0][0]) + 1, bytes(last[0][1])) if last else (1, FIRST)
        digest = _hash(before, number, time, who, what, node or "", outcome, detail)
        db.run(
            "INSERT INTO audit (number, time, who, what, node, outcome, detail, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (number, time, who, what, node or "", outcome, detail, digest),
        )
    return number


def entries(db: Database, node: str | None = None) -> Iterator[Entry]:
    """All of them, oldest first, or those of one node."""
    at = 0
    while True:
        rows = db.rows(
            "SELECT number, time, who, what, node, outcome, detail, hash FROM audit "
            "WHERE number > ? AND (? = '' OR node = ?) ORDER BY number LIMIT ?",
            (at, node or "", node or "", _PIECE),
        )
        for number, time, who, what, about, outcome, detail, digest in rows:
            moment = datetime.fromisoformat(time)
            yield Entry(number, moment, who, what, about or None, outcome, detail, bytes(digest))
        if len(rows) < _PIECE:
            return
        at = rows[-1][0]


def head(db: Database) -> tuple[int, bytes]:
    """Number and hash of the last entry; (0, zeros) of an empty log."""
    last = db.rows("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
    return (int(last[0][0]), bytes(last[0][1])) if last else (0, FIRST)


def verify(db: Database) -> int:
    """Check the whole chain; how many entries it has. FleetError names the first that does not fit."""
    before, due = FIRST, 1
    for entry in entries(db):
        time = entry.time.isoformat(timespec="milliseconds")
        said = _hash(
            before, entry.number, time, entry.who, entry.what, entry.node or "", entry.outcome, entry.detail
        )  # fmt: skip
        if entry.number != due or said != entry.digest:
            raise FleetError(
                f"the audit log does not fit from entry {due} on",
                "an entry was changed or removed",
                "Compare with a backup, and find out who can write to the registry.",
            )
        before, due = entry.digest, due + 1
    return due - 1
