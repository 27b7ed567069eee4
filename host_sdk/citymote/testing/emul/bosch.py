"""What Bosch Sensortec's environmental chips share: one measurement in forced mode, and results that come from physical
values through the data sheets' double-precision formulas, turned round by bisection.
"""

from __future__ import annotations

from collections.abc import Callable

from .base import Nak, Source
from .registers import RegisterChip


def reading(value: float, formula: Callable[[int], float], bits: int) -> int:
    """The converter's reading whose formula comes nearest to a value; it stops at its ends."""
    rising = formula((1 << bits) - 1) > formula(0)
    low, high = 0, (1 << bits) - 1
    while low < high:
        middle = (low + high) // 2
        if (formula(middle) < value) == rising:
            low = middle + 1
        else:
            high = middle
    return min((at for at in (low - 1, low) if at >= 0), key=lambda at: abs(formula(at) - value))


class BoschChip(RegisterChip):
    """Sleeps until told to measure once; `hang` lets no measurement end. Writes come in pairs, register and value."""

    RESET = 0xE0
    CTRL_MEAS = 0xF4
    MEASURING = (0xF3, 0x08)
    """The register and bit that say that a measurement runs."""

    def __init__(self, *sources: Source, memory: dict[int, int]) -> None:
        super().__init__(*sources)
        self._memory = memory  # what survives without power: identification, calibration
        self.hang = False
        self._results: dict[int, int] = {}
        self._settings: dict[int, int] = {}
        self._due: int | None = None
        self._begun = 0

    def power_up(self, now: int = 0) -> None:
        super().power_up(now)
        self._settings = {}
        self._results = {}
        self._due = None
        self._begun = now

    def write(self, now: int, data: bytes) -> None:
        if not self.present(now):
            raise Nak
        self._settle(now)
        if data:
            self._pointer = data[0]
        for at in range(0, len(data) - 1, 2):
            self.put(now, data[at], data[at + 1])

    def put(self, now: int, register: int, value: int) -> None:
        if register == self.RESET:
            if value == 0xB6:
                self.power_up(now)
            return
        self._settings[register] = value
        if register == self.CTRL_MEAS and value & 3 in (1, 2):
            self._due = now + self.duration()

    def get(self, now: int, register: int) -> int:
        self._settle(now)
        for table in (self._results, self._memory, self._settings):
            if register in table:
                return table[register]
        return 0

    def duration(self) -> int:
        """ms that a measurement with these settings takes."""
        return 1

    def measure(self, now: int) -> dict[int, int]:
        """Result registers."""
        return {}

    @property
    def busy(self) -> bool:
        """A measurement runs."""
        return self._due is not None

    def _settle(self, now: int) -> None:
        if self._due is not None and now >= self._due and not self.hang:
            self._results = self.measure(self._due)
            self._settings[self.CTRL_MEAS] &= 0xFC
            self._due = None


def twenty(at: int, value: int) -> dict[int, int]:
    """Twenty bits in three registers, high byte first, left-justified."""
    return {at: value >> 12, at + 1: value >> 4 & 0xFF, at + 2: value << 4 & 0xF0}


def sixteen(at: int, value: int) -> dict[int, int]:
    """Sixteen bits in two registers, high byte first."""
    return {at: value >> 8, at + 1: value & 0xFF}
