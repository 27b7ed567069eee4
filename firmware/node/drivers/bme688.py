"""Temperature, humidity, pressure and the resistance of a heated gas layer: Bosch Sensortec BME688 on I2C.

Data sheet "BME688", BST-BME688-DS000 (sections cited as DS), and the maker's own BME68x_SensorAPI (API), from which the
scales of the coefficients are. One measurement in forced mode for each reading: climate first, then the layer is heated
to one temperature for one time, and its resistance taken at the end. The chip has identification and variant, but no
checksum: the calibration is read twice, the measurement cannot be checked.
"""

from citymote_protocol.quantities import GAS_RESISTANCE, HUMIDITY, PRESSURE, TEMPERATURE

from .bosch import (
    Forced,
    byte,
    celsius,
    fine_temperature,
    hectopascals,
    oversampling,
    ranged,
    read_twice,
    signed,
    unsigned,
)
from .fault import FROZEN, OK, REJECTED, WARMING_UP, WRONG_CHIP, Fault
from .fixed import rounded, scaled, truncated

# DS 5.2, memory map
_FIELD = 0x1D  # new data and status, index, pressure, temperature, humidity, gas
_RES_HEAT = 0x5A
_GAS_WAIT = 0x64
_CTRL_GAS = 0x70
_CTRL_HUM = 0x72
_CTRL_MEAS = 0x74
_VARIANT = 0xF0
_PARTS = ((0x8A, 23), (0xE1, 14), (0x00, 5))  # the calibration
_FORCED = 0x01
_RUN_GAS = 0x20  # API: of the variant with the high gas range, run_gas is bit 5
_HEATER_OFF = 0x08


