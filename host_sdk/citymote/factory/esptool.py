"""Espressif's esptool, run as a program: who is on a port, what is in its flash, and writing it.

esptool's licence is the GPL, so it is never imported: it is the user's program, called like any other. Its exit status
counts, and of its words only those that tell one failure from another; they become sentences here. A port that has no
reset line (a pseudo-terminal, a bare cable) is not reset: the board has to be in its bootloader then.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from citymote import boards
from citymote.errors import CitymoteError, MissingExtra

from .image import Piece
from .partitions import MEGABYTE

BAUDRATE = 460800
OLDEST = 5
"""esptool's major version since which its commands are spelt with hyphens."""
_TRIES = 4
_MOMENT = 0.5  # s


class EsptoolError(CitymoteError):
    """A board that esptool could not read or write."""

    whose = "machine"


class PortBusy(EsptoolError):
    """Another program has the port open."""


@dataclass(frozen=True)
class Esptool:
    """esptool for one board."""

    port: str
    chip: boards.Chip
    baudrate: int = BAUDRATE
    command: tuple[str, ...] = (sys.executable, "-m", "esptool")
    options: tuple[str, ...] = ()
    """Further global options, such as ("--no-stub",)."""

    def flash_size(self) -> int:
        """Bytes of flash on the board; EsptoolError when another chip is there."""
        said = self._run("flash-id", timeout=60)
        match = re.search(r"flash size:\s*(\d+)\s*([KM])B", said, re.IGNORECASE)
        if not match:
            raise EsptoolError(f"{self.port}: the board does not say how large its flash is", _last(said))
        return int(match[1]) * (MEGABYTE if match[2].upper() == "M" else 1024)

    def read(self, offset: int, size: int) -> bytes:
        """A stretch of the board's flash."""
        with tempfile.TemporaryDirectory(prefix="citymote-") as folder:
            path = Path(folder) / "read.bin"
            self._run("read-flash", hex(offset), hex(size), path, timeout=120)
            return path.read_bytes()

    def erase(self) -> None:
        """Erase the whole flash: settings, identity and readings with it."""
        self._run("erase-flash", timeout=300)

    def erase_region(self, offset: int, size: int) -> None:
        """Erase whole sectors."""
        self._run("erase-region", hex(offset), hex(size), timeout=120)

    def write(self, pieces: Sequence[Piece]) -> None:
        """Write pieces, in their order, each verified by esptool; then the board starts."""
        with tempfile.TemporaryDirectory(prefix="citymote-") as folder:
            arguments: list[str | Path] = []
            for piece in pieces:
                path = Path(folder) / f"{piece.name}.bin"
                path.write_bytes(piece.data)
                arguments += [hex(piece.offset), path]
            # header and hash are right already: esptool shall write what was checked
            keep = ("--flash-mode", "keep", "--flash-freq", "keep", "--flash-size", "keep")
            self._run("write-flash", *keep, *arguments, timeout=900, after="hard-reset")

    def _run(self, verb: str, *arguments: str | Path, timeout: float, after: str = "no-reset") -> str:
        # What has just let go of a port may hold it a moment longer.
        for _ in range(_TRIES - 1):
            try:
                return self._once(verb, *arguments, timeout=timeout, after=after)
            except PortBusy:
                time.sleep(_MOMENT)
        return self._once(verb, *arguments, timeout=timeout, after=after)

    def _once(self, verb: str, *arguments: str | Path, timeout: float, after: str) -> str:
        resets = has_reset_line(self.port)
        command = [
            *self.command, "--chip", self.chip.key, "--port", self.port, "--baud", str(self.baudrate),
            "--before", "default-reset" if resets else "no-reset", "--after", after if resets else "no-reset",
            *self.options, verb, *map(str, arguments),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
            )
        except subprocess.TimeoutExpired:
            raise EsptoolError(
                f"{self.port}: esptool {verb} took longer than {timeout:g} s", "", "Try another cable or --baud 115200."
            ) from None
        except OSError as error:
            raise EsptoolError("esptool cannot be started", str(error)) from None
        said = done.stdout + done.stderr
        if done.returncode:
            raise self._why(verb, said)
        return said

    def _why(self, verb: str, said: str) -> CitymoteError:
        """What esptool's words mean for whoever stands at the bench."""
        if "No module named" in said:
            return MissingExtra("esptool", "factory", "writing a runtime")
        port = self.port
        other = re.search(r"[Tt]his chip is (ESP[\w-]+), not", said)
        if other:
            why = f"it has {other[1]}, the board has {self.chip.name}"
            return EsptoolError(f"{port}: another chip is there", why, "Name the right --board.")
        if "Permission denied" in said:
            return EsptoolError(
                f"{port} may not be opened", "you have no right to it", "Join its group (dialout, uucp)."
            )
        if re.search(r"Errno 2\]|FileNotFoundError", said):
            return EsptoolError(f"{port} cannot be opened", "nothing is connected there", "Check the cable.")
        if re.search(r"Could not open|exclusively lock|Errno 1[16]\]", said):
            return PortBusy(f"{port} is busy", "another program has it open", "Close that program.")
        if re.search(
            r"No serial data received|Failed to connect|Wrong boot mode|Timed out waiting", said, re.IGNORECASE
        ):
            return EsptoolError(
                f"{port}: the chip does not answer",
                "it is not in its bootloader",
                "Hold the board's BOOT button, press RESET, and try again.",
            )
        return EsptoolError(f"{port}: esptool {verb} failed", _last(said))


def has_reset_line(port: str) -> bool:
    """Whether the port can put a chip into its bootloader: not a pseudo-terminal, which is how tests look."""
    try:
        return not os.path.realpath(port).startswith("/dev/pts/")
    except OSError:
        return True


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower()]
    return (wrong or lines or ["it said nothing"])[-1]
