"""Particulate matter: Sensirion SPS30 on I2C (SEL pin to ground before power-up).

Datasheet "SPS30", version 1.0 of March 2020 (sections cited as DS). The chip measures once a second by itself; values
are read in its IEEE 754 output format, whose tenths an integer format would lose. Every word carries a CRC.
"""

from citymote_protocol.quantities import (
    PARTICLES_0_5,
    PARTICLES_1_0,
    PARTICLES_2_5,
    PARTICLES_4_0,
    PARTICLES_10,
    PM1,
    PM2_5,
    PM4,
    PM10,
)

from .fault import FROZEN, OK, OUT_OF_RANGE, REJECTED, SUSPICIOUS, WARMING_UP, WRONG_CHIP, Fault
from .sensirion import check, put_word, word
from .sensirion_float import scaled_float

_ADDRESS = 0x69  # DS 6: fixed
# DS 6.3: pointer addresses
_START = 0x0010
_STOP = 0x0104
_READY_FLAG = 0x0202
_VALUES = 0x0300
_SLEEP = 0x1001
_WAKE = 0x1103
_CLEANING_INTERVAL = 0x8004
_PRODUCT_TYPE = 0xD002
_VERSION = 0xD100
_STATUS = 0xD206
_FLOAT = 0x0300  # DS 6.3.1: output format, big-endian IEEE 754, and its padding byte
# DS 6.3: longest execution times in ms
_START_TIME = 20
_STOP_TIME = 20
_WAKE_TIME = 5
_POLL = 250  # DS 1.1: a new value every 1 s +- 4 %
_POLLS = 6

_NEW, _AWAKE, _STOPPED, _STARTED, _RUNNING, _READY, _STOPPING = range(7)


