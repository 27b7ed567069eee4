"""A data file is read as it stands: several lines of an interval by each quantity's statistic, texts for absent in any
case, and what cannot be read, said or played refused with its place or noted, never silently changed.
"""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citymote import registry
from citymote.demo import dataset, mapping, merging
from citymote.demo.dataset import Dataset
from citymote.errors import SourceError
from citymote_protocol import quantities as q

AT = 1_577_836_800  # 2020-01-01 in Unix seconds, a whole hour


def read(
    folder: Path, text: str, columns: str, head: str = "interval = 3600\n", time: str = 'format = "unix"'
) -> Dataset:
    (folder / "own.csv").write_text(text)
    (folder / "own.toml").write_text(f'{head}[time]\ncolumns = ["t"]\n{time}\n[columns]\n{columns}\n')
    return dataset.read_csv(folder / "own.csv", folder / "own.toml")


def hour(folder: Path, quantity: str, *cells: str) -> Dataset:
    """These cells, a minute apart, in one hour."""
    lines = [f"{AT + 60 * (index + 1)},{cell}" for index, cell in enumerate(cells)]
    return read(folder, "\n".join(("t,x", *lines, "")), f'x = "{quantity}"')


def value(data: Dataset) -> float:
    ((number, integer),) = data.stations[0].rows[0].items()
    return registry.quantity(number).value(integer)


# -- several lines of one interval -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "cells", "one"),
    [
        ("temperature", ("10", "20", "21"), 17.0),
        ("wind_direction", ("350", "10"), 0),
        ("wind_direction", ("350", "20"), 5),
        ("laeq", ("40", "80"), 77.0),
        ("rain", ("1", "2"), 3.0),
        ("visitors", ("10", "20"), 30),
        ("wind_gust_speed", ("3", "9", "5"), 9.0),
        ("vibration_x_max", ("3", "9", "5"), 9.0),
        ("battery_voltage", ("4.1", "3.9", "4"), 3.9),
        ("vibration_x", ("3", "4"), 3.54),
        ("battery_level", ("90", "80", "85"), 85),
        ("heat", ("1", "3", "2"), 2),
    ],
)
def test_lines_of_one_interval_merge_as_the_registry_says(
    tmp_path: Path, quantity: str, cells: tuple[str, ...], one: float
) -> None:
    data = hour(tmp_path, quantity, *cells)
    assert value(data) == one
    assert data.merged == len(cells) - 1
    (note,) = data.notes
    assert f"{len(cells) - 1} lines fell into an interval of 3600 s" in note


def test_every_statistic_of_the_registry_is_known_to_the_merging() -> None:
    known = {"mean", "vector_mean", "leq", "rms", "sum", "max", "peak", "min", "at_max", "percentile", "last", "state"}
    assert {entry.statistic for entry in registry.quantities()} == known


def test_of_percentiles_the_last_stands_and_the_user_is_told(tmp_path: Path) -> None:
    data = hour(tmp_path, "l10", "60", "70", "65")
    assert value(data) == 65.0
    assert "the last of an interval's lines stands for l10" in data.notes[-1]


def test_one_percentile_in_an_interval_is_no_matter_of_a_note(tmp_path: Path) -> None:
    assert hour(tmp_path, "l10", "60").notes == []


def test_a_gusts_direction_is_that_of_the_strongest_gust(tmp_path: Path) -> None:
    lines = f"t,d,v\n{AT + 60},90,3\n{AT + 120},180,9\n{AT + 180},270,4\n"
    data = read(tmp_path, lines, 'd = "wind_gust_direction"\nv = "wind_gust_speed"')
    assert data.stations[0].rows == [{q.WIND_GUST_DIRECTION: 180, q.WIND_GUST_SPEED: 90}]
    assert "wind_gust_direction" not in " ".join(data.notes)


def test_a_gusts_direction_without_its_speed_is_the_last_one(tmp_path: Path) -> None:
    data = hour(tmp_path, "wind_gust_direction", "90", "180", "270")
    assert value(data) == 270
    assert "wind_gust_direction" in data.notes[-1]


def test_directions_that_cancel_have_no_mean(tmp_path: Path) -> None:
    assert hour(tmp_path, "wind_direction", "90", "270").stations[0].rows == [{}]


def test_the_last_line_is_the_latest_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    data = read(tmp_path, f"t,x\n{AT + 120},80\n{AT + 60},90\n", 'x = "battery_level"')
    assert value(data) == 80


