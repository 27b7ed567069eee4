"""Texas Instruments INA219: bus voltage and the drop over a shunt on I2C (datasheet SBOS448G).

Converts all the time after power-up; triggered modes convert once, power-down not at all. A register's two bytes are
read and written high byte first, and the register pointer stays where it is.
"""

from __future__ import annotations

from .base import I2CChip, Nak, Source

# 8.6.2.1, table 5: duration in us by the ADC's setting
_DURATIONS = (84, 148, 276, 532, 84, 148, 276, 532, 532, 1060, 2130, 4260, 8510, 17020, 34050, 68100)


class INA219(I2CChip):
    """`voltage` in V, `current` in mA through `shunt_resistance` milliohm; `hang` lets no conversion end."""

    def __init__(self, voltage: Source, current: Source, *, address: int = 0x40, shunt_resistance: int = 100) -> None:
        self.address = address
        self._voltage = voltage
        self._current = current
        self._shunt = shunt_resistance
        self.hang = False
        self.power_up()

    def power_up(self, now: int = 0) -> None:
        self._pointer = 0
        self._configuration = 0x399F
        self._calibration = 0
        self._due = now + 2
        self._ready = False
        self._results = (0, 0)

    def write(self, now: int, data: bytes) -> None:
        if self._voltage(now) is None:
            raise Nak
        self._settle(now)
        if data:
            self._pointer = data[0] & 7
        if len(data) >= 3:
            self._put(now, data[1] << 8 | data[2])

    def read(self, now: int, count: int) -> bytes:
        if self._voltage(now) is None:
            raise Nak
        self._settle(now)
        return self._get().to_bytes(2, "big")[:count]

    def _put(self, now: int, value: int) -> None:
        if self._pointer == 0:
            if value & 0x8000:
                self.power_up(now)
                return
            self._configuration = value
            self._ready = False
            self._due = now + self._duration()
        elif self._pointer == 5:
            self._calibration = value & 0xFFFE

    def _duration(self) -> int:
        both = _DURATIONS[self._configuration >> 3 & 15] + _DURATIONS[self._configuration >> 7 & 15]
        return -(-both // 1000)

    def _settle(self, now: int) -> None:
        mode = self._configuration & 7
        if mode in (0, 4) or self.hang or now < self._due or (mode < 4 and self._ready):
            return
        limit = 4000 << (self._configuration >> 11 & 3)
        drop = round((self._current(self._due) or 0.0) * self._shunt / 10)
        volts = round((self._voltage(self._due) or 0.0) * 1000 / 4)
        self._results = (min(max(drop, -limit), limit), min(max(volts, 0), 8000))
        self._ready = True
        if mode > 4:
            self._due = now + self._duration()

    def _get(self) -> int:
        drop, volts = self._results
        current = drop * self._calibration >> 12
        match self._pointer:
            case 0:
                return self._configuration
            case 1:
                return drop & 0xFFFF
            case 2:
                return volts << 3 | (2 if self._ready else 0)
            case 3:
                self._ready = False
                return abs(current * volts) // 5000 & 0xFFFF
            case 4:
                return current & 0xFFFF
            case 5:
                return self._calibration
            case _:
                return 0
