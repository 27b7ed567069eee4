"""Published data through the whole chain: what a city's sensors wrote down comes back from the store, value by value.

The oracle reads the published file itself, with the csv module and nothing of ours, and compares in floating point at
the registry's resolution. A minute of sound an hour, at ten microphones, takes long to render; so all but the first
node's have it enter behind the meter, and the slow test plays the whole file as the demo does.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.city import City, Found, Key, demo

from citymote import registry
from citymote.broker import Broker
from citymote.demo import dataset

SDOT = "sdot_1h_20200501_640nodes.csv"
NODES, CHIPS = 12, 10
G = 9.80665
# The ten quantities that S-DoT set out to publish, by the file's headers; vibration has three axes.
LISTED = {
    "초미세먼지 (㎍/㎥)": ("pm2_5", 1.0),
    "미세먼지 (㎍/㎥)": ("pm10", 1.0),
    "기온 (℃)": ("temperature", 1.0),
    "상대습도 (%)": ("humidity", 1.0),
    "풍향 (°)": ("wind_direction", 1.0),
    "풍속 (m/s)": ("wind_speed", 1.0),
    "조도 (lux)": ("illuminance", 1.0),
    "자외선 (UVI)": ("uv_index", 1.0),
    "소음 (dB)": ("laeq", 1.0),
    "진동(x) (g)": ("acceleration_x", G),
    "진동(y) (g)": ("acceleration_y", G),
    "진동(z) (g)": ("acceleration_z", G),
}
# The chips that the nodes have to have, and what they measure here.
NAMED = {
    "sps30": {"pm2_5", "pm10"},
    "sht4x": {"temperature", "humidity"},
    "bh1750": {"illuminance"},
    "wind_vane": {"wind_direction"},
    "anemometer": {"wind_speed"},
    "sound_meter": {"laeq"},
}


@cache
def published(path: Path) -> tuple[list[str], dict[tuple[str, str, int], str]]:
    """Stations in the file's order, and cell texts by (station, header, s2000)."""
    cells: dict[tuple[str, str, int], str] = {}
    stations: list[str] = []
    zone = timezone(timedelta(hours=9))
    with path.open(encoding="euc-kr", newline="") as file:
        for line in csv.DictReader(file):
            year, month, day = map(int, line["date"].split("."))
            moment = datetime(year, month, day, int(line["hour"]), tzinfo=zone)
            time = round((moment - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds())
            if line["시리얼"] not in stations:
                stations.append(line["시리얼"])
            cells.update({(line["시리얼"], header, time): line[header] for header in LISTED})
    return stations, cells


def cut(source: Path, target: Path, nodes: int, change: Callable[[list[str]], None] | None = None) -> Path:
    """The first stations of the file, with lines changed on the way."""
    with source.open(encoding="euc-kr", newline="") as file, target.open("w", encoding="euc-kr", newline="") as out:
        reader, writer = csv.reader(file), csv.writer(out)
        writer.writerow(next(reader))
        kept: list[str] = []
        for line in reader:
            if line[0] not in kept:
                kept.append(line[0])
            if len(kept) > nodes:
                break
            if change:
                change(line)
            writer.writerow(line)
    return target


def played(
    folder: Path, data: dataset.Dataset, chips: int = CHIPS, listening: int = 0, heap: int | None = None
) -> City:
    """A city that has lived through its data; the first `listening` nodes render a minute of sound an hour."""
    settings = {"batch": 10, "max_delay": 0, "time_earliest": 0}
    city = City(folder, data, chips=chips, sound=True, settings=settings, heap=heap)
    for pole in city.poles[:listening]:
        pole.plan.heard = "minute"
    with Broker() as broker:
        collecting = city.collect(broker.url)
        try:
            city.run(broker.url)
        finally:
            collecting.close()
    city.ended_well()
    return city


def station_ids(city: City) -> dict[str, str]:
    """Station -> node."""
    return {
        pole.expectation.station.name: str(result.report["node"])
        for pole, result in zip(city.poles, city.results, strict=True)
    }


def board(city: City, index: int) -> list[dict[str, Any]]:
    """What is fitted to a node, from its own directory."""
    path = city.folder / "nodes" / city.poles[index].plan.name / "board.json"
    return json.loads(path.read_text())["sensors"]


def replayed(sensors: list[dict[str, Any]]) -> set[str]:
    return {name for sensor in sensors if sensor["driver"] == "replay" for name in sensor["settings"]["quantities"]}


@pytest.fixture(scope="module")
def sdot(data_folder: Path) -> Path:
    path = data_folder / SDOT
    if not path.exists():
        pytest.skip(f"{SDOT} is not in {data_folder}")
    return path


@pytest.fixture(scope="module")
def seoul(sdot: Path, run_vm: object, tmp_path_factory: pytest.TempPathFactory) -> City:
    """Twelve stations of S-DoT for their whole day, ten of them with chips."""
    return played(tmp_path_factory.mktemp("seoul") / "city", dataset.read_csv(sdot).head(NODES), listening=1)


def test_nothing_of_a_day_in_seoul_is_lost_or_changed(seoul: City) -> None:
    seoul.judge()
    verdict = seoul.verdict()
    assert (verdict.lost, verdict.duplicates, verdict.mismatches) == (0, 0, 0), verdict.examples
    assert verdict.stored >= NODES * 24 * 20


@pytest.mark.usefixtures("micropython32")
def test_a_node_of_seoul_lives_its_day_in_what_an_esp32_leaves_an_application(sdot: Path, tmp_path: Path) -> None:
    city = played(tmp_path / "city", dataset.read_csv(sdot).head(1), chips=1, listening=1, heap=100)
    assert set(NAMED) <= {sensor["driver"] for sensor in board(city, 0)}
    (node,) = city.nodes.values()
    assert (node.heap, node.garbage) == ("100k", 0)
    assert not [line.text for line in node.logs if "MemoryError" in line.text]
    city.judge()


@pytest.mark.parametrize("header", LISTED)
def test_a_listed_quantity_comes_back_equal_at_the_registrys_resolution(seoul: City, sdot: Path, header: str) -> None:
    name, factor = LISTED[header]
    entry, ids, found = registry.quantity(name), station_ids(seoul), Found.of(seoul.store).values
    _, cells = published(sdot)
    compared = 0
    for (station, column, time), text in cells.items():
        if column != header or station not in ids:
            continue
        stored = found.get((ids[station], entry.id, 0, time))
        assert stored is not None, f"{station} {name} {text} at {time} is not there"
        difference = abs(stored * 10**-entry.decimals - float(text) * factor)
        assert difference <= 10**-entry.decimals / 2 + 1e-9, f"{station} at {time}: {stored}, published {text}"
        compared += 1
    assert compared == NODES * 24


@pytest.mark.parametrize("index", range(NODES))
def test_ten_nodes_measure_with_chips_what_chips_can_measure(seoul: City, index: int) -> None:
    sensors = board(seoul, index)
    by_chip = set[str]().union(*NAMED.values())
    if index < CHIPS:
        assert not replayed(sensors) & by_chip, "no replay for a chip that is emulated"
        fitted = {sensor["driver"]: set(sensor.get("quantities", [])) for sensor in sensors}
        for driver, quantities in NAMED.items():
            assert quantities <= fitted.get(driver, set()), f"{driver} measures {quantities}"
        assert ("pms5003" in fitted) == (index == 0), "the first has a dust meter on UART as well"
    else:
        assert replayed(sensors) > by_chip, "the others play everything"


def test_a_blank_cell_comes_back_absent_and_nothing_is_invented(sdot: Path, tmp_path: Path, run_vm: object) -> None:
    rng, nodes, chips = random.Random(20200501), 6, 2

    def blank(line: list[str]) -> None:
        for index in range(3, len(line)):
            if rng.random() < 0.05:
                line[index] = ""

    path = cut(sdot, tmp_path / "blanked.csv", nodes, blank)
    city = played(tmp_path / "city", dataset.read_csv(path), chips=chips)
    city.judge()
    assert city.verdict().mismatches == city.verdict().lost == 0, city.verdict().examples
    _, cells = published(path)
    ids, found = station_ids(city), Found.of(city.store).values
    blanks = 0
    for (station, header, time), text in cells.items():
        name = LISTED[header][0]
        key: Key = (ids[station], registry.quantity(name).id, 0, time)
        if text:
            assert key in found, f"{station} {name} {text!r} at {time} is not there"
        else:
            blanks += not text
            assert key not in found, f"{station} {name} at {time} was invented: {found.get(key)}"
    assert 0.03 < blanks / len(cells) < 0.07


def test_dead_columns_are_absent_for_nodes_without_that_sensor(sdot: Path, tmp_path: Path, run_vm: object) -> None:
    city = played(tmp_path / "city", dataset.read_csv(sdot, "sdot_dead_columns").head(3), chips=2)
    city.judge()
    stations, cells = published(sdot)
    ids, found = station_ids(city), Found.of(city.store).values
    wind = {name: registry.quantity(name).id for name in ("wind_direction", "wind_speed")}
    headers = {name: header for header, (name, _) in LISTED.items()}
    dead = 0
    for index, station in enumerate(stations[:3]):
        for name, number in wind.items():
            day = [
                float(text) for (where, header, _), text in cells.items() if (where, header) == (station, headers[name])
            ]
            there = any(key[:2] == (ids[station], number) for key in found)
            assert there == any(day), f"{station} {name}: the file says {sorted(set(day))}"
            if not there:
                dead += 1
                fitted = {sensor["driver"] for sensor in board(city, index)}
                assert {"wind_direction": "wind_vane", "wind_speed": "anemometer"}[name] not in fitted
                assert name not in replayed(board(city, index))
    assert dead, "one of these stations has no wind sensor"


def test_a_smart_citizen_kit(data_file: Callable[[str], Path], tmp_path: Path, run_vm: object) -> None:
    demo(tmp_path / "out", "--data", data_file("sck_30s.csv"), "--hours", 0.5, "--claim", 0).good()
    found = Found.of(tmp_path / "out" / "readings.db").values
    have = {registry.quantity(key[1]).name for key in found if key[2] == 0}
    assert {"temperature", "humidity", "illuminance", "laeq", "pressure", "battery_level"} <= have
    assert not {"pm1", "pm2_5", "pm10"} & have, "this kit says null there in that half hour"


def test_a_file_of_ones_own_through_a_small_mapping(tmp_path: Path, run_vm: object) -> None:
    (tmp_path / "own.csv").write_text(
        "when;pole;Feinstaub;Luft (F);CO2\n"
        "01.05.2026 10:10;A;12,0;68;400\n01.05.2026 10:20;A;13,5;;-1\n01.05.2026 10:30;A;x;86;402\n"
        "01.05.2026 10:10;B;1,0;32;410\n01.05.2026 10:20;B;2,0;50;411\n01.05.2026 10:30;B;3,0;50;412\n".replace(
            ",", "."
        )
    )
    (tmp_path / "own.toml").write_text(
        'delimiter = ";"\nnode = "pole"\nabsent = ["", "x"]\n'
        '[time]\ncolumns = ["when"]\nformat = "%d.%m.%Y %H:%M"\nzone = "+02:00"\n'
        '[columns]\nFeinstaub = "pm2_5"\nCO2 = { quantity = "co2", absent = ["-1"] }\n'
        '"Luft (F)" = { quantity = "temperature", factor = 0.5555555555555556, offset = -17.77777777777778 }\n'
    )
    demo(tmp_path / "out", "--data", tmp_path / "own.csv", "--mapping", tmp_path / "own.toml", "--claim", 0).good()
    found = Found.of(tmp_path / "out" / "readings.db").values
    start = round((datetime(2026, 5, 1, 8, 10, tzinfo=UTC) - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds())
    rows: dict[str, dict[tuple[int, str], int]] = {}
    for (node, quantity, _, time), value in found.items():
        rows.setdefault(node, {})[(time - start) // 60, registry.quantity(quantity).name] = value
    a = {(0, "pm2_5"): 120, (10, "pm2_5"): 135, (0, "temperature"): 200, (20, "temperature"): 300, (0, "co2"): 400}
    b = {(0, "pm2_5"): 10, (10, "pm2_5"): 20, (20, "pm2_5"): 30, (0, "temperature"): 0, (10, "temperature"): 100}
    a |= {(20, "co2"): 402}
    b |= {(20, "temperature"): 100, (0, "co2"): 410, (10, "co2"): 411, (20, "co2"): 412}
    assert sorted(rows.values(), key=len) == [a, b]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_file_takes_under_three_minutes_on_two_cores(sdot: Path, tmp_path: Path, run_vm: object) -> None:
    figures = demo(tmp_path / "out", "--data", sdot, timeout=840).good()
    assert figures["nodes"] == 640
    assert figures["readings_stored"] >= 640 * 24 * 20
    assert figures["seconds"] < 180, "the limit is for two quiet cores"
