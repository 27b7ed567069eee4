#!/usr/bin/env python3
"""Finds qemu-riscv32, under which a test runs the sound level meter's RISC-V code; fetches Debian's when asked to.

Order: `$QEMU_RISCV32`, the PATH, our cache. Run as a program this puts the package qemu-user-static (some 40 MB) into
the cache, without root. Nothing else needs it: without QEMU that test is skipped and says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

import aptget

PACKAGE = "qemu-user-static"
NAMES = ("qemu-riscv32", "qemu-riscv32-static")


def _cached() -> Path:
    return aptget.cache_folder() / PACKAGE / "usr" / "bin" / NAMES[1]


def find() -> str | None:
    """The emulator, or None."""
    for name in (os.environ.get("QEMU_RISCV32"), *NAMES, str(_cached())):
        if name and (found := shutil.which(name)):
            return found
    return None


def fetch() -> str:
    """The emulator, out of this machine's own archive if need be; aptget.Unavailable where it has none."""
    found = find()
    if found is None:
        cache = aptget.cache_folder()
        with aptget.locked(cache), contextlib.closing(aptget.own_archive(cache / "apt-qemu")) as apt:
            apt.unpack([PACKAGE], cache / PACKAGE)
            for other in _cached().parent.iterdir():  # an emulator each for some thirty other machines
                if other.name != NAMES[1]:
                    other.unlink()
        found = find()
    if found is None:
        raise aptget.Unavailable(f"{PACKAGE} came without {NAMES[1]}")
    return found


def main() -> int:
    try:
        print(fetch())
    except aptget.Unavailable as error:
        print(f"get_qemu: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
