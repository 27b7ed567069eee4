"""Bosch Sensortec BME280: temperature, humidity and pressure on I2C (data sheet BST-BME280-DS002, revision 1.6).

In sleep mode after power-up, its results then "skipped" (80000, 8000). Physical values become readings through the
double-precision formulas of appendix 8.1. The calibration is a real chip's, published with its register image in the
tests of the crate bme280-rs (claudiomattera/bme280-rs, src/calibration.rs).
"""

from __future__ import annotations

import struct

from .base import Source
from .bosch import BoschChip, reading, sixteen, twenty

CALIBRATION = bytes.fromhex("b16f2e6a3200e28f0ad7d00b751fc5fff9ffac260ad8bd10004b7701001220031e")
"""Registers 88 to A1 and E1 to E7."""

_OVERSAMPLING = (0, 1, 2, 4, 8, 16, 16, 16)


class Formulas:
    """Appendix 8.1 with one chip's calibration."""

    def __init__(self, calibration: bytes) -> None:
        self.t1, self.t2, self.t3 = struct.unpack_from("<Hhh", calibration, 0)
        self.p = struct.unpack_from("<H8h", calibration, 6)
        self.h1 = calibration[25]
        self.h2, self.h3, high4, shared, high5, self.h6 = struct.unpack_from("<hBbBbb", calibration, 26)
        self.h4 = high4 * 16 + (shared & 0x0F)
        self.h5 = high5 * 16 + (shared >> 4)

    def fine(self, adc: int) -> float:
        """t_fine, 5120 a degree."""
        linear = (adc / 16384 - self.t1 / 1024) * self.t2
        return linear + (adc / 131072 - self.t1 / 8192) ** 2 * self.t3

    def celsius(self, adc: int) -> float:
        return self.fine(adc) / 5120

    def pascals(self, adc: int, fine: float) -> float:
        p1, p2, p3, p4, p5, p6, p7, p8, p9 = self.p
        v = fine / 2 - 64000
        offset = (v * v * p6 / 32768 + v * p5 * 2) / 4 + p4 * 65536
        slope = (1 + (p3 * v * v / 524288 + p2 * v) / 524288 / 32768) * p1
        pressure = (1048576 - adc - offset / 4096) * 6250 / slope
        return pressure + (p9 * pressure * pressure / 2147483648 + pressure * p8 / 32768 + p7) / 16

    def percent(self, adc: int, fine: float) -> float:
        """Before its ends at 0 and 100."""
        v = fine - 76800
        raw = adc - (self.h4 * 64 + self.h5 / 16384 * v)
        gain = 1 + self.h3 / 67108864 * v
        raw *= self.h2 / 65536 * (1 + self.h6 / 67108864 * v * gain)
        return raw * (1 - self.h1 * raw / 524288)


class BME280(BoschChip):
    """`starting` is how long the calibration is copied after power-up, in ms."""

    def __init__(
        self,
        temperature: Source,
        humidity: Source,
        pressure: Source,
        *,
        address: int = 0x76,
        identification: int = 0x60,
        calibration: bytes = CALIBRATION,
        starting: int = 2,
    ) -> None:
        memory = dict(enumerate(calibration[:26], 0x88)) | dict(enumerate(calibration[26:], 0xE1))
        super().__init__(temperature, humidity, pressure, memory=memory | {0xD0: identification})
        self.address = address
        self.starting = starting
        self._formulas = Formulas(calibration)
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        super().power_up(now)
        self._results = twenty(0xF7, 0x80000) | twenty(0xFA, 0x80000) | sixteen(0xFD, 0x8000)

    def get(self, now: int, register: int) -> int:
        value = super().get(now, register)
        if register == 0xF3:
            return (8 if self.busy else 0) | (1 if now < self._begun + self.starting else 0)
        return value

    def _samples(self) -> tuple[int, int, int]:
        """Oversampling of temperature, pressure, humidity."""
        measure = self._settings[0xF4]
        return (
            _OVERSAMPLING[measure >> 5],
            _OVERSAMPLING[measure >> 2 & 7],
            _OVERSAMPLING[self._settings.get(0xF2, 0) & 7],
        )

    def duration(self) -> int:
        # 9.1, typical: 1 + 2 T + (2 P + 0.5) + (2 H + 0.5) ms
        t, p, h = self._samples()
        return -(-(2000 + 4000 * t + 4000 * p + (1000 if p else 0) + 4000 * h + (1000 if h else 0)) // 2000)

    def measure(self, now: int) -> dict[int, int]:
        celsius, percent, hectopascals = (source(now) for source in self.sources)
        t, p, h = self._samples()
        adc = reading(celsius or 0.0, self._formulas.celsius, 20) if t else 0x80000
        fine = self._formulas.fine(adc)
        pressure = reading((hectopascals or 0.0) * 100, lambda at: self._formulas.pascals(at, fine), 20)
        # a chip in saturated air reads beyond what the formula says is full
        humid = reading(percent or 0.0, lambda at: self._formulas.percent(at, fine), 16)
        return twenty(0xF7, pressure if p else 0x80000) | twenty(0xFA, adc) | sixteen(0xFD, humid if h else 0x8000)
