"""Files for their owner's eyes alone: read only if nobody else can read them, and replaced whole or not at all.

Key files, owner stores and registries hold secrets. They are made with mode 0600 under a name that nobody can have
prepared, synced, and renamed over the old file, so that a power cut leaves the old one or the new one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path


class NotPrivate(Exception):
    """Others on this machine may read the file: what is in it is no secret any more."""


def read(path: Path, most: int) -> bytes:
    """At most `most + 1` bytes of a file; NotPrivate where others can read it, OSError where nobody can."""
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise NotPrivate(f"its mode is {mode:03o}, so others on this machine may read it")
        return file.read(most + 1)


def write(path: Path, data: bytes) -> None:
    """Put a file with this content in the place of whatever has the name; OSError leaves that as it was."""
    # A random name and O_EXCL: nobody can have put a file or a link there to catch the secret.
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename itself durable, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
