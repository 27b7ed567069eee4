"""Drivers by other people, unchanged, against our emulated chips: they, too, must believe in them.

Sensirion's own Python drivers, Adafruit's CircuitPython drivers, Pimoroni's pms5003.
"""

from __future__ import annotations

import sys

import pytest
from tests.emul.peers import BusIO, Serial, Transceiver, anything, circuitpython, sensirion_channel, sleeper
from tests.emul.wires import Clock

from citymote.testing.emul.base import Source
from citymote.testing.emul.bh1750 import BH1750
from citymote.testing.emul.ina219 import INA219
from citymote.testing.emul.lis3dh import LIS3DH
from citymote.testing.emul.ltr390 import LTR390
from citymote.testing.emul.pms5003 import PMS5003
from citymote.testing.emul.scd4x import SCD4x
from citymote.testing.emul.scd30 import SCD30
from citymote.testing.emul.sen5x import SEN66, SEN5x
from citymote.testing.emul.sht3x import SHT3x
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.emul.sps30 import SPS30


def always(value: float | None) -> Source:
    return lambda now: value


@pytest.mark.parametrize(("celsius", "percent"), [(-39.9, 0.4), (19.4, 70.7), (64.0, 99.9), (124.9, 5.0)])
def test_sensirions_driver_reads_the_sht4x(celsius: float, percent: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), SHT4x(always(celsius), always(percent), serial=0x12345678)
    device = pytest.importorskip("sensirion_i2c_sht4x.device")
    sensor = device.Sht4xDevice(sensirion_channel(chip, clock, monkeypatch))
    assert sensor.serial_number() == 0x12345678
    for measure in (sensor.measure_high_precision, sensor.measure_medium_precision, sensor.measure_lowest_precision):
        temperature, humidity = measure()
        assert temperature.value == pytest.approx(celsius, abs=0.01)
        assert humidity.value == pytest.approx(percent, abs=0.01)


def test_sensirions_driver_heats_the_sht4x(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), SHT4x(always(20.0), always(50.0))
    device = pytest.importorskip("sensirion_i2c_sht4x.device")
    sensor = device.Sht4xDevice(sensirion_channel(chip, clock, monkeypatch))
    temperature, humidity = sensor.activate_highest_heater_power_short()
    assert temperature.value > 50, "200 mW warm the chip by tens of kelvins"
    assert humidity.value < 20, "and dry the air in it"
    sensor.soft_reset()


