"""Keeps golden vectors from being edited in place: protocol/vectors/vectors.lock has the SHA-256 of every file.

`python3 tools/lock_vectors.py` adds lines for new files and refuses where a file with a line is different or gone;
`--check` adds nothing and also refuses a file without a line. Somebody's decoder is held against these files: what
they say must be the same for everyone who says "version 1". What is wrong in one is put right by a new file.
"""

import argparse
import sys
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "protocol" / "vectors"
LOCK = "vectors.lock"


class LockError(Exception):
    """A published file is not what it was."""


def read(folder: Path) -> dict[str, str]:
    """File name -> digest, as published."""
    path = folder / LOCK
    if not path.exists():
        return {}
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return {name: digest for digest, name in lines}


def digests(folder: Path) -> dict[str, str]:
    """File name -> digest, as it is. Line ends count as the repository has them, whatever a checkout made of them."""
    return {
        path.name: sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
        for path in sorted(folder.glob("*.json"))
    }


def check(folder: Path) -> list[str]:
    """The names of files that have no line yet; LockError if one that has is different or gone."""
    published, found = read(folder), digests(folder)
    for name, digest in published.items():
        if name not in found:
            raise LockError(f"{name} is published and gone")
        if found[name] != digest:
            raise LockError(
                f"{name} is published and was edited: put it back, and add what is new in a file of its own"
            )
    return [name for name in found if name not in published]


def add(folder: Path) -> list[str]:
    """Add lines for new files, behind those that are there; returns their names."""
    new = check(folder)
    found = digests(folder)
    with (folder / LOCK).open("a", encoding="utf-8") as file:
        file.writelines(f"{found[name]}  {name}\n" for name in new)
    return new


def main() -> int:
    parser = argparse.ArgumentParser(description="Keep published vectors as they are.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file has no line")
    given = parser.parse_args()
    try:
        new = check(FOLDER) if given.check else add(FOLDER)
    except LockError as error:
        print(error, file=sys.stderr)
        return 1
    for name in new:
        print(f"{name}: {'no line in ' + LOCK if given.check else 'locked'}")
    return 1 if given.check and new else 0


if __name__ == "__main__":
    sys.exit(main())
