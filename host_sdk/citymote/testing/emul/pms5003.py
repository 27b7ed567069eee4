"""Plantower PMS5003 (PMS7003, PMSA003): particulate matter on a UART (data manual V2.3, appendices I and II).

After power-up it streams a data frame by itself (active mode), every 2.3 s while the air is steady. In passive mode
it sends one frame for each question; asleep its fan stands still and only the wake command is heard.
"""

from __future__ import annotations

import struct

from .base import Source, UARTChip

_FRAME_MS = 34  # 32 bytes at 9600 baud
_ANSWER_MS = 9
_PERIOD = 2300  # manual, appendix I: "stable mode"
_THINKING = 20


def frame(payload: bytes) -> bytes:
    """Header, length and sum around a payload."""
    head = b"\x42\x4d" + struct.pack(">H", len(payload) + 2) + payload
    return head + struct.pack(">H", sum(head) & 0xFFFF)


class PMS5003(UARTChip):
    """Atmospheric values are the sources rounded to whole ug/m3; the standard ("CF = 1") ones follow Plantower's curve:
    equal up to 30, then half as much again, as published comparisons of the two outputs show.

    `error` is the error byte of data 13. `version` is the byte before it.
    """

    baudrate = 9600

    def __init__(self, pm1: Source, pm2_5: Source, pm10: Source, *, version: int = 0x97) -> None:
        self._sources = (pm1, pm2_5, pm10)
        self.version = version
        self.error = 0
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        self._asleep = False
        self._active = True
        self._next = now + _PERIOD
        self._out: list[tuple[int, bytes]] = []
        self._heard = b""

    def _present(self, now: int) -> bool:
        return all(source(now) is not None for source in self._sources)

    def receive(self, now: int, data: bytes) -> None:
        if not self._present(now):
            return
        self._stream(now)
        self._heard += data
        while len(self._heard) >= 7:
            if not self._heard.startswith(b"\x42\x4d"):
                self._heard = self._heard[1:]
                continue
            command, self._heard = self._heard[:7], self._heard[7:]
            if sum(command[:5]) == command[5] << 8 | command[6]:
                self._obey(now, command[2], command[4])

    def _obey(self, now: int, code: int, argument: int) -> None:
        if code == 0xE4:
            was = self._asleep
            self._asleep = argument == 0
            if self._asleep:
                self._say(now, _ANSWER_MS, frame(bytes([code, argument])))
            elif was:
                self._active = True  # it wakes into active mode
                self._next = now + _PERIOD
        elif self._asleep:
            return
        elif code == 0xE1:
            self._active = argument == 1
            self._next = now + _PERIOD
            self._say(now, _ANSWER_MS, frame(bytes([code, argument])))
        elif code == 0xE2 and not self._active:
            self._say(now, _FRAME_MS, self._data(now))

    def _say(self, now: int, duration: int, data: bytes) -> None:
        self._out.append((now + _THINKING + duration, data))

    def _stream(self, now: int) -> None:
        if not self._active or self._asleep:
            return
        if now - self._next > 20 * _PERIOD:  # after a long jump only the last of them can still be in a buffer
            self._next += (now - self._next - 10 * _PERIOD) // _PERIOD * _PERIOD
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

    def _data(self, now: int) -> bytes:
        values = [min(max(round(source(now) or 0.0), 0), 65535) for source in self._sources]
        standard = [v if v <= 30 else min(30 + (v - 30) * 3 // 2, 65535) for v in values]
        # particles in 0.1 l beyond 0.3, 0.5, 1, 2.5, 5 and 10 um: falling, and growing with the mass
        mass = values[2]
        counts = [min(mass * k, 65535) for k in (180, 54, 12, 2, 1, 0)]
        return frame(struct.pack(">12H", *standard, *values, *counts) + bytes([self.version, self.error]))
