"""VEML7700 against the application note's figures and a driver by others, and in the ways in which it fails."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from tests.emul.peers import BusIO, circuitpython
from tests.emul.wires import Clock, World

from citymote.testing.emul.base import Source
from citymote.testing.emul.veml7700 import VEML7700, bent, straightened


def always(value: float | None) -> Source:
    return lambda now: value


def driver() -> Any:
    return importlib.import_module("node.drivers.veml7700").DRIVER


def code_of(table: World) -> int:
    with pytest.raises(importlib.import_module("node.drivers.fault").Fault) as told:
        table.reading()
    return told.value.code


def counted(table: World) -> tuple[int, int]:
    """The configuration and the counts of the last conversion, as they stood on the wire."""
    words = [int.from_bytes(data, "little") for kind, data in table.bus.log if kind == "read" and len(data) == 2]
    return words[-2], words[-1]


# Application note 84323, table of resolution and maximum: (lx, gain bits, time bits, lux a count)
RESOLUTIONS = (
    (3.0, 0, 0, 0.0672),
    (40.0, 0, 0, 0.0672),
    (1000.0, 2, 0, 0.5376),
    (5000.0, 2, 0, 0.5376),
    (20_000.0, 2, 12, 2.1504),
    (120_000.0, 2, 12, 2.1504),
)


@pytest.mark.parametrize(("lux", "gain", "time", "resolution"), RESOLUTIONS)
def test_range_and_polynomial_are_the_application_notes(lux: float, gain: int, time: int, resolution: float) -> None:
    table = World(driver(), VEML7700(always(lux)))
    table.reading()
    table.clock.now += 10_000
    (_, value, quality) = table.reading()[0]
    configuration, counts = counted(table)
    assert (configuration >> 11 & 3, configuration >> 6 & 15, quality) == (gain, time, 0)
    assert value is not None and abs(value - straightened(counts * resolution)) <= 0.51 + lux * 2e-4


def test_the_polynomial_turned_round() -> None:
    for lux in (0.5, 100.0, 1075.0, 30_000.0, 139_000.0):
        assert straightened(bent(lux)) == pytest.approx(lux, rel=1e-9)
    assert straightened(1000.0) == pytest.approx(1075.0, abs=0.1)


def test_direct_sun_and_beyond() -> None:
    assert World(driver(), VEML7700(always(150_000.0))).reading()[0][2] == 11
    assert World(driver(), VEML7700(always(600_000.0))).reading() == [(7, None, 16)]


@pytest.mark.parametrize("lux", [0.7, 12.0, 640.0, 9_300.0, 88_000.0])
def test_adafruits_driver_reads_the_veml7700(lux: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), VEML7700(always(lux))
    module = circuitpython("adafruit_veml7700", clock, monkeypatch)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now / 1000)
    sensor = module.VEML7700(BusIO(chip, clock))
    clock.now += 1000
    assert sensor.autolux == pytest.approx(lux, rel=0.01, abs=0.01)


def test_a_dark_night_after_a_bright_day_and_back() -> None:
    """Four ranges' worth of steps at most, and each reading is of its own light."""
    level = 100_000.0
    table = World(driver(), VEML7700(lambda now: level))
    for level in (100_000.0, 2.0, 300.0, 2.0, 60_000.0):
        table.clock.now += 60_000
        assert table.ready() <= driver().LEAD
        assert table.driver.read()[0][1] == pytest.approx(level, rel=0.002, abs=0.6)


def test_another_chip_at_its_address_and_one_that_lost_power() -> None:
    assert code_of(World(driver(), VEML7700(always(10.0), identification=0x0026))) == 12
    chip = VEML7700(always(10.0))
    table = World(driver(), chip)
    table.clock.now += table.driver.start()
    chip.power_up(table.clock.now)
    assert code_of(table) == 15


def test_it_is_off_between_readings() -> None:
    chip = VEML7700(always(10.0))
    table = World(driver(), chip)
    table.ready()
    assert not chip.on
