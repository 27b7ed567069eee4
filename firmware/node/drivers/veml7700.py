"""Illuminance: Vishay VEML7700 on I2C.

Vishay data sheet "VEML7700", document 84286 (pages by their table, cited as DS), and application note "Designing the
VEML7700 Into an Application", document 84323 (AN): resolution 0.0042 lx at gain 2 and 800 ms. The driver chooses gain
and integration time by itself, as the AN's flow chart does, and straightens what it measures with the AN's polynomial.
The chip has an identification but no checksum and no sign that a value is new: it is switched on for each reading.
"""

from citymote_protocol.quantities import ILLUMINANCE

from .fault import FROZEN, OK, OUT_OF_RANGE, SATURATED, WARMING_UP, WRONG_CHIP, Fault
from .fixed import scaled

_ADDRESS = 0x10
# DS, command register format: words, low byte first
_CONFIGURATION = 0x00
_POWER_SAVING = 0x03
_ALS = 0x04
_ID = 0x07
_SHUT_DOWN = 0x01
# gain in bits 12 and 11 (2: 1/8, 0: 1), integration time in bits 9 to 6 (12: 25 ms, 0: 100 ms), ms that it takes with
# 2.5 ms to switch on and a tenth for the oscillator, lux a count with 18 fractional bits. From coarse to fine.
_RANGES = (
    (2 << 11 | 12 << 6, 31, 563715),  # 2.1504 lx a count
    (2 << 11, 113, 140929),  # 0.5376
    (0, 113, 17616),  # 0.0672, to 4,400 lx
)
_MANY = 10000  # counts: AN, flow chart: above, a shorter time
_FEW = 100  # below, a higher gain
_FINER_FROM_COARSE = 2000  # a quarter of what the middle range has for it, with room to the limit above
_CHANGES = 3  # changes of range for one reading, at most; light that jumps about ends it all the same
# AN: lux = 6.0135e-13 L^4 - 9.3924e-9 L^3 + 8.1488e-5 L^2 + 1.0023 L, here in powers of L / 2^17, 14 fractional bits
_C4 = 22185639
_C3 = -2643725
_C2 = 174994
_C1 = 16422
_STRAIGHT = 32768  # lux of the straight line: with the polynomial 480,000, far beyond the sun
_SPECIFIED = 140000  # lx, DS: dynamic range

_NEW, _MEASURING, _READY = range(3)


class VEML7700:
    """`window` is the part of the light, in percent, that the housing lets through: readings are divided by it.

    The polynomial is applied at every level: below 100 lx it changes less than 1 lx, and so there is no step.
    """

    BUS = "i2c"
    QUANTITIES = (ILLUMINANCE,)
    LEAD = 300  # ms: a reading that has to go through all three ranges takes 257

    def __init__(self, bus, window=100):
        if not 10 <= window <= 100:
            raise ValueError("window is 10 to 100 percent")
        self._bus = bus
        self._window = window
        self._triple = bytearray(3)
        self._word = bytearray(2)
        self._range = 1
        self._changes = 0
        self._counts = 0
        self._state = _NEW

    def start(self):
        state = self._state
        self._state = _NEW  # until this step has succeeded
        if state == _READY:
            self._state = _READY
            return 0
        if state == _NEW:
            if self._read(_ID) & 0xFF != 0x81:  # DS, register 7: device ID; the high byte tells the address
                raise Fault(WRONG_CHIP, "device ID is %02x, not 81" % self._word[0])
            self._write(_POWER_SAVING, 0)
            self._changes = _CHANGES
            return self._trigger()
        if self._read(_CONFIGURATION) != _RANGES[self._range][0]:
            raise Fault(FROZEN, "the configuration is gone: the chip was reset")
        counts = self._counts = self._read(_ALS)
        better = self._range
        if better and counts > _MANY:
            better -= 1
        elif better == 1 and counts <= _FEW or better == 0 and counts < _FINER_FROM_COARSE:
            better += 1
        if better == self._range or not self._changes:
            self._write(_CONFIGURATION, _SHUT_DOWN)
            self._state = _READY
            return 0
        self._changes -= 1
        self._range = better
        return self._trigger()

    def read(self):
        state = self._state
        self._state = _NEW
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        counts = self._counts
        light = scaled(counts, _RANGES[self._range][2], 15)  # eighths of a lux
        if counts == 65535 or light >= 8 * _STRAIGHT:
            return ((ILLUMINANCE, None, SATURATED),)
        part = light << 4  # of 2^17 lx, 24 fractional bits
        factor = scaled(part, _C4, 24) + _C3
        factor = scaled(part, factor, 24) + _C2
        factor = scaled(part, factor, 24) + _C1
        light = (scaled(light, factor, 14) * 100 + 4 * self._window) // (8 * self._window)
        return ((ILLUMINANCE, light, OK if light <= _SPECIFIED else OUT_OF_RANGE),)

    def stop(self):
        self._state = _NEW
        self._write(_CONFIGURATION, _SHUT_DOWN)
        return 0

    def _trigger(self):
        """Off and on again, so that a conversion begins now and with this range."""
        self._write(_CONFIGURATION, _SHUT_DOWN)
        configuration, duration, _ = _RANGES[self._range]
        self._write(_CONFIGURATION, configuration)
        self._state = _MEASURING
        return duration

    def _read(self, register):
        self._bus.readfrom_mem_into(_ADDRESS, register, self._word)
        return self._word[0] | self._word[1] << 8

    def _write(self, register, value):
        self._triple[0] = register
        self._triple[1] = value & 0xFF
        self._triple[2] = value >> 8
        self._bus.writeto(_ADDRESS, self._triple)


DRIVER = VEML7700
