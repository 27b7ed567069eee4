"""Senseair S8: carbon dioxide on a UART, Modbus RTU ("Modbus on Senseair S8", TDE2067 revision 1.03).

It answers to its address and to FE, once for each frame whose CRC is right; a register it has not brings exception 2.
Measures every 4 s; the automatic baseline correction's period is kept without power.
"""

from __future__ import annotations

from .base import Source, UARTChip
from .modbus import crc16

_PERIOD = 4000
_ANSWER_MS = 30
_ABC_PERIOD = 0x1F
_INPUTS = {0x00: "status", 0x01: "alarm", 0x02: "output", 0x03: "co2", 0x19: "type", 0x1A: "type", 0x1C: "firmware"}


class S8(UARTChip):
    """`status` is the meter status, input register 1: bit 0 fatal error ... bit 5 out of range."""

    baudrate = 9600

    def __init__(self, co2: Source, *, abc_period: int = 180) -> None:
        self._co2 = co2
        self.status = 0
        self.abc_period = abc_period
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        self._since = now
        self._heard = b""
        self._last = now
        self._out: list[tuple[int, bytes]] = []

    def receive(self, now: int, data: bytes) -> None:
        if self._co2(now) is None:
            return
        if now - self._last > 20:  # a pause ends a frame
            self._heard = b""
        self._last = now
        self._heard += data
        while len(self._heard) >= 8:
            frame, self._heard = self._heard[:8], self._heard[8:]
            if frame[0] in (0xFE, 0x68) and crc16(frame[:6]) == frame[6:]:
                body = self._answer(now, frame)
                self._out.append((now + _ANSWER_MS, body + crc16(body)))

    def transmit(self, now: int) -> bytes:
        if self._co2(now) is None:
            self._out.clear()
            return b""
        ready = b"".join(data for due, data in self._out if due <= now)
        self._out = [(due, data) for due, data in self._out if due > now]
        return ready

    def _answer(self, now: int, frame: bytes) -> bytes:
        function, register, value = frame[1], frame[2] << 8 | frame[3], frame[4] << 8 | frame[5]
        if function == 0x06 and register == _ABC_PERIOD:
            self.abc_period = value
            return frame[:6]
        if function == 0x03 and register == _ABC_PERIOD and value == 1:
            return frame[:2] + b"\x02" + self.abc_period.to_bytes(2, "big")
        if function == 0x04 and all(register + i in _INPUTS for i in range(value)):
            words = b"".join(self._input(now, register + i).to_bytes(2, "big") for i in range(value))
            return frame[:2] + bytes([len(words)]) + words
        return bytes([frame[0], function | 0x80, 2])

    def _input(self, now: int, register: int) -> int:
        match _INPUTS[register]:
            case "status":
                return self.status
            case "co2":
                instant = self._since + (now - self._since) // _PERIOD * _PERIOD
                return min(max(round(self._co2(instant) or 0.0), 0), 32767)
            case "type":
                return 0x0001 if register == 0x19 else 0x0E07
            case "firmware":
                return 0x0106
            case _:
                return 0
