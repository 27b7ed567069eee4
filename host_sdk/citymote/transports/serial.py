"""CoAP over a serial line to the node at the other end of the cable (Slipmux; SPEC 15.6)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import termios
import tty
from pathlib import Path
from typing import Any

from citymote.errors import UsageError
from citymote_protocol import slipmux as _slipmux
from citymote_protocol.coap_udp import Udp

from .base import Disconnected, Inbox, NoRadio, Transport

SPEED = 115200
_LINES = 64

slipmux: Any = _slipmux  # untyped, because the node runs it too


class SerialTransport(Transport):
    """`port` is a terminal device, such as /dev/ttyUSB0. Lines of text that the node says meanwhile are in `text`."""

    def __init__(self, port: str, speed: int = SPEED) -> None:
        if not hasattr(termios, f"B{speed}"):
            raise UsageError(f"{speed} baud is no speed of a serial line", "", f"Leave it out for {SPEED}.")
        self.peer = f"serial:{port}"
        self.mtu = 1152
        self.layer = Udp(secrets.token_bytes)
        self.text: list[str] = []
        self._port = port
        self._speed = getattr(termios, f"B{speed}")
        self._fd = -1
        self._reader = slipmux.Slipmux()
        self._heard = Inbox()

    async def connect(self) -> None:
        """Open the line, for bytes as they are."""
        try:
            self._fd = os.open(self._port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            self._set_up()
        except (OSError, termios.error) as error:
            await self.close()
            reason = error.args[1] if len(error.args) > 1 else str(error)
            raise NoRadio(f"{self._port} cannot be opened", str(reason), "Is the cable in?") from error
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _set_up(self) -> None:
        tty.setraw(self._fd)
        settings = termios.tcgetattr(self._fd)
        settings[4] = settings[5] = self._speed
        # Without this, closing the line drops DTR, which resets most boards.
        settings[2] = (settings[2] | termios.CLOCAL | termios.CREAD) & ~termios.HUPCL
        termios.tcsetattr(self._fd, termios.TCSANOW, settings)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._heard.end()
            return
        for kind, content in self._reader.feed(data):
            if kind != slipmux.COAP:
                self.text = [*self.text[-_LINES:], content.decode(errors="replace")]
            else:
                self._heard.put(content)

    async def send(self, data: bytes) -> None:
        """Write one frame."""
        rest = slipmux.frame(slipmux.COAP, data)
        while rest:
            if self._fd < 0:
                raise self._ended()
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                await asyncio.sleep(0.005)
            except OSError as error:
                raise self._ended() from error

    async def receive(self) -> bytes:
        """The next message."""
        data = await self._heard.get()
        if data is None:
            raise self._ended()
        return data

    def _ended(self) -> Disconnected:
        return Disconnected(f"{self._port} is closed", "", "Is the cable in?")

    async def close(self) -> None:
        """Let the line go."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(ValueError):
                asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)
        self._heard.end()


def ports() -> list[str]:
    """Serial lines that a board may be on."""
    return sorted(str(path) for pattern in ("ttyUSB*", "ttyACM*") for path in Path("/dev").glob(pattern))
