"""A supply behind a resistor divider on an ESP32's ADC pin (ESP-IDF, "ADC attenuation" and "ADC calibration").

The calibrated reading is whole millivolts, and ends where the converter does.
"""

from __future__ import annotations

from .base import AnalogInput, Source


class Divider(AnalogInput):
    """`voltage` in V; `upper` and `lower` in ohms; `highest` in mV is where the converter ends, at the pin."""

    def __init__(self, voltage: Source, *, upper: int = 100_000, lower: int = 100_000, highest: int = 2450) -> None:
        self._voltage = voltage
        self._share = lower / (upper + lower)
        self._highest = highest

    def microvolts(self, now: int) -> int:
        volts = self._voltage(now) or 0.0
        return min(round(volts * 1000 * self._share), self._highest) * 1000
