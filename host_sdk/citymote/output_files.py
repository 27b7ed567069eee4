"""Files that the user names for results: whole under their name or not there, and what is no regular file is kept.

A result is written beside its place and renamed over it, so that nobody reads half of it. A rename replaces whatever
has the name: a device or a pipe is therefore written directly, and of a link it is the target that is replaced. What
standard output goes to already (`--out /dev/stdout >> FILE`) is written through it, as the shell was told. Key files
are another matter (private_files.py): there a link may be a trap, and is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written(path: Path, mode: int = 0o666) -> Generator[BinaryIO, None, None]:
    """A file to write, that gets its name when the block ends well; `mode` is that of a new file. OSError leaves
    whatever had the name before, but for what a device or a pipe has already been given.
    """
    if path.exists() and (_is_output(path) or not path.is_file()):
        with os.fdopen(os.dup(1), "wb") if _is_output(path) else path.open("wb") as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _is_output(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:  # standard output is closed
        return False
