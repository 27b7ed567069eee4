"""Bosch Sensortec BME688: temperature, humidity, pressure and gas resistance on I2C (data sheet BST-BME688-DS000).

Asleep after power-up. Physical values become readings through the double-precision formulas of the maker's
BME68x_SensorAPI. The calibration is a real BME680's, published by Pimoroni (bme680-python, tests/conftest.py); BME680
and BME688 differ in the range of the gas layer's converter alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from .base import Source
from .bosch import BoschChip, reading, sixteen, twenty

_OVERSAMPLING = (0, 1, 2, 4, 8, 16, 16, 16)
_FIELD = 0x1D


@dataclass(frozen=True, slots=True)
class Calibration:
    """Coefficients by their names in the data sheet, without "par_"."""

    t1: int = 26041
    t2: int = 26469
    t3: int = 3
    p1: int = 36673
    p2: int = -10515
    p3: int = 88
    p4: int = 7310
    p5: int = -129
    p6: int = 30
    p7: int = 46
    p8: int = -3177
    p9: int = -2379
    p10: int = 30
    h1: int = 676
    h2: int = 1029
    h3: int = 0
    h4: int = 45
    h5: int = 20
    h6: int = 120
    h7: int = -100
    gh1: int = -30
    gh2: int = -24754
    gh3: int = 18
    res_heat_range: int = 1
    res_heat_val: int = 48

    def registers(self) -> dict[int, int]:
        """Where they are stored (API, get_calib_data)."""
        words = {
            0x8A: self.t2, 0x8E: self.p1, 0x90: self.p2, 0x94: self.p4, 0x96: self.p5, 0x9C: self.p8, 0x9E: self.p9,
            0xE9: self.t1, 0xEB: self.gh2,
        }  # fmt: skip
        bytes_ = {
            0x8C: self.t3, 0x92: self.p3, 0x98: self.p7, 0x99: self.p6, 0xA0: self.p10,
            0xE1: self.h2 >> 4, 0xE2: (self.h2 & 0x0F) << 4 | self.h1 & 0x0F, 0xE3: self.h1 >> 4,
            0xE4: self.h3, 0xE5: self.h4, 0xE6: self.h5, 0xE7: self.h6, 0xE8: self.h7,
            0xED: self.gh1, 0xEE: self.gh3, 0x00: self.res_heat_val, 0x02: self.res_heat_range << 4, 0x04: 0,
        }  # fmt: skip
        table = {at: value & 0xFF for at, value in bytes_.items()}
        for at, value in words.items():
            table |= {at: value & 0xFF, at + 1: value >> 8 & 0xFF}
        return table

    def fine(self, adc: int) -> float:
        """t_fine, 5120 a degree."""
        offset = adc / 131072 - self.t1 / 8192
        return (adc / 16384 - self.t1 / 1024) * self.t2 + offset * offset * self.t3 * 16

    def celsius(self, adc: int) -> float:
        return self.fine(adc) / 5120

    def pascals(self, adc: int, fine: float) -> float:
        v = fine / 2 - 64000
        offset = (v * v * self.p6 / 131072 + v * self.p5 * 2) / 4 + self.p4 * 65536
        slope = (1 + (self.p3 * v * v / 16384 + self.p2 * v) / 524288 / 32768) * self.p1
        pressure = (1048576 - adc - offset / 4096) * 6250 / slope
        cubic = (pressure / 256) ** 3 * self.p10 / 131072
        square = self.p9 * pressure * pressure / 2147483648
        return pressure + (square + pressure * self.p8 / 32768 + cubic + self.p7 * 128) / 16

    def percent(self, adc: int, fine: float) -> float:
        """Before its ends at 0 and 100."""
        t = fine / 5120
        raw = adc - (self.h1 * 16 + self.h3 / 2 * t)
        raw *= self.h2 / 262144 * (1 + self.h4 / 16384 * t + self.h5 / 1048576 * t * t)
        return raw + (self.h6 / 16384 + self.h7 / 2097152 * t) * raw * raw

    def heater(self, celsius: float, ambient: float) -> float:
        """The heater's resistance setting for a temperature."""
        slope = self.gh2 / 32768 * 0.0005 + 0.00235
        wanted = (self.gh1 / 16 + 49) * (1 + slope * celsius) + self.gh3 / 1024 * ambient
        return 3.4 * (wanted * 4 / (4 + self.res_heat_range) / (1 + self.res_heat_val * 0.002) - 25)