def test_a_sum_that_grows_beyond_what_a_node_can_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="lines of one interval together: is out of any range"):
        hour(tmp_path, "visitors", "600000000", "600000000")


@given(st.integers(0, 359), st.integers(0, 80))
def test_the_mean_of_two_directions_lies_between_them(middle: int, spread: int) -> None:
    lines = [{q.WIND_DIRECTION: float((middle + turn) % 360)} for turn in (-spread, spread)]
    assert merging.row(lines, set()) == {q.WIND_DIRECTION: middle}


@given(st.lists(st.floats(-50, 200), min_size=2, max_size=20))
def test_a_merged_level_lies_between_the_mean_and_the_loudest(levels: list[float]) -> None:
    merged = merging.row([{q.LAEQ: level} for level in levels], set())[q.LAEQ] / 10
    assert sum(levels) / len(levels) - 0.06 <= merged <= max(levels) + 0.06


# -- what a node can say -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", ["wind_direction", "wind_gust_direction"])
@pytest.mark.parametrize(("cell", "degrees"), [("360", 0), ("359.5", 0), ("359.4", 359), ("-10", 350), ("0", 0)])
def test_a_direction_is_0_to_359(tmp_path: Path, quantity: str, cell: str, degrees: int) -> None:
    assert value(hour(tmp_path, quantity, cell)) == degrees


@pytest.mark.parametrize(
    ("quantity", "cell", "why"),
    [
        ("wind_direction", "999", "is no direction"),
        ("uv_index", "120000000", "is out of any range"),
        ("pressure", "-100000000", "is out of any range"),
        ("vibration_x", "-1", "is negative"),
        ("temperature", "nan", "is out of any range"),
        ("temperature", "warm", "is no number"),
        ("temperature", "1_000", "is no number"),
        ("temperature", "\u0661\u0662", "is no number"),
    ],
)
def test_what_a_node_cannot_say_is_refused_with_its_place(tmp_path: Path, quantity: str, cell: str, why: str) -> None:
    with pytest.raises(SourceError, match=f"line 3, column 'x': '{cell}' {why}.*Name texts that mean absent"):
        hour(tmp_path, quantity, "5", cell)


def test_a_place_is_the_files_line_also_behind_a_cell_of_several(tmp_path: Path) -> None:
    text = f't,note,x\n{AT + 60},"two\nlines",5\n{AT + 120},,warm\n'
    with pytest.raises(SourceError, match="line 4, column 'x': 'warm' is no number"):
        read(tmp_path, text, 'x = "temperature"')
    with pytest.raises(SourceError, match=r"is not a CSV file: line \d"):
        read(tmp_path, f't,x\n{AT + 60},"5"5\n', 'x = "temperature"')


@given(st.sampled_from(registry.quantities()), st.floats())
def test_whatever_is_read_fits_a_node(entry: registry.Quantity, number: float) -> None:
    try:
        integer = merging.integer(entry, number)
    except ValueError:
        return
    assert abs(integer) <= 999_999_999
    assert entry.unit == "deg" or math.isclose(entry.value(integer), number, abs_tol=0.51 / 10**entry.decimals)
    assert entry.unit != "deg" or 0 <= integer < 360


# -- absent ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["NA", "na", "Na", " NA "])
def test_texts_for_absent_are_the_same_in_large_and_small_letters(tmp_path: Path, cell: str) -> None:
    lines = f"t,x,y\n{AT},{cell},1\n"
    columns = 'x = "temperature"\ny = "humidity"'
    assert read(tmp_path, lines, columns, 'interval = 60\nabsent = ["", "NA"]\n').stations[0].rows == [{q.HUMIDITY: 10}]
    columns = 'x = {quantity = "temperature", absent = ["Na"]}\ny = "humidity"'
    assert read(tmp_path, lines, columns).stations[0].rows == [{q.HUMIDITY: 10}]


# -- columns and lines that are not there ------------------------------------------------------------------------------


