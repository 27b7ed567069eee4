"""Temperature, humidity and pressure: Bosch Sensortec BME280 on I2C.

Data sheet "BME280", BST-BME280-DS002, revision 1.6 (sections cited as DS). One measurement in forced mode for each
reading, filter off, as the data sheet recommends for weather (DS 3.5.1); the chip sleeps in between. It has an
identification but no checksum: the calibration is read twice, the measurement cannot be checked.
"""

from citymote_protocol.quantities import HUMIDITY, PRESSURE, TEMPERATURE

from .bosch import byte, celsius, fine_temperature, hectopascals, ranged, read_twice, signed, unsigned
from .fault import FROZEN, OK, OUT_OF_RANGE, WARMING_UP, WRONG_CHIP, Fault
from .fixed import rounded, scaled

# DS 5.3: registers
_CALIBRATION = 0x88  # to 0xA1
_ID = 0xD0
_RESET = 0xE0
_HUMIDITY_CALIBRATION = 0xE1  # to 0xE7
_CTRL_HUM = 0xF2
_STATUS = 0xF3
_CTRL_MEAS = 0xF4
_FORCED = 0x01
_SKIPPED = 0x80000  # DS 5.4.5, 5.4.7: what the result registers hold before a measurement, or when it is skipped
_SAMPLES = (1, 2, 4, 8, 16)  # DS 5.4.3, 5.4.5: oversampling, coded as 1 to 5
_POLL = 5
_POLLS = 5

_NEW, _STARTING, _IDLE, _MEASURING, _READY = range(5)


class BME280:
    """`address` 0x76 (SDO low) or 0x77. `osrs_t`, `osrs_h`, `osrs_p`: oversampling of temperature, humidity and
    pressure, 1, 2, 4, 8 or 16 (DS 5.4.3, 5.4.5).
    """

    BUS = "i2c"
    QUANTITIES = (TEMPERATURE, HUMIDITY, PRESSURE)

    def __init__(self, bus, address=0x76, osrs_t=1, osrs_h=1, osrs_p=1):
        if address not in (0x76, 0x77):
            raise ValueError("address is 0x76 or 0x77")
        for samples in (osrs_t, osrs_h, osrs_p):
            if samples not in _SAMPLES:
                raise ValueError("osrs_t, osrs_h and osrs_p are 1, 2, 4, 8 or 16")
        self._bus = bus
        self._address = address
        self._humid = bytes((_CTRL_HUM, _SAMPLES.index(osrs_h) + 1))
        self._mode = (_SAMPLES.index(osrs_t) + 1) << 5 | (_SAMPLES.index(osrs_p) + 1) << 2
        # DS 9.1: longest 1.25 + 2.3 T + (2.3 P + 0.575) + (2.3 H + 0.575) ms
        self._duration = (2400 + 2300 * (osrs_t + osrs_p + osrs_h) + 999) // 1000
        self._pair = bytearray(2)
        self._one = bytearray(1)
        self._first = bytearray(26)
        self._second = bytearray(7)
        self._again = bytearray(26)
        self._few = bytearray(7)
        self._pressure = [0] * 10
        self._data = bytearray(12)
        self._reset()

    def start(self):
        state = self._state
        polls = self._polls
        self._reset()  # until this step has succeeded
        if state == _READY:
            self._state = _READY
            return 0
        if state == _NEW:
            self._bus.readfrom_mem_into(self._address, _ID, self._one)
            if self._one[0] != 0x60:  # DS 5.4.1; 0x58 is a BMP280, which has no humidity
                raise Fault(WRONG_CHIP, "identification is %02x, not 60" % self._one[0])
            self._write(_RESET, 0xB6)
            self._state = _STARTING
            return 3  # DS 1.1: start-up 2 ms
        if state == _STARTING:
            self._bus.readfrom_mem_into(self._address, _STATUS, self._one)
            if self._one[0] & 1:  # DS 5.4.4: the calibration is being copied from the memory
                return self._poll(_STARTING, polls)
            self._calibrate()
            state = _IDLE
        if state == _IDLE:
            self._bus.writeto(self._address, self._humid)  # DS 5.4.3: takes effect with the next write to ctrl_meas
            self._write(_CTRL_MEAS, self._mode | _FORCED)
            self._state = _MEASURING
            return self._duration
        self._bus.readfrom_mem_into(self._address, _STATUS, self._data)
        if self._data[0] & 8:  # DS 5.4.4: measuring
            return self._poll(_MEASURING, polls)
        if self._data[1] & 0xFC != self._mode or self._raw(7) == _SKIPPED:
            raise Fault(FROZEN, "no measurement: the chip was reset")
        self._state = _READY
        return 0

    def read(self):
        state = self._state
        self._reset()
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        self._state = _IDLE
        first = self._first
        fine = fine_temperature(self._raw(7), unsigned(first, 0), signed(first, 2), signed(first, 4))
        pressure = hectopascals(self._raw(4), fine, self._pressure)
        # DS 1.3, 1.4: specified from -40 to 85 degrees Celsius and from 300 to 1100 hPa
        return (
            ranged(TEMPERATURE, rounded(celsius(fine), 10), -400, 850),
            self._humidity(fine),
            ranged(PRESSURE, pressure, 3000, 11000),
        )

    def stop(self):
        """The chip sleeps by itself after each measurement."""
        self._reset()
        return 0

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

    def _calibrate(self):
        read_twice(self._bus, self._address, _CALIBRATION, self._first, self._again)
        read_twice(self._bus, self._address, _HUMIDITY_CALIBRATION, self._second, self._few)
        first = self._first
        self._pressure[0] = unsigned(first, 6)
        for i in range(1, 9):
            self._pressure[i] = signed(first, 6 + 2 * i)
        self._pressure[5] <<= 2

    def _raw(self, at):
        """DS 5.4.7: twenty bits, high byte first, left-justified in three bytes; behind the status at 0."""
        data = self._data
        return data[at] << 12 | data[at + 1] << 4 | data[at + 2] >> 4

    def _poll(self, state, polls):
        if polls == _POLLS:
            raise Fault(FROZEN, "the chip does not come to an end")
        self._state = state
        self._polls = polls + 1
        return _POLL

    def _reset(self):
        self._state = _NEW
        self._polls = 0

    def _write(self, register, value):
        self._pair[0] = register
        self._pair[1] = value
        self._bus.writeto(self._address, self._pair)


DRIVER = BME280
