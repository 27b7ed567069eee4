"""What came of a run: a line a node, as a table for people, JSON for programs, and a CSV of what has to be done again.

The CSV has the columns of the table that was given, without labels, so that it can be given to the next run as it is;
the columns `_failed_at` and `_reason` are passed over there. No secret is in any of them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

PROVISIONED, ALREADY, FAILED = "provisioned", "already", "failed"


@dataclass(frozen=True)
class Outcome:
    """What came of one node. `stage` is the last one that it reached, `failed_at` what then did not succeed."""

    node: str
    outcome: str
    stage: str
    failed_at: str = ""
    reason: str = ""
    attempts: int = 1
    seconds: float = 0.0
    given: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        told: dict[str, Any] = {"node": self.node, "outcome": self.outcome, "stage": self.stage}
        if self.failed_at:
            told |= {"failed_at": self.failed_at, "reason": self.reason}
        return told | {"attempts": self.attempts, "seconds": round(self.seconds, 1)}


@dataclass
class Report:
    """All of them, in the order in which they ended."""

    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def failed(self) -> list[Outcome]:
        """What has to be done again."""
        return [one for one in self.outcomes if one.outcome == FAILED]

    def of(self, node: str) -> Outcome:
        """One node's."""
        return next(one for one in self.outcomes if one.node == node)

    def json(self) -> str:
        """One document."""
        nodes = [one.facts() for one in self.outcomes]
        return json.dumps({"begun": self.begun.isoformat(timespec="seconds"), "nodes": nodes}, indent=1) + "\n"

    def csv(self) -> str:
        """The rows that failed, for the next run."""
        names = list(dict.fromkeys(["node", *(name for one in self.failed for name in one.given)]))
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*names, "_failed_at", "_reason"])
        for one in self.failed:
            given = {**one.given, "node": one.node}
            writer.writerow([*(given.get(name, "") for name in names), one.failed_at, one.reason])
        return out.getvalue()

    def html(self) -> str:
        """A page for whoever has to know that it was done."""
        counts = {kind: sum(one.outcome == kind for one in self.outcomes) for kind in (PROVISIONED, ALREADY, FAILED)}
        head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
        rows = "".join(
            f'<tr class="{one.outcome}">' + "".join(f"<td>{escape(cell)}</td>" for cell in cells(one)) + "</tr>\n"
            for one in sorted(self.outcomes, key=lambda o: (o.outcome != FAILED, o.node))
        )
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "no nodes"
        return (
            f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Provisioning: {said}</title>\n'
            "<style>body{font:16px sans-serif;margin:2em}td,th{padding:.3em 1em;text-align:left}"
            ".failed{background:#fdd}.provisioned{background:#dfd}</style>\n"
            f"<h1>{said}</h1>\n<p>{self.begun.isoformat(timespec='seconds')}</p>\n"
            f"<table><tr>{head}</tr>\n{rows}</table>\n</html>\n"
        )


_COLUMNS = ("node", "station", "outcome", "stage", "failed at", "reason", "tries", "seconds")


def cells(one: Outcome) -> Sequence[str]:
    """One node's line of a table."""
    station = one.given.get("station", "")
    return (
        one.node,
        station,
        one.outcome,
        one.stage,
        one.failed_at,
        one.reason,
        str(one.attempts),
        f"{one.seconds:.0f}",
    )
