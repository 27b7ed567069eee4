"""Vibration velocity out of accelerations: sines of known velocity, against the ideal filter's exact numbers.

The ideal is s / (s^2 + sqrt(2) w s + w^2) on the acceleration, w at 10^-0.1 Hz: what building vibration from 1 Hz on is
measured with (DIN 45669-1). Its magnitude against integration alone is r^2 / sqrt(1 + r^4), r the frequency over the
corner; RMS of a sine of velocity V is V / sqrt(2), its peak V.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import pytest
from tests.emul.wires import World

from citymote.testing.emul.base import Source
from citymote.testing.emul.catalogue import part
from citymote.testing.emul.lis3dh import LIS3DH

CORNER = 10**-0.1
FREQUENCIES = (0.5, 0.8, 1.0, 1.6, 2.0, 4.0, 8.0, 12.5, 16.0, 25.0, 31.5, 40.0, 50.0, 63.0, 80.0)


def lis3dh() -> Any:
    return importlib.import_module("node.drivers.lis3dh").DRIVER


def still(value: float) -> Source:
    return lambda now: value


def sine(velocity: float, frequency: float, gravity: float = 9.81) -> Source:
    """Acceleration in m/s2 of a sine whose velocity has this amplitude in mm/s."""
    swing = velocity / 1000 * 2 * math.pi * frequency
    return lambda now: gravity + swing * math.cos(2 * math.pi * frequency * now / 1000 + 0.7)


def ideal(frequency: float) -> float:
    ratio = (frequency / CORNER) ** 2
    return ratio / math.sqrt(1 + ratio * ratio)


def measured(x: Source, settings: dict[str, Any] | None = None) -> tuple[dict[int, tuple[int | None, int]], World]:
    given = {"velocity": True, "data_rate": 200, "duration": 10000} | (settings or {})
    table = World(lis3dh(), LIS3DH(x, still(0.0), still(-3.0)), given)
    return {quantity: (value, quality) for quantity, value, quality in table.reading()}, table


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_a_sine_has_the_velocity_that_the_ideal_filter_gives_it(frequency: float) -> None:
    readings, _ = measured(sine(20.0, frequency))
    (rms, _), (peak, _) = readings[28], readings[31]
    assert rms is not None and peak is not None
    assert rms / 100 == pytest.approx(20 / math.sqrt(2) * ideal(frequency), rel=0.05)
    assert peak / 100 == pytest.approx(20 * ideal(frequency), rel=0.05)


@pytest.mark.parametrize("velocity", [1.0, 3.0, 10.0, 50.0, 150.0])
def test_small_and_large_velocities_are_in_proportion(velocity: float) -> None:
    readings, _ = measured(sine(velocity, 10.0, gravity=0.0))
    rms, peak = readings[28][0], readings[31][0]
    assert rms is not None and peak is not None
    # 4 mg a digit without noise to blur it: at 1 mm/s the sine has 16 steps from top to bottom
    assert rms / 100 == pytest.approx(velocity / math.sqrt(2), rel=0.03, abs=0.03)
    assert peak / 100 == pytest.approx(velocity, rel=0.03, abs=0.15)


@pytest.mark.parametrize("rate", [100, 200, 400])
def test_every_data_rate_measures_the_same(rate: int) -> None:
    readings, _ = measured(sine(20.0, 10.0), {"data_rate": rate})
    rms = readings[28][0]
    assert rms is not None
    assert rms / 100 == pytest.approx(20 / math.sqrt(2), rel=0.05)


@pytest.mark.parametrize("full_scale", [2, 4, 8, 16])
def test_every_range_measures_the_same(full_scale: int) -> None:
    readings, _ = measured(sine(100.0, 10.0), {"full_scale": full_scale})
    rms = readings[28][0]
    assert rms is not None
    assert rms / 100 == pytest.approx(100 / math.sqrt(2), rel=0.03)


@pytest.mark.parametrize("gravity", [-9.81, -3.0, 0.0, 0.02, 9.81, 17.0])
def test_gravity_is_no_velocity(gravity: float) -> None:
    readings, _ = measured(still(gravity))
    assert [readings[quantity] for quantity in range(28, 34)] == [(0, 0)] * 6


def test_a_pole_that_was_tilted_before_the_reading_leaves_nothing_behind() -> None:
    readings, table = measured(still(2.0))
    table.part.sources = (still(-4.0), still(1.0), still(9.0))  # type: ignore[union-attr]
    again = {quantity: value for quantity, value, _ in table.reading()}
    assert [again[quantity] for quantity in range(28, 34)] == [0] * 6
    assert readings[28] == (0, 0)


def test_accelerations_come_with_it_gravity_left_in() -> None:
    readings, _ = measured(sine(20.0, 10.0, gravity=5.0))
    mean, greatest = readings[10][0], readings[24][0]
    assert mean == pytest.approx(500, abs=3)
    assert greatest == pytest.approx(500 + 2 * math.pi * 10 * 0.020 * 100, abs=6)


def test_faster_than_it_can_tell_is_no_value() -> None:
    readings, _ = measured(sine(400.0, 5.0, gravity=0.0))
    assert readings[28] == (None, 11), "out of range"
    assert readings[31] == (None, 11)
    assert readings[29] == (0, 0), "the other axes stand for themselves"


def test_a_full_converter_is_no_value() -> None:
    readings, _ = measured(sine(400.0, 10.0))  # 25 m/s2 in a range of 19.6
    assert [readings[quantity] for quantity in (10, 24, 28, 31)] == [(None, 16)] * 4


def test_a_burst_that_came_too_late_begins_anew() -> None:
    expected, _ = measured(sine(20.0, 10.0))
    table = World(lis3dh(), LIS3DH(sine(20.0, 10.0), still(0.0), still(-3.0)), {"velocity": True, "data_rate": 200})
    for step in range(1000):
        wait = table.driver.start()
        if not wait:
            break
        table.clock.now += wait + (500 if step == 40 else 0)
    found = {quantity: value for quantity, value, _ in table.driver.read()}
    assert found[28] == pytest.approx(expected[28][0], rel=0.02)


def test_bursts_that_are_always_late_are_a_fault() -> None:
    fault: Any = importlib.import_module("node.drivers.fault").Fault
    table = World(lis3dh(), LIS3DH(sine(20.0, 10.0), still(0.0), still(-3.0)), {"velocity": True, "data_rate": 400})
    with pytest.raises(fault) as told:
        for _ in range(table.driver.STEPS):
            table.clock.now += table.driver.start() + 100
    assert told.value.code == 13, "short read"


def test_the_virtual_pole_hums_as_told() -> None:
    chip = part("lis3dh", {"vibration_x": still(2.5), "acceleration_z": still(9.81)})
    table = World(lis3dh(), chip, {"velocity": True, "data_rate": 200})
    found = {quantity: value for quantity, value, _ in table.reading()}
    assert found[28] == pytest.approx(250, rel=0.03)
    assert found[30] == 0
