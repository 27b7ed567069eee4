"""Vishay VEML7700: illuminance on I2C (data sheet 84286, application note 84323).

Words, low byte first. Shut down after power-up; switched on, it converts again and again, one integration time each,
and holds the last result meanwhile and after. What it counts is bent: the application note's polynomial, turned round.
"""

from __future__ import annotations

from .base import I2CChip, Nak, Source

_GAINS = (1.0, 2.0, 0.125, 0.25)
_TIMES = {0xC: 25, 0x8: 50, 0x0: 100, 0x1: 200, 0x2: 400, 0x3: 800}
_SWITCH_ON = 2.5


def straightened(line: float) -> float:
    """Lux from what the straight line says, as the application note has it."""
    return ((6.0135e-13 * line - 9.3924e-9) * line + 8.1488e-5) * line * line + 1.0023 * line


def bent(lux: float) -> float:
    """What the straight line says at an illuminance."""
    low, high = 0.0, 200_000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if straightened(middle) < lux else (low, middle)
    return low


class VEML7700(I2CChip):
    """`resolution` is lux a count at gain 2 and 800 ms (0.0042; documents before 2021 had 0.0036)."""

    address = 0x10

    def __init__(self, illuminance: Source, *, identification: int = 0xC481, resolution: float = 0.0042) -> None:
        self._illuminance = illuminance
        self.identification = identification
        self._resolution = resolution
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        self._registers = {0x00: 0x0001}
        self._counts = 0
        self._on_at = float(now)
        self._pointer = 0

    @property
    def on(self) -> bool:
        return not self._registers[0x00] & 1

    def _time(self) -> int:
        return _TIMES.get(self._registers[0x00] >> 6 & 15, 100)

    def _settle(self, now: int) -> None:
        done = int((now - self._on_at - _SWITCH_ON) // self._time())
        if not self.on or done < 1:
            return
        lux = self._illuminance(round(self._on_at + _SWITCH_ON + done * self._time())) or 0.0
        count = self._resolution * 800 / self._time() * 2 / _GAINS[self._registers[0x00] >> 11 & 3]
        self._counts = min(round(bent(max(lux, 0.0)) / count), 65535)

    def write(self, now: int, data: bytes) -> None:
        if self._illuminance(now) is None:
            raise Nak
        self._settle(now)
        if data:
            self._pointer = data[0]
        if len(data) >= 3:
            value = data[1] | data[2] << 8
            if self._pointer == 0x00 and value != self._registers[0x00]:
                self._on_at = float(now)  # a new setting begins a new conversion
            self._registers[self._pointer] = value

    def read(self, now: int, count: int) -> bytes:
        if self._illuminance(now) is None:
            raise Nak
        self._settle(now)
        if self._pointer == 0x04:
            value = self._counts
        elif self._pointer == 0x07:
            value = self.identification
        else:
            value = self._registers.get(self._pointer, 0)
        return value.to_bytes(2, "little")[:count]
