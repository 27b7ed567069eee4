"""Each quantity has a period and a statistic of its own: what a board's description asks for, read off the frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import citymote
from citymote.broker import Broker
from citymote.testing.bridge import Wiring
from citymote.testing.emul.base import PulseInput
from citymote.testing.emul.lis3dh import LIS3DH
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.vm import GARBAGE, VirtualNode

from .collecting import HEAP, START, Collector

pytestmark = pytest.mark.usefixtures("run_vm")
INTERVAL = 120


def told(
    folder: Path, broker: Broker, wiring: Wiring, sensors: list[dict[str, Any]], rows: int
) -> dict[str, list[float | None]]:
    """Quantity: what each row says of it."""
    settings = {
        "interval": INTERVAL, "until": START + rows * INTERVAL, "unsealed": True, "status_interval": 0,
        "broker_host": "127.0.0.1", "broker_port": broker.port,
    }  # fmt: skip
    with (
        Collector(broker.port) as collector,
        VirtualNode(
            folder, settings=settings, board={"board": "virtual", "sensors": sensors}, heap=HEAP, garbage=GARBAGE,
            wiring=wiring, start_time=START,
        ) as node,
    ):  # fmt: skip
        node.start()
        messages = collector.all_of(node.wait(60))
    found = sorted(citymote.readings(messages), key=lambda one: one.time)
    seconds = {(one.time - found[0].time).total_seconds() for one in found}
    assert all(second % INTERVAL == 0 for second in seconds), "aligned"
    values: dict[str, list[float | None]] = {}
    for one in found:
        values.setdefault(one.quantity, []).append(one.value)
    return values


def ramp(now: int) -> float:
    """Degrees that rise by one in ten seconds, and begin anew with each interval."""
    return ((now - 1) % (INTERVAL * 1000)) // 10_000


def test_a_sensor_has_a_period_of_its_own(tmp_path: Path, broker: Broker) -> None:
    sensors = [
        {"driver": "sht4x", "bus": "i2c0", "settings": {"address": 0x44}},
        {"driver": "sht4x", "bus": "i2c0", "settings": {"address": 0x45}, "quantities": ["humidity"], "every": 5},
    ]  # fmt: skip
    chips = [SHT4x(lambda now: 21.5, lambda now: 45.0) for _ in range(2)]
    chips[1].address = 0x45
    said = told(tmp_path / "n", broker, Wiring({"i2c0": chips}), sensors, 12)
    assert said["temperature"] == [21.5] * 12
    assert said["humidity"].count(45.0) == 12 + len(due(12, 5))


def due(rows: int, every: int) -> list[int]:
    """The rows that end a period of so many: those whose time is a multiple of it."""
    return [row for row in range(rows) if (START // INTERVAL + 1 + row) % every == 0]


def test_two_quantities_of_one_chip_have_a_period_each_and_the_longer_ones_mean_is_of_all_of_it(
    tmp_path: Path, broker: Broker
) -> None:
    wiring = Wiring({"i2c0": SHT4x(lambda now: 21.5, lambda now: 20.0 + -(-now // (INTERVAL * 1000)))})
    said = told(tmp_path / "n", broker, wiring, [{"driver": "sht4x", "bus": "i2c0", "every": {"humidity": 5}}], 15)
    assert said["temperature"] == [21.5] * 15
    first, second, third = due(15, 5)
    humidity = said["humidity"]
    assert [row for row, value in enumerate(humidity) if value is not None] == [first, second, third]
    assert humidity[second] == 20 + second + 1 - 2, "the mean of five rows is that of the middle one"
    assert humidity[third] == 20 + third + 1 - 2


@pytest.mark.parametrize("every", [5, {"rain": 5}], ids=["sensor", "quantity"])
def test_what_is_counted_over_a_longer_period_is_counted_whole(tmp_path: Path, broker: Broker, every: Any) -> None:
    class Bucket(PulseInput):
        def count(self, now: int) -> int:
            return now // 30_000  # four tips in two minutes

    sensors = [{"driver": "rain_gauge", "bus": "counter0", "every": every}]
    said = told(tmp_path / "n", broker, Wiring({"counter0": Bucket()}), sensors, 15)
    _, second, third = due(15, 5)
    assert [row for row, value in enumerate(said["rain"]) if value is not None] == due(15, 5)
    one = said["rain"][second]
    assert one is not None and one > 0
    assert said["rain"][third] == pytest.approx(one, abs=0.11), "what is less than a digit goes into the next"
    apart = told(
        tmp_path / "m", broker, Wiring({"counter0": Bucket()}), [{"driver": "rain_gauge", "bus": "counter0"}], 15
    )
    parts = sum(value or 0 for value in apart["rain"][second - 4 : second + 1])
    assert one == pytest.approx(parts, abs=0.11), "nothing is lost"


def test_a_mean_of_two_minutes_and_its_extremes_stand_side_by_side(tmp_path: Path, broker: Broker) -> None:
    sensors = [
        {
            "driver": "sht4x", "bus": "i2c0", "reads": 12,
            "quantities": ["temperature", "temperature_max", "temperature_min"],
        }
    ]  # fmt: skip
    said = told(tmp_path / "n", broker, Wiring({"i2c0": SHT4x(ramp, lambda now: 45.0)}), sensors, 3)
    assert said["temperature"][1:] == [5.5, 5.5], "twelve readings, 0 to 11 degrees"
    assert said["temperature_max"][1:] == [11, 11]
    assert said["temperature_min"][1:] == [0, 0]


def test_a_largest_acceleration_stands_beside_the_mean(tmp_path: Path, broker: Broker) -> None:
    def shaken(now: int) -> float:
        return 9.0 if 50_000 < (now - 1) % (INTERVAL * 1000) <= 60_000 else 1.0

    chip = LIS3DH(shaken, lambda now: 0.0, lambda now: 9.81)
    sensors = [
        {"driver": "lis3dh", "bus": "i2c0", "reads": 12, "quantities": ["acceleration_x", "acceleration_x_max"]}
    ]  # fmt: skip
    said = told(tmp_path / "n", broker, Wiring({"i2c0": chip}), sensors, 3)
    for mean, most in zip(said["acceleration_x"][1:], said["acceleration_x_max"][1:], strict=True):
        assert mean == pytest.approx(1 + 8 / 12, abs=0.1)
        assert most == pytest.approx(9.0, abs=0.1)
