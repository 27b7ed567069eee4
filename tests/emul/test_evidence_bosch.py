"""Bosch Sensortec's chips against figures that others published, and in the ways in which they fail."""

from __future__ import annotations

import importlib
import random
from typing import Any

import pytest
from tests.emul.peers import BusIO, circuitpython, sleeper
from tests.emul.wires import Clock, World

from citymote.testing.emul.base import I2CChip, Source
from citymote.testing.emul.bme280 import BME280, CALIBRATION, Formulas
from citymote.testing.emul.bme688 import BME688, Calibration
from citymote.testing.emul.bosch import sixteen, twenty


def always(value: float | None) -> Source:
    return lambda now: value


def module(name: str) -> Any:
    return importlib.import_module(f"node.drivers.{name}")


def code_of(table: World) -> int:
    with pytest.raises(module("fault").Fault) as told:
        table.reading()
    return told.value.code


# ---------------------------------------------------------------- integers


def test_products_in_halves_are_exact() -> None:
    scaled = module("fixed").scaled
    plan = random.Random(5)
    for _ in range(5000):
        a, b = plan.randrange(-(1 << 30) + 1, 1 << 30), plan.randrange(-(1 << 30) + 1, 1 << 30)
        shift = plan.randrange(31)
        assert scaled(a, b, shift) == a * b >> shift


def test_the_example_of_the_bmp280_data_sheet() -> None:
    """BST-BMP280-DS001, section 3.12, "Calculating pressure and temperature": the BME280 has the same formulas.

    519888 and 415148 are 25.08 degrees and 100653.27 Pa, t_fine is 128422.
    """
    bosch = module("bosch")
    fine = bosch.fine_temperature(519888, 27504, 26435, -1000)
    assert fine == 128422
    assert bosch.celsius(fine) == 2508
    coefficients = [36477, -10685, 3024, 2855, 140, -7 * 4, 15500, -14600, 6000, 0]
    assert bosch.hectopascals(415148, fine, coefficients) == 10065


def test_pressure_in_integers_is_the_double_formulas_within_2_pascal() -> None:
    """Appendix 8.1 against 8.2, over the whole range of readings; a half of our step is 5 Pa."""
    bosch = module("bosch")
    formulas = Formulas(CALIBRATION)
    coefficients = [*formulas.p, 0]
    coefficients[5] <<= 2
    plan = random.Random(1)
    for _ in range(5000):
        fine = bosch.fine_temperature(plan.randrange(330_000, 760_000), formulas.t1, formulas.t2, formulas.t3)
        adc = plan.randrange(150_000, 700_000)
        exact = formulas.pascals(adc, fine)
        if 30_000 <= exact <= 110_000:
            assert abs(bosch.hectopascals(adc, fine, coefficients) * 10 - exact) <= 5 + 2.1


# ---------------------------------------------------------------- BME280


class Measured(BME280):
    """A chip whose converters gave these readings."""

    def __init__(self, adc_t: int, adc_p: int, adc_h: int) -> None:
        self._readings = twenty(0xF7, adc_p) | twenty(0xFA, adc_t) | sixteen(0xFD, adc_h)
        super().__init__(always(0.0), always(0.0), always(0.0))

    def measure(self, now: int) -> dict[int, int]:
        return self._readings


def test_bme280_registers_of_a_real_chip() -> None:
    """The register image, readings and results in the tests of the crate bme280-rs (claudiomattera/bme280-rs,
    src/calibration.rs): 84510, 4f570 and 5eb4 are t_fine 22391, 18b663f/256 Pa and 8399/1024 %RH by the data sheet's
    64-bit formulas.
    """
    readings = World(module("bme280").DRIVER, Measured(0x84510, 0x4F570, 0x5EB4)).reading()
    expected = [(0x22391 / 5120, 10), (0x8399 / 1024, 10), (0x018B663F / 256 / 100, 10)]
    assert readings == [
        (quantity, round(value * scale), 0) for quantity, (value, scale) in zip((3, 4, 14), expected, strict=True)
    ]
    formulas = Formulas(CALIBRATION)
    fine = formulas.fine(0x84510)
    assert fine == pytest.approx(0x22391, abs=2)
    assert formulas.pascals(0x4F570, fine) == pytest.approx(0x018B663F / 256, abs=0.1)
    assert formulas.percent(0x5EB4, fine) == pytest.approx(0x8399 / 1024, abs=0.01)


