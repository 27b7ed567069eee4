"""Which clause of the specification a failure breaks: by error code, by member of the plain form, by item of a frame.

Codes and their clauses are data (the files `*errors.json` in protocol/vectors); what is here is the way back
from a wrong answer.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from citymote import resources

# Members of the plain form (SPEC 7.6) and the clause that settles them.
_MEMBERS = {
    "kind": "3.2.2",
    "node": "3.2.4",
    "epoch": "3.2",
    "seq": "3.2",
    "time": "1.4",
    "clock": "3.2.3",
    "minor": "3.7",
    "options": "3.7.1",
    "columns": "3.3",
    "count": "3.4.1",
    "interval": "3.4.2",
    "times": "3.4.3",
    "values": "3.5",
    "quality": "3.6",
    "fields": "6.3",
}
# Items of the array that is a frame, and the clause of each; items behind the last one here are columns or options.
_ITEMS = {
    "batch": ("3.2", "3.2.4", "3.2", "3.2", "1.4", "3.4.1", "3.4", "3.3"),
    "packed": ("3.2", "3.2.4", "3.2", "3.2", "3.3", "4.6"),
    "event": ("3.2", "3.2.4", "3.2", "3.2", "1.4", "3.3"),
    "status": ("3.2", "3.2.4", "3.2", "3.2", "1.4", "3.3"),
    "descriptor": ("3.2", "3.2.4", "3.2", "3.2", "1.4", "6.3"),
}


@cache
def vectors(name: str) -> list[dict[str, Any]]:
    """The cases of one file of golden vectors."""
    path = resources.protocol() / "vectors" / f"{name}.json"
    cases: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cases"]
    return cases


@cache
def _by_code(asked: bool) -> dict[str, str]:
    of_frames, of_requests = ("sealed-errors", "errors"), ("resource-errors", "session-errors")
    # Some codes are both's: who is asked comes last, and stays.
    names = (*of_frames, *of_requests) if asked else (*of_requests, *of_frames)
    return {case["code"]: case["clause"] for name in names for case in vectors(name)}


def of_code(code: str, asked: bool = False) -> str:
    """The clause behind an error code of frames or envelopes, or (`asked`) of requests and sessions."""
    return _by_code(asked).get(code, "5")


def of_member(kind: str, member: str) -> str:
    """The clause that settles a member of the plain form."""
    if member == "values" and kind in ("event", "status"):
        return "6.1"
    if member == "values" and kind == "packed":
        return "4.5"
    return _MEMBERS.get(member, "7.6")


def of_item(kind: str, index: int) -> str:
    """The clause that settles how an encoder writes one item of a frame, optional fields apart."""
    known = _ITEMS[kind]
    if index < len(known):
        return known[index]
    return {"batch": "3.5", "packed": "4.6"}.get(kind, "6.1")