class SPS30:
    """`start_up` is the time in ms from switching the fan on to the first reading that is used (DS 1.1: 8 s at 200 to
    3000 particles/cm3, 16 s at 100 to 200, 30 s at 50 to 100).

    `auto_cleaning_interval` in s, 0 off, at most 2^30 - 1 here (DS 4.2; the chip keeps it); None leaves the chip's
    own (one week). `number_concentration` adds the five particle counts.
    """

    BUS = "i2c"
    QUANTITIES = (PM1, PM2_5, PM4, PM10)
    NUMBERS = (PARTICLES_0_5, PARTICLES_1_0, PARTICLES_2_5, PARTICLES_4_0, PARTICLES_10)

    def __init__(self, bus, start_up=30000, auto_cleaning_interval=None, number_concentration=False):
        if not 1000 <= start_up <= 60000:
            raise ValueError("start_up is 1000 to 60000 ms")
        if auto_cleaning_interval is not None and not 0 <= auto_cleaning_interval < 1 << 30:
            raise ValueError("auto_cleaning_interval is 0 to 1073741823 s")
        if number_concentration not in (False, True):
            raise ValueError("number_concentration is true or false")
        self._bus = bus
        self._start_up = start_up
        self._interval = auto_cleaning_interval
        if number_concentration:
            self.QUANTITIES = self.QUANTITIES + self.NUMBERS
        # DS 6.3.3: values follow each other, 6 bytes each; a read may end after any of them
        self._values = bytearray(6 * len(self.QUANTITIES))
        self._pointer = bytearray(2)
        self._argument = bytearray(5)
        self._long = bytearray(8)
        self._two = bytearray(3)
        self._four = bytearray(6)
        self._type = bytearray(12)
        self._state = _NEW
        self._polls = 0
        self._version = 0  # major << 8 | minor

    def start(self):
        state = self._state
        self._state = _NEW  # until this step has succeeded
        if state == _READY:
            self._state = _READY
            return 0
        if state == _NEW or state == _STOPPING:
            # DS 6.3.6: asleep, the first transfer only wakes the interface and is not acknowledged, the second is
            # obeyed. Awake, the chip may refuse both, which says nothing yet.
            for _ in range(2):
                try:
                    self._write(_WAKE)
                except OSError:
                    pass
            self._state = _AWAKE
            return _WAKE_TIME
        if state == _AWAKE:
            self._identify()
            self._write(_STOP)  # a node that was reset finds the chip still measuring
            self._state = _STOPPED
            return _STOP_TIME
        if state == _STOPPED:
            if self._interval is not None and self._cleaning_interval() != self._interval:
                self._long[0] = _CLEANING_INTERVAL >> 8
                self._long[1] = _CLEANING_INTERVAL & 0xFF
                put_word(self._long, 2, self._interval >> 16)
                put_word(self._long, 5, self._interval & 0xFFFF)
                self._bus.writeto(_ADDRESS, self._long)
                self._state = _STOPPED
                return _START_TIME
            self._argument[0] = _START >> 8
            self._argument[1] = _START & 0xFF
            put_word(self._argument, 2, _FLOAT)
            self._bus.writeto(_ADDRESS, self._argument)
            self._state = _STARTED
            return self._start_up
        if state == _STARTED:
            self._polls = 0
        self._ask(_READY_FLAG, self._two)
        if self._two[1] & 1:
            self._state = _READY
            self._polls = 0
            return 0
        self._polls += 1
        if self._polls > _POLLS:
            raise Fault(FROZEN, "no new value within %d ms" % (_POLL * _POLLS))
        self._state = _RUNNING
        return _POLL

    def read(self):
        state = self._state
        self._state = _NEW
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        self._ask(_VALUES, self._values)
        quality = self._health()
        self._state = _RUNNING
        result = []
        for i in range(len(self.QUANTITIES)):
            result.append(self._value(i, quality))
        return result

    def stop(self):
        state = self._state
        self._state = _NEW
        if state == _STOPPING:
            if self._version >= 0x0200:  # DS 6.3.5: sleep since firmware 2.0
                self._write(_SLEEP)
            return 0
        if state == _NEW:
            return 0
        self._write(_STOP)
        self._state = _STOPPING
        return _STOP_TIME

    def _value(self, i, quality):
        # DS 1.1: mass 0 to 1000 ug/m3 in tenths, number 0 to 3000 /cm3 in hundredths
        mass = i < 4
        value = scaled_float(self._values, 6 * i, 10 if mass else 100)
        if quality == REJECTED:
            value = None
        elif value is None or value < 0:
            value = None
            quality = OUT_OF_RANGE
        elif value > (10000 if mass else 300000):
            quality = OUT_OF_RANGE
        return (self.QUANTITIES[i], value, quality)

    def _health(self):
        """DS 4.4, 6.3.12: fan (bit 4) or laser (bit 5) failed: no value. Fan speed off its mark (bit 21): a
        doubtful one.
        """
        if self._version < 0x0202:  # the status register came with firmware 2.2
            return OK
        self._ask(_STATUS, self._four)
        if self._four[4] & 0x30:
            return REJECTED
        return SUSPICIOUS if self._four[1] & 0x20 else OK

    def _identify(self):
        self._ask(_PRODUCT_TYPE, self._type)
        for i in range(8):  # DS 6.3.9: eight characters, "00080000"
            if self._type[i + i // 2] != b"00080000"[i]:
                raise Fault(WRONG_CHIP, "product type is not 00080000")
        self._ask(_VERSION, self._two)
        self._version = word(self._two, 0)

    def _cleaning_interval(self):
        self._ask(_CLEANING_INTERVAL, self._four)
        if self._four[0] & 0xC0:
            return -1  # larger than any setting; kept out of the integers that are objects
        return word(self._four, 0) << 16 | word(self._four, 3)

    def _write(self, pointer):
        self._pointer[0] = pointer >> 8
        self._pointer[1] = pointer & 0xFF
        self._bus.writeto(_ADDRESS, self._pointer)

    def _ask(self, pointer, reply):
        self._write(pointer)
        self._bus.readfrom_into(_ADDRESS, reply)
        check(reply, len(reply))


DRIVER = SPS30
