"""Corrections of readings: published formulas, named and versioned, the same code on node and host.

A corrected quantity of the registry names its correction and version and the raw quantity that it comes from; the raw
value is reported beside it. Everything is integers at the registry's resolution, rounded once, halves away from zero,
so node and host agree to the digit. Temperature compensation of electrochemical cells (`cell-temperature/1`) needs both
electrodes' voltages and each cell's own labels, not readings alone: it is in `cells`, for both as well.

- `kappa-koehler/1`: water on particles, Crilley et al. (2018), Atmos. Meas. Tech. 11, 709, with kappa 0.4.
- `epa-barkjohn/2021`: Barkjohn, Gantt and Clements (2021), Atmos. Meas. Tech. 14, 4617, for Plantower's CF = 1 values.
- `barometric/1`: the standard atmosphere's law of height (ISO 2533:1975, ICAO Doc 7488), from the measured temperature;
  to 750 m it agrees within 0.1 hPa with WMO-No. 8, annex 3.A, in dry air.
"""

from .quantities import (
    ALTITUDE,
    HUMIDITY,
    PM2_5,
    PM2_5_EPA,
    PM2_5_HUMIDITY,
    PM10,
    PM10_HUMIDITY,
    PRESSURE,
    PRESSURE_SEA_LEVEL,
    TEMPERATURE,
)

# corrected quantity, correction, version, what goes in: first the raw quantity that is corrected
CORRECTIONS = (
    (PRESSURE_SEA_LEVEL, "barometric", "1", (PRESSURE, TEMPERATURE, ALTITUDE)),
    (PM2_5_HUMIDITY, "kappa-koehler", "1", (PM2_5, HUMIDITY)),
    (PM10_HUMIDITY, "kappa-koehler", "1", (PM10, HUMIDITY)),
    (PM2_5_EPA, "epa-barkjohn", "2021", (PM2_5, HUMIDITY)),
)
_ONE = 1000000000  # of fixed-point numbers


def needs(quantity):
    """The quantities that the correction behind `quantity` is computed from, or None: it is not computed here."""
    for corrected, _, _, inputs in CORRECTIONS:
        if corrected == quantity:
            return inputs
    return None


def correct(quantity, inputs):
    """The corrected integer from the integers of `needs(quantity)`.

    None where one of them is absent, or where they lie outside what the formula stands for.
    """
    for value in inputs:
        if value is None:
            return None
    if quantity == PRESSURE_SEA_LEVEL:
        return _sea_level(*inputs)
    if quantity == PM2_5_EPA:
        return _barkjohn(*inputs)
    if quantity in (PM2_5_HUMIDITY, PM10_HUMIDITY):
        return _dry(*inputs)
    return None


def _dry(wet, humidity):
    """wet / (1 + (kappa / 1.65) / (1 / aw - 1)), with aw = RH / 100 and kappa = 0.4.

    1.65 is the dry particles' density over water's. The formula is the publication's, kappa this version's: it makes
    the 0.24 that Nilson et al. (2022, Atmos. Meas. Tech. 15, 3315) fitted over North America; soot in winter takes up
    less water, sea salt more. Towards saturation the factor grows without end: beyond 95 %RH there is no value.
    """
    if not 0 <= humidity <= 950 or wet < 0:
        return None
    dry = (1000 - humidity) * 165
    return _nearest(wet * dry, dry + 40 * humidity)


def _barkjohn(dust, humidity):
    """0.524 PM - 0.0862 RH + 5.75: fitted to daily means below 250 ug/m3 at 0 to 100 %RH.

    Humidity as the meter's own thermometer case has it, drier than the air. Values a little below zero are the fit's.
    """
    if not 0 <= humidity <= 1000 or not 0 <= dust <= 2500:
        return None
    return _nearest(5240 * dust - 862 * humidity + 575000, 10000)


def _sea_level(pressure, temperature, altitude):
    """p ((T + L H) / T) ^ (g / (R L)): air whose temperature rises by L = 6.5 K/km down to sea level."""
    kelvin = (10 * temperature + 27315) * 1000  # in 1e-5 K, as is what is gained below
    gain = 65 * altitude
    if not -900 <= temperature <= 600 or not -5000 <= altitude <= 50000 or pressure < 0:
        return None
    # ln(1 + x) = 2 artanh(x / (2 + x)); its argument is below 0.1, where three terms leave 2e-8
    z = gain * _ONE // (2 * kelvin + gain)
    square = z * z // _ONE
    power = 2 * z * (_ONE + square // 3 + square * square // _ONE // 5) // _ONE * 525588 // 100000
    growth = _exp(abs(power))
    if power < 0:
        return _nearest(pressure * _ONE, growth)
    return _nearest(pressure * growth, _ONE)


def _exp(x):
    """e ^ x by its series, both in units of 1 / _ONE; x is not negative."""
    total = term = _ONE
    n = 1
    while term:
        term = term * x // (_ONE * n)
        total += term
        n += 1
    return total


def _nearest(value, by):
    return (2 * value + by) // (2 * by) if value >= 0 else -((by - 2 * value) // (2 * by))
