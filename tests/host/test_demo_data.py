"""What the demo plays: published files through mappings, bad files refused by place, a generated day that repeats."""

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from citymote import registry
from citymote.demo import city, dataset, mapping
from citymote.errors import SourceError, UsageError
from citymote_protocol import quantities as q

HEADER = "시리얼,date,hour,초미세먼지 (㎍/㎥),기온 (℃),풍속 (m/s),진동(x) (g)"


def sdot(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "sdot.csv"
    path.write_text("\n".join((HEADER, *lines)) + "\n", "euc-kr")
    return path


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_sdot_rows_become_integers_at_the_resolution(tmp_path: Path) -> None:
    data = dataset.read_csv(sdot(tmp_path, "V02Q1,2020.5.1,7,7.96,19.39664,0,0.011"))
    (station,) = data.stations
    assert (data.title, data.interval, station.name) == ("S-DoT, Seoul", 3600, "V02Q1")
    assert station.rows == [{q.PM2_5: 80, q.TEMPERATURE: 194, q.WIND_SPEED: 0, q.ACCELERATION_X: 11}]


def test_sdot_times_are_korean(tmp_path: Path) -> None:
    data = dataset.read_csv(sdot(tmp_path, "V02Q1,2020.5.1,7,1,1,1,1"))
    at = datetime.fromtimestamp(data.stations[0].start + mapping.EPOCH_2000.timestamp(), UTC)
    assert at == datetime(2020, 4, 30, 22, tzinfo=UTC)


def test_an_empty_cell_is_absent_and_a_missing_hour_is_an_empty_row(tmp_path: Path) -> None:
    data = dataset.read_csv(sdot(tmp_path, "V02Q1,2020.5.1,7,,19,1,0.01", "V02Q1,2020.5.1,9,5,19,1,0.01"))
    rows = data.stations[0].rows
    assert len(rows) == 3
    assert q.PM2_5 not in rows[0]
    assert rows[1] == {}
    assert rows[2][q.PM2_5] == 50


def test_dead_columns_are_absent_only_where_the_whole_column_is_dead(tmp_path: Path) -> None:
    lines = ("A,2020.5.1,7,1,1,0,1", "A,2020.5.1,8,1,1,0,1", "B,2020.5.1,7,1,1,0,1", "B,2020.5.1,8,1,1,0.4,1")
    still, windy = dataset.read_csv(sdot(tmp_path, *lines), "sdot_dead_columns").stations
    assert all(q.WIND_SPEED not in row for row in still.rows)
    assert [row[q.WIND_SPEED] for row in windy.rows] == [0, 4]


def test_smart_citizen_preamble_and_null_cells(tmp_path: Path) -> None:
    path = tmp_path / "kit.csv"
    path.write_text(
        "TIME,TEMP,HUM,NOISE_A,PRESS\nISO 8601,C,%,dBA,kPa\nTime,Temperature,Humidity,Noise,Pressure\n,55,56,53,58\n"
        "2020-09-02T15:35:19Z,26.92,61.17,43.34,101.53\n2020-09-02T15:35:49Z,null,61.18,46.94,101.55\n"
    )
    data = dataset.read_csv(path)
    assert data.interval == 30
    first, second = data.stations[0].rows
    assert first == {q.TEMPERATURE: 269, q.HUMIDITY: 612, q.LAEQ: 433, q.PRESSURE: 10153}
    assert q.TEMPERATURE not in second


def test_lines_in_one_interval_are_averaged_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("t,x\n1577836800,10\n1577836830,20\n1577836920,40\n")
    own = tmp_path / "own.toml"
    own.write_text('interval = 120\n[time]\ncolumns = ["t"]\nformat = "unix"\n[columns]\nx = "temperature"\n')
    data = dataset.read_csv(path, own)
    assert data.merged == 1
    # 0 h belongs to the interval that ends there, half a minute and two minutes later to the next one.
    assert [row.get(q.TEMPERATURE) for row in data.stations[0].rows] == [100, 300]


BAD_FILES = [
    ("V02Q1,2020.5.1,7,x,1,1,1", "line 2, column '초미세먼지"),
    ("V02Q1,2020.5.1,7,inf,1,1,1", "out of any range"),
    ("V02Q1,2020.5.1,7,1e30,1,1,1", "out of any range"),
    ("V02Q1,2020.5.1,7,1,1", "cells where the header has"),
    ("V02Q1,2020.5.1,7,1,1,1,1\nV02Q1,2020.5.x,7,1,1,1,1", "line 3: no time"),
    ("", "no readings"),
]


@pytest.mark.parametrize(("line", "said"), BAD_FILES)
def test_a_malformed_file_is_refused_with_its_place(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        dataset.read_csv(sdot(tmp_path, line))


def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        dataset.read_csv(tmp_path / "absent.csv")
    noise = tmp_path / "noise.csv"
    noise.write_bytes(bytes(range(256)) * 8)
    with pytest.raises(SourceError, match="none of the known headers"):
        dataset.read_csv(noise)
    with pytest.raises(SourceError, match="is not utf-8-sig text"):
        dataset.read_csv(noise, "smartcitizen")
    with pytest.raises(SourceError, match="has no column"):
        dataset.read_csv(_written(tmp_path / "other.csv", "a,b\n1,2\n"), "smartcitizen")


BAD_MAPPINGS = [
    ('[time]\ncolumns = ["t"]\nformat = "%Y-%m-%d %Y"\n[columns]\nx = "co2"', "is no time format"),
    (f'[time]\ncolumns = ["t"]\n[columns]\nx = {{quantity = "co2", factor = {"9" * 400}}}', "factor is no number"),
    ("interval = 120", "no \\[time\\]"),
    ('[time]\ncolumns = ["t"]', "no \\[columns\\]"),
    ('[time]\ncolumns = ["t"]\n[columns]\nx = "tempratur"', "unknown quantity 'tempratur'"),
    ('colour = 1\n[time]\ncolumns = ["t"]\n[columns]\nx = "co2"', "unknown key 'colour'"),
    ('[time]\ncolumns = ["t"]\n[columns]\nx = "co2"\ny = "co2"', "two columns fill co2"),
    ('[time]\ncolumns = ["t"]\n[columns]\nx = {quantity = "co2", faktor = 2}', "unknown key 'faktor'"),
    ('[time]\ncolumns = ["t"]\n[columns]\nx = {factor = 2}', "names no quantity"),
    ('interval = 0\n[time]\ncolumns = ["t"]\n[columns]\nx = "co2"', "1 to 86400"),
    ('[time]\ncolumns = ["t"]\nzone = "KST"\n[columns]\nx = "co2"', "is not like"),
    ('base = "seoul"', "is not built in"),
    ("interval = [", "cannot be read"),
    ("base = 5", "is not built in"),
    ('time = 5\n[columns]\nx = "co2"', "time is no table"),
    ('[time]\ncolumns = "time"\n[columns]\nx = "co2"', "columns is no list of texts.*Write it so"),
    ('[time]\ncolumns = ["t"]\ntimezone = "+09:00"\n[columns]\nx = "co2"', "unknown key 'timezone'.*zone"),
    ('[time]\ncolumns = ["t"]\nzone = "+09:75"\n[columns]\nx = "co2"', "is not like"),
    ('[time]\ncolumns = ["t"]\nzone = 9\n[columns]\nx = "co2"', "zone is no text"),
    ('[time]\ncolumns = ["t"]\nformat = "%Q"\n[columns]\nx = "co2"', "'%Q' is no time format"),
    *[
        (f'{line}\n[time]\ncolumns = ["t"]\n[columns]\nx = "co2"', said)
        for line, said in (
            ('delimiter = ";;"', "delimiter is not one character"),
            ("delimiter = '\"'", "delimiter is not one character"),
            ('encoding = "utf-99"', "utf-99"),
            ('encoding = "base64"', "base64"),
            ("encoding = 8", "encoding is no text"),
            ("dead = 5", "dead is no table"),
            ('absent = "NA"', "absent is no list of texts"),
            ("absent = [0]", "absent is no list of texts"),
            ("detect = 5", "detect is no list of texts"),
            ("node = 5", "node is no text"),
            ("interval = true", "1 to 86400"),
            ("interval = 420", "420 does not divide a day.*is 400"),
        )
    ],
    *[
        (f'[time]\ncolumns = ["t"]\n[columns]\nx = {{quantity = "co2", {entry}}}', said)
        for entry, said in (
            ('factor = "x"', "column 'x': factor is no number"),
            ("factor = nan", "factor is no number"),
            ("factor = true", "factor is no number"),
            ("factor = 0", "factor 0"),
            ("offset = inf", "offset is no number"),
            ("absent = 5", "absent is no list of texts"),
        )
    ],
    *[
        (f'[time]\ncolumns = ["t"]\n[columns]\nx = "co2"\n[dead]\n{entry}', said)
        for entry, said in (
            ("co2 = nan", "co2 is no number"),
            ("co2 = 1e12", "co2 is out of any range"),
            ("happiness = 1", "unknown quantity 'happiness'"),
        )
    ],
]


@pytest.mark.parametrize(("text", "said"), BAD_MAPPINGS)
def test_a_bad_mapping_is_refused_with_its_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "m.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said) as refused:
        mapping.load(path)
    assert str(path) in str(refused.value)


def test_every_built_in_mapping_loads() -> None:
    assert mapping.built_in() == ["sdot", "sdot_dead_columns", "smartcitizen"]
    for name in mapping.built_in():
        assert mapping.load(name).columns
    with pytest.raises(UsageError, match="no mapping"):
        mapping.load("sdott")


def test_the_generated_day_repeats_and_its_seed_matters() -> None:
    assert city.generate(2, 1, seed=7).stations == city.generate(2, 1, seed=7).stations
    assert city.generate(2, 1, seed=7).stations != city.generate(2, 1, seed=8).stations
    assert city.generate(3, 1, seed=7).stations[:2] == city.generate(2, 1, seed=7).stations


def test_the_generated_day_stays_inside_the_registry_and_the_chips() -> None:
    for station in city.generate(4).stations:
        assert len(station.rows) == 720
        for row in station.rows:
            for number, integer in row.items():
                entry = registry.quantity(number)
                assert entry.minimum <= entry.value(integer) <= entry.maximum, (station.name, entry.name, integer)


def test_head_cuts_and_repeats() -> None:
    data = city.generate(2, 2)
    cut = data.head(nodes=5, hours=1)
    assert [station.name for station in cut.stations] == [
        "pole-001",
        "pole-002",
        "pole-001+1",
        "pole-002+1",
        "pole-001+2",
    ]
    assert {len(station.rows) for station in cut.stations} == {30}
    with pytest.raises(UsageError):
        data.head(nodes=0)
    with pytest.raises(UsageError):
        data.head(hours=0.01)


def test_the_real_sdot_file(data_folder: Path) -> None:
    data = dataset.read_csv(data_folder / "sdot_1h_20200501_640nodes.csv")
    assert (len(data.stations), data.interval) == (640, 3600)
    assert sum(station.present() for station in data.stations) == 640 * 24 * 20
    assert min(row[q.PM2_5_CORRECTED] for station in data.stations for row in station.rows) == -981
    assert math.isclose(max(row[q.ILLUMINANCE] for station in data.stations for row in station.rows), 49659)
