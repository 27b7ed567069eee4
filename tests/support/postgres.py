"""A PostgreSQL of the machine's own programs, in a folder of its own, for as long as a test runs."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = Path("/usr/lib/postgresql")


def missing() -> str | None:
    """Why there is none, or None."""
    try:
        import psycopg  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]
    except ImportError:
        return "needs the package psycopg: citymote[postgres]"
    if _program("initdb") is None:
        return "needs a PostgreSQL server on this machine (initdb)"
    if os.getuid() == 0 and _user() is None:
        return "PostgreSQL does not run as root, and there is no other user here"
    return None


def _program(name: str) -> str | None:
    newest = sorted(PROGRAMS.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]), reverse=True)
    return str(newest[0]) if newest else shutil.which(name)


def _user() -> str | None:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a fresh one, behind a socket in its folder."""
    user = _user() if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="citymote-pg-"))
    if user is not None:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [_program(program) or program, *arguments], user=user, check=True, capture_output=True, timeout=120,
            cwd=folder, env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )  # fmt: skip

    data = folder / "data"
    try:
        run("initdb", "-D", str(data), "-U", "citymote", "--auth=trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        run("pg_ctl", "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
        try:
            yield f"postgresql://citymote@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
