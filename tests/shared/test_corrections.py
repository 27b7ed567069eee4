"""Corrections against what their publications say, the same on both interpreters."""

from citymote_protocol import cells, quantities
from citymote_protocol.corrections import CORRECTIONS, correct, needs
from citymote_protocol.quantities import (
    ALTITUDE,
    HUMIDITY,
    PM2_5,
    PM2_5_CORRECTED,
    PM2_5_EPA,
    PM2_5_HUMIDITY,
    PM10_HUMIDITY,
    PRESSURE,
    PRESSURE_SEA_LEVEL,
    TEMPERATURE,
)

# ISO 2533:1975 (ICAO Doc 7488), table of the standard atmosphere: geopotential height in m, temperature in K, pressure
# in hPa. At every height the pressure at sea level is 1013.25 hPa.
STANDARD_ATMOSPHERE = (
    (-500, 291.40, 1074.78),
    (0, 288.15, 1013.25),
    (100, 287.50, 1001.29),
    (500, 284.90, 954.608),
    (1000, 281.65, 898.746),
    (2000, 275.15, 794.952),
    (3000, 268.65, 701.085),
    (5000, 255.65, 540.199),
)


def test_each_quantity_names_what_it_is_computed_from():
    assert needs(PRESSURE_SEA_LEVEL) == (PRESSURE, TEMPERATURE, ALTITUDE)
    assert needs(PM2_5_EPA) == (PM2_5, HUMIDITY)
    assert needs(PM2_5_CORRECTED) is None, "the operator's own adjustment is nobody's formula"
    assert needs(PM2_5) is None
    for quantity, _, _, inputs in CORRECTIONS:
        assert quantities.decimals(quantity) == quantities.decimals(inputs[0]) == 1


def test_an_absent_input_gives_no_value():
    for quantity, _, _, inputs in CORRECTIONS:
        sound = [200] * len(inputs)
        assert correct(quantity, sound) is not None
        for i in range(len(inputs)):
            assert correct(quantity, sound[:i] + [None] + sound[i + 1 :]) is None


def test_what_is_not_a_correction_has_no_value():
    assert correct(PM2_5, (100, 500)) is None


def test_sea_level_pressure_of_the_standard_atmosphere():
    for height, kelvin, pressure in STANDARD_ATMOSPHERE:
        inputs = (round(pressure * 10), round((kelvin - 273.15) * 10), height * 10)
        found = correct(PRESSURE_SEA_LEVEL, inputs)
        # inputs are rounded to 0.1 hPa and 0.1 K; both errors grow with height
        allowed = 2 + max(0, height) // 1000
        assert abs(2 * found - 20265) <= 2 * allowed, (height, found)


def test_sea_level_pressure_is_the_weather_services_in_dry_air():
    # WMO-No. 8, annex 3.A: lg(p0 / p) = 0.0148275 H / (T + 0.0065 H / 2 + e Ch), recommended to 750 m; e = 0: dry air
    for temperature in (-200, 0, 150, 300):
        for height in (10, 38, 400, 750):
            exponent = 0.0148275 * height / (temperature / 10 + 273.15 + 0.00325 * height)
            found = correct(PRESSURE_SEA_LEVEL, (9500, temperature, height * 10))
            assert abs(found - 9500 * 10**exponent) < 1.2, (temperature, height, found)


def test_sea_level_pressure_is_the_formula_to_the_digit():
    for pressure in (6000, 9000, 10132, 10800):
        for temperature in (-300, -1, 0, 155, 450):
            for altitude in (-4000, -1, 0, 1, 380, 5000, 30000, 50000):
                kelvin = temperature / 10 + 273.15
                exact = pressure * ((kelvin + 0.00065 * altitude) / kelvin) ** 5.25588
                found = correct(PRESSURE_SEA_LEVEL, (pressure, temperature, altitude))
                assert abs(found - exact) < 0.502, (pressure, temperature, altitude, found, exact)


def test_sea_level_pressure_beyond_the_formula():
    assert correct(PRESSURE_SEA_LEVEL, (9000, 150, 50001)) is None
    assert correct(PRESSURE_SEA_LEVEL, (9000, -901, 100)) is None


def test_the_epa_fit_is_the_published_equation():
    # PM2.5 = 0.524 PA - 0.0862 RH + 5.75 (Barkjohn et al. 2021; below 30 the same in AirGradient's firmware, issue 182)
    for dust, humidity, corrected in (
        (0, 0, 58),  # 5.75
        (0, 1000, -29),  # -2.87
        (100, 500, 67),  # 5.24 - 4.31 + 5.75 = 6.68
        (300, 400, 180),  # 15.72 - 3.448 + 5.75 = 18.022
        (354, 500, 200),  # 18.5496 - 4.31 + 5.75 = 19.9896
        (2500, 300, 1342),  # 131 - 2.586 + 5.75 = 134.164
    ):
        assert correct(PM2_5_EPA, (dust, humidity)) == corrected


def test_the_epa_fit_says_nothing_of_smoke_beyond_its_data():
    assert correct(PM2_5_EPA, (2501, 400)) is None
    assert correct(PM2_5_EPA, (100, 1001)) is None


def test_particles_are_dried_as_the_growth_factor_says():
    # C = 1 + (0.4 / 1.65) / (-1 + 1 / aw) (Crilley et al. 2018)
    for humidity, factor in ((0, 1.0), (500, 1.242424), (800, 1.969697), (900, 3.181818), (950, 5.606061)):
        for quantity in (PM2_5_HUMIDITY, PM10_HUMIDITY):
            found = correct(quantity, (5000, humidity))
            assert abs(found - 5000 / factor) <= 0.5, (humidity, found)


def test_particles_near_saturation_have_no_dry_value():
    assert correct(PM2_5_HUMIDITY, (100, 951)) is None
    assert correct(PM2_5_HUMIDITY, (-1, 500)) is None


def test_the_growth_factor_is_the_one_that_others_fitted():
    # Nilson et al. (2022), Atmos. Meas. Tech. 15, 3315, model 2: PM / (1 + 0.24 / (100 / RH - 1)) for RH 30 to 70 %,
    # fitted over North America; kappa 0.4 makes 0.2424 of it
    for humidity in range(300, 701, 50):
        model = 1000 / (1 + 0.24 / (1000 / humidity - 1))
        assert abs(correct(PM2_5_HUMIDITY, (1000, humidity)) - model) < 5


def test_a_published_reading_of_a_carbon_monoxide_cell():
    # South Coast Science, scs_core, tests/gas/a4_datum_test.py: a CO-A4 at 21.5 degrees with 286.129 and 254.441 mV,
    # labelled WEe 249, AEe 253, WE0 62, AE0 -1 mV, 0.239 mV/ppb: corrected signal 38.556 mV
    we, ae = round((286.129 - 249) * cells.UNIT), round((254.441 - 253) * cells.UNIT)
    algorithm, table = cells.factors("CO-A4")
    signal = cells.compensated(algorithm, table, we, ae, 62 * cells.UNIT, -1 * cells.UNIT, 215)
    assert abs(signal - 38.556 * cells.UNIT) < 0.01 * cells.UNIT
    assert cells.ppb(signal, 239) == 161


def test_a_cells_factors_end_where_the_note_ends():
    algorithm, table = cells.factors("NO2-B43F")
    for celsius, there in ((-301, False), (-300, True), (500, True), (501, False)):
        signal = cells.compensated(algorithm, table, 1600000, 160000, 0, 0, celsius)
        assert (signal is not None) == there
    assert cells.factors("NO2-B43F", 2) is None
    assert cells.factors("NO2") is None
