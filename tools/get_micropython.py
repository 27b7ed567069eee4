#!/usr/bin/env python3
"""Provides the MicroPython unix port, 64 and 32 bit, without root and without building it; prints where it is.

Order: `$MICROPYTHON` / `$MICROPYTHON32`, the PATH, our cache, then a Debian mirror (aptget.py). The 32-bit build stands
in for a chip's heap, because its objects have the chip's sizes byte for byte; where a machine cannot have it or cannot
run it, that is said in one line, and the tests run on 64 bits with a doubled heap. Runs on any bare python3 >= 3.11.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import aptget

OLDEST = (1, 25)
_PROBE = "import sys; i = sys.implementation; print(i.name, *i.version[:2], 64 if sys.maxsize > 1 << 32 else 32)"


def variable(bits: int) -> str:
    return "MICROPYTHON" if bits == 64 else "MICROPYTHON32"


def probe(path: Path | str) -> tuple[tuple[int, int], int]:
    """(version, bits) of a MicroPython; Unavailable when it is none or does not run here."""
    try:
        done = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=False)
    except OSError as error:
        # ENOEXEC or ENOENT of the loader: a kernel without 32-bit emulation answers so.
        raise aptget.Unavailable(f"{path} does not run on this machine ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise aptget.Unavailable(f"{path} does not answer") from None
    found = re.fullmatch(r"micropython (\d+) (\d+) (32|64)", done.stdout.strip())
    if done.returncode or not found:
        reason = (done.stderr.strip().splitlines() or ["no MicroPython"])[-1]
        raise aptget.Unavailable(f"{path} does not run on this machine ({reason})")
    return (int(found[1]), int(found[2])), int(found[3])


def check(path: Path | str, bits: int) -> Path:
    """The path, when it is a MicroPython of the wanted width and new enough."""
    version, width = probe(path)
    if version < OLDEST:
        raise aptget.Unavailable(f"{path} is MicroPython {version[0]}.{version[1]}, 1.25 or later is needed")
    if width != bits:
        raise aptget.Unavailable(f"{path} is a {width}-bit build, a {bits}-bit one is needed")
    return Path(path)


def provide(bits: int = 64, *, quiet: bool = True, fetch: bool = True) -> Path:
    """Path of a MicroPython of 64 or 32 bits, fetched at first use; Unavailable says in one line why there is none."""
    named = os.environ.get(variable(bits))
    if named:
        # Who names one means that one: going on silently with another would hide a mistake.
        try:
            return check(named, bits)
        except aptget.Unavailable as error:
            raise aptget.Unavailable(f"{variable(bits)}: {error}") from None
    on_path = shutil.which("micropython")
    if on_path:
        try:
            return check(on_path, bits)
        except aptget.Unavailable:
            pass
    cache = aptget.cache_folder()
    arch = aptget.machine_architecture(bits)
    destination = cache / f"micropython-{aptget.SUITE}-{arch}"
    binary = destination / "bin" / "micropython"
    if binary.exists():
        return check(binary, bits)
    if not fetch:
        raise aptget.Unavailable(f"no {bits}-bit MicroPython is set up; run tools/get_micropython.py")
    if sys.platform != "linux":
        raise aptget.Unavailable(
            "no package of MicroPython is known for this system; build the unix port and set MICROPYTHON"
        )
    with aptget.locked(cache):
        if not binary.exists():
            _fetch(cache, arch, bits, destination, quiet)
    return check(binary, bits)


def _fetch(cache: Path, arch: str, bits: int, destination: Path, quiet: bool) -> None:
    earlier = aptget.remembered_failure(cache, destination.name)
    if earlier:
        raise aptget.Unavailable(earlier)
    if not quiet:
        aptget.say(f"MicroPython, {bits} bit: fetching the package for {arch} (some 5 MB, and the mirror's index)")
    try:
        _fetch_from_somewhere(cache, arch, bits, destination)
    except aptget.Unavailable as error:
        reason = f"no {bits}-bit MicroPython: {error}; or set {variable(bits)} to one of version 1.25 or later"
        aptget.remember_failure(cache, destination.name, reason)
        raise aptget.Unavailable(reason) from None
    aptget.forget_failure(cache, destination.name)


def need_kernel_for(arch: str, folder: Path) -> None:
    """Unavailable where the kernel cannot run 32-bit x86 programs: asked with the smallest one."""
    if arch != "i386":
        return
    code = bytes.fromhex("31c0 40 31db cd80")  # exit(0)
    base, headers = 0x08048000, 52 + 32
    size = headers + len(code)
    elf = struct.pack("<4s5B7x2H5I6H", b"\x7fELF", 1, 1, 1, 0, 0, 2, 3, 1, base + headers, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<8I", 1, 0, base, base, size, size, 5, 0x1000)
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / ".exit-i386"
    program.write_bytes(elf + segment + code)
    program.chmod(0o755)
    try:
        works = subprocess.run([program], timeout=10, check=False).returncode == 0
    except OSError:
        works = False
    finally:
        program.unlink()
    if not works:
        raise aptget.Unavailable("this kernel does not run 32-bit programs")


def _fetch_from_somewhere(cache: Path, arch: str, bits: int, destination: Path) -> None:
    need_kernel_for(arch, cache)
    origins: list[Callable[[], aptget.Apt]] = [lambda: aptget.debian(cache, arch)]
    if bits == 64 and aptget.system()[0] != "debian":
        # Ubuntu and its kin have the package too (in universe), perhaps only in a release newer than this machine's.
        origins.append(lambda: aptget.own_archive(cache / "apt-own", arch))
        origins.append(lambda: aptget.newer_ubuntu(cache, arch))
    reasons: list[str] = []
    for origin in origins:
        try:
            with contextlib.closing(origin()) as apt:
                aptget.install_programs(apt, ["micropython"], {"micropython": "usr/bin/micropython"}, destination)
            check(destination / "bin" / "micropython", bits)
            return
        except aptget.Unavailable as error:
            reasons.append(str(error))
            shutil.rmtree(destination, ignore_errors=True)
    raise aptget.Unavailable("; ".join(dict.fromkeys(reasons)))


def main() -> int:
    parser = argparse.ArgumentParser(description="Provide the MicroPython unix port, without root, without a build.")
    parser.add_argument("--bits", type=int, choices=(32, 64), action="append", help="default: both")
    parser.add_argument("--quiet", action="store_true", help="print no paths")
    parser.add_argument("--no-fetch", action="store_true", help="use only what is already here")
    arguments = parser.parse_args()
    status = 0
    for bits in arguments.bits or (64, 32):
        try:
            path = provide(bits, quiet=False, fetch=not arguments.no_fetch)
        except aptget.Unavailable as error:
            # Without 32 bits the tests still run, only less strictly; asked for alone, its absence is an error.
            if bits == 32 and not arguments.bits:
                aptget.say(f"note: {error}. Tests that want it use 64 bits with a doubled heap.")
                continue
            aptget.say(f"get_micropython: {error}")
            status = 1
        else:
            if not arguments.quiet:
                print(path)
    return status


if __name__ == "__main__":
    sys.exit(main())
