"""Boards are data: what is shipped loads, what no node could work with is refused with its place and reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from citymote import boards, resources
from citymote.testing import wiring
from citymote.testing.world import World

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
name = "mine"
platform = "esp32"
chip = "esp32s3"
sources = ["a schematic"]
[flash]
store = 128
[buses]
i2c0 = { kind = "i2c", id = 0, scl = 9, sda = 8 }
uart0 = { kind = "uart", id = 1, tx = 17, rx = 18 }
[pins]
fan = { pin = 4, out = true }
[[sensors]]
driver = "sht4x"
bus = "i2c0"
settings = { address = 0x45 }
[[sensors]]
driver = "pms5003"
bus = "uart0"
instance = 1
power = "fan"
reads = 4
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "board.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", boards.names())
def test_every_board_that_is_shipped_loads_and_its_drivers_exist(name: str) -> None:
    board = boards.load(name)
    assert board["board"] == name
    drivers = {path.stem for path in (resources.firmware() / "node" / "drivers").glob("*.py")} | {"sound_meter"}
    assert {sensor["driver"] for sensor in board["sensors"]} <= drivers


def test_the_virtual_board_has_every_chip_of_the_first_issue_and_an_emulator_for_each() -> None:
    board = boards.load("virtual")
    assert [(sensor["driver"], sensor["bus"]) for sensor in board["sensors"]] == [
        ("sps30", "i2c0"),
        ("pms5003", "uart0"),
        ("sht4x", "i2c0"),
        ("bh1750", "i2c0"),
        ("wind_vane", "adc0"),
        ("anemometer", "counter0"),
        ("sound_meter", "i2s0"),
        ("replay", "uart1"),
    ]
    assert wiring.missing(board) == []


def test_a_board_file_becomes_what_the_node_is_given(tmp_path: Path) -> None:
    assert boards.load(written(tmp_path, GOOD)) == {
        "board": "mine",
        "chip": "esp32s3",
        "heap": 100,
        "flash": {"store": 128},
        "buses": {
            "i2c0": {"kind": "i2c", "id": 0, "scl": 9, "sda": 8},
            "uart0": {"kind": "uart", "id": 1, "tx": 17, "rx": 18},
        },
        "pins": {"fan": {"pin": 4, "out": True}},
        "sensors": [
            {"driver": "sht4x", "bus": "i2c0", "settings": {"address": 0x45}, "instance": 0},
            {"driver": "pms5003", "bus": "uart0", "settings": {}, "instance": 1, "power": "fan", "reads": 4},
        ],
    }


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "mine"', "", "name"),
        ('"esp32"', '"stm32"', "platform 'stm32'"),
        ('name = "mine"', 'name = "mine"\nheap = 8', "from 40 to 16384"),
        ("reads = 4", "alarms = { pm2_5 = [9, 2] }", "lowest, highest"),
        ("reads = 4", "alarms = { pm25 = [0, 2] }", "no such quantity"),
        ("[flash]", "[flesh]", "'flesh' means nothing"),
        ("store = 128", "store = 4", "from 8 to 65536"),
        ("store = 128", "store = true", "from 8 to 65536"),
        ('kind = "i2c"', 'kind = "i3c"', "kind 'i3c'"),
        ("scl = 9, ", "", "scl is missing"),
        ("scl = 9", "scl = 99", "from 0 to 63"),
        ("scl = 9", "clk = 9", "'clk' means nothing"),
        ('bus = "i2c0"', 'bus = "i2c7"', "bus 'i2c7': the board has i2c0, uart0, fan"),
        ('bus = "i2c0"', 'bus = ["i2c0", "adc0"]', "bus 'adc0'"),
        ('driver = "sht4x"', 'driver = "../sht4x"', "driver '../sht4x'"),
        ("instance = 1", "instance = -1", "from 0 to 255"),
        ('power = "fan"', 'power = "light"', "the board's pins are fan"),
        ("reads = 4", "reads = 0", "from 1 to 600"),
        ("reads = 4", "every = 0", "from 1 to 86400"),
        ("reads = 4", "every = { pm2_5 = 0 }", "from 1 to 86400"),
        ("reads = 4", "every = { pm25 = 5 }", "no such quantity"),
        ("[pins]", "[pins", "cannot be read"),
    ],
)
def test_what_no_node_could_work_with_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in GOOD
    with pytest.raises(boards.BoardError) as raised:
        boards.load(written(tmp_path, GOOD.replace(old, new, 1)))
    assert reason in str(raised.value)


def test_an_unknown_board_names_the_known_ones() -> None:
    with pytest.raises(boards.BoardError, match=r"no board mine: known are .*virtual"):
        boards.load("mine")


def test_chips_are_wired_as_the_board_says_and_only_where_the_world_knows_something() -> None:
    world = World(820_454_400).constant("temperature", 20.0).constant("humidity", 50.0).constant("pm2_5", 7.0)
    board: dict[str, Any] = boards.load("virtual")
    wired = wiring.wire(board, world)
    assert sorted(wired.i2c["i2c0"]) == [0x44, 0x69]
    assert list(wired.uart) == ["uart0", "uart1"]
    assert (list(wired.adc), list(wired.counter), list(wired.i2s)) == ([], [], ["i2s0"])


ABOUT = """
[about]
maker = "Example Works"
hardware = "rev C"
support_until = 2036-01-01
"""
FACTS = """about = { serial = "A1", batch = "2026-W07", calibrated = 2026-01-04, pm_class = 1 }
"""


def test_what_no_chip_knows_goes_to_the_node_with_dates_as_days(tmp_path: Path) -> None:
    head, _, sensors = GOOD.partition("[flash]")
    board = boards.load(written(tmp_path, head + ABOUT + "[flash]" + sensors + FACTS))
    assert board["about"] == {"maker": "Example Works", "hardware": "rev C", "support_until": 13149}
    assert board["sensors"][1]["about"] == {"serial": "A1", "batch": "2026-W07", "calibrated": 9500, "pm_class": 1}
    assert "about" not in board["sensors"][0]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ('about = { colour = "red" }', "about: 'colour' means nothing here"),
        ("about = { calibrated = 1999-12-31 }", "about.calibrated"),
        ('about = { calibrated = "2026-01-04" }', "a date such as 2036-01-01"),
        ("about = { calibrated = 2026-01-04T00:00:00Z }", "a date such as 2036-01-01"),
        ("about = { pm_class = 70000 }", "about.pm_class"),
        ('about = { serial = "%s" }' % ("s" * 65), "at most 64 bytes"),
        ('about = { serial = "a\\nb" }', "control characters"),
        ("about = 5", "a table is expected"),
    ],
    ids=["unknown", "before-2000", "text-for-date", "time-for-date", "class", "long", "control", "no-table"],
)
def test_facts_that_no_descriptor_can_say_are_refused(facts: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(boards.BoardError, match=words):
        boards.load(written(tmp_path, GOOD + facts + "\n"))
