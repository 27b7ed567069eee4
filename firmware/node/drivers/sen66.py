"""Particulate matter, climate, VOC, NOx and carbon dioxide in one housing: Sensirion SEN66 on I2C.

Datasheet "SEN6x", version 0.9 and later (sections cited as DS). One new set of values a second; what it has not
learnt or measured yet it calls unknown: NOx for the first 10 s, CO2 for the first 5 to 6.
"""

from citymote_protocol.quantities import CO2, HUMIDITY, NOX_INDEX, PM1, PM2_5, PM4, PM10, TEMPERATURE, VOC_INDEX

from .continuous import Continuous, command
from .fault import OK, REJECTED, SUSPICIOUS, WRONG_CHIP, Fault
from .sen import reading, signed
from .sensirion import word


class SEN66(Continuous):
    """`start_up` in ms (DS 1.1: 8 to 30 s for dust). `altitude` in m, 0 to 3000, or `ambient_pressure` in hPa, 700 to
    1200, and `automatic_self_calibration` for CO2 (DS 4.8): all before the first measurement; None leaves what the
    chip has.
    """

    ADDRESS = 0x6B
    QUANTITIES = (PM1, PM2_5, PM4, PM10, HUMIDITY, TEMPERATURE, VOC_INDEX, NOX_INDEX, CO2)
    PRELUDE = ((0x0104, 1400),)  # DS 4.8.2: stop, no effect when idle
    IDENTITY = (0xD014, 20)  # DS 4.8.21: product name, 32 characters
    IDENTITY_LENGTH = 9
    START = b"\x00\x21"
    READY = (0x0202, 20)
    VALUES = (0x0300, 20)  # DS 4.8.4: nine words
    VALUES_LENGTH = 27
    STATUS = (0xD206, 20)  # DS 4.3
    STOP = (0x0104, 1400)

    def __init__(self, bus, start_up=30000, altitude=None, ambient_pressure=None, automatic_self_calibration=None):
        if not 1000 <= start_up <= 60000:
            raise ValueError("start_up is 1000 to 60000 ms")
        if altitude is not None and not 0 <= altitude <= 3000:
            raise ValueError("altitude is 0 to 3000 m")
        if ambient_pressure is not None and not 700 <= ambient_pressure <= 1200:
            raise ValueError("ambient_pressure is 700 to 1200 hPa")
        if automatic_self_calibration not in (None, False, True):
            raise ValueError("automatic_self_calibration is true, false or left out")
        settings = []
        if altitude is not None:
            settings.append((command(0x6736, altitude), 20))
        if ambient_pressure is not None:
            settings.append((command(0x6720, ambient_pressure), 20))
        if automatic_self_calibration is not None:
            settings.append((command(0x6711, 1 if automatic_self_calibration else 0), 20))
        super().__init__(bus, start_up, settings)

    def _identify(self, reply):
        for i in range(5):
            if reply[i + i // 2] != b"SEN66"[i]:
                raise Fault(WRONG_CHIP, "product name is not SEN66")

    def _convert(self, values):
        status = self._status
        # DS 4.3: bit 4 fan, 11 dust; 6 humidity; 7 gas; 9 and 12 CO2; 21 fan speed off its mark, a doubtful value
        dust = REJECTED if status[4] & 0x10 or status[3] & 0x08 else SUSPICIOUS if status[1] & 0x20 else OK
        climate = REJECTED if status[4] & 0x40 else OK
        gas = REJECTED if status[4] & 0x80 else OK
        carbon = REJECTED if status[3] & 0x12 else OK
        return (
            reading(PM1, word(values, 0), 0xFFFF, 10000, dust),
            reading(PM2_5, word(values, 3), 0xFFFF, 10000, dust),
            reading(PM4, word(values, 6), 0xFFFF, 10000, dust),
            reading(PM10, word(values, 9), 0xFFFF, 10000, dust),
            reading(HUMIDITY, signed(values, 12), 0x7FFF, 1000, climate, 10),
            reading(TEMPERATURE, signed(values, 15), 0x7FFF, 500, climate, 20),
            reading(VOC_INDEX, signed(values, 18), 0x7FFF, 500, gas, 10),
            reading(NOX_INDEX, signed(values, 21), 0x7FFF, 500, gas, 10),
            reading(CO2, word(values, 24), 0xFFFF, 40000, carbon),
        )


DRIVER = SEN66
