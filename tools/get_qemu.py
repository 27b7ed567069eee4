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

# Static programs both: since QEMU 9.1 qemu-user has them, and qemu-user-static is a name for it or gone (Debian 13,
# Ubuntu 26.04); before, qemu-user wants libraries that we would have to bring along.
PACKAGES = ("qemu-user-static", "qemu-user")
NAMES = ("qemu-riscv32", "qemu-riscv32-static")


def _places() -> list[Path]:
    return [aptget.cache_folder() / package / "usr" / "bin" / name for package in PACKAGES for name in NAMES]


def find() -> str | None:
    """The emulator, or None."""
    for name in (os.environ.get("QEMU_RISCV32"), *NAMES, *map(str, _places())):
        if name and (found := shutil.which(name)):
            return found
    return None


def fetch() -> str:
    """The emulator, out of this machine's own archive if need be; aptget.Unavailable where it has none."""
    found = find()
    if found is not None:
        return found
    cache = aptget.cache_folder()
    reasons: list[str] = []
    with aptget.locked(cache), contextlib.closing(aptget.own_archive(cache / "apt-qemu")) as apt:
        for package in PACKAGES:
            try:
                apt.unpack([package], cache / package)
            except aptget.Unavailable as error:
                reasons.append(str(error))
                continue
            for other in (cache / package / "usr" / "bin").glob("*"):  # an emulator each for some thirty other machines
                if other.name not in NAMES:
                    other.unlink()
            if found := find():
                return found
            reasons.append(f"{package} came without {NAMES[0]}")
    raise aptget.Unavailable("; ".join(reasons))


def main() -> int:
    try:
        print(fetch())
    except aptget.Unavailable as error:
        print(f"get_qemu: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
