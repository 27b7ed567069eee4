"""What there is to sense: recorded rows hold in their interval, faults cover them, chips see the middle of a bin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citymote import registry
from citymote.testing.world import World

T0 = 820_454_400
PM2_5 = registry.quantity("pm2_5").id
TEMPERATURE = registry.quantity("temperature").id


def test_a_row_holds_from_after_the_last_ones_end_up_to_its_own() -> None:
    world = World(T0).series("temperature", [(T0 + 60, 20.5), (T0 + 120, None), (T0 + 180, -3.0)], 60)
    at = [0, 1, 60_000, 60_001, 120_000, 120_001, 180_000, 180_001]
    assert [world.value("temperature", now) for now in at] == [None, 20.5, 20.5, None, None, -3.0, -3.0, None]


def test_a_gap_between_rows_is_absent() -> None:
    world = World(T0).series("pm10", [(T0 + 60, 1.0), (T0 + 600, 2.0)], 60)
    assert [world.value("pm10", now) for now in (60_000, 300_000, 540_000, 540_001)] == [1.0, None, None, 2.0]


def test_rows_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="ascend"):
        World(T0).series("pm10", [(T0 + 60, 1.0), (T0 + 60, 2.0)], 60)


@given(st.lists(st.one_of(st.none(), st.integers(-4000, 12500)), min_size=1, max_size=20), st.integers(1, 7200))
def test_a_table_brings_back_every_integer_at_the_end_of_its_interval(values: list[int | None], interval: int) -> None:
    rows = [{} if value is None else {TEMPERATURE: value} for value in values]
    world = World(T0).table(T0 + interval, interval, rows)
    ends = [(i + 1) * interval * 1000 for i in range(len(rows))]
    assert [world.integer(TEMPERATURE, end) for end in ends] == values
    assert [world.integer(TEMPERATURE, end - interval * 1000 + 1) for end in ends] == values
    assert world.value(TEMPERATURE, 0) is None
    assert world.value(TEMPERATURE, ends[-1] + 1) is None


def test_a_lag_lets_a_slow_chip_see_the_interval_it_was_asked_about() -> None:
    world = World(T0, lag=2000).table(T0 + 60, 60, [{PM2_5: 100}, {PM2_5: 200}])
    assert [world.integer("pm2_5", now) for now in (60_000, 62_000, 62_001)] == [100, 100, 200]


def test_scenarios_cover_what_is_there_and_the_latest_wins() -> None:
    world = World(T0).constant("temperature", 20.0).override("temperature", 1000, 5000, 40.0)
    world.dies("temperature", 2000, 3000).override("temperature", 4000, 4500, lambda now: now / 1000)
    at = [999, 1000, 2000, 3000, 4250, 4500, 5000]
    assert [world.value("temperature", now) for now in at] == [20.0, 40.0, None, 40.0, 4.25, 40.0, 20.0]


def test_a_dead_sensor_stays_dead() -> None:
    assert World(T0).constant("pm1", 3.0).dies("pm1", 500).value("pm1", 1 << 50) is None


def test_a_second_instance_breathes_the_same_air_unless_told_otherwise() -> None:
    world = World(T0).constant("pm2_5", 10.0).constant("humidity", 50.0, instance=1)
    assert world.value("pm2_5", 0, instance=1) == 10.0
    assert world.value("humidity", 0) is None
    world.override("pm2_5", 0, 1000, 99.0, instance=1)
    assert (world.value("pm2_5", 0), world.value("pm2_5", 0, instance=1)) == (10.0, 99.0)


def test_a_quantised_source_plays_the_middle_of_the_bin() -> None:
    world = World(T0).function("temperature", lambda now: 20.04 + now / 1000)
    exact, middle = world.source("temperature"), world.source("temperature", quantised=True)
    assert (exact(0), middle(0), middle(20)) == (20.04, 20.0, 20.1)


def test_a_row_for_the_replay_holds_integers_and_gaps() -> None:
    world = World(T0).constant("pm2_5", 12.3).constant("temperature", -0.5).dies("temperature", 10)
    row = world.row(["pm2_5", "temperature", "co2"])
    co2 = registry.quantity("co2").id
    assert row(0) == {PM2_5: 123, TEMPERATURE: -5, co2: None}
    assert row(10) == {PM2_5: 123, TEMPERATURE: None, co2: None}