def ohms(adc: int, span: int) -> float:
    """The gas layer's resistance by its converter's reading and range (data sheet 3.4.1)."""
    return 1e6 * (262144 >> span) / (4096 + 3 * (adc - 512))


class BME688(BoschChip):
    """`stable` false: the heater does not reach its temperature."""

    CTRL_MEAS = 0x74

    def __init__(
        self,
        temperature: Source,
        humidity: Source,
        pressure: Source,
        gas_resistance: Source,
        *,
        address: int = 0x76,
        identification: int = 0x61,
        variant: int = 1,
        calibration: Calibration | None = None,
    ) -> None:
        self.calibration = calibration or Calibration()
        memory = self.calibration.registers() | {0xD0: identification, 0xF0: variant}
        super().__init__(temperature, humidity, pressure, gas_resistance, memory=memory)
        self.address = address
        self.stable = True
        self.power_up()

    def present(self, now: int) -> bool:
        return any(source(now) is not None for source in self.sources[:3])

    def get(self, now: int, register: int) -> int:
        value = super().get(now, register)
        if register == _FIELD and self.busy:
            return value & 0x7F | 0x20
        return value

    def put(self, now: int, register: int, value: int) -> None:
        super().put(now, register, value)
        if register == self.CTRL_MEAS and self.busy and _FIELD in self._results:
            self._results[_FIELD] &= 0x7F

    @property
    def heated(self) -> bool:
        """Whether the next measurement takes the gas resistance."""
        return not self._settings.get(0x70, 0) & 0x08 and bool(self._settings.get(0x71, 0) & 0x20)

    @property
    def heater(self) -> int:
        """The resistance that the heater was set to."""
        return self._settings.get(0x5A, 0)

    def duration(self) -> int:
        measure = self._settings[0x74]
        samples = _OVERSAMPLING[measure >> 5] + _OVERSAMPLING[measure >> 2 & 7]
        samples += _OVERSAMPLING[self._settings.get(0x72, 0) & 7]
        wait = self._settings.get(0x64, 0)
        heating = (wait & 0x3F) << 2 * (wait >> 6) if self.heated else 0
        return 1 + (1963 * samples + 477 * 9) // 1000 + heating

    def measure(self, now: int) -> dict[int, int]:
        celsius, percent, hectopascals, resistance = (source(now) for source in self.sources)
        adc = reading(celsius or 0.0, self.calibration.celsius, 20)
        fine = self.calibration.fine(adc)
        pressure = reading((hectopascals or 0.0) * 100, lambda at: self.calibration.pascals(at, fine), 20)
        humid = reading(percent or 0.0, lambda at: self.calibration.percent(at, fine), 16)
        gas = self._gas(resistance or 0.0) if self.heated else (0, 0)
        return (
            {_FIELD: 0x80, _FIELD + 1: 0, _FIELD + 15: gas[0], _FIELD + 16: gas[1]}
            | twenty(_FIELD + 2, pressure)
            | twenty(_FIELD + 5, adc)
            | sixteen(_FIELD + 8, humid)
        )

    def _gas(self, resistance: float) -> tuple[int, int]:
        """The range in which the reading is nearest to its middle, and the flags."""
        span = min(range(16), key=lambda at: abs(ohms(512, at) - resistance))
        adc = reading(resistance, lambda at: ohms(at, span), 10)
        return adc >> 2, (adc & 3) << 6 | 0x20 | (0x10 if self.stable else 0) | span
