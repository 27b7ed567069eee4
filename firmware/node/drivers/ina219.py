"""Supply or battery voltage and current: Texas Instruments INA219 on I2C.

Datasheet "INA219", SBOS448G (sections cited as DS). One triggered conversion of both inputs for each reading, 128
samples averaged by the chip, powered down in between. It has neither an identification nor a checksum; that the
configuration reads back as written stands in for the first.
"""

from citymote_protocol.quantities import BATTERY_VOLTAGE, SUPPLY_CURRENT, SUPPLY_VOLTAGE

from .fault import FROZEN, OK, SATURATED, WARMING_UP, WRONG_CHIP, Fault

# DS 8.6: registers of 16 bits, high byte first
_CONFIGURATION = 0
_SHUNT_VOLTAGE = 1
_BUS_VOLTAGE = 2
# DS 8.6.2.1: 32 V bus range, 128 samples of 12 bits on both inputs, mode 3 (both, triggered) or 0 (power-down)
_AVERAGED = 0x2000 | 0x0780 | 0x0078
_TRIGGERED = 0x0003
_DURATION = 140  # DS 8.6.2.1, table 5: 68.10 ms for each input
_POLL = 20
_POLLS = 5

_NEW, _CONVERTING, _READY = range(3)


class INA219:
    """`address` 0x40 to 0x4F. `shunt_resistance` in milliohm. `shunt_range` in mV: 40, 80, 160 or 320 (DS 8.6.2.1,
    PGA). `battery` reports the voltage as that of the battery instead of the supply.
    """

    BUS = "i2c"
    QUANTITIES = (SUPPLY_VOLTAGE, SUPPLY_CURRENT)

    def __init__(self, bus, address=0x40, shunt_resistance=100, shunt_range=320, battery=False):
        if not 0x40 <= address <= 0x4F:
            raise ValueError("address is 0x40 to 0x4F")
        if not 1 <= shunt_resistance <= 10000:
            raise ValueError("shunt_resistance is 1 to 10000 milliohm")
        if shunt_range not in (40, 80, 160, 320):
            raise ValueError("shunt_range is 40, 80, 160 or 320 mV")
        if battery not in (False, True):
            raise ValueError("battery is true or false")
        self._bus = bus
        self._address = address
        self._shunt = shunt_resistance
        self._range = shunt_range * 100  # in steps of 10 uV
        if battery:
            self.QUANTITIES = (BATTERY_VOLTAGE, SUPPLY_CURRENT)
        self._mode = _AVERAGED | (40, 80, 160, 320).index(shunt_range) << 11
        self._write_buffer = bytearray(3)
        self._word = bytearray(2)
        self._voltage = 0
        self._drop = 0
        self._state = _NEW
        self._polls = 0

    def start(self):
        state = self._state
        polls = self._polls
        self._state = _NEW  # until this step has succeeded
        self._polls = 0
        if state == _READY:
            self._state = _READY
            return 0
        if state == _NEW:
            self._write(_CONFIGURATION, self._mode)
            if self._read(_CONFIGURATION) != self._mode:
                raise Fault(WRONG_CHIP, "the configuration does not read back: not an INA219")
            self._write(_CONFIGURATION, self._mode | _TRIGGERED)
            self._state = _CONVERTING
            return _DURATION
        voltage = self._read(_BUS_VOLTAGE)
        if not voltage & 2:  # DS 8.6.3.2: CNVR, conversion ready
            if polls == _POLLS:
                raise Fault(FROZEN, "the conversion does not end")
            self._state = _CONVERTING
            self._polls = polls + 1
            return _POLL
        self._voltage = voltage
        drop = self._read(_SHUNT_VOLTAGE)
        self._drop = drop - 0x10000 if drop & 0x8000 else drop
        self._write(_CONFIGURATION, self._mode)
        self._state = _READY
        return 0

    def read(self):
        state = self._state
        self._state = _NEW
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        # DS 8.6.3.2: bits 15 to 3, 4 mV each; DS 8.6.3.1: 10 uV each, I = U / R
        voltage = (self.QUANTITIES[0], (self._voltage >> 3) * 4, OK)
        if abs(self._drop) >= self._range:
            return (voltage, (SUPPLY_CURRENT, None, SATURATED))
        return (voltage, (SUPPLY_CURRENT, _rounded(self._drop * 10, self._shunt), OK))

    def stop(self):
        self._state = _NEW
        self._write(_CONFIGURATION, self._mode)
        return 0

    def _read(self, register):
        self._bus.readfrom_mem_into(self._address, register, self._word)
        return self._word[0] << 8 | self._word[1]

    def _write(self, register, value):
        self._write_buffer[0] = register
        self._write_buffer[1] = value >> 8
        self._write_buffer[2] = value & 0xFF
        self._bus.writeto(self._address, self._write_buffer)


def _rounded(value, by):
    return (value + by // 2) // by if value >= 0 else -((by // 2 - value) // by)


DRIVER = INA219