def test_a_column_that_ones_own_mapping_misspells_is_an_error_that_shows_the_header(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no column 'tmep': .*the header is 't, temp, hum'"):
        read(tmp_path, f"t,temp,hum\n{AT},1,2\n", 'tmep = "temperature"\nhum = "humidity"')


def test_a_column_that_a_built_in_mapping_does_not_find_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "kit.csv"
    path.write_text("TIME,TEMP,HUM,NOISE_A\n2020-09-02T15:35:19Z,26.92,61.17,43.34\n")
    (note,) = dataset.read_csv(path).notes
    assert "no column 'LIGHT', 'PRESS'" in note


def test_a_mapping_that_only_changes_a_built_in_one_may_lack_its_columns(tmp_path: Path) -> None:
    (tmp_path / "kit.csv").write_text("TIME,TEMP\n2020-09-02T15:35:19Z,26.92\n")
    (tmp_path / "own.toml").write_text('base = "smartcitizen"\ninterval = 60\n')
    data = dataset.read_csv(tmp_path / "kit.csv", tmp_path / "own.toml")
    assert data.stations[0].rows == [{q.TEMPERATURE: 269}]


def test_lines_without_a_time_under_the_header_are_noted(tmp_path: Path) -> None:
    data = read(tmp_path, f"t,x\nyesterday,9\n{AT},1\n", 'x = "temperature"')
    (note,) = data.notes
    assert "'yesterday' in line 2" in note


def test_a_file_of_which_no_line_has_a_time_shows_the_first(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no time in 'yesterday' in line 2. Check the mapping's \[time\]"):
        read(tmp_path, "t,x\nyesterday,9\ntoday,8\n", 'x = "temperature"')


# -- times -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "mend"),
    [
        ("0", ""),
        ("946684799", ""),
        (f"{mapping.LATEST + 946684800}", "unix_ms"),
        (f"{AT}000", "unix_ms"),
    ],
)
def test_a_time_that_no_node_knows_is_refused_with_its_line(tmp_path: Path, cell: str, mend: str) -> None:
    with pytest.raises(SourceError, match=rf"line 3: the time '{cell}' is not from 2000-01-03 to 2135-12-31.*{mend}"):
        read(tmp_path, f"t,x\n{AT},1\n{cell},2\n", 'x = "temperature"')


def test_a_time_without_end_is_no_time(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="line 3: no time in 'inf'"):
        read(tmp_path, f"t,x\n{AT},1\ninf,2\n", 'x = "temperature"')


def test_milliseconds_are_read_where_the_mapping_says_so(tmp_path: Path) -> None:
    data = read(tmp_path, f"t,x\n{AT}000,1\n", 'x = "temperature"', time='format = "unix_ms"')
    assert data.stations[0].start == AT - 946684800


def test_a_line_that_lies_years_away_is_refused_with_both_times(tmp_path: Path) -> None:
    lines = f"t,x\n{AT},1\n{AT + 60},1\n{AT + 3650 * 86400},1\n"
    with pytest.raises(SourceError) as refused:
        read(tmp_path, lines, 'x = "temperature"', "interval = 60\n")
    assert re.search(
        r"between 2020-01-01 00:01:00.* and 2029-12-29 00:00:00.*525\d{4} empty intervals", str(refused.value)
    )


@pytest.mark.parametrize("head", ["", "interval = 2\n"])
def test_rows_that_follow_faster_than_a_node_makes_them_are_refused(tmp_path: Path, head: str) -> None:
    lines = f"t,x\n{AT},1\n{AT + 2},1\n"
    with pytest.raises(SourceError, match=r"has a row every 2 s: .* Set a longer interval"):
        read(tmp_path, lines, 'x = "temperature"', head)
    assert read(tmp_path, lines, 'x = "temperature"', "interval = 3\n").interval == 3


@pytest.mark.parametrize(("step", "interval"), [(61, 60), (420, 400), (3600, 3600), (86399, 43200)])
def test_an_interval_found_in_a_file_divides_a_day_as_a_nodes_must(tmp_path: Path, step: int, interval: int) -> None:
    data = read(tmp_path, f"t,x\n{AT},1\n{AT + step},2\n", 'x = "temperature"', "")
    assert data.interval == interval
    assert [f"{step} s, which does not divide a day" in note for note in data.notes] == [True] * (step != interval)


def test_a_gap_of_a_month_of_minutes_is_read(tmp_path: Path) -> None:
    lines = f"t,x\n{AT},1\n{AT + 30 * 86400},1\n"
    data = read(tmp_path, lines, 'x = "temperature"', "interval = 60\n")
    assert len(data.stations[0].rows) == 30 * 1440 + 1
