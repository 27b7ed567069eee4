"""Wind by ultrasound, and the air's climate: Seeed SenseCAP ONE (S200, S500 and relatives) on RS-485, Modbus RTU.

Seeed "SenseCAP ONE Compact Weather Sensor, user manual", 4.1 (registers) and 6 (error codes), cited as UM. Speed and
direction are the device's own means over 5 s. One request brings all; every frame carries Modbus' CRC-16. The device's
address is its only identification.
"""

from citymote_protocol.quantities import HUMIDITY, PRESSURE, TEMPERATURE, WIND_DIRECTION, WIND_SPEED

from .fault import OK, OUT_OF_RANGE, WARMING_UP, Fault
from .fixed import rounded
from .modbus import READ_INPUT, Modbus, request

# UM 4.1.2, input registers, two for each value: thousandths, signed, high word first
_CLIMATE = 0x0000  # temperature, humidity, pressure (Pa), light
_WIND = 0x0008  # direction least, greatest, mean; speed least, greatest, mean
_WIND_COUNT = 12
_TIME = 100  # ms; 37 bytes take 39, and no time of answering is promised
_REPEATS = 6

_ASK, _ASKED, _READY = range(3)


class SenseCAPOne:
    """`address` is the device's: 44 for S200 (the default), 10 for S500, 20 for S700, as they are delivered (UM 4.1).
    `climate` reads temperature, humidity and pressure as well, which an S200 has not.

    `direction` is the pin that switches the transceiver, where it must be switched: the second bus of the sensor.
    """

    BUS = ("uart", "pin")
    BAUDRATE = 9600
    QUANTITIES = (WIND_SPEED, WIND_DIRECTION)

    def __init__(self, bus, direction=None, address=44, climate=False):
        if not 1 <= address <= 247:
            raise ValueError("address is 1 to 247")
        if climate not in (False, True):
            raise ValueError("climate is true or false")
        self._first = _CLIMATE if climate else _WIND
        count = _WIND + _WIND_COUNT - self._first
        self._wanted = 2 * count + 5
        self._line = Modbus(bus, address, self._wanted, direction)
        self._request = request(address, READ_INPUT, self._first, count)
        if climate:
            self.QUANTITIES += (TEMPERATURE, HUMIDITY, PRESSURE)
        self._reset()

    def start(self):
        state = self._state
        repeats = self._repeats
        self._reset()  # until this step has succeeded
        if state == _READY:
            self._state = _READY
            return 0
        if state == _ASKED:
            damage = self._line.answer(READ_INPUT, self._wanted)
            if not damage:
                self._state = _READY
                return 0
            if repeats == _REPEATS:
                raise Fault(damage, "no whole answer")
            repeats += 1
        self._line.ask(self._request)
        self._state = _ASKED
        self._repeats = repeats
        return _TIME

    def read(self):
        state = self._state
        self._reset()
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        # UM 1: to 60 m/s; 360 degrees are 0
        speed = self._tenths(0x0012)
        direction = rounded(self._value(0x000C), 1000)
        wind = (
            _ranged(WIND_SPEED, speed, 600),
            (WIND_DIRECTION, direction % 360, OK) if 0 <= direction <= 360 else (WIND_DIRECTION, None, OUT_OF_RANGE),
        )
        if self._first:
            return wind
        temperature = self._tenths(0x0000)
        return (
            wind[0],
            wind[1],
            (TEMPERATURE, temperature, OK if -400 <= temperature <= 850 else OUT_OF_RANGE),
            _ranged(HUMIDITY, self._tenths(0x0002), 1000),
            _ranged(PRESSURE, rounded(self._value(0x0004), 10000), 12500),
        )

    def stop(self):
        """The device has no power-down: what feeds it must be switched."""
        self._reset()
        return 0

    def _value(self, register):
        at = 3 + 2 * (register - self._first)
        reply = self._line.reply
        high = reply[at] << 8 | reply[at + 1]
        if high & 0x8000:
            high -= 0x10000
        return high * 65536 + (reply[at + 2] << 8 | reply[at + 3])

    def _tenths(self, register):
        return rounded(self._value(register), 100)

    def _reset(self):
        self._state = _ASK
        self._repeats = 0


def _ranged(quantity, value, highest):
    return (quantity, value, OK if 0 <= value <= highest else OUT_OF_RANGE)


DRIVER = SenseCAPOne
