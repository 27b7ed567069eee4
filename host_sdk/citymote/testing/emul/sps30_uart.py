"""Sensirion SPS30 on its UART: SHDLC frames (datasheet "SPS30", version 1.0 of March 2020, chapters 4 and 5).

One answer to each frame that is whole; a frame with a wrong sum is not answered. Asleep, nothing is heard until a byte
0xFF has woken the interface. Reading the values twice within a second brings an empty answer.
"""

from __future__ import annotations

import math
import struct

from .base import Source, UARTChip

_STUFFED = {0x7E: 0x5E, 0x7D: 0x5D, 0x11: 0x31, 0x13: 0x33}
_IDLE, _MEASURING, _SLEEPING = range(3)
_ANSWER_MS = 5
_NOT_ALLOWED, _WRONG_LENGTH, _UNKNOWN = 0x43, 0x01, 0x02


def _zero(now: int) -> float | None:
    return 0.0


def stuff(body: bytes) -> bytes:
    """Sum, stuffing and delimiters around a frame's body."""
    whole = body + bytes([~sum(body) & 0xFF])
    out = bytearray(b"\x7e")
    for byte in whole:
        if byte in _STUFFED:
            out += bytes([0x7D, _STUFFED[byte]])
        else:
            out.append(byte)
    return bytes(out + b"\x7e")


def unstuff(frame: bytes) -> bytes | None:
    """The body between the delimiters, None when its sum is wrong."""
    out = bytearray()
    escape = False
    for byte in frame:
        if byte == 0x7D:
            escape = True
        else:
            out.append(byte ^ 0x20 if escape else byte)
            escape = False
    if len(out) < 4 or sum(out) & 0xFF != 0xFF:
        return None
    return bytes(out[:-1])


class SPS30UART(UARTChip):
    """Mass sources in ug/m3, `numbers` for counts in 1/cm3; `status` and `hang` as in the I2C emulator."""

    baudrate = 115200

    def __init__(
        self,
        pm1: Source,
        pm2_5: Source,
        pm10: Source,
        pm4: Source | None = None,
        numbers: tuple[Source, Source, Source, Source, Source] | None = None,
        *,
        firmware: tuple[int, int] = (2, 3),
        product: str = "00080000",
    ) -> None:
        self._sources: list[Source] = [pm1, pm2_5, pm4 or pm10, pm10, *(numbers or (_zero,) * 5)]
        self.firmware = firmware
        self.product = product
        self.status = 0
        self.hang = False
        self.cleaning_interval = 604800
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        self._mode = _IDLE
        self._awake_until = -1
        self._heard: bytearray | None = None
        self._out: list[tuple[int, bytes]] = []
        self._began = now
        self._read_set = 0

    def _present(self, now: int) -> bool:
        return any(source(now) is not None for source in self._sources[:4])

    def receive(self, now: int, data: bytes) -> None:
        if not self._present(now):
            return
        for byte in data:
            if self._mode == _SLEEPING and now > self._awake_until:
                if byte == 0xFF:
                    self._awake_until = now + 100
                continue
            if byte != 0x7E:
                if self._heard is not None and len(self._heard) < 300:
                    self._heard.append(byte)
                continue
            if self._heard:
                body = unstuff(bytes(self._heard))
                if body is not None and body[0] == 0 and body[2] == len(body) - 3:
                    self._obey(now, body[1], body[3:])
            self._heard = bytearray()

    def transmit(self, now: int) -> bytes:
        if not self._present(now):
            self._out.clear()
            return b""
        ready = b"".join(data for due, data in self._out if due <= now)
        self._out = [(due, data) for due, data in self._out if due > now]
        return ready

    def _obey(self, now: int, command: int, data: bytes) -> None:
        if self._mode == _SLEEPING and command != 0x11:
            return
        state, answer = self._do(now, command, data)
        body = bytes([0, command, state, len(answer)]) + answer
        self._out.append((now + _ANSWER_MS, stuff(body)))

    def _do(self, now: int, command: int, data: bytes) -> tuple[int, bytes]:
        match command:
            case 0x00:
                if self._mode != _IDLE:
                    return _NOT_ALLOWED, b""
                if data != b"\x01\x03":
                    return _WRONG_LENGTH, b""
                self._mode, self._began, self._read_set = _MEASURING, now, 0
            case 0x01:
                if self._mode != _MEASURING:
                    return _NOT_ALLOWED, b""
                self._mode = _IDLE
            case 0x03:
                return (0, self._values(now)) if self._mode == _MEASURING else (_NOT_ALLOWED, b"")
            case 0x10:
                if self._mode != _IDLE:
                    return _NOT_ALLOWED, b""
                self._mode, self._awake_until = _SLEEPING, -1
            case 0x11:
                if self._mode != _SLEEPING:
                    return _NOT_ALLOWED, b""
                self._mode = _IDLE
            case 0x80:
                if len(data) == 5:
                    self.cleaning_interval = int.from_bytes(data[1:], "big")
                    return 0, b""
                return 0, self.cleaning_interval.to_bytes(4, "big")
            case 0xD0:
                return 0, self.product.encode() + b"\0"
            case 0xD1:
                return 0, bytes([*self.firmware, 0, 7, 0, 2, 0])
            case 0xD2:
                return 0, self.status.to_bytes(4, "big") + b"\0"
            case 0xD3:
                self.power_up(now)
            case _:
                return _UNKNOWN, b""
        return 0, b""

    def _values(self, now: int) -> bytes:
        latest = self._read_set if self.hang else (now - self._began) // 1000
        if latest <= self._read_set:
            return b""
        self._read_set = latest
        instant = self._began + 1000 * latest
        values = [math.nan if v is None else max(v, 0.0) for v in (source(instant) for source in self._sources)]
        return struct.pack(">10f", *values, 0.5)
