"""Temperature and humidity: Sensirion SHT40, SHT41, SHT43, SHT45 on I2C.

Datasheet "SHT4x", version 6 (sections cited as DS). One measurement is triggered for each reading; between readings the
chip is in its idle state (0.08 uA), so there is nothing to power down. Every word carries a CRC.
"""

from citymote_protocol.quantities import HUMIDITY, TEMPERATURE

from .fault import BAD_CHECKSUM, OK, OUT_OF_RANGE, WARMING_UP, WRONG_CHIP, Fault
from .sensirion import check, intact, word

# DS 4.5, command overview; DS 3.2, timings: longest measurement at each repeatability, rounded up to ms
_REPEATABILITY = {"high": (0xFD, 9), "medium": (0xF6, 5), "low": (0xE0, 2)}
# DS 4.9: heater power in mW and time in s -> command, longest time in ms. The reading taken at its end is a heated one.
_HEATER = {
    "200mW_1s": (0x39, 1100),
    "200mW_0.1s": (0x32, 110),
    "110mW_1s": (0x2F, 1100),
    "110mW_0.1s": (0x24, 110),
    "20mW_1s": (0x1E, 1100),
    "20mW_0.1s": (0x15, 110),
}
# DS 4.7: "read serial number" needs no measurement; the maker's own driver leaves it 10 ms
_SERIAL_TIME = 10
_RESET_TIME = 2  # DS 3.2: 1 ms at most

_NEW, _RESET, _SERIAL, _IDLE, _HEATING, _MEASURING, _READY = range(7)


class SHT4x:
    """`repeatability` high, medium or low; `heater` names a pulse to be given before each reading (DS 4.9).

    `heater_rest` is the time in ms that the chip cools between the pulse and the measurement: it keeps the duty cycle
    under the 10 % of DS 4.9. `address` is 0x44, 0x45 or 0x46, by the part number.
    """

    BUS = "i2c"
    QUANTITIES = (TEMPERATURE, HUMIDITY)

    def __init__(self, bus, address=0x44, repeatability="high", heater=None, heater_rest=20000):
        if address not in (0x44, 0x45, 0x46):
            raise ValueError("address is 0x44, 0x45 or 0x46")
        if repeatability not in _REPEATABILITY:
            raise ValueError("repeatability is high, medium or low")
        if heater is not None and heater not in _HEATER:
            raise ValueError("heater is one of " + ", ".join(sorted(_HEATER)))
        if not 10000 <= heater_rest <= 600000:
            raise ValueError("heater_rest is 10000 to 600000 ms")
        self._bus = bus
        self._address = address
        command, self._duration = _REPEATABILITY[repeatability]
        self._measure = bytes((command,))
        self._heat = None
        if heater is not None:
            command, self._heat_time = _HEATER[heater]
            self._heat = bytes((command,))
            self._heat_time += heater_rest
        self._data = bytearray(6)
        self._state = _NEW
        self.serial = None  # 32 bits as hexadecimal text, once identified

    def start(self):
        state = self._state
        self._state = _NEW  # until this step has succeeded
        if state == _READY or state == _MEASURING:
            self._state = _READY
            return 0
        if state == _NEW:
            self._bus.writeto(self._address, b"\x94")  # DS 4.5: soft reset
            self._state = _RESET
            return _RESET_TIME
        if state == _RESET:
            self._bus.writeto(self._address, b"\x89")  # DS 4.5: read serial number
            self._state = _SERIAL
            return _SERIAL_TIME
        if state == _SERIAL:
            self._bus.readfrom_into(self._address, self._data)
            check(self._data, 6)
            high = word(self._data, 0)
            low = word(self._data, 3)
            if not high | low:
                raise Fault(WRONG_CHIP, "serial number 0: not an SHT4x")
            self.serial = "%04x%04x" % (high, low)
            state = _IDLE
        if state == _IDLE and self._heat:
            self._bus.writeto(self._address, self._heat)
            self._state = _HEATING
            return self._heat_time
        # after the heater, its own measurement is left unread: it is one of a heated chip
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
        # DS 4.6: T = -45 + 175 S / 65535, RH = -6 + 125 S / 65535; here in tenths, rounded to nearest
        temperature = (1750 * word(data, 0) + 32767) // 65535 - 450
        humidity = (1250 * word(data, 3) + 32767) // 65535 - 60
        # DS 4.6: beyond 0 to 100 %RH the reading is not physical (condensation, ageing); it is kept and marked.
        # DS 2.2: specified from -40 to 125 degrees Celsius. Each word has its own CRC and stands for itself.
        if not sound:
            return ((TEMPERATURE, None, BAD_CHECKSUM), self._humidity(humidity))
        if not intact(data, 3):
            return (self._temperature(temperature), (HUMIDITY, None, BAD_CHECKSUM))
        return (self._temperature(temperature), self._humidity(humidity))

    def _temperature(self, value):
        return (TEMPERATURE, value, OK if -400 <= value <= 1250 else OUT_OF_RANGE)

    def _humidity(self, value):
        return (HUMIDITY, value, OK if 0 <= value <= 1000 else OUT_OF_RANGE)

    def stop(self):
        """The chip idles by itself after each measurement; a heater still on is ended by a soft reset."""
        state = self._state
        self._state = _NEW
        if state == _HEATING:
            self._bus.writeto(self._address, b"\x94")
        return 0


DRIVER = SHT4x