class BME688(Forced):
    """`address` 0x76 or 0x77. `heater_temperature` in degrees Celsius, 200 to 400, or 0: no gas, no heater.
    `heater_duration` in ms, 1 to 4032. `osrs_t`, `osrs_h`, `osrs_p`: oversampling, 1, 2, 4, 8 or 16.
    """

    QUANTITIES = (TEMPERATURE, HUMIDITY, PRESSURE)
    IDENTITY = 0x61
    RESULTS = _FIELD

    def __init__(self, bus, address=0x76, heater_temperature=320, heater_duration=150, osrs_t=2, osrs_h=1, osrs_p=4):
        if heater_temperature != 0 and not 200 <= heater_temperature <= 400:
            raise ValueError("heater_temperature is 0 or 200 to 400 degrees Celsius")
        if not 1 <= heater_duration <= 4032:
            raise ValueError("heater_duration is 1 to 4032 ms")
        if address not in (0x76, 0x77):
            raise ValueError("address is 0x76 or 0x77")
        mode = oversampling(osrs_t) << 5 | oversampling(osrs_p) << 2 | _FORCED
        command = bytearray((_CTRL_HUM, oversampling(osrs_h), _CTRL_GAS, _HEATER_OFF, _CTRL_GAS + 1, 0))
        # API, bme68x_get_meas_dur: 1963 us a sample, 477 us for each of nine switchings, 1 ms to wake up
        duration = 7 + (1963 * (osrs_t + osrs_h + osrs_p) + 999) // 1000
        self._heater = heater_temperature
        if heater_temperature:
            self.QUANTITIES += (GAS_RESISTANCE,)
            wait = heater_duration
            factor = 0
            while wait > 0x3F:  # DS 5.3.3.3: six bits, times 4 to the power of two
                wait = (wait + 3) // 4
                factor += 1
            duration += wait << 2 * factor
            command = bytearray((_CTRL_HUM, command[1], _CTRL_GAS, 0, _CTRL_GAS + 1, _RUN_GAS))
            command += bytes((_GAS_WAIT, factor << 6 | wait, _RES_HEAT, 0))
        command += bytes((_CTRL_MEAS, mode))
        Forced.__init__(self, bus, address, command, duration, 17)
        self._parts = tuple([bytearray(size) for _, size in _PARTS])
        self._again_parts = tuple([bytearray(size) for _, size in _PARTS])
        self._ambient = 25

    def start(self):
        self._aim()
        return Forced.start(self)

    def _calibrate(self):
        if self._register(_VARIANT) != 1:
            raise Fault(WRONG_CHIP, "variant %02x: a BME680, whose gas range is another" % self._one[0])
        for i in range(3):
            read_twice(self._bus, self._address, _PARTS[i][0], self._parts[i], self._again_parts[i])
        first = self._parts[0]
        p = self._pressure
        # API, get_calib_data; P3, P6, P7 and P10 into the BME280's scales
        p[0] = unsigned(first, 4)
        p[1] = signed(first, 6)
        p[2] = byte(first, 8) << 5
        p[3] = signed(first, 10)
        p[4] = signed(first, 12)
        p[5] = byte(first, 15)
        p[6] = byte(first, 14) << 7
        p[7] = signed(first, 18)
        p[8] = signed(first, 20)
        p[9] = first[22]
        self._aim()
        return True

    def _aim(self):
        """The heater's resistance at its temperature, with the last measured one around it (API, calc_res_heat).

        The share of the air around it is that of the formula in floating point; the one in integers has 1/10000 of it.
        """
        if self._heater:
            second = self._parts[1]
            third = self._parts[2]
            around = self._ambient * byte(second, 13) * 2560
            slope = (signed(second, 10) + 154009) * self._heater * 5 // 100 + 3276800
            wanted = around + (byte(second, 12) + 784) * (slope // 10) // 2
            wanted = truncated(wanted, (third[2] >> 4 & 3) + 4)
            wanted = (truncated(wanted, 131 * byte(third, 0) + 65536) - 250) * 34
            self._command[-3] = (wanted + 50) // 100 & 0xFF

    def _measured(self):
        # DS 5.3.5.1: bit 7 new data, bits 6 and 5 measuring gas, anything
        if self._data[0] & 0x60:
            return False
        if not self._data[0] & 0x80:
            raise Fault(FROZEN, "no measurement: the chip was reset")
        return True

    def _convert(self):
        first = self._parts[0]
        second = self._parts[1]
        fine = fine_temperature(self._raw(5), unsigned(second, 8), signed(first, 0), byte(first, 2) << 4)
        degrees = celsius(fine)
        self._ambient = min(max(truncated(degrees, 100), -40), 85)
        temperature = ranged(TEMPERATURE, rounded(degrees, 10), -400, 850)  # DS 1.4
        humidity = (HUMIDITY, self._humidity(degrees, second), OK)
        pressure = ranged(PRESSURE, hectopascals(self._raw(2), fine, self._pressure), 3000, 11000)  # DS 1.3
        if not self._heater:
            return (temperature, humidity, pressure)
        return (temperature, humidity, pressure, self._gas())

    def _humidity(self, degrees, h):
        """API, calc_humidity: thousandths of a percent, which ends at 0 and 100; here tenths. The square is kept finer
        than there, where it costs up to half a tenth.
        """
        h1 = h[2] << 4 | h[1] & 0x0F
        h2 = h[0] << 4 | h[1] >> 4
        raw = (self._data[8] << 8 | self._data[9]) - (h1 << 4) - (truncated(degrees * byte(h, 3), 100) >> 1)
        bend = truncated(degrees * truncated(degrees * byte(h, 5), 100) >> 6, 100)
        raw *= h2 * (truncated(degrees * byte(h, 4), 100) + bend + 16384) >> 10
        gain = (h[6] << 7) + truncated(degrees * byte(h, 7), 100) >> 4
        square = scaled(raw, raw, 30)
        thousandths = (raw + scaled(gain, square, 9) >> 10) * 1000 >> 12
        return (min(max(thousandths, 0), 100000) + 50) // 100

    def _gas(self):
        """DS 3.4.1: 10^6 x (262144 >> range) / (4096 + 3 (adc - 512)) ohm."""
        low = self._data[16]
        # DS 5.3.5.5: bit 5 a real measurement, bit 4 the heater reached its temperature
        if not low & 0x20:
            return (GAS_RESISTANCE, None, REJECTED)
        if not low & 0x10:
            return (GAS_RESISTANCE, None, WARMING_UP)
        below = 2560 + 3 * (self._data[15] << 2 | low >> 6)
        above = (262144 >> (low & 0x0F)) * 4000
        return (GAS_RESISTANCE, above // below * 250 + (above % below * 250 + below // 2) // below, OK)


DRIVER = BME688
