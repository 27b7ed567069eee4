"""A serial line between a virtual node and a program that opens a terminal: a UART's other end on a pseudo-terminal."""

from __future__ import annotations

import contextlib
import os
import tty
from collections.abc import Callable
from typing import Self

from .emul.base import UARTChip


class SerialLine(UARTChip):
    """Connect it to a bus (`Wiring.connect("uart0", line)`) and open `port`. `damage` may change what passes by."""

    def __init__(self, baudrate: int = 115200, damage: Callable[[bytes], bytes] | None = None) -> None:
        self.baudrate = baudrate
        self._damage = damage or bytes
        self._fd, theirs = os.openpty()
        tty.setraw(theirs)
        self.port = os.ttyname(theirs)
        self._theirs = theirs  # kept open, so that the line does not hang up between two programs
        os.set_blocking(self._fd, False)

    def receive(self, now: int, data: bytes) -> None:
        """From the node to whoever has opened the port."""
        # a full terminal loses bytes, as a line that nobody reads does
        with contextlib.suppress(BlockingIOError):
            os.write(self._fd, self._damage(data))

    def transmit(self, now: int) -> bytes:
        """What was written to the port, as fast as the line has it."""
        try:
            return self._damage(os.read(self._fd, 128))
        except (BlockingIOError, OSError):
            return b""

    def close(self) -> None:
        """Pull the cable."""
        for fd in (self._fd, self._theirs):
            with contextlib.suppress(OSError):
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
