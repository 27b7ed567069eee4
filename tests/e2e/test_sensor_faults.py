"""Every way in which a sensor fails, through the whole node: a quality code on the reading, a counter in the health
frame, and never an exception that stops the node or a value that nobody measured.

One node for each kind of bus lives through a list of faults (`fault_stories`), each in rows of its own with sound ones
after it.
"""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.fault_stories import INTERVAL, START, STORIES, Sources, Tapped, TappedUART
from tests.firmware.collecting import Collector

import citymote
from citymote.broker import Broker
from citymote.testing.bridge import Wiring
from citymote.testing.emul.base import I2CChip, Pin
from citymote.testing.emul.pms5003 import PMS5003
from citymote.testing.emul.scd4x import SCD4x
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.vm import GARBAGE, VirtualNode

pytestmark = pytest.mark.usefixtures("micropython32")
PLACE = {"folder": Path()}


@cache
def lived(bus: str) -> tuple[Any, dict[tuple[int, str], citymote.Reading], dict[int, int], int]:
    """The story, its readings by (row, quantity), all sensors' error counts after each row, and the exit status.

    Each row is a frame of its own, so that a health report follows each.
    """
    story = STORIES[bus]()
    seconds = (3 * len(story.faults) + 2) * INTERVAL // 1000
    with Broker() as broker, Collector(broker.port) as collector:
        settings = {
            "until": START + seconds,
            "broker_host": "127.0.0.1",
            "broker_port": broker.port,
            "unsealed": True,
            "status_interval": 60,
            "batch": 1,
        }
        board = {"board": "virtual", "sensors": list(story.sensors)}
        node = VirtualNode(
            PLACE["folder"] / bus, settings=settings, board=board, wiring=story.wiring, start_time=START, heap="200k",
            garbage=GARBAGE,
        )  # fmt: skip
        with node:
            for index, fault in enumerate(story.faults):
                row = 3 * index + 2
                node.at((row - 1) * INTERVAL + 2000, fault.begin)
                node.at((row + fault.rows - 1) * INTERVAL + 2000, fault.end)
            node.start()
            ending = node.wait(120)
            messages = collector.all_of(ending)
    found: dict[tuple[int, str], citymote.Reading] = {}
    errors: dict[int, int] = {}
    for reading in citymote.readings(messages):
        row = round((reading.time - citymote.reading.moment(START)).total_seconds() * 1000 / INTERVAL)  # type: ignore[attr-defined]
        if reading.quantity == "sensor_errors":
            errors[row] = errors.get(row, 0) + int(reading.value or 0)
        found[row, reading.quantity] = reading
    return story, found, errors, ending.code


def told(
    folder: Path, wiring: Wiring, sensors: list[dict[str, Any]], seconds: int, **settings: Any
) -> list[citymote.Reading]:
    """The readings of a node that lives for so long, and ends in order."""
    with Broker() as broker, Collector(broker.port) as collector:
        given = {"until": START + seconds, "broker_host": "127.0.0.1", "broker_port": broker.port, "unsealed": True}
        board = {"board": "virtual", "sensors": sensors}
        with VirtualNode(
            folder, settings=given | settings, board=board, wiring=wiring, start_time=START, heap="200k",
            garbage=GARBAGE,
        ) as node:  # fmt: skip
            node.start()
            ending = node.wait(120)
            assert ending.code == 0
            return list(citymote.readings(collector.all_of(ending)))