def test_sensirions_driver_reads_the_sps30(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    masses, counts = (1.06156, 1.11157, 1.13172, 1.12688), (8.11561, 9.19413, 9.23619, 9.23938, 9.24018)
    small, half, one, four, ten = (always(v) for v in counts)
    chip = SPS30(*(always(v) for v in masses), numbers=(small, half, one, four, ten))
    device = pytest.importorskip("sensirion_i2c_sps30.device")
    commands = pytest.importorskip("sensirion_i2c_sps30.commands")
    sensor = device.Sps30Device(sensirion_channel(chip, clock, monkeypatch))
    sensor.wake_up_sequence()
    assert sensor.read_product_type().startswith("00080000")
    assert sensor.read_serial_number().startswith("0123456789ABCDEF")
    assert tuple(sensor.read_firmware_version()) == (2, 3)
    assert sensor.read_auto_cleaning_interval() == 604800
    sensor.write_auto_cleaning_interval(86400)
    assert sensor.read_auto_cleaning_interval() == 86400
    sensor.start_measurement(commands.OutputFormat.OUTPUT_FORMAT_FLOAT)
    assert sensor.read_data_ready_flag() == 0
    clock.now += 1100
    assert sensor.read_data_ready_flag() == 1
    values = sensor.read_measurement_values_float()
    assert values[:9] == pytest.approx((masses[0], masses[1], masses[3], masses[2], *counts), rel=1e-6)
    assert sensor.read_data_ready_flag() == 0, "reading the values clears the flag"
    sensor.stop_measurement()
    sensor.sleep()
    sensor.wake_up_sequence()


def test_adafruits_driver_reads_the_bh1750(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), BH1750(always(321.0))
    sensor = circuitpython("adafruit_bh1750", clock, monkeypatch).BH1750(BusIO(chip, clock))
    assert sensor.lux == pytest.approx(321.0, abs=0.5)


def test_pimoronis_driver_reads_the_pms5003(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), PMS5003(always(5.0), always(12.0), always(20.0))
    for name in ("gpiod", "gpiod.line", "gpiodevice"):
        monkeypatch.setitem(sys.modules, name, anything(name))
    module = pytest.importorskip("pms5003", reason="pms5003 is not installed")
    monkeypatch.setattr(module.serial, "Serial", lambda *_, **__: Serial(chip, clock))
    monkeypatch.setattr("time.sleep", sleeper(clock))
    data = module.PMS5003().read()
    assert [data.pm_ug_per_m3(size) for size in (1.0, 2.5, 10)] == [5, 12, 20]
    assert data.pm_ug_per_m3(2.5, atmospheric_environment=True) == 12


def test_sensirions_driver_reads_the_scd4x(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), SCD4x(always(812.0), always(21.3), always(44.0))
    device = pytest.importorskip("sensirion_i2c_scd4x.device")
    sensor = device.Scd4xDevice(sensirion_channel(chip, clock, monkeypatch))
    sensor.wake_up()
    sensor.stop_periodic_measurement()
    assert sensor.get_serial_number() == chip.serial
    sensor.set_sensor_altitude(38)
    assert sensor.get_sensor_altitude() == 38
    sensor.start_periodic_measurement()
    assert not sensor.get_data_ready_status()
    clock.now += 5000
    assert sensor.get_data_ready_status()
    co2, temperature, humidity = sensor.read_measurement()
    assert (co2.value, temperature.value, humidity.value) == pytest.approx((812, 21.3, 44.0), abs=0.01)
    assert not sensor.get_data_ready_status()


def test_sensirions_driver_reads_the_scd30(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), SCD30(always(812.25), always(21.3), always(44.0))
    device = pytest.importorskip("sensirion_i2c_scd30.device")
    sensor = device.Scd30Device(sensirion_channel(chip, clock, monkeypatch))
    assert tuple(sensor.read_firmware_version()) == (3, 66)
    sensor.set_measurement_interval(4)
    assert sensor.get_measurement_interval() == 4
    sensor.start_periodic_measurement(0)
    assert sensor.get_data_ready() == 0
    clock.now += 4000
    assert sensor.get_data_ready() == 1
    assert sensor.read_measurement_data() == pytest.approx((812.25, 21.3, 44.0), abs=0.01)


def test_sensirions_driver_reads_the_sen5x(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    chip = SEN5x(*(always(v) for v in (1.5, 2.5, 4.0, 10.2, 55.5, -3.25, 101.0, 2.0)))
    driver = pytest.importorskip("sensirion_i2c_driver")
    module = pytest.importorskip("sensirion_i2c_sen5x")
    monkeypatch.setattr("time.sleep", sleeper(clock))
    sensor = module.Sen5xI2cDevice(driver.I2cConnection(Transceiver(chip, clock)))
    assert sensor.get_product_name() == "SEN55"
    assert sensor.get_serial_number() == "0123456789ABCDEF"
    sensor.start_measurement()
    assert not sensor.read_data_ready()
    clock.now += 1000
    assert sensor.read_data_ready()
    values = sensor.read_measured_values()
    assert values.mass_concentration_2p5.physical == pytest.approx(2.5)
    assert values.mass_concentration_10p0.physical == pytest.approx(10.2)
    assert values.ambient_humidity.percent_rh == pytest.approx(55.5)
    assert values.ambient_temperature.degrees_celsius == pytest.approx(-3.25)
    assert values.voc_index.scaled == pytest.approx(101)
    assert values.nox_index.scaled == pytest.approx(2)
    assert sensor.read_device_status().value == 0
    sensor.stop_measurement()


def test_sensirions_driver_reads_the_sen66(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    chip = SEN66(*(always(v) for v in (1.5, 2.5, 4.0, 10.2, 55.5, -3.25, 101.0, 2.0, 640.0)))
    device = pytest.importorskip("sensirion_i2c_sen66.device")
    sensor = device.Sen66Device(sensirion_channel(chip, clock, monkeypatch))
    assert sensor.get_product_name().startswith("SEN66")
    sensor.set_sensor_altitude(38)
    assert sensor.get_sensor_altitude() == 38
    sensor.start_continuous_measurement()
    clock.now += 1000
    values = [getattr(value, "value", value) for value in sensor.read_measured_values()]
    assert values == pytest.approx([1.5, 2.5, 4.0, 10.2, 55.5, -3.25, 101, 2, 640])
    sensor.stop_measurement()


def test_adafruits_driver_reads_the_ltr390(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), LTR390(always(6.4), always(1234.0))
    module = circuitpython("adafruit_ltr390", clock, monkeypatch)
    sensor = module.LTR390(BusIO(chip, clock))
    sensor.resolution = module.Resolution.RESOLUTION_20BIT
    sensor.measurement_delay = module.MeasurementDelay.DELAY_500MS
    sensor.gain = module.Gain.GAIN_18X
    clock.now += 2000
    assert sensor.uvs == pytest.approx(6.4 * 2300, abs=2)
    assert sensor.uvi == pytest.approx(6.4, abs=0.01)
    sensor.gain = module.Gain.GAIN_1X
    assert sensor.lux == pytest.approx(1234, abs=1)


def test_adafruits_driver_reads_the_lis3dh(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), LIS3DH(always(0.5), always(-1.25), always(9.81))
    module = circuitpython("adafruit_lis3dh", clock, monkeypatch)
    sensor = module.LIS3DH_I2C(BusIO(chip, clock))
    # it divides by 16380 counts a g, as AN3308's rows for 1 g would have it; the datasheet's 1 mg a digit makes 16000
    expected = tuple(value * 16000 / 16380 for value in (0.5, -1.25, 9.81))
    assert tuple(sensor.acceleration) == pytest.approx(expected, abs=0.02)


def test_adafruits_driver_reads_the_sht3x(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), SHT3x(always(-12.3), always(81.5), serial=0xCAFE0123)
    sensor = circuitpython("adafruit_sht31d", clock, monkeypatch).SHT31D(BusIO(chip, clock))
    assert sensor.serial_number == 0xCAFE0123
    assert sensor.temperature == pytest.approx(-12.3, abs=0.01)
    assert sensor.relative_humidity == pytest.approx(81.5, abs=0.01)
    assert sensor.heater is False
    sensor.heater = True
    assert sensor.heater is True


def test_adafruits_driver_reads_the_ina219(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), INA219(always(12.0), always(345.6))
    sensor = circuitpython("adafruit_ina219", clock, monkeypatch).INA219(BusIO(chip, clock))
    clock.now += 100
    assert sensor.bus_voltage == pytest.approx(12.0, abs=0.005)
    assert sensor.current == pytest.approx(345.6, abs=0.5)
    assert sensor.shunt_voltage == pytest.approx(0.03456, abs=1e-4)