@pytest.mark.parametrize(
    ("celsius", "percent", "hectopascals"), [(-19.5, 88.0, 1043.2), (22.4, 41.3, 998.7), (61.0, 7.5, 701.0)]
)
def test_adafruits_driver_reads_the_bme280(
    celsius: float, percent: float, hectopascals: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    chip = BME280(always(celsius), always(percent), always(hectopascals), address=0x77)
    sensor = circuitpython("adafruit_bme280.basic", clock, monkeypatch).Adafruit_BME280_I2C(BusIO(chip, clock))
    assert sensor.temperature == pytest.approx(celsius, abs=0.02)
    assert sensor.relative_humidity == pytest.approx(percent, abs=0.05)
    assert sensor.pressure == pytest.approx(hectopascals, abs=0.02)


def weather(**options: Any) -> BME280:
    return BME280(always(20.0), always(50.0), always(1000.0), **options)


def test_a_bmp280_is_the_wrong_chip() -> None:
    assert code_of(World(module("bme280").DRIVER, weather(identification=0x58))) == 12


def test_a_bme280_that_never_ends_is_frozen() -> None:
    chip = weather()
    chip.hang = True
    assert code_of(World(module("bme280").DRIVER, chip)) == 15
    assert code_of(World(module("bme280").DRIVER, weather(starting=1000))) == 15, "its calibration is never there"


def test_a_bme280_that_lost_power_while_measuring_gives_no_old_value() -> None:
    chip = weather()
    table = World(module("bme280").DRIVER, chip)
    table.reading()
    table.clock.now += 10_000
    table.clock.now += table.driver.start()
    chip.power_up(table.clock.now)
    table.clock.now += 10
    assert code_of(table) == 15
    assert [value for _, value, _ in table.reading()] == [200, 500, 10000]


def test_a_calibration_that_reads_differently_twice_is_refused() -> None:
    """Nothing else guards the calibration, and with a wrong one every later reading would be wrong."""
    chip = weather()
    table = World(module("bme280").DRIVER, chip)
    original = table.bus.readfrom_mem_into
    pending = [0x88]

    def flipped(address: int, register: int, buf: bytearray) -> None:
        original(address, register, buf)
        if register in pending:
            pending.remove(register)
            buf[3] ^= 0x10

    table.bus.readfrom_mem_into = flipped
    assert code_of(table) == 9
    assert [value for _, value, _ in table.reading()] == [200, 500, 10000], "read again, it is whole"


def test_bme280_beyond_its_range_is_kept_and_marked() -> None:
    table = World(module("bme280").DRIVER, BME280(always(90.0), always(50.0), always(1105.0)))
    assert table.reading() == [(3, 900, 11), (4, 500, 0), (14, 11050, 11)]


# ---------------------------------------------------------------- BME688


class Sampled(BME688):
    """A chip whose converters gave these readings: temperature, pressure, humidity."""

    def __init__(self, adc_t: int, adc_p: int, adc_h: int, gas: bytes, calibration: Calibration | None = None) -> None:
        self._readings = twenty(0x1F, adc_p) | twenty(0x22, adc_t) | sixteen(0x25, adc_h)
        self._readings |= {0x1D: 0x80, 0x2C: gas[0], 0x2D: gas[1]}
        super().__init__(*(always(0.0),) * 4, calibration=calibration)

    def measure(self, now: int) -> dict[int, int]:
        return dict(self._readings)


def test_bme680_figures_of_a_real_chip() -> None:
    """Pimoroni's bme680-python, tests/test_compensation.py, with a real chip's calibration (their issue 11): readings
    501240, 353485 and 19019 are 26.69 degrees, 98712 Pa and 42.402 %RH by the maker's integer formulas; gas reading
    0 in range 0 of the high-range variant is 102400000 ohm. In double precision the pressure is 98717 Pa: ours keeps
    digits that their integers lose.
    """
    table = World(module("bme688").DRIVER, Sampled(501240, 353485, 19019, b"\x00\x30"))
    assert table.reading() == [(3, 267, 0), (4, 424, 0), (14, 9872, 0), (88, 102_400_000, 0)]
    calibration = Calibration()
    fine = calibration.fine(501240)
    assert fine == pytest.approx(136667, abs=2)
    assert calibration.pascals(353485, fine) == pytest.approx(98717, abs=1)
    assert calibration.percent(19019, fine) == pytest.approx(42.402, abs=0.03)


@pytest.mark.parametrize(("celsius", "percent", "hectopascals", "resistance"), [
    (-19.5, 88.0, 1043.2, 12_345.0), (22.4, 41.3, 998.7, 250_000.0), (61.0, 7.5, 701.0, 4_500_000.0),
])  # fmt: skip
def test_pimoronis_driver_reads_the_bme688(
    celsius: float, percent: float, hectopascals: float, resistance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    bme680 = pytest.importorskip("bme680", reason="Pimoroni's driver is not installed")
    clock = Clock()
    chip = BME688(always(celsius), always(percent), always(hectopascals), always(resistance))
    monkeypatch.setattr("time.sleep", sleeper(clock))
    sensor = bme680.BME680(0x76, SMBus(chip, clock))
    sensor.set_humidity_oversample(bme680.OS_1X)
    sensor.set_pressure_oversample(bme680.OS_4X)
    sensor.set_temperature_oversample(bme680.OS_2X)
    sensor.set_filter(bme680.FILTER_SIZE_0)
    sensor.set_gas_status(bme680.ENABLE_GAS_MEAS_HIGH)
    sensor.set_gas_heater_temperature(320)
    sensor.set_gas_heater_duration(40)
    sensor.select_gas_heater_profile(0)
    assert sensor.get_sensor_data()
    assert sensor.data.temperature == pytest.approx(celsius, abs=0.02)
    assert sensor.data.humidity == pytest.approx(percent, abs=0.06)
    assert sensor.data.pressure == pytest.approx(hectopascals, abs=0.15)
    assert sensor.data.heat_stable
    assert sensor.data.gas_resistance == pytest.approx(resistance, rel=0.002)


class SMBus:
    """`smbus2.SMBus` as Pimoroni's driver uses it."""

    def __init__(self, chip: I2CChip, clock: Clock) -> None:
        self._chip, self._clock = chip, clock

    def read_byte_data(self, address: int, register: int) -> int:
        return self.read_i2c_block_data(address, register, 1)[0]

    def write_byte_data(self, address: int, register: int, value: int) -> None:
        self._chip.write(self._clock.now, bytes((register, value)))

    def read_i2c_block_data(self, address: int, register: int, length: int) -> list[int]:
        assert address == self._chip.address
        self._chip.write(self._clock.now, bytes((register,)))
        return list(self._chip.read(self._clock.now, length))

    def write_i2c_block_data(self, address: int, register: int, values: list[int]) -> None:
        for at, value in enumerate(values):
            self._chip.write(self._clock.now, bytes((register + at, value)))


@pytest.mark.parametrize("ambient", [-35, -1, 0, 25, 84])
@pytest.mark.parametrize("aim", [200, 320, 400])
def test_the_heater_is_set_as_the_data_sheets_formula_wants_it(ambient: int, aim: int) -> None:
    """Data sheet 3.3.5, in double precision; integers may be a step off. The air around it is the last reading's."""
    chip = BME688(always(ambient), always(50.0), always(1000.0), always(50_000.0))
    table = World(module("bme688").DRIVER, chip, {"heater_temperature": aim})
    table.reading()
    assert abs(chip.heater - chip.calibration.heater(aim, 25)) <= 1.5
    table.reading()
    assert abs(chip.heater - chip.calibration.heater(aim, ambient)) <= 1.5


@pytest.mark.parametrize("wanted", [1, 63, 64, 150, 252, 253, 1000, 4032])
def test_the_heaters_time_is_what_was_asked_or_the_next_that_the_chip_has(wanted: int) -> None:
    chip = BME688(always(20.0), always(50.0), always(1000.0), always(50_000.0))
    table = World(module("bme688").DRIVER, chip, {"heater_duration": wanted})
    table.reading()
    took = chip.duration() - BME688.duration(Unheated())
    assert wanted <= took < wanted * 1.07 + 1


class Unheated(BME688):
    def __init__(self) -> None:
        super().__init__(*(always(0.0),) * 4)
        self._settings = {0x74: 2 << 5 | 3 << 2, 0x72: 1, 0x70: 8}


def air(**options: Any) -> BME688:
    return BME688(always(20.0), always(50.0), always(1000.0), always(50_000.0), **options)


def test_a_heater_that_does_not_get_warm_gives_no_resistance() -> None:
    chip = air()
    chip.stable = False
    assert World(module("bme688").DRIVER, chip).reading()[3] == (88, None, 10)


def test_a_bme680_is_the_wrong_chip_for_its_gas_range() -> None:
    assert code_of(World(module("bme688").DRIVER, air(variant=0))) == 12
    assert code_of(World(module("bme688").DRIVER, air(identification=0x60))) == 12


def test_a_bme688_that_lost_power_or_never_ends_is_frozen() -> None:
    chip = air()
    table = World(module("bme688").DRIVER, chip)
    table.reading()
    table.clock.now += table.driver.start()
    chip.power_up(table.clock.now)
    assert code_of(table) == 15
    chip.hang = True
    assert code_of(table) == 15
