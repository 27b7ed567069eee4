"""The factory's log: what was done to which board, when and by whom, and what it read. JSON lines, only ever appended.

A line is on disk before the next thing happens (fsync), whole or not at all: several stations may share a file. It has
no secret in it. `begun` is written when a board has told its identity, `passed` or `failed` at the end, so that a board
whose station lost power in between can be found.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from citymote.errors import UsageError

SECRETS = ("claim_secret", "secret", "payload", "text")
"""Keys that have no place in a line, however deep."""


class Log:
    """A factory log at a path; None: nothing is kept."""

    def __init__(self, path: Path | None, operator: str) -> None:
        self.path = path
        self.operator = operator

    def append(self, event: str, facts: dict[str, Any]) -> dict[str, Any]:
        """Add a line, durable on return; the line."""
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "event": event,
            "operator": self.operator,
            **facts,
        }
        if _secret(line):
            raise ValueError("a factory log has no secrets")
        if self.path is not None:
            _write(self.path, json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        return line


def _write(path: Path, text: str) -> None:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # what a loss of power left of a line is ended, so that it spoils no other
            size = os.lseek(handle, 0, os.SEEK_END)
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            data = (b"\n" if torn else b"") + text.encode()
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"the factory log {path} cannot be written", why, "No board passes unrecorded.") from None


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line of a factory log, in order."""
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue  # the remains of a line that a loss of power cut short


def _secret(value: object) -> bool:
    if isinstance(value, dict):
        table = cast("dict[str, object]", value)
        return any(key in SECRETS or _secret(one) for key, one in table.items())
    return isinstance(value, list | tuple) and any(_secret(one) for one in cast("list[object]", value))
