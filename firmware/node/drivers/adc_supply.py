"""Supply or battery voltage: a resistor divider on an ADC pin, read with the chip's own calibration.

`ADC.read_uv` uses what Espressif burnt into each chip ("Analog to Digital Converter (ADC) Calibration Driver" of
ESP-IDF), to some tens of mV at the pin. Its range ends well below the supply: at the largest attenuation, 150 to 2450
mV on an ESP32, to 2500 on a C3, to 3100 on an S3 (ESP-IDF, "ADC attenuation"); beyond that it is saturated. Below the
least voltage that the divider can give in service a wire is cut.
"""

from citymote_protocol.quantities import BATTERY_VOLTAGE, SUPPLY_VOLTAGE

from .fault import NO_ANSWER, OK, SATURATED, WARMING_UP, Fault


class ADCSupply:
    """`upper` and `lower` in ohms are the divider's resistors, `upper` 0 for none. `gain` in 0.1 % corrects both
    resistors and converter, found by measuring once with a voltmeter. `highest` in mV is where the converter ends, at
    the pin; `lowest` in mV is the least that the supply can be, below it no wire is there. `battery`: what is measured
    is the battery.
    """

    BUS = "adc"
    QUANTITIES = (SUPPLY_VOLTAGE,)

    def __init__(self, bus, upper=100000, lower=100000, gain=1000, highest=2450, lowest=500, battery=False):
        if not 0 <= upper <= 10000000 or not 100 <= lower <= 10000000 or upper > 19 * lower:
            raise ValueError("upper is 0 to 10000000 ohm, lower 100 to 10000000 and at least a nineteenth of it")
        if not 800 <= gain <= 1200:
            raise ValueError("gain is 800 to 1200 in a thousand")
        if not 500 <= highest <= 5000:
            raise ValueError("highest is 500 to 5000 mV at the pin")
        if not 0 <= lowest <= 50000:
            raise ValueError("lowest is 0 to 50000 mV")
        if battery not in (False, True):
            raise ValueError("battery is true or false")
        if battery:
            self.QUANTITIES = (BATTERY_VOLTAGE,)
        self._bus = bus
        self._ratio = (upper + lower) * gain // lower  # the supply's volts for one at the pin, in 1 / 1000
        self._highest = highest * 1000
        self._lowest = lowest
        self._started = False

    def start(self):
        self._started = True
        return 0

    def read(self):
        if not self._started:
            raise Fault(WARMING_UP, "read before start had returned 0")
        self._started = False
        microvolts = self._middle()
        if microvolts >= self._highest:
            return ((self.QUANTITIES[0], None, SATURATED),)
        # in fifths of a mV, at most 25000, times at most 24000 in a thousand: below 2^30
        voltage = (microvolts // 200 * self._ratio + 2500) // 5000
        if voltage < self._lowest:
            raise Fault(NO_ANSWER, "no voltage: wire cut")
        return ((self.QUANTITIES[0], voltage, OK),)

    def stop(self):
        self._started = False
        return 0

    def _middle(self):
        """The middle one of three: a radio that sends pulls the supply down for a moment."""
        a = self._bus.read_uv()
        b = self._bus.read_uv()
        c = self._bus.read_uv()
        return max(min(a, b), min(max(a, b), c))


DRIVER = ADCSupply
