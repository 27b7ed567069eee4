"""Runs MicroPython for tests, with the heap that a chip leaves an application.

A VM of 32 bits has the chip's object sizes, so 100k there mean 100k on the chip. Where this machine has none, 64 bits
with twice the heap take its place, and the header of the run says so.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import aptget
import get_micropython
from citymote.factory.build import build

TOP = Path(__file__).resolve().parent.parent.parent
DEFAULT_HEAP = "100k"
_UNITS = {"": 1, "k": 1024, "m": 1024 * 1024}
# mpy-cross names an architecture per CPU; native code exists only where the VM's own CPU can run it.
_ARCHITECTURES = {"amd64": "x64", "i386": "x86", "armhf": "armv6", "arm64": "armv6"}


@dataclass(frozen=True)
class Machine:
    """A MicroPython binary, and by how much more heap the same objects take there than on a chip."""

    path: Path
    bits: int
    heap_factor: int


@dataclass(frozen=True)
class Result:
    """How a VM ended. `stdout` and `stderr` are text."""

    returncode: int
    stdout: str
    stderr: str
    machine: Machine
    heap: str

    def checked(self) -> Result:
        """This result, or an AssertionError with the VM's last words."""
        assert self.returncode == 0, (
            f"the VM ended with {self.returncode}:\n{self.stdout[-2000:]}\n{self.stderr[-4000:]}"
        )
        return self


@cache
def _provide(bits: int) -> Path | str:
    try:
        return get_micropython.provide(bits, quiet=False)
    except aptget.Unavailable as error:
        return str(error)


def binary(bits: int) -> Path:
    """The VM of exactly that width; aptget.Unavailable when this machine has none."""
    found = _provide(bits)
    if isinstance(found, str):
        raise aptget.Unavailable(found)
    return found


def best(bits: int) -> Machine:
    """The VM of that width, or 64 bits in place of a missing 32."""
    try:
        return Machine(binary(bits), bits, 1)
    except aptget.Unavailable:
        if bits != 32:
            raise
        return Machine(binary(64), 64, 2)


def describe() -> list[str]:
    """What the tests run on, for the header of the run."""
    said = []
    for bits in (64, 32):
        found = _provide(bits)
        if isinstance(found, str):
            instead = " (64 bits with a doubled heap instead)" if bits == 32 and isinstance(_provide(64), Path) else ""
            said.append(f"NO {bits} bit{instead}: {found}")
        else:
            (major, minor), _ = get_micropython.probe(found)
            said.append(f"{bits} bit {major}.{minor}")
    return said


def architecture(bits: int) -> str:
    """What mpy-cross calls the architecture of this machine's VM of that width."""
    return _ARCHITECTURES[aptget.machine_architecture(bits)]


@cache
def application(bits: int = 32) -> Path:
    """The precompiled application tree for a VM of that width, with all its names: tests look inside."""
    return build(architecture(bits), plain=True)


def scaled(heap: str, factor: int) -> str:
    """`heap` (such as "100k") times a factor, in bytes."""
    number, unit = (heap[:-1], heap[-1].lower()) if heap[-1:].isalpha() else (heap, "")
    return str(int(number) * _UNITS[unit] * factor)


def run(
    script: Path | str,
    *arguments: str,
    heap: str = DEFAULT_HEAP,
    arch: int = 32,
    path: Sequence[Path | str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60,
    stdin: str = "",
) -> Result:
    """Run a script (a Path) or code (text) in a fresh VM and return how it ended.

    `path` is the VM's import path; by default the precompiled application, so that the heap holds what a chip's holds.
    Compiling the script itself needs heap as well: keep it short, or precompile it. Code gets no arguments.
    """
    entry = [str(script), *arguments] if isinstance(script, Path) else ["-c", script]
    return execute(entry, heap=heap, arch=arch, path=path, cwd=cwd, timeout=timeout, stdin=stdin)


def execute(
    entry: Sequence[str],
    *,
    heap: str = DEFAULT_HEAP,
    arch: int = 32,
    path: Sequence[Path | str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60,
    stdin: str = "",
) -> Result:
    """Like `run`, with the VM's command line as it is (`["-m", module, ...]`)."""
    machine = best(arch)
    size = scaled(heap, machine.heap_factor)
    folders = [application(machine.bits)] if path is None else path
    # `.frozen` is asyncio's place in the binary; without a path of its own the VM would look into ~/.micropython.
    # Setting it drops .frozen, where asyncio is.
    environment = {"MICROPYPATH": ":".join([*(str(folder) for folder in folders), ".frozen"]), "PATH": "/usr/bin:/bin"}
    try:
        done = subprocess.run(
            [machine.path, "-X", f"heapsize={size}", *entry],
            cwd=cwd or TOP, env=environment, input=stdin,
            capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        texts = (error.stdout or b"", error.stderr or b"")
        out, err = (text if isinstance(text, str) else text.decode(errors="replace") for text in texts)
        return Result(-9, out, f"{err}\nkilled after {timeout:g} s", machine, heap)
    return Result(done.returncode, done.stdout, done.stderr, machine, heap)
