"""Which columns of a station go through which sensor, where no node has to run to see it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citymote import registry
from citymote.demo.city_nodes import poles
from citymote.demo.dataset import Dataset, Station
from citymote.errors import UsageError
from citymote.testing.emul.replay import answer

NUMBERS = [entry.id for entry in registry.quantities()]


def city(*rows: dict[int, int]) -> Dataset:
    return Dataset("City", 60, [Station("here", 6000, list(rows))])


@given(st.dictionaries(st.sampled_from(NUMBERS), st.integers(-999_999_999, 999_999_999), min_size=1, max_size=58))
def test_each_column_of_a_file_has_one_sensor_and_replays_fit_their_driver(row: dict[int, int]) -> None:
    (pole,) = poles(city(row), 1, 1)
    reported = [
        (registry.quantity(name).id, sensor.get("instance", 0))
        for sensor in pole.plan.board["sensors"]
        for name in sensor["quantities"]
    ]
    assert len(set(reported)) == len(reported)
    assert {(number, 0) for number in row} <= set(reported)
    replays = [sensor for sensor in pole.plan.board["sensors"] if sensor["driver"] == "replay"]
    assert len({sensor["bus"] for sensor in replays}) == len(replays)
    for sensor in replays:
        assert 1 <= len(sensor["settings"]["quantities"]) <= 24
        numbers = [registry.quantity(name).id for name in sensor["settings"]["quantities"]]
        answer("00", [(number, row[number]) for number in numbers])  # raises where the line is too long


def test_more_quantities_than_a_frame_carries_are_refused_with_the_stations_name() -> None:
    with pytest.raises(UsageError, match="station here would report 65 quantities: a frame carries 64"):
        poles(city(dict.fromkeys(NUMBERS[:65], 1)), 0, 1)
