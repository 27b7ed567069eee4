"""Finds what a virtual node runs on: a MicroPython of the wanted width, and the precompiled application for it.

The unix port comes from wherever `tools/get_micropython.py` finds it (`$MICROPYTHON32`, `$MICROPYTHON`, the PATH, our
cache, a Debian mirror). Where this machine can have no 32-bit one, 64 bits with a doubled heap take its place: objects
are up to twice as large there.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from citymote import resources
from citymote.errors import CitymoteError
from citymote.factory.build import build

_MPY_ARCHITECTURES = ("", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp")
_PROBE = "import sys; v = sys.implementation; print(v._mpy >> 10 & 15, *v.version[:2], sys.maxsize > 1 << 32)"
STAND_IN = 11 * 1024
"""Bytes of a 32-bit heap that the virtual hardware takes more than a board's: loop, buses and flash are in Python here
and in C there. They are the test stand's, not the firmware's, and come on top of every heap that is asked for. A test
holds the figure to be no larger than the difference it stands for."""
AIR_STAND_IN = 11 * 1024
"""The same for the radio: `bluetooth` is in C on a board, and its values lie in NimBLE's memory."""
_UNITS = {"k": 1024, "m": 1024 * 1024}


class RuntimeMissing(CitymoteError):
    """This machine has no MicroPython that a virtual node could run on."""

    whose = "machine"


@dataclass(frozen=True)
class MicroPython:
    """A MicroPython binary: its width, and how mpy-cross calls the code that it runs."""

    path: Path
    bits: int
    architecture: str
    version: tuple[int, int]

    def heap(self, wanted: str, bits: int, *, radio: bool = False) -> str:
        """The heap of a VM whose firmware is to have `wanted` ("100k") on a board of `bits`, with a radio or not."""
        whole = size(wanted) + STAND_IN + (AIR_STAND_IN if radio else 0)
        return str(whole * 2 if self.bits > bits else whole)


def size(heap: str) -> int:
    """The bytes of a heap such as "100k"."""
    number, unit = (heap[:-1], heap[-1].lower()) if heap[-1:].isalpha() else (heap, "")
    return int(number) * _UNITS.get(unit, 1)


@cache
def micropython(bits: int = 32) -> MicroPython:
    """The MicroPython for virtual nodes of that width, or the 64-bit one where there is no 32-bit one."""
    found = _ask(bits)
    if isinstance(found, str) and bits == 32:
        wider = _ask(64)
        found = wider if isinstance(wider, MicroPython) else found
    if isinstance(found, str):
        raise RuntimeMissing(
            f"no {bits}-bit MicroPython for virtual nodes",
            found,
            "`make runtimes` in a checkout provides one; or name one in $MICROPYTHON" + ("32" if bits == 32 else ""),
        )
    return found


def _ask(bits: int) -> MicroPython | str:
    # The tool is a program of its own, because it also runs before anything of ours is installed.
    tool = resources.tool("get_micropython.py")
    done = subprocess.run(
        [sys.executable, tool, "--bits", str(bits)], capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["get_micropython failed"])[-1].removeprefix("get_micropython: ")
    path = Path(done.stdout.split()[-1])
    probe = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=True)
    architecture, major, minor, wide = probe.stdout.split()
    return MicroPython(
        path, 64 if wide == "True" else 32, _MPY_ARCHITECTURES[int(architecture)], (int(major), int(minor))
    )


@cache
def application(architecture: str) -> Path:
    """The precompiled application for that architecture; built once a process, and only what changed."""
    return build(architecture)
