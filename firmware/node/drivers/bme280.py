"""Temperature, humidity and pressure: Bosch Sensortec BME280 on I2C.

Data sheet "BME280", BST-BME280-DS002, revision 1.6 (sections cited as DS). One measurement in forced mode for each
reading, filter off, as the data sheet recommends for weather (DS 3.5.1); the chip sleeps in between. It has an
identification but no checksum: the calibration is read twice, the measurement cannot be checked.
"""

from citymote_protocol.quantities import HUMIDITY, PRESSURE, TEMPERATURE

from .bosch import (
    Forced,
    byte,
    celsius,
    fine_temperature,
    hectopascals,
    oversampling,
    ranged,
    read_twice,
    signed,
    unsigned,
)
from .fault import FROZEN, OK, OUT_OF_RANGE, Fault
from .fixed import rounded, scaled

# DS 5.3: registers
_CALIBRATION = 0x88  # to 0xA1
_HUMIDITY_CALIBRATION = 0xE1  # to 0xE7
_CTRL_HUM = 0xF2
_STATUS = 0xF3
_CTRL_MEAS = 0xF4
_FORCED = 0x01
_SKIPPED = 0x80000  # DS 5.4.5, 5.4.7: what the result registers hold before a measurement, or when it is skipped


class BME280(Forced):
    """`address` 0x76 (SDO low) or 0x77. `osrs_t`, `osrs_h`, `osrs_p`: oversampling of temperature, humidity and
    pressure, 1, 2, 4, 8 or 16 (DS 5.4.3, 5.4.5).
    """

    QUANTITIES = (TEMPERATURE, HUMIDITY, PRESSURE)
    IDENTITY = 0x60  # DS 5.4.1; a BMP280, which has no humidity, says 0x58
    RESULTS = _STATUS  # DS 5.3: status, ctrl_meas, config, and behind a gap pressure, temperature, humidity
    STARTING = 3  # DS 1.1: start-up 2 ms

    def __init__(self, bus, address=0x76, osrs_t=1, osrs_h=1, osrs_p=1):
        if address not in (0x76, 0x77):
            raise ValueError("address is 0x76 or 0x77")
        # DS 5.4.3: humidity's oversampling takes effect with the next write to ctrl_meas
        mode = oversampling(osrs_t) << 5 | oversampling(osrs_p) << 2 | _FORCED
        command = bytes((_CTRL_HUM, oversampling(osrs_h), _CTRL_MEAS, mode))
        # DS 9.1: longest 1.25 + 2.3 T + (2.3 P + 0.575) + (2.3 H + 0.575) ms
        Forced.__init__(self, bus, address, command, (2400 + 2300 * (osrs_t + osrs_p + osrs_h) + 999) // 1000, 12)
        self._first = bytearray(26)
        self._second = bytearray(7)
        self._again_first = bytearray(26)
        self._again_second = bytearray(7)

    def _calibrate(self):
        if self._register(_STATUS) & 1:  # DS 5.4.4: the calibration is being copied from the memory
            return False
        read_twice(self._bus, self._address, _CALIBRATION, self._first, self._again_first)
        read_twice(self._bus, self._address, _HUMIDITY_CALIBRATION, self._second, self._again_second)
        # DS 4.2.2: T1 to T3, P1 to P9, all words, the first of each without a sign; behind a gap H1
        self._pressure[0] = unsigned(self._first, 6)
        for i in range(1, 9):
            self._pressure[i] = signed(self._first, 6 + 2 * i)
        self._pressure[5] <<= 2
        return True

    def _measured(self):
        if self._data[0] & 8:  # DS 5.4.4: measuring
            return False
        if self._data[1] != self._command[3] ^ _FORCED or self._raw(7) == _SKIPPED:
            raise Fault(FROZEN, "no measurement: the chip was reset")
        return True

    def _convert(self):
        first = self._first
        fine = fine_temperature(self._raw(7), unsigned(first, 0), signed(first, 2), signed(first, 4))
        # DS 1.3, 1.4: specified from -40 to 85 degrees Celsius and from 300 to 1100 hPa
        return (
            ranged(TEMPERATURE, rounded(celsius(fine), 10), -400, 850),
            self._humidity(fine),
            ranged(PRESSURE, hectopascals(self._raw(4), fine, self._pressure), 3000, 11000),
        )

    def _humidity(self, fine):
        """DS 4.2.3: in 1/1024 %RH; the formula itself ends at 0 and 100 %."""
        h = self._second
        # DS 4.2.2: H2 two bytes, H3 one, H4 and H5 twelve bits that share a byte, H6 one; H1 is in the other part
        h4 = byte(h, 3) << 4 | h[4] & 0x0F
        h5 = byte(h, 5) << 4 | h[4] >> 4
        v = fine - 76800
        part = scaled((scaled(v, byte(h, 6), 10)), scaled(v, h[2], 11) + 32768, 10) + 2097152
        part = scaled(part, signed(h, 0), 13) + 1 >> 1
        adc = self._data[10] << 8 | self._data[11]
        v = ((adc - (h4 << 6) << 14) - h5 * v + 16384) >> 15
        if abs(v) > 0x7FFF or abs(part) > 0x1FFFF:
            return (HUMIDITY, None, OUT_OF_RANGE)
        v = scaled(v, part, 2)  # a quarter of the data sheet's, which needs 31 bits
        v -= scaled(scaled(v >> 13, v >> 13, 7), self._first[25], 6)
        v = min(max(v, 0), 104857600)
        return (HUMIDITY, ((v >> 10) * 10 + 512) >> 10, OK)


DRIVER = BME280
