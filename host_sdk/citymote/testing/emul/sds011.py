"""Nova Fitness SDS011: particulate matter on a UART (Control Protocol V1.3, specification V1.3).

From the factory it reports by itself once a second; in query mode it answers. Reporting mode and sleep survive a power
cut, as the protocol says. Asleep only the command to work is heard.
"""

from __future__ import annotations

from .base import Source, UARTChip

_PERIOD = 1000
_THINKING = 30


def answer(code: int, data: bytes) -> bytes:
    """A frame from the chip: six data bytes and their sum."""
    return bytes([0xAA, code]) + data + bytes([sum(data) & 0xFF, 0xAB])


class SDS011(UARTChip):
    """Values in tenths of ug/m3, up to 999.9 and beyond as its 16 bits allow."""

    baudrate = 9600

    def __init__(
        self, pm2_5: Source, pm10: Source, *, identity: bytes = b"\xa1\x60", version: bytes = b"\x0f\x07\x0a"
    ) -> None:
        self._sources = (pm2_5, pm10)
        self.identity = identity
        self.version = version
        self._active = True
        self._asleep = False
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        self._heard = b""
        self._out: list[tuple[int, bytes]] = []
        self._next = now + _PERIOD

    def _present(self, now: int) -> bool:
        return all(source(now) is not None for source in self._sources)

    def receive(self, now: int, data: bytes) -> None:
        if not self._present(now):
            return
        self._stream(now)
        self._heard += data
        while len(self._heard) >= 19:
            if not self._heard.startswith(b"\xaa\xb4"):
                self._heard = self._heard[1:]
                continue
            command, self._heard = self._heard[:19], self._heard[19:]
            body = command[2:17]
            if command[18] == 0xAB and sum(body) & 0xFF == command[17] and body[13:] in (b"\xff\xff", self.identity):
                self._obey(now, body)

    def _obey(self, now: int, body: bytes) -> None:
        code, is_set, value = body[0], body[1], body[2]
        if self._asleep and (code, is_set, value) != (0x06, 1, 1):
            return
        if code == 0x02:
            if is_set:
                self._active = value == 0
                self._next = now + _PERIOD
            self._say(now, 0xC5, bytes([code, is_set, 0 if self._active else 1, 0]))
        elif code == 0x04:
            self._out.append((now + _THINKING, self._data(now)))
        elif code == 0x06:
            if is_set:
                self._asleep = value == 0
                self._next = now + _PERIOD
            self._say(now, 0xC5, bytes([code, is_set, 0 if self._asleep else 1, 0]))
        elif code == 0x07:
            self._say(now, 0xC5, bytes([code]) + self.version)

    def _say(self, now: int, code: int, data: bytes) -> None:
        self._out.append((now + _THINKING, answer(code, data + self.identity)))

    def _data(self, now: int) -> bytes:
        fine, coarse = (min(max(round((source(now) or 0.0) * 10), 0), 65535) for source in self._sources)
        return answer(0xC0, fine.to_bytes(2, "little") + coarse.to_bytes(2, "little") + self.identity)

    def _stream(self, now: int) -> None:
        if not self._active or self._asleep:
            return
        if now - self._next > 60 * _PERIOD:
            self._next += (now - self._next - 30 * _PERIOD) // _PERIOD * _PERIOD
        while self._next <= now:
            if self._present(self._next):
                self._out.append((self._next, self._data(self._next)))
            self._next += _PERIOD

    def transmit(self, now: int) -> bytes:
        if not self._present(now):
            self._out.clear()
            self._next = now + _PERIOD
            return b""
        self._stream(now)
        ready = b"".join(data for due, data in self._out if due <= now)
        self._out = [(due, data) for due, data in self._out if due > now]
        return ready
