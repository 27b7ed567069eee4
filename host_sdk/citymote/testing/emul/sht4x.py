"""Sensirion SHT4x: temperature and humidity on I2C, one byte a command (datasheet "SHT4x", version 6)."""

from __future__ import annotations

from .base import Nak, Source
from .sensirion import SensirionChip, words

# 4.5: command -> measuring time in ms (3.2, longest), and the heater's share of it
_MEASURE = {0xFD: 9, 0xF6: 5, 0xE0: 2}
_HEAT = {0x39: (1100, 200), 0x32: (110, 200), 0x2F: (1100, 110), 0x24: (110, 110), 0x1E: (1100, 20), 0x15: (110, 20)}
_KELVIN_PER_MW = 0.3  # about 60 K at 200 mW, as 4.9's figure shows in still air


class SHT4x(SensirionChip):
    """Idle until told to measure; NAK while measuring; each result can be read once.

    With only one of its sources absent the chip answers, with a wrong CRC on that word.
    """

    def __init__(
        self, temperature: Source, humidity: Source, *, serial: int = 0x0F5A_1234, address: int = 0x44
    ) -> None:
        super().__init__()
        self.address = address
        self.serial = serial
        self._temperature = temperature
        self._humidity = humidity

    def present(self, now: int) -> bool:
        return self._temperature(now) is not None or self._humidity(now) is not None

    def command(self, now: int, data: bytes) -> None:
        code = data[0]
        if code in _MEASURE:
            self._busy(now, _MEASURE[code])
            self._answer = self._measured(now, 0.0)
        elif code in _HEAT:
            duration, power = _HEAT[code]
            self._busy(now, duration)
            self._answer = self._measured(now, power * _KELVIN_PER_MW)
        elif code == 0x89:
            self._busy(now, 1)
            self._answer = words((self.serial >> 16, self.serial & 0xFFFF))
        elif code == 0x94:
            self._busy(now, 1)
        else:
            raise Nak

    def write(self, now: int, data: bytes) -> None:
        if data[:1] == b"\x94" and self.present(now):  # a reset interrupts what is running, the heater too
            self._answer = None
            self._busy(now, 1)
            return
        super().write(now, data)

    def _measured(self, now: int, heated: float) -> bytes:
        temperature, humidity = self._temperature(now), self._humidity(now)
        # 4.6, turned round; both converters stop at their ends. Warm air of the same vapour is dry: about 5 % a kelvin.
        ticks_t = round(((temperature or 0.0) + heated + 45) * 65535 / 175)
        ticks_rh = round(((humidity or 0.0) * 0.95**heated + 6) * 65535 / 125)
        reply = bytearray(words((min(max(ticks_t, 0), 65535), min(max(ticks_rh, 0), 65535))))
        if temperature is None:
            reply[2] ^= 0xFF
        if humidity is None:
            reply[5] ^= 0xFF
        return bytes(reply)