@pytest.fixture(autouse=True, scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> None:
    PLACE["folder"] = tmp_path_factory.mktemp("nodes")


NAMES = [(bus, index) for bus, story in STORIES.items() for index in range(len(story().faults))]


@pytest.mark.parametrize(
    ("bus", "index"),
    NAMES,
    ids=[f"{bus}-{STORIES[bus]().faults[index].name.replace(' ', '_')}" for bus, index in NAMES],
)
def test_a_fault_is_a_quality_code_and_a_count_in_the_health_report_and_passes(bus: str, index: int) -> None:
    story, readings, errors, _ = lived(bus)
    fault = story.faults[index]
    row = 3 * index + 1 + fault.rows
    reading = readings[row, fault.quantity]
    assert (reading.value, reading.quality) == (fault.value, fault.quality)
    after = readings[row + 1, fault.quantity]
    assert after.quality == "unchecked", f"the row after it: {after}"
    assert after.value is not None
    assert errors[3 * index + 1] < errors[row], "counted where it happened"
    assert errors[row + 1] == errors[row], "and not when it is over"


@pytest.mark.parametrize("bus", STORIES)
def test_the_node_lives_on(bus: str) -> None:
    story, readings, _, code = lived(bus)
    assert code == 0
    rows = {row for row, name in readings if name == story.faults[0].quantity}
    assert rows == set(range(1, 3 * len(story.faults) + 3)), "a row at every instant"


class Noise:
    """Bytes flipped, lost, repeated or replaced: one in `every`."""

    def __init__(self, seed: int, every: int) -> None:
        self.plan = random.Random(seed)
        self.every = every
        self.damaged = 0

    def __call__(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            if self.plan.randrange(self.every):
                out.append(byte)
                continue
            self.damaged += 1
            out += (bytes([byte ^ 1 << self.plan.randrange(8)]), b"", bytes([byte, byte]))[self.plan.randrange(3)]
        return bytes(out)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_noisy_bus_costs_readings_and_invents_none(tmp_path: Path, seed: int) -> None:
    air = Sources(temperature=21.5, humidity=45.0, co2=600.0, pm=12.0)
    tap = Tapped(SHT4x(air["temperature"], air["humidity"]))
    carbon = Tapped(SCD4x(air["co2"], air["temperature"], air["humidity"]))
    line = TappedUART(PMS5003(air["pm"], air["pm"], air["pm"]))
    noise = Noise(seed, 12)
    tap.damage = carbon.damage = line.damage = noise
    sensors = [
        {"driver": "sht4x", "bus": "i2c0"},
        {"driver": "scd4x", "bus": "i2c0", "quantities": ["co2"]},
        {"driver": "pms5003", "bus": "uart0", "settings": {"start_up": 10000}},
    ]
    readings = told(tmp_path / "n", Wiring({"i2c0": [tap, carbon], "uart0": line}), sensors, 3 * 3600)
    right = {"temperature": 21.5, "humidity": 45.0, "co2": 600, "pm1": 12, "pm2_5": 12, "pm10": 12}
    measured = [r for r in readings if r.quantity in right]
    assert len(measured) == 90 * len(right), "a row at every instant"
    assert noise.damaged > 200
    values = [r for r in measured if r.value is not None]
    assert len(values) > len(measured) // 4, "what came through whole is there"
    # an 8-bit CRC lets one damaged word in 256 through, the 16-bit sum some of two damages that cancel
    wrong = [r for r in values if r.value != right[r.quantity] and r.quality == "unchecked"]
    assert len(wrong) <= 3, wrong
    assert all(r.quality != "unchecked" for r in measured if r.value is None), "absent, with the reason"


def test_a_value_that_stands_still_for_a_day_is_frozen_and_counted(tmp_path: Path) -> None:
    air = Sources(temperature=21.5, humidity=45.0)
    wiring = Wiring({"i2c0": SHT4x(air["temperature"], air["humidity"])})
    readings = told(tmp_path / "n", wiring, [{"driver": "sht4x", "bus": "i2c0"}], 30 * 3600, interval=3600)
    codes = [r.quality for r in readings if r.quantity == "temperature"]
    assert codes == ["unchecked"] * 24 + ["frozen"] * 6
    assert [r.value for r in readings if r.quantity == "temperature"] == [21.5] * 30, "kept, and marked"
    assert [r.value for r in readings if r.quantity == "sensor_errors"][-1] >= 4  # type: ignore[operator]


def test_a_sensor_that_warms_up_says_so_until_it_is_warm(tmp_path: Path) -> None:
    dust = Sources(pm=12.0)
    wiring = Wiring({"uart0": PMS5003(dust["pm"], dust["pm"], dust["pm"])})
    sensors = [{"driver": "pms5003", "bus": "uart0", "settings": {"start_up": 100000}}]
    readings = told(tmp_path / "n", wiring, sensors, 300, interval=60, batch=1, status_interval=60)
    found = [(r.value, r.quality) for r in readings if r.quantity == "pm2_5"]
    assert found == [(None, "warming_up")] + [(12, "unchecked")] * 4
    assert [r.value for r in readings if r.quantity == "sensor_errors"][-1] == 1, "and it is counted"


class Switched(Pin):
    """A load switch in front of a chip that takes its time to boot."""

    def __init__(self, wiring: Wiring, chip: I2CChip) -> None:
        self.wiring, self.chip = wiring, chip

    def set(self, now: int, level: int) -> None:
        if level and not self.level:
            self.chip.power_up(now)
            self.wiring.connect("i2c0", self.chip)
        elif not level:
            self.wiring.disconnect("i2c0", self.chip.address)
        self.level = level


def test_a_sensor_whose_supply_is_switched_is_given_time_to_boot(tmp_path: Path) -> None:
    air = Sources(temperature=21.5, humidity=45.0, co2=600.0)
    wiring = Wiring()
    wiring.connect("sensor_supply", Switched(wiring, SCD4x(air["co2"], air["temperature"], air["humidity"])))
    sensors = [{"driver": "scd4x", "bus": "i2c0", "power": "sensor_supply"}]
    readings = told(tmp_path / "n", wiring, sensors, 3600, interval=600)
    carbon = [r for r in readings if r.quantity == "co2"]
    assert [(r.value, r.quality) for r in carbon] == [(600, "unchecked")] * 6
    errors = [r.value for r in readings if r.quantity == "sensor_errors"]
    assert errors[-1] == 0, "it rested without its supply, and was there each time it was asked"


def test_a_node_none_of_whose_sensors_can_be_made_lives_and_reports_its_health(tmp_path: Path) -> None:
    readings = told(tmp_path / "n", Wiring(), [{"driver": "no_such_chip", "bus": "i2c0"}], 7200)
    quantities = {r.quantity for r in readings}
    assert "uptime" in quantities and "boot_count" in quantities
    assert {r.value for r in readings if r.quantity == "boot_count"} == {1}, "it was never started again"
    assert "temperature" not in quantities
