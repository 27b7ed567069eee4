"""What chips with registers share on I2C: the first byte written says which register the next byte goes to or
comes from.
"""

from __future__ import annotations

from .base import I2CChip, Nak, Source


class RegisterChip(I2CChip):
    """A register address that counts on with each byte. A chip's own class says what reading and writing do."""

    def __init__(self, *sources: Source) -> None:
        self.sources = sources
        self._pointer = 0

    def power_up(self, now: int = 0) -> None:
        self._pointer = 0

    def present(self, now: int) -> bool:
        """Whether somebody is there to acknowledge."""
        return any(source(now) is not None for source in self.sources)

    def write(self, now: int, data: bytes) -> None:
        if not self.present(now):
            raise Nak
        if data:
            self._pointer = data[0]
            for byte in data[1:]:
                self.put(now, self._pointer, byte)
                self._pointer = self.after(self._pointer)

    def read(self, now: int, count: int) -> bytes:
        if not self.present(now):
            raise Nak
        out = bytearray()
        for _ in range(count):
            out.append(self.get(now, self._pointer) & 0xFF)
            self._pointer = self.after(self._pointer)
        return bytes(out)

    def after(self, register: int) -> int:
        """The register behind this one."""
        return register + 1 & 0xFF

    def get(self, now: int, register: int) -> int:
        """A byte of a register."""
        return 0

    def put(self, now: int, register: int, value: int) -> None:
        """A byte for a register."""
