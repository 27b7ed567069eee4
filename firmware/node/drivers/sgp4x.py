"""What Sensirion's SGP40 and SGP41 share: raw signals of heated metal oxide layers, compensated by the chip itself for
the humidity and temperature that it is told, and the gas index computed from them.

Data sheets "SGP40", version 1.2, and "SGP41", version 1.0 (sections cited as DS). Every word carries a CRC, in both
directions. At start a serial number is read and the self-test run. The heater stays on between readings.
"""

from citymote_protocol.quantities import HUMIDITY, TEMPERATURE

from .fault import OK, REJECTED, WARMING_UP, WRONG_CHIP, Fault
from .sensirion import check, put_word, word

_HEATER_OFF = b"\x36\x15"  # DS: turn_heater_off, 1 ms
_SELF_TEST = b"\x28\x0e"  # DS: execute_self_test, 320 ms
_SERIAL = b"\x36\x82"  # DS: get_serial_number, 1 ms
_TEST_TIME = 320
_NO_HUMIDITY = 0x8000  # 50 %RH and
_NO_TEMPERATURE = 0x6666  # 25 degrees Celsius: the words that leave the signal uncompensated

_NEW, _ASKING, _SERIAL_READ, _TESTED, _CONDITIONED, _HEATING, _IDLE, _MEASURING, _READY = range(9)


class SGP4x:
    """A chip's own class says which signals it has, its command and its time, and what precedes the first."""

    BUS = "i2c"
    ADDRESS = 0x59
    WANTS = (TEMPERATURE, HUMIDITY)
    QUANTITIES = ()
    INDICES = ()
    MEASURE = 0
    DURATION = 0
    CONDITIONING = None
    CONDITIONING_TIME = 0
    HEATING_TIME = 170

    def __init__(self, bus, index, sampling_interval, learning_time, low_power=False):
        if index not in (False, True) or low_power not in (False, True):
            raise ValueError("index and low_power are true or false")
        if not 1 <= sampling_interval <= 10:
            raise ValueError("sampling_interval is 1 to 10 s")
        if not 1 <= learning_time <= 1000:
            raise ValueError("learning_time is 1 to 1000 hours")
        self._bus = bus
        self._low_power = low_power
        self._signals = self.QUANTITIES
        self.indices = ()
        if index:
            from .gas_index import GasIndex

            self.QUANTITIES = self._signals + self.INDICES
            self.indices = tuple([GasIndex(i, sampling_interval, learning_time) for i in range(len(self.INDICES))])
        self._command = bytearray(8)
        self._command[0] = self.MEASURE >> 8
        self._command[1] = self.MEASURE & 0xFF
        put_word(self._command, 2, _NO_HUMIDITY)
        put_word(self._command, 5, _NO_TEMPERATURE)
        self._data = bytearray(3 * len(self._signals))
        self._identity = bytearray(9)
        self._result = bytearray(3)
        self._state = _NEW

    def know(self, quantity, value):
        """Humidity or temperature of the air, or None: the chip compensates with them from the next reading on."""
        if quantity == HUMIDITY:
            # DS, measure_raw: RH / 100 x 65535, (T + 45) / 175 x 65535; here from tenths
            ticks = _NO_HUMIDITY if value is None else (min(max(value, 0), 1000) * 65535 + 500) // 1000
            put_word(self._command, 2, ticks)
        elif quantity == TEMPERATURE:
            ticks = _NO_TEMPERATURE if value is None else ((min(max(value, -450), 1300) + 450) * 65535 + 875) // 1750
            put_word(self._command, 5, ticks)

    def start(self):
        state = self._state
        self._state = _NEW  # until this step has succeeded
        if state == _READY:
            self._state = _READY
            return 0
        if state == _NEW:
            self._state = _ASKING
            try:
                self._bus.writeto(self.ADDRESS, _HEATER_OFF)
            except OSError:
                return _TEST_TIME  # busy with a self-test that a restarted node began; or not there, found next
            return 2
        if state == _ASKING:
            self._bus.writeto(self.ADDRESS, _SERIAL)
            return self._next(_SERIAL_READ, 2)
        if state == _SERIAL_READ:
            self._receive(self._identity)
            if not word(self._identity, 0) | word(self._identity, 3) | word(self._identity, 6):
                raise Fault(WRONG_CHIP, "serial number 0: not an SGP4x")
            self._bus.writeto(self.ADDRESS, _SELF_TEST)
            return self._next(_TESTED, _TEST_TIME)
        if state == _TESTED:
            self._receive(self._result)
            if not self._passed(word(self._result, 0)):
                raise Fault(REJECTED, "self-test failed: %04x" % word(self._result, 0))
            if self.CONDITIONING:
                self._bus.writeto(self.ADDRESS, self.CONDITIONING)
                return self._next(_CONDITIONED, self.CONDITIONING_TIME)
        if state == _TESTED or state == _IDLE and self._low_power:
            self._bus.writeto(self.ADDRESS, self._command)  # heats; what it measures is left unread
            return self._next(_HEATING, self.HEATING_TIME)
        if state != _MEASURING:
            self._bus.writeto(self.ADDRESS, self._command)
            return self._next(_MEASURING, self.DURATION)
        self._receive(self._data)
        self._state = _READY
        if self._low_power:
            self._bus.writeto(self.ADDRESS, _HEATER_OFF)
            return 2
        return 0

    def read(self):
        state = self._state
        self._state = _NEW
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        self._state = _IDLE
        out = []
        for i in range(len(self._signals)):
            out.append((self._signals[i], word(self._data, 3 * i), OK))
        for i in range(len(self.indices)):
            index = self.indices[i].process(word(self._data, 3 * i))
            out.append((self.INDICES[i], index, WARMING_UP if index is None else OK))
        return out

    def stop(self):
        """Turns the heater off. What the index has learnt is kept; it is of use for ten minutes more."""
        self._state = _NEW
        try:
            self._bus.writeto(self.ADDRESS, _HEATER_OFF)
        except OSError:
            pass  # busy, or not there
        return 0

    def _passed(self, result):
        return False

    def _next(self, state, wait):
        self._state = state
        return wait

    def _receive(self, reply):
        self._bus.readfrom_into(self.ADDRESS, reply)
        check(reply, len(reply))
