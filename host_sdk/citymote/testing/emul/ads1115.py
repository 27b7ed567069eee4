"""Texas Instruments ADS1115: four inputs, 16 bits, on I2C (data sheet SBAS444D); and cells that hang on it.

Powered down after power-up, with the configuration 8583. A conversion takes 1 / data rate from the write that starts
it; its result is there from then on, until the next. The register pointer stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from .base import I2CChip, Nak, Source

_RATES = (8, 16, 32, 64, 128, 250, 475, 860)
_RANGES = (6144, 4096, 2048, 1024, 512, 256, 256, 256)
_PAIRS = ((0, 1), (0, 3), (1, 3), (2, 3))


class ADS1115(I2CChip):
    """`inputs`: millivolts on each input, which is 0 where none is given. `hang` lets no conversion end."""

    def __init__(self, inputs: Mapping[int, Source], *, address: int = 0x48, slowness: float = 1.0) -> None:
        self.address = address
        self._inputs = inputs
        self._slowness = slowness  # of the oscillator: 0.9 to 1.1
        self.hang = False
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        self._pointer = 0
        self._configuration = 0x8583
        self._result = 0
        self._thresholds = {2: 0x8000, 3: 0x7FFF}
        self._due: float | None = None

    def _settle(self, now: int) -> None:
        if self._due is not None and now >= self._due and not self.hang:
            self._result = self._convert(int(self._due))
            self._due = None

    def _volts(self, now: int, channel: int) -> float:
        source = self._inputs.get(channel)
        return (source(now) or 0.0) if source is not None else 0.0

    def _convert(self, now: int) -> int:
        mux = self._configuration >> 12 & 7
        if mux & 4:
            millivolts = self._volts(now, mux & 3)
        else:
            plus, minus = _PAIRS[mux]
            millivolts = self._volts(now, plus) - self._volts(now, minus)
        digits = round(millivolts * 32768 / _RANGES[self._configuration >> 9 & 7])
        return min(max(digits, -32768), 32767) & 0xFFFF

    def _present(self, now: int) -> None:
        if self._inputs and all(source(now) is None for source in self._inputs.values()):
            raise Nak

    def write(self, now: int, data: bytes) -> None:
        self._present(now)
        self._settle(now)
        if data:
            self._pointer = data[0] & 3
        if len(data) < 3:
            return
        value = data[1] << 8 | data[2]
        if self._pointer == 1:
            self._configuration = value & 0x7FFF
            if value & 0x8000 and self._due is None:
                self._due = now + 1000 / _RATES[value >> 5 & 7] * self._slowness
        elif self._pointer >= 2:
            self._thresholds[self._pointer] = value

    def read(self, now: int, count: int) -> bytes:
        self._present(now)
        self._settle(now)
        if self._pointer == 0:
            value = self._result
        elif self._pointer == 1:
            value = self._configuration & 0x7FFF | (0x8000 if self._due is None else 0)
        else:
            value = self._thresholds[self._pointer]
        return value.to_bytes(2, "big")[:count]


class Cell:
    """A four-electrode cell on its board: what its electrodes say in mV. Settings are the driver's, as on its label.

    `background` adds to both electrodes (working, auxiliary) over time, as temperature does; `no2` is what an ozone
    cell takes for ozone.
    """

    def __init__(
        self,
        gas: Source,
        *,
        no2: Source | None = None,
        background: tuple[Source, Source] | None = None,
        we_electronic: int = 0,
        ae_electronic: int = 0,
        we_zero: int = 0,
        ae_zero: int = 0,
        sensitivity: int = 300,
        no2_sensitivity: int = 0,
    ) -> None:
        self._gas = gas
        self._no2 = no2
        self._background = background
        self._we, self._ae = we_electronic + we_zero, ae_electronic + ae_zero
        self._sensitivity = sensitivity / 1000
        self._cross = no2_sensitivity / 1000

    def working(self, now: int) -> float | None:
        gas = self._gas(now)
        if gas is None:
            return None
        no2 = (self._no2(now) or 0.0) if self._no2 is not None else 0.0
        drift = (self._background[0](now) or 0.0) if self._background is not None else 0.0
        return self._we + gas * self._sensitivity + no2 * self._cross + drift

    def auxiliary(self, now: int) -> float | None:
        if self._gas(now) is None:
            return None
        return self._ae + ((self._background[1](now) or 0.0) if self._background is not None else 0.0)
