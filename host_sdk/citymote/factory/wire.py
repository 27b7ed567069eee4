"""A board on a serial port, over MicroPython's raw REPL: run code on it, put files on it, be sure of them.

mpremote's transport does the talking; this is the one module that knows it (and pyserial, which comes with it). What is
read over the wire is returned and nowhere else: a node's claim secret comes this way once. A session is one fresh
interpreter on the board: opening it is a soft reset, so that every step begins with an empty heap and finds of the step
before only what is on flash.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from citymote.errors import CitymoteError, MissingExtra

BAUDRATE = 115200
CHUNK = 2048
_ANSWERS = 10.0  # s: how long a board may take to come to its prompt
_QUIET = 5.0  # s: how long a board may say nothing in the middle of an answer
_TRIES = 4
_MOMENT = 0.5  # s


class WireError(CitymoteError):
    """The board on a port cannot be talked to. `unplugged`: the port is gone, or came and went."""

    whose = "machine"

    def __init__(self, what: str, why: str = "", then: str = "", *, unplugged: bool = False) -> None:
        self.unplugged = unplugged
        super().__init__(what, why, then)


class Occupied(WireError):
    """Another program has the port open."""


class BoardRaised(WireError):
    """The board's Python ended with an exception: its last line, which says what; never its whole output."""


def ports() -> list[str]:
    """Every serial port that looks like a board's: those on USB."""
    try:
        from serial.tools import list_ports
    except ImportError:
        raise MissingExtra("mpremote", "factory", "talking to boards") from None
    return sorted(port.device for port in list_ports.comports() if port.vid is not None)


class Wire:
    """An open session on a board. A context manager; made by `connect`."""

    def __init__(self, port: str, transport: Any) -> None:
        self.port = port
        self._transport = transport

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the port go; harmless when it is gone."""
        try:
            self._transport.close()
        except OSError:
            return  # the cable was pulled

    def run(self, code: str, *, timeout: float = 30, heard: Callable[[bytes], None] | None = None) -> str:
        """Run code on the board; what it printed. `timeout`: seconds of silence that end the wait."""
        from mpremote.transport import TransportError

        try:
            self._transport.exec_raw_no_follow(code)
            out, wrong = self._transport.follow(timeout, heard)
        except (TransportError, struct.error) as error:  # mpremote unpacks what it read, also nothing
            raise WireError(f"{self.port}: the board stopped answering", _plain(error), _AGAIN) from None
        except OSError as error:
            raise self._gone(error) from None
        if wrong:
            raise self._raised(wrong.decode(errors="replace"))
        return out.decode(errors="replace")

    def ask(self, code: str, *, timeout: float = 30) -> Any:
        """Run code that prints one JSON document last; the document."""
        said = self.run(code, timeout=timeout).strip().splitlines()
        try:
            return json.loads(said[-1])
        except (IndexError, ValueError):
            raise WireError(f"{self.port}: the board's answer was garbled", "", _AGAIN) from None

    def restart(self) -> None:
        """A fresh interpreter, without the node."""
        _enter(self.port, self._transport)

    def leave(self, code: str) -> None:
        """Run code that never answers, such as a reset; the session is over."""
        try:
            self._transport.exec_raw_no_follow(code)
        except OSError as error:
            raise self._gone(error) from None
        self.close()

    def _raised(self, traceback: str) -> BoardRaised:
        lines = [line.strip() for line in traceback.strip().splitlines() if line.strip()]
        return BoardRaised(f"{self.port}: the board says", lines[-1] if lines else "nothing")

    def _gone(self, error: OSError) -> WireError:
        return WireError(f"{self.port} went away", error.strerror or _PULLED, _AGAIN, unplugged=True)


_PULLED = "the cable was pulled"
_AGAIN = "Check the cable and run the same command again: it goes on where it was."


def connect(port: str, *, wait: float = 0) -> Wire:
    """Open a port and take over the board there. `wait`: seconds in which the port may still have to appear."""
    _mpremote()
    until = time.monotonic() + wait
    while not Path(port).exists() and not port.upper().startswith("COM"):
        if time.monotonic() >= until:
            raise WireError(f"{port} is not there", "nothing is connected", "Check the cable.", unplugged=True)
        time.sleep(0.1)
    transport = _opened(port)
    try:
        _enter(port, transport)
    except BaseException:
        Wire(port, transport).close()
        raise
    return Wire(port, transport)


def _opened(port: str) -> Any:
    # What looks at each new port by itself, as ModemManager does, or has just let go of it, may hold it for a moment.
    for _ in range(_TRIES - 1):
        try:
            return _open(port)
        except Occupied:
            time.sleep(_MOMENT)
    return _open(port)


def _open(port: str) -> Any:
    transport, transport_error = _mpremote()
    try:
        return transport(port, BAUDRATE, exclusive=True, timeout=_QUIET)
    except (transport_error, OSError):
        raise _unopened(port) from None


def _mpremote() -> tuple[Any, type[Exception]]:
    """Its serial transport, and what that raises."""
    try:
        from mpremote.transport import TransportError
        from mpremote.transport_serial import SerialTransport
    except ImportError:
        raise MissingExtra("mpremote", "factory", "talking to boards") from None
    return SerialTransport, TransportError


def _unopened(port: str) -> WireError:
    """mpremote only says that it failed: ask once more for the reason."""
    import serial

    try:
        serial.serial_for_url(port, exclusive=True).close()
    except serial.SerialException as error:
        if error.errno == 13 or "Permission" in str(error):
            return WireError(f"{port} may not be opened", "you have no right to it", "Join its group (dialout, uucp).")
        if error.errno == 2:
            return WireError(f"{port} is not there", "nothing is connected", "Check the cable.", unplugged=True)
        return Occupied(f"{port} is busy", "another program has it open", "Close that program.")
    return Occupied(f"{port} is busy", "another program had it open", "Run the same command again.")


def _enter(port: str, transport: Any) -> None:
    """Interrupt what runs, enter the raw REPL, soft reset. mpremote's own way prints what it meets on the way.

    A board that has just got its power is not listening yet, so it is interrupted until it answers.
    """
    ready = b"raw REPL; CTRL-B to exit\r\n"  # the prompt behind it is for the first command
    until = time.monotonic() + _ANSWERS
    try:
        serial = transport.serial
        while True:
            serial.write(b"\r\x03\x03")
            time.sleep(0.1)
            serial.reset_input_buffer()
            serial.write(b"\r\x01")
            if transport.read_until(1, ready + b">", timeout_overall=1.5).endswith(ready + b">"):
                break
            if time.monotonic() > until:
                raise _silent(port)
        serial.write(b"\x04")
        for answer in (b"soft reboot\r\n", ready):
            if not transport.read_until(1, answer, timeout_overall=_ANSWERS).endswith(answer):
                raise _silent(port)
        transport.in_raw_repl = True
    except OSError as error:
        raise WireError(f"{port} went away", error.strerror or _PULLED, _AGAIN, unplugged=True) from None


def _silent(port: str) -> WireError:
    return WireError(
        f"{port}: no MicroPython answers",
        "the board has none, is locked, or is something else",
        "`citymote flash --runtime IMAGE` writes one. A locked board's owner opens its prompt (`citymote node NODE "
        "reset open-prompt`); one without an owner is begun anew with `citymote flash --erase`, as another node.",
    )


def _plain(error: BaseException) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
