"""What emulated devices on Modbus RTU share: frames with a CRC, the pause that ends one, exceptions.

A device answers each whole frame that bears its address and the right CRC, once, a while later; at anything else it
keeps silent, as "MODBUS over Serial Line" (2.4) demands.
"""

from __future__ import annotations

from collections.abc import Mapping

from .base import Source, UARTChip


def crc16(data: bytes) -> bytes:
    """Modbus' CRC, low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


def framed(body: bytes) -> bytes:
    """A frame out of its body."""
    return body + crc16(body)


class Refused(Exception):
    """The device's exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ModbusDevice(UARTChip):
    """Registers come from `inputs`; a request for one that is not there brings exception 2, an unknown function 1."""

    delay = 30
    """ms from the request's end to the answer."""

    def __init__(self, *sources: Source, address: int) -> None:
        self.sources = sources
        self.address = address
        self._out: list[tuple[int, bytes]] = []
        self._heard = b""
        self._last = 0

    def power_up(self, now: int = 0) -> None:
        self._out.clear()
        self._heard = b""

    def present(self, now: int) -> bool:
        """Whether somebody is there to answer."""
        return all(source(now) is not None for source in self.sources)

    def receive(self, now: int, data: bytes) -> None:
        if not self.present(now):
            return
        if now - self._last > 20:  # a pause ends a frame
            self._heard = b""
        self._last = now
        self._heard += data
        if len(self._heard) >= 8:
            frame, self._heard = self._heard[:8], b""
            if frame[0] == self.address and crc16(frame[:6]) == frame[6:]:
                self._out.append((now + self.delay, framed(self._answer(now, frame))))

    def transmit(self, now: int) -> bytes:
        if not self.present(now):
            self._out.clear()
            return b""
        ready = b"".join(data for due, data in self._out if due <= now)
        self._out = [(due, data) for due, data in self._out if due > now]
        return ready

    def _answer(self, now: int, frame: bytes) -> bytes:
        function, first, count = frame[1], frame[2] << 8 | frame[3], frame[4] << 8 | frame[5]
        try:
            if function not in (3, 4):
                raise Refused(1)
            table = self.inputs(now) if function == 4 else self.holdings(now)
            if not 1 <= count <= 125:
                raise Refused(3)
            if any(first + i not in table for i in range(count)):
                raise Refused(2)
        except Refused as refused:
            return bytes((self.address, function | 0x80, refused.code))
        words = b"".join((table[first + i] & 0xFFFF).to_bytes(2, "big") for i in range(count))
        return bytes((self.address, function, len(words))) + words

    def inputs(self, now: int) -> Mapping[int, int]:
        """Input registers and their words."""
        return {}

    def holdings(self, now: int) -> Mapping[int, int]:
        """Holding registers and their words."""
        return {}
