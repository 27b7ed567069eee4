"""The two wires of an I2C bus with a chip that was interrupted in the middle: what a stuck bus is made of.

Open drain: a line is low if anybody pulls it down. The chip here obeys NXP UM10204: it shifts its bits on falling
clocks, looks at the acknowledge bit on rising ones, and a STOP (data rising while the clock is high) or a START makes
it forget what it was about. Until then it answers nothing and, in its zeros, blocks the bus for everybody.
"""

from __future__ import annotations

IDLE, SENDING, LISTENING, SHORTED = range(4)


class StuckLines:
    """A bus on which a chip stands at bit `at` (0 is the highest) of `byte` that it sends, or, `byte` None, hears.

    At bit 8 of a byte that it hears it holds the acknowledge. After a byte that it sends it goes on with the same byte
    for as long as it is acknowledged. `shorted`: no chip but a wire that touches ground, which no clock helps against;
    `clock_held`: the clock too.
    """

    def __init__(self, byte: int | None = 0, at: int = 0, *, shorted: bool = False, clock_held: bool = False) -> None:
        self.byte = byte
        self.at = at
        self.state = SHORTED if shorted else LISTENING if byte is None else SENDING
        self.clock_held = clock_held
        self.clocks = 0
        self._scl = self._sda = 1
        self._was_data = self._data()

    @property
    def free(self) -> bool:
        """Whether the bus can be used again."""
        return self.state == IDLE and not self.clock_held

    def _chip(self) -> int:
        if self.state == SENDING and self.at < 8:
            return (self.byte or 0) >> (7 - self.at) & 1
        if self.state == LISTENING and self.at == 8:
            return 0
        return 0 if self.state == SHORTED else 1

    def _data(self) -> int:
        return self._sda & self._chip()

    def drive(self, scl: int, sda: int) -> tuple[int, int]:
        """The controller pulls (0) or lets go (1) each line; returns the levels of clock and data."""
        if self.clock_held:
            return 0, self._data()
        if scl != self._scl:
            self._scl = scl
            if scl:
                self.clocks += 1
                self._rising()
            else:
                self._falling()
            self._was_data = self._data()
        self._sda = sda
        data = self._data()
        if self._scl and data != self._was_data and self.state != SHORTED:
            self.state = IDLE  # START or STOP
            data = self._data()
        self._was_data = data
        return self._scl, data

    def _falling(self) -> None:
        if self.state in (SENDING, LISTENING):
            self.at = (self.at + 1) % 9

    def _rising(self) -> None:
        if self.state == SENDING and self.at == 8 and self._sda:
            self.state = IDLE  # not acknowledged
