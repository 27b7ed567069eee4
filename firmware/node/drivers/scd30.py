"""Carbon dioxide, temperature, humidity: Sensirion SCD30 on I2C.

"Interface description SCD30", version 1.0 of May 2020 (sections cited as ID), and its datasheet (DS). Infrared
absorption; a new value every 2 to 1800 s, as floats cut into words with a CRC each. The chip stretches the clock by
up to 30 ms, once a day by 150 ms: the bus must be given that timeout.
"""

from citymote_protocol.quantities import CO2, HUMIDITY, TEMPERATURE

from .continuous import Continuous, command
from .fault import OK, OUT_OF_RANGE, WRONG_CHIP, Fault
from .sensirion_float import scaled_float

_TIME = 10  # ID 1.1: 3 ms between write and read; the maker's driver leaves 10


class SCD30(Continuous):
    """`measurement_interval` 2 to 1800 s (ID 1.4.3). `ambient_pressure` 700 to 1400 mbar, 0 off (ID 1.4.1), or
    `altitude` in m, 0 to 65535 (ID 1.4.8). `temperature_offset` in 0.01 K (ID 1.4.7). `automatic_self_calibration`
    needs fresh air an hour a day (ID 1.4.6). The chip keeps all but the pressure without power; None leaves what it
    has.
    """

    ADDRESS = 0x61
    QUANTITIES = (CO2, TEMPERATURE, HUMIDITY)
    PRELUDE = ((0x0104, 2000),)  # ID 1.4.2: stop; ID 1.1: it may still boot, for up to 2 s
    IDENTITY = (0xD100, _TIME)  # ID 1.4.9: firmware version, major and minor
    IDENTITY_LENGTH = 3
    READY = (0x0202, _TIME)  # ID 1.4.4
    VALUES = (0x0300, _TIME)  # ID 1.4.5: three floats
    VALUES_LENGTH = 18
    STOP = (0x0104, _TIME)

    def __init__(
        self,
        bus,
        measurement_interval=2,
        ambient_pressure=0,
        altitude=None,
        temperature_offset=None,
        automatic_self_calibration=None,
    ):
        if not 2 <= measurement_interval <= 1800:
            raise ValueError("measurement_interval is 2 to 1800 s")
        if ambient_pressure != 0 and not 700 <= ambient_pressure <= 1400:
            raise ValueError("ambient_pressure is 0 or 700 to 1400 mbar")
        if altitude is not None and not 0 <= altitude <= 65535:
            raise ValueError("altitude is 0 to 65535 m")
        if temperature_offset is not None and not 0 <= temperature_offset <= 65535:
            raise ValueError("temperature_offset is 0 to 65535 hundredths of a kelvin")
        if automatic_self_calibration not in (None, False, True):
            raise ValueError("automatic_self_calibration is true, false or left out")
        settings = [(command(0x4600, measurement_interval), _TIME)]
        if altitude is not None:
            settings.append((command(0x5102, altitude), _TIME))
        if temperature_offset is not None:
            settings.append((command(0x5403, temperature_offset), _TIME))
        if automatic_self_calibration is not None:
            settings.append((command(0x5306, 1 if automatic_self_calibration else 0), _TIME))
        self.START = command(0x0010, ambient_pressure)
        self.POLL = 500 * measurement_interval
        super().__init__(bus, 1000 * measurement_interval, settings)

    def _identify(self, reply):
        if reply[0] in (0, 0xFF):
            raise Fault(WRONG_CHIP, "firmware version %d: not an SCD30" % reply[0])

    def _convert(self, values):
        co2 = scaled_float(values, 0, 1)
        temperature = scaled_float(values, 6, 10)
        humidity = scaled_float(values, 12, 10)
        # DS 1: 0 to 40,000 ppm measured, 0 is what the chip says before its first value; -40 to 70 degrees; 0 to 100 %
        return (
            _judged(CO2, co2, 1, 40000),
            _judged(TEMPERATURE, temperature, -400, 700),
            _judged(HUMIDITY, humidity, 0, 1000),
        )


def _judged(quantity, value, low, high):
    if value is None or (quantity == CO2 and value <= 0):
        return (quantity, None, OUT_OF_RANGE)
    return (quantity, value, OK if low <= value <= high else OUT_OF_RANGE)


DRIVER = SCD30
