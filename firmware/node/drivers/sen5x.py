"""Particulate matter, climate, VOC and NOx in one housing: Sensirion SEN50, SEN54, SEN55 on I2C.

Datasheet "SEN5x", version 2 (sections cited as DS). One new set of values a second. SEN50 has dust only, SEN54 adds
climate and the VOC index, SEN55 the NOx index; what a chip has not, and what its gas sensor has not learnt yet, it
calls unknown.
"""

from citymote_protocol.quantities import HUMIDITY, NOX_INDEX, PM1, PM2_5, PM4, PM10, TEMPERATURE, VOC_INDEX

from .continuous import Continuous, command
from .fault import OK, REJECTED, SUSPICIOUS, WRONG_CHIP, Fault
from .sen import reading, signed
from .sensirion import word

_DUST = (PM1, PM2_5, PM4, PM10)
_CLIMATE = (HUMIDITY, TEMPERATURE)


class SEN5x(Continuous):
    """`product` SEN50, SEN54 or SEN55. `start_up` in ms (DS 1.1: 8 to 30 s for dust). `temperature_offset` in 0.005 K
    (DS 6.1.7) corrects for the heat of the housing's neighbours. `auto_cleaning_interval` in s, 0 off, at most 2^30 - 1
    here: how often the fan blows itself clean; None leaves the chip's own (one week).
    """

    ADDRESS = 0x69
    QUANTITIES = _DUST + _CLIMATE + (VOC_INDEX, NOX_INDEX)
    PRELUDE = ((0x0104, 200),)  # DS 6.1.3: stop, no effect when idle
    IDENTITY = (0xD014, 50)  # DS 6.1.13: product name, 32 characters
    IDENTITY_LENGTH = 9  # the first six of them
    START = b"\x00\x21"  # DS 6.1.1
    READY = (0x0202, 20)  # DS 6.1.4
    VALUES = (0x03C4, 20)  # DS 6.1.5: eight words
    VALUES_LENGTH = 24
    STATUS = (0xD206, 20)  # DS 5.4
    STOP = (0x0104, 200)

    def __init__(self, bus, product="SEN55", start_up=30000, temperature_offset=None, auto_cleaning_interval=None):
        if product not in ("SEN50", "SEN54", "SEN55"):
            raise ValueError("product is SEN50, SEN54 or SEN55")
        if not 1000 <= start_up <= 60000:
            raise ValueError("start_up is 1000 to 60000 ms")
        if temperature_offset is not None and not -2000 <= temperature_offset <= 2000:
            raise ValueError("temperature_offset is -2000 to 2000 steps of 0.005 K")
        if auto_cleaning_interval is not None and not 0 <= auto_cleaning_interval < 1 << 30:
            raise ValueError("auto_cleaning_interval is 0 to 1073741823 s")
        self.product = product
        self.QUANTITIES = _DUST
        if product != "SEN50":
            self.QUANTITIES += _CLIMATE + (VOC_INDEX,)
        if product == "SEN55":
            self.QUANTITIES += (NOX_INDEX,)
        settings = []
        if temperature_offset is not None:
            # DS 6.1.7: offset, normalised slope, time constant: three words in one command
            settings.append((command(0x60B2, temperature_offset & 0xFFFF, 0, 0), 20))
        if auto_cleaning_interval is not None:
            # DS, read and write auto cleaning interval: 32 bits
            settings.append((command(0x8004, auto_cleaning_interval >> 16, auto_cleaning_interval & 0xFFFF), 20))
        super().__init__(bus, start_up, settings)

    def _identify(self, reply):
        for i in range(5):
            if reply[i + i // 2] != ord(self.product[i]):
                raise Fault(WRONG_CHIP, "product name is not " + self.product)

    def _convert(self, values):
        status = self._status
        # DS 5.4: bit 4 fan, bit 5 laser; bit 6 humidity, bit 7 gas; bit 21 fan speed off its mark, a doubtful value
        dust = REJECTED if status[4] & 0x30 else SUSPICIOUS if status[1] & 0x20 else OK
        climate = REJECTED if status[4] & 0x40 else OK
        gas = REJECTED if status[4] & 0x80 else OK
        result = []
        for i in range(4):  # tenths; specified to 1000 ug/m3 (DS 1.1)
            result.append(reading(self.QUANTITIES[i], word(values, 3 * i), 0xFFFF, 10000, dust))
        if len(self.QUANTITIES) > 4:
            # hundredths and two-hundredths
            result.append(reading(HUMIDITY, signed(values, 12), 0x7FFF, 1000, climate, 10))
            result.append(reading(TEMPERATURE, signed(values, 15), 0x7FFF, 500, climate, 20))
            result.append(reading(VOC_INDEX, signed(values, 18), 0x7FFF, 500, gas, 10))
        if len(self.QUANTITIES) > 7:
            result.append(reading(NOX_INDEX, signed(values, 21), 0x7FFF, 500, gas, 10))
        return result


DRIVER = SEN5x
