"""Lite-On LTR-390UV-01: ultraviolet and ambient light on I2C (data sheet DS86-2015-0004).

Standby after power-up. Enabled, it converts in one of two modes, at the rate and resolution of MEAS_RATE; reading
MAIN_STATUS clears its new-data bit.
"""

from __future__ import annotations

from .base import Source
from .registers import RegisterChip

_GAINS = (1, 3, 6, 9, 18)
# bits -> conversion time in ms; what 20 bits count in 400 ms, fewer count in less
_RESOLUTIONS = ((20, 400), (19, 200), (18, 100), (17, 50), (16, 25), (13, 13))
_RATES = (25, 50, 100, 200, 500, 1000, 2000, 2000)
_COUNTS_PER_UVI = 2300  # at gain 18 and 20 bits


class LTR390(RegisterChip):
    """`uv_index` and `illuminance`; `hang` stops conversions."""

    address = 0x53

    def __init__(self, uv_index: Source, illuminance: Source, *, part_id: int = 0xB2) -> None:
        super().__init__(uv_index, illuminance)
        self.part_id = part_id
        self.hang = False
        self.power_up()

    def present(self, now: int) -> bool:
        return self.sources[0](now) is not None

    def power_up(self, now: int = 0) -> None:
        super().power_up(now)
        self._registers = {0x00: 0x00, 0x04: 0x22, 0x05: 0x01}
        self._data = {False: 0, True: 0}  # ultraviolet -> counts
        self._enabled_at = 0
        self._seen = 0
        self._fresh = False
        self._powered = True

    def _settle(self, now: int) -> None:
        control = self._registers[0x00]
        if not control & 0x02 or self.hang:
            return
        bits, conversion = _RESOLUTIONS[min(self._registers[0x04] >> 4 & 7, 5)]
        period = max(_RATES[self._registers[0x04] & 7], conversion)
        if now - self._enabled_at < conversion:
            return
        done = (now - self._enabled_at - conversion) // period + 1
        if done > self._seen:
            self._seen = done
            self._fresh = True
            instant = self._enabled_at + conversion + (done - 1) * period
            self._convert(instant, bits, conversion, bool(control & 0x08))

    def _convert(self, instant: int, bits: int, conversion: int, ultraviolet: bool) -> None:
        gain = _GAINS[min(self._registers[0x05] & 7, 4)]
        value = self.sources[0 if ultraviolet else 1](instant) or 0.0
        if ultraviolet:
            counts = value * _COUNTS_PER_UVI * gain / 18 * conversion / 400
        else:
            counts = value / 0.6 * gain * conversion / 100
        self._data[ultraviolet] = min(round(max(counts, 0.0)), (1 << bits) - 1)

    def get(self, now: int, register: int) -> int:
        self._settle(now)
        if register == 0x06:
            return self.part_id
        if register == 0x07:
            status = (0x08 if self._fresh else 0) | (0x20 if self._powered else 0)
            self._fresh = self._powered = False
            return status
        if 0x0D <= register <= 0x0F:
            return self._data[False] >> 8 * (register - 0x0D)
        if 0x10 <= register <= 0x12:
            return self._data[True] >> 8 * (register - 0x10)
        return self._registers.get(register, 0)

    def put(self, now: int, register: int, value: int) -> None:
        self._settle(now)
        if register == 0x00:
            if value & 0x10:
                self.power_up(now)
                return
            if value & 0x0A != self._registers[0x00] & 0x0A:
                self._enabled_at, self._seen = now, 0
        if register in (0x00, 0x04, 0x05):
            self._registers[register] = value
