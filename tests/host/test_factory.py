"""The factory's judgement and its log: every fault is named, every line is whole, no secret is in either."""

from __future__ import annotations

import copy
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from citymote import boards, registry
from citymote.errors import UsageError
from citymote.factory import record, verdict

BOARD = """
name = "judged"
platform = "esp32"
chip = "esp32c3"
console = "usb"
sources = ["a schematic"]
[buses]
i2c0 = { kind = "i2c", id = 0, scl = 6, sda = 7 }
uart1 = { kind = "uart", id = 1, tx = 1, rx = 0 }
[[sensors]]
driver = "sht4x"
bus = "i2c0"
[[sensors]]
driver = "gnss"
bus = "uart1"
[selftest]
rssi = -80
optional = ["gnss"]
[selftest.limits]
temperature = [10, 40]
"""
T, H = registry.quantity("temperature").id, registry.quantity("humidity").id
GOOD: dict[str, Any] = {
    "sensors": [
        {"sensor": 1, "driver": "sht4x", "instance": 0, "ms": 21, "readings": [[T, 215, 0], [H, 444, 0]]},
        {"sensor": 2, "driver": "gnss", "instance": 0, "ms": 9000, "error": "Fault: no position", "code": 8},
    ],
    "flash": [{"path": "/config", "size": 65536, "free": 50000, "kept": True}],
    "clock": {"uptime": 2003, "rtc": 2, "time": 850000000},
    "radio": {"random": True, "signals": [-60, -90]},
    "heap": [50000, 50000],
}


@pytest.fixture
def board(tmp_path: Path) -> boards.Description:
    path = tmp_path / "board.toml"
    path.write_text(BOARD)
    return boards.describe(path)


def test_a_good_board_has_no_faults(board: boards.Description) -> None:
    assert verdict.faults(GOOD, board) == []


@pytest.mark.parametrize(
    ("where", "value", "fault"),
    [
        (("sensors", 0, "readings", 0, 1), 412, "sensor 1 (sht4x): temperature is 41.2, 10 to 40 is expected"),
        (("sensors", 0, "readings", 0, 1), -10, "temperature is -1, 10 to 40"),
        (("sensors", 0, "readings", 1), [H, None, 9], "humidity is absent: bad_checksum"),
        (("sensors", 0, "readings", 1), [H, 444, 11], "humidity is 44.4 and out_of_range"),
        (("sensors", 0, "readings"), [], "no reading"),
        (("sensors", 0, "readings"), [[H, 444, 0]], "no sensor reads temperature, which has limits"),
        (("sensors", 0, "error"), "OSError: 19", "sensor 1 (sht4x): OSError: 19"),
        (("sensors",), [], "sht4x was not tested"),
        (("flash", 0, "kept"), False, "the flash for settings does not keep what is written"),
        (("flash", 0, "error"), "OSError: 5", "the flash for settings: OSError: 5"),
        (("clock", "uptime"), 2900, "two seconds lasted 2900 ms"),
        (("clock", "rtc"), None, "the clock that runs through resets went on by None"),
        (("radio", "error"), "OSError: 1", "the radio: OSError: 1"),
        (("radio", "random"), False, "the random generator repeats itself"),
        (("radio", "signals"), [-85], "the radio hears -85 dBm at best, -80 is expected"),
        (("radio", "signals"), [], "the radio hears None dBm"),
        (("radio",), None, "the radio: was not tested"),
        (("heap",), [90000, 1000], "1000 bytes of heap are left"),
    ],
)
def test_each_fault_is_named(board: boards.Description, where: tuple[Any, ...], value: Any, fault: str) -> None:
    made = copy.deepcopy(GOOD)
    at: Any = made
    for key in where[:-1]:
        at = at[key]
    at[where[-1]] = value
    found = verdict.faults(made, board)
    assert any(fault in one for one in found), found


def test_a_board_that_does_not_say_what_it_hears_is_not_held_to_it(board: boards.Description) -> None:
    made = copy.deepcopy(GOOD)
    del made["radio"]["signals"]
    assert verdict.faults(made, board) == []


def test_the_log_is_appended_and_names_time_event_and_operator(tmp_path: Path) -> None:
    log = record.Log(tmp_path / "log.jsonl", "kim")
    log.append("begun", {"node": "0123456789ab"})
    log.append("passed", {"node": "0123456789ab", "results": {"sensors": []}})
    first, second = record.read(tmp_path / "log.jsonl")
    assert (first["event"], first["operator"], first["node"]) == ("begun", "kim", "0123456789ab")
    assert second["event"] == "passed"
    assert first["time"].endswith("Z")


def test_a_line_that_a_loss_of_power_cut_short_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = record.Log(path, "kim")
    log.append("begun", {"n": 1})
    with path.open("ab") as file:
        file.write(b'{"event":"pas')
    log.append("passed", {"n": 2})
    assert [line["n"] for line in record.read(path)] == [1, 2]


def test_many_stations_share_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"

    def station(number: int) -> None:
        log = record.Log(path, f"s{number}")
        for count in range(20):
            log.append("passed", {"n": count, "padding": "x" * 500})

    threads = [threading.Thread(target=station, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_text().splitlines()
    assert len(lines) == 100
    assert all(json.loads(line)["event"] == "passed" for line in lines)


@pytest.mark.parametrize(
    "facts", [{"claim_secret": "00"}, {"deep": [{"payload": "CM1:"}]}, {"a": {"b": {"secret": 1}}}]
)
def test_a_secret_in_a_line_is_refused(facts: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no secrets"):
        record.Log(tmp_path / "log.jsonl", "kim").append("begun", facts)
    assert not (tmp_path / "log.jsonl").exists()


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No board passes unrecorded"):
        record.Log(tmp_path / "nowhere" / "log.jsonl", "kim").append("begun", {})
    assert record.Log(None, "kim").append("begun", {})["event"] == "begun"
