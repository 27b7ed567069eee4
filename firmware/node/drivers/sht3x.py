"""Temperature and humidity: Sensirion SHT30, SHT31, SHT35 on I2C.

Datasheet "SHT3x-DIS", version 7 (sections cited as DS). One measurement is triggered for each reading, without clock
stretching; between readings the chip idles (0.2 uA). Every word carries a CRC.
"""

from citymote_protocol.quantities import HUMIDITY, TEMPERATURE

from .fault import BAD_CHECKSUM, OK, OUT_OF_RANGE, WARMING_UP, WRONG_CHIP, Fault
from .sensirion import check, intact, word

# DS 4.3: single shot without clock stretching; DS 2.2, table 4: longest measurement, rounded up to ms
_REPEATABILITY = {"high": (b"\x24\x00", 16), "medium": (b"\x24\x0b", 7), "low": (b"\x24\x16", 5)}
_RESET = b"\x30\xa2"  # DS 4.9
_SERIAL = b"\x37\x80"  # Sensirion's application note on the identification code
_HEATER_ON = b"\x30\x6d"  # DS 4.10
_HEATER_OFF = b"\x30\x66"

_NEW, _WOKEN, _ASKED, _IDLE, _MEASURING, _READY = range(6)


class SHT3x:
    """`address` 0x44 or 0x45 (ADDR pin). `repeatability` high, medium or low. `heater` stays on while true: for
    plausibility checks and to drive off dew; it warms the chip by some kelvins (DS 4.10).
    """

    BUS = "i2c"
    QUANTITIES = (TEMPERATURE, HUMIDITY)

    def __init__(self, bus, address=0x44, repeatability="high", heater=False):
        if address not in (0x44, 0x45):
            raise ValueError("address is 0x44 or 0x45")
        if repeatability not in _REPEATABILITY:
            raise ValueError("repeatability is high, medium or low")
        if heater not in (False, True):
            raise ValueError("heater is true or false")
        self._bus = bus
        self._address = address
        self._measure, self._duration = _REPEATABILITY[repeatability]
        self._heater = _HEATER_ON if heater else _HEATER_OFF
        self._data = bytearray(6)
        self._state = _NEW
        self.serial = None

    def start(self):
        state = self._state
        self._state = _NEW  # until this step has succeeded
        if state == _READY or state == _MEASURING:
            self._state = _READY
            return 0
        if state == _NEW:
            self._bus.writeto(self._address, _RESET)
            self._state = _WOKEN
            return 2  # DS 2.2: 1.5 ms
        if state == _WOKEN:
            self._bus.writeto(self._address, _SERIAL)
            self._state = _ASKED
            return 1
        if state == _ASKED:
            self._bus.readfrom_into(self._address, self._data)
            check(self._data, 6)
            if not word(self._data, 0) | word(self._data, 3):
                raise Fault(WRONG_CHIP, "serial number 0: not an SHT3x")
            self.serial = "%04x%04x" % (word(self._data, 0), word(self._data, 3))
            self._bus.writeto(self._address, self._heater)
            self._state = _IDLE
            return 1  # DS 4.1: 1 ms between commands
        self._bus.writeto(self._address, self._measure)
        self._state = _MEASURING
        return self._duration

    def read(self):
        state = self._state
        self._state = _NEW
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        data = self._data
        self._bus.readfrom_into(self._address, data)
        sound = intact(data, 0)
        if not (sound or intact(data, 3)):
            check(data, 6)  # raises, with the reason
        self._state = _IDLE
        # DS 4.13: T = -45 + 175 S / 65535, RH = 100 S / 65535; tenths, rounded to nearest; range DS 1
        temperature = (1750 * word(data, 0) + 32767) // 65535 - 450
        humidity = (1000 * word(data, 3) + 32767) // 65535
        if not sound:
            return ((TEMPERATURE, None, BAD_CHECKSUM), (HUMIDITY, humidity, OK))
        quality = OK if -400 <= temperature <= 1250 else OUT_OF_RANGE
        if not intact(data, 3):
            return ((TEMPERATURE, temperature, quality), (HUMIDITY, None, BAD_CHECKSUM))
        return ((TEMPERATURE, temperature, quality), (HUMIDITY, humidity, OK))

    def stop(self):
        """The chip idles by itself; a reset ends the heater, and leaves a chip that is busy alone."""
        state = self._state
        self._state = _NEW
        if state in (_IDLE, _READY):
            self._bus.writeto(self._address, _RESET)
        return 0


DRIVER = SHT3x
