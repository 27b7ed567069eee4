"""What all verbs share: errors as sentences on stderr, exit statuses, and standard output as a stream of bytes.

Exit status 0 means that every frame or node succeeded, 1 that something failed and was said, 2 that the call itself
was wrong (typer's), 130 that the user pressed Ctrl-C. Results go to standard output, everything else to standard
error.
"""

import errno
import functools
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO, ParamSpec

import typer

from citymote.errors import CitymoteError, UsageError
from citymote.output_files import written

P = ParamSpec("P")

KeysOption = Annotated[
    Path | None, typer.Option("--keys", help="Key file for sealed frames (see `citymote keys`).", show_default=False)
]
FORMATS = "text, jsonl, csv, parquet, senml, senml-cbor, sensorthings, ngsi-ld, descriptors"
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]


# What a write meets where no more fits: a full disk, a quota, a limit on files. Nothing else in a verb has these.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Status:
    """One line on a terminal that says how far a job is; nothing where standard error is no terminal."""

    every = 0.2

    def __init__(self) -> None:
        # Beside results on the same terminal the line would only be in the way.
        self._shown = sys.stderr.isatty() and not sys.stdout.isatty()
        self._last = 0.0

    def __call__(self, text: Callable[[], str]) -> None:
        """Show a text, a few times a second at most; it is made only then."""
        now = time.monotonic()
        if self._shown and now - self._last >= self.every:
            self._last = now
            sys.stderr.write("\r\x1b[K" + text())
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown and self._last:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def say(text: str) -> None:
    """A line for the person in front of the terminal."""
    # What a status line may have left there goes first.
    print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)


def guarded(verb: Callable[P, int | None]) -> Callable[P, None]:
    """Turn a verb's errors into a sentence and an exit status. A verb returns its status, or None for 0."""

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            try:
                status = verb(*args, **kwargs) or 0
            except CitymoteError as error:
                say(f"citymote: {error}")
                status = 1
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader of our output has seen enough (`| head`).
            _drop_output()
            status = 1
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            what = error.filename or "the output"  # a write, unlike an open, does not know the name
            say(f"citymote: cannot write {what}: {error.strerror}. Make room, and run it again.")
            _drop_output()
            status = 1
        except KeyboardInterrupt:
            status = 130
        if status:
            raise typer.Exit(status)

    return run


def _drop_output() -> None:
    """What Python would still flush when it ends has nowhere to go."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def output(path: Path | None, binary: bool = False) -> Generator[BinaryIO, None, None]:
    """Standard output, or a file that appears under its name only when it is complete (output_files.py)."""
    if path is None:
        if binary and sys.stdout.isatty():
            raise UsageError(
                "this format is binary and standard output is a terminal", "", "Give --out FILE, or redirect."
            )
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with written(path) as file:
            yield file
    except OSError as error:
        raise UsageError(
            f"cannot write {path}", error.strerror or str(error), "Check the folder and the disk."
        ) from error


def instant(text: str | None) -> datetime | None:
    """A point in time from the command line: ISO 8601, in UTC unless it says otherwise."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time", "", "Write 2026-11-22 or 2026-11-22T03:04:00Z.") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
