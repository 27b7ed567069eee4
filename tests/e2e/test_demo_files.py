"""Files of any make through `citymote demo`: whatever the columns and the values, each comes back once and equal."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.city import demo

from citymote import registry
from citymote.demo.mapping import EARLIEST, LATEST

pytestmark = pytest.mark.usefixtures("run_vm")

START = 1_767_225_600  # 2026-01-01

CHIPS = {"sps30", "pms5003", "sht4x", "bh1750", "wind_vane", "anemometer", "sound_meter"}
SLOW = CHIPS - {"sps30", "pms5003", "anemometer"} | {"replay"}


def played(
    folder: Path, columns: Mapping[str, Sequence[float]], interval: int = 600, start: int = START
) -> tuple[int, set[str]]:
    """One node plays these columns, and all comes back. The number of readings, and the drivers that made them."""
    lines = [",".join(("t", *columns))]
    for index, row in enumerate(zip(*columns.values(), strict=True)):
        lines.append(",".join((str(start + index * interval), *map(str, row))))
    (folder / "own.csv").write_text("\n".join(lines) + "\n")
    named = "\n".join(f'{name} = "{name}"' for name in columns)
    (folder / "own.toml").write_text(
        f'interval = {interval}\n[time]\ncolumns = ["t"]\nformat = "unix"\n[columns]\n{named}\n'
    )
    out = folder / "out"
    told = demo(out, "--data", folder / "own.csv", "--mapping", folder / "own.toml", "--claim", 0)
    figures = told.good()
    (board,) = out.glob("nodes/*/board.json")
    sensors: list[dict[str, Any]] = json.loads(board.read_text())["sensors"]
    return figures["readings_stored"], {sensor["driver"] for sensor in sensors}


def test_a_noise_stations_maximum_and_percentiles_come_from_the_file_and_not_from_the_meter(tmp_path: Path) -> None:
    columns = {"laeq": (60, 61, 62), "laf_max": (70, 71, 72), "l10": (65, 66, 67), "uv_index": (1, 2, 3)}
    readings, drivers = played(tmp_path, columns)
    # What the file does not have, L90, the meter adds.
    assert (readings, drivers) == (3 * 5, {"sound_meter", "replay"})


def test_more_columns_than_one_replay_driver_takes_come_through_several(tmp_path: Path) -> None:
    names = [entry.name for entry in registry.quantities() if entry.name != "laeq"][:60]
    readings, _ = played(tmp_path, dict.fromkeys(names, (1, 2)))
    assert readings == 2 * (60 + 2), "and the second dust meter's"


def test_long_numbers_fit_the_replay_drivers_lines(tmp_path: Path) -> None:
    names = [entry.name for entry in registry.quantities() if entry.decimals == 0 and entry.unit != "deg"][:24]
    readings, _ = played(tmp_path, dict.fromkeys(names, (-999999000, 999999999)))
    assert readings == 2 * 24


def test_what_no_chip_can_say_is_played_without_one(tmp_path: Path) -> None:
    columns = {
        "pm2_5": (-5, 5),
        "pm10": (5, 70_000),
        "temperature": (-90, 300),
        "humidity": (50, 140),
        "illuminance": (0, 250_000),
        "wind_speed": (-1, 2),
        "laeq": (-10, 150),
    }
    readings, drivers = played(tmp_path, columns)
    assert (readings, drivers) == (2 * 7, {"replay"})


def test_chips_say_all_up_to_the_ends_of_their_ranges(tmp_path: Path) -> None:
    columns = {
        "pm2_5": (0, 1000),
        "pm10": (1000, 0),
        "temperature": (-40, 125),
        "humidity": (0, 100),
        "illuminance": (54_000, 0),
        "wind_direction": (0, 359),
        "wind_speed": (0, 60),
        "laeq": (100, 25),
    }
    # Two hours, so that the microphone renders its minute at both levels.
    readings, drivers = played(tmp_path, {name: (low,) * 6 + (high,) * 6 for name, (low, high) in columns.items()})
    assert readings == 12 * (8 + 2 + 3)
    assert "replay" not in drivers and len(drivers) == 7


def test_a_long_calm_in_a_file_is_wind_of_zero_and_no_cut_wire(tmp_path: Path) -> None:
    readings, drivers = played(tmp_path, {"wind_speed": (0,) * 800}, 60)
    assert (readings, drivers) == (800, {"anemometer"})


@pytest.mark.parametrize("interval", [60, 86400])
def test_the_first_and_the_last_times_that_are_read_can_be_played(tmp_path: Path, interval: int) -> None:
    epoch = 946_684_800
    for start in (EARLIEST + epoch, LATEST + epoch - 1 - 2 * interval):
        folder = tmp_path / str(start)
        folder.mkdir()
        readings, _ = played(folder, {"temperature": (1, 2, 3), "humidity": (1, 2, 3)}, interval, start)
        assert readings == 6


@pytest.mark.parametrize(("interval", "drivers"), [(3, {"replay"}), (5, SLOW), (54, SLOW), (60, CHIPS)])
def test_a_chip_stands_where_it_can_follow_the_files_rows(tmp_path: Path, interval: int, drivers: set[str]) -> None:
    columns = {
        "pm2_5": (10, 20),
        "pm10": (30, 25),
        "temperature": (10, 20),
        "humidity": (30, 20),
        "illuminance": (54_000, 0),
        "wind_direction": (3, 200),
        "wind_speed": (1, 3),
        "laeq": (50, 60),
    }
    _, fitted = played(tmp_path, {name: values * 10 for name, values in columns.items()}, interval)
    assert fitted == drivers


def test_a_wind_from_360_degrees_comes_back_as_north(tmp_path: Path) -> None:
    readings, drivers = played(tmp_path, {"wind_direction": (360, 359.5, 180)})
    assert (readings, drivers) == (3, {"wind_vane"})


def test_where_a_station_was_not_at_work_nothing_is_absent(tmp_path: Path) -> None:
    """Two stations, one early, one late in the day, the late one with an empty cell."""
    lines = ["t,where,x"]
    lines += [f"{START + hour * 3600},early,{hour}" for hour in (0, 1, 2)]
    lines += [f"{START + hour * 3600},late,{value}" for hour, value in ((20, 20), (21, ""), (22, 22))]
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "own.toml").write_text(
        'interval = 3600\nnode = "where"\n[time]\ncolumns = ["t"]\nformat = "unix"\n[columns]\nx = "uv_index"\n'
    )
    out = tmp_path / "out"
    demo(out, "--data", tmp_path / "own.csv", "--mapping", tmp_path / "own.toml", "--claim", 0).good()
    cells = re.findall(r"<td>([^<]*)</td>", (out / "report.html").read_text("utf-8"))
    assert cells[1:3] == ["5", "1"], "readings, absent"
