"""Carbon dioxide, temperature, humidity: Sensirion SCD40, SCD41, SCD43 on I2C.

Datasheet "SCD4x", version 1.3 (sections cited as DS). Photoacoustic; a new value every 5 s, or every 30 s with a
tenth of the current. Temperature and humidity are the chip's own, warmed by itself: they serve its compensation
first.
"""

from citymote_protocol.quantities import CO2, HUMIDITY, TEMPERATURE

from .continuous import Continuous, command
from .fault import OK, OUT_OF_RANGE, WRONG_CHIP, Fault
from .sensirion import word


class SCD4x(Continuous):
    """`low_power` measures every 30 s instead of 5 (DS 3.8). `temperature_offset` in 0.1 K is what the chip is warmer
    than the air, 0 to 200, None for the chip's own 4 K (DS 3.6.1). `altitude` in m, 0 to 3000, or `ambient_pressure`
    in hPa, 700 to 1200, for the density of air (DS 3.6.3, 3.6.5). `automatic_self_calibration` takes the lowest value
    of a week for outdoor air (DS 3.7.2). Settings are not written to the chip's EEPROM: they hold until its power
    goes.
    """

    ADDRESS = 0x62
    QUANTITIES = (CO2, TEMPERATURE, HUMIDITY)
    PRELUDE = (
        (0x36F6, 500),
        (0x3F86, 500),
    )  # DS 3.10.4 wake up, never acknowledged; DS 3.5.3 stop: it may be running; DS 3.1: 1 s from power-up in all
    IDENTITY = (0x3682, 1)  # DS 3.9.2: serial number, 48 bits
    READY = (0xE4B8, 1)  # DS 3.8.2
    VALUES = (0xEC05, 1)  # DS 3.5.2
    STOP = (0x3F86, 500)
    SLEEP = 0x36E0  # DS 3.10.3: power down, SCD41 and SCD43

    def __init__(
        self,
        bus,
        low_power=False,
        temperature_offset=None,
        altitude=None,
        ambient_pressure=None,
        automatic_self_calibration=True,
    ):
        if low_power not in (False, True) or automatic_self_calibration not in (False, True):
            raise ValueError("low_power and automatic_self_calibration are true or false")
        if temperature_offset is not None and not 0 <= temperature_offset <= 200:
            raise ValueError("temperature_offset is 0 to 200 tenths of a kelvin")
        if altitude is not None and not 0 <= altitude <= 3000:
            raise ValueError("altitude is 0 to 3000 m")
        if ambient_pressure is not None and not 700 <= ambient_pressure <= 1200:
            raise ValueError("ambient_pressure is 700 to 1200 hPa")
        settings = []
        if temperature_offset is not None:
            settings.append((command(0x241D, temperature_offset * 65535 // 1750), 1))  # DS 3.6.1: offset x 65535 / 175
        if altitude is not None:
            settings.append((command(0x2427, altitude), 1))
        if ambient_pressure is not None:
            settings.append((command(0xE000, ambient_pressure), 1))  # in 100 Pa
        settings.append((command(0x2416, 1 if automatic_self_calibration else 0), 1))
        self.START = command(0x21AC if low_power else 0x21B1)
        self.POLL = 5000 if low_power else 1000
        super().__init__(bus, 30000 if low_power else 5000, settings)
        self.serial = None

    def _identify(self, reply):
        if not word(reply, 0) | word(reply, 3) | word(reply, 6):
            raise Fault(WRONG_CHIP, "serial number 0: not an SCD4x")
        self.serial = "%04x%04x%04x" % (word(reply, 0), word(reply, 3), word(reply, 6))

    def _ready(self, flag):
        return flag & 0x7FF  # DS 3.8.2: the lower 11 bits

    def _convert(self, values):
        # DS 3.5.2: T = -45 + 175 w / 65535, RH = 100 w / 65535, CO2 = w; tenths, rounded to nearest
        co2 = word(values, 0)
        temperature = (1750 * word(values, 3) + 32767) // 65535 - 450
        humidity = (1000 * word(values, 6) + 32767) // 65535
        # DS 1.1: output range 0 to 40,000 ppm; 0 is what the chip says before its first value
        return (
            (CO2, co2 if co2 else None, OK if 0 < co2 <= 40000 else OUT_OF_RANGE),
            (TEMPERATURE, temperature, OK if -100 <= temperature <= 600 else OUT_OF_RANGE),
            (HUMIDITY, humidity, OK),
        )


DRIVER = SCD4x
