"""The far end of the replay driver's wire: rows of a data file in answer to questions.

The lines are specified in `firmware/node/drivers/replay.py`; `answer` makes them, and serves a real serial adapter as
well as the virtual node. Sources are in the registry's units, like every chip's; an absent one is left empty, never a
zero.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Mapping

from citymote import registry

from .base import Source, UARTChip

LIMIT = 255
_BYTE_MS = 1000 * 10 / 115200

Row = Mapping[int, "int | None"]
"""Quantity id -> integer at the registry's resolution, None where it is absent."""


def seal(text: str) -> bytes:
    """The text as a line: checksum and end."""
    body = text.encode("ascii")
    return body + b"*%04X\n" % binascii.crc_hqx(body, 0xFFFF)


def question(line: bytes) -> str | None:
    """The two digits of a question, None for anything else; `line` without its end."""
    body, star, crc = line.rstrip(b"\r\n").rpartition(b"*")
    if not star or len(body) != 3 or body[:1] != b"?" or crc != b"%04X" % binascii.crc_hqx(body, 0xFFFF):
        return None
    digits = body[1:].decode("ascii", "replace")
    return digits if all(c in "0123456789ABCDEF" for c in digits) else None


def answer(digits: str, row: Iterable[tuple[int, int | None]] | None) -> bytes:
    """The line that answers question `digits`; no row is said in words."""
    if row is None:
        return seal(f"!{digits};no row")
    line = seal(f"={digits}" + "".join(f";{q}:{'' if v is None else v}" for q, v in row))
    if len(line) > LIMIT:
        raise ValueError(f"the row makes a line of {len(line)} bytes; {LIMIT} is the limit")
    return line


class Replay(UARTChip):
    """Serves `row(now)`; `from_sources` makes one from a Source for each quantity. None for a row: the wire is cut."""

    baudrate = 115200

    def __init__(self, row: Callable[[int], Row | None]) -> None:
        self._row = row
        self.power_up()

    @classmethod
    def from_sources(cls, sources: Mapping[str, Source]) -> Replay:
        """One Source for each quantity's name."""
        columns = [(registry.quantity(name), source) for name, source in sources.items()]

        def row(now: int) -> Row:
            values = ((quantity, source(now)) for quantity, source in columns)
            return {quantity.id: None if value is None else quantity.integer(value) for quantity, value in values}

        return cls(row)

    def power_up(self, now: int = 0) -> None:
        self._heard = b""
        self._out: list[tuple[float, bytes]] = []

    def receive(self, now: int, data: bytes) -> None:
        self._heard += data
        *lines, self._heard = self._heard.split(b"\n")
        self._heard = self._heard[-32:]
        for line in lines:
            digits = question(line)
            row = self._row(now)
            if digits is None or row is None:
                continue
            reply = answer(digits, row.items())
            self._out.append((now + 1 + len(reply) * _BYTE_MS, reply))

    def transmit(self, now: int) -> bytes:
        ready = b"".join(data for due, data in self._out if due <= now)
        self._out = [(due, data) for due, data in self._out if due > now]
        return ready
