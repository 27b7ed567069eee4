"""Chips that must know of one another, in a whole node: the gas layers are told the air's humidity and temperature, the
cells its temperature, the ozone cell the nitrogen dioxide; and one wire's direction is a pin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from citymote import registry
from citymote.broker import Broker
from citymote.testing.bridge import Wiring
from citymote.testing.emul.ads1115 import ADS1115, Cell
from citymote.testing.emul.base import Pin, Source
from citymote.testing.emul.bme280 import BME280
from citymote.testing.emul.sensecap_one import SenseCAPOne
from citymote.testing.emul.sgp4x import SGP41
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.emul.veml7700 import VEML7700
from citymote.testing.vm import VirtualNode

from .collecting import INTERVAL, START, Collector, stored

pytestmark = pytest.mark.usefixtures("run_vm")

NO2 = {"we_electronic": 240, "ae_electronic": 236, "we_zero": -5, "ae_zero": 2, "sensitivity": 300}
OX = {"we_electronic": 230, "ae_electronic": 228, "sensitivity": 390, "no2_sensitivity": 360}
BOARD: dict[str, Any] = {
    "board": "virtual",
    "sensors": [
        {
            "driver": "sgp41",
            "bus": "i2c0",
            "settings": {"index": True, "sampling_interval": 10},
            "reads": INTERVAL // 10,
        },
        {"driver": "sht4x", "bus": "i2c0"},
        {"driver": "bme280", "bus": "i2c0", "quantities": ["pressure"], "instance": 0},
        {"driver": "veml7700", "bus": "i2c0"},
        {"driver": "electrochemical", "bus": "i2c0", "settings": {"gas": "no2", "cell": "NO2-B43F", **NO2}},
        {
            "driver": "electrochemical",
            "bus": "i2c0",
            "settings": {"gas": "o3", "cell": "OX-B431", "working": 2, "auxiliary": 3, **OX},
        },
        {"driver": "sensecap_one", "bus": ["uart1", "direction"]},
    ],
}


def always(value: float) -> Source:
    return lambda now: value


class Half(Pin):
    """The transceiver's direction: who drives the line, and how often it changed."""

    changes = 0

    def set(self, now: int, level: int) -> None:
        self.changes += level != self.level
        self.level = level


def test_a_node_of_gas_layers_cells_light_and_ultrasound(tmp_path: Path, broker: Broker) -> None:
    climate = SHT4x(always(20.0), always(61.5))
    layers = SGP41(always(30100), always(15800))
    first = Cell(always(25.0), **NO2)  # pyright: ignore[reportArgumentType]
    second = Cell(always(40.0), no2=always(25.0), **OX)  # pyright: ignore[reportArgumentType]
    inputs = {0: first.working, 1: first.auxiliary, 2: second.working, 3: second.auxiliary}
    direction = Half()
    wiring = Wiring(
        {
            "i2c0": [
                climate,
                layers,
                BME280(always(20.0), always(61.5), always(1003.4)),
                VEML7700(always(12_345.0)),
                ADS1115(inputs),
            ],
            "uart1": SenseCAPOne(always(4.3), always(278.0)),
            "direction": direction,
        }
    )
    settings = {"until": START + 1200, "broker_host": "127.0.0.1", "broker_port": broker.port, "unsealed": True}
    options: dict[str, Any] = {"settings": settings, "wiring": wiring, "start_time": START, "board": BOARD}
    with Collector(broker.port) as collector, VirtualNode(tmp_path / "n", heap="300k", **options) as node:
        node.start()
        report = node.wait(90).report
        frames = stored(collector.wait(report["frames"]))
    rows = [
        {(registry.quantity(q).name, i): column[r] for (q, i), column in zip(frame.columns, frame.values, strict=True)}
        for frame in frames.values()
        if frame.kind == 0
        for r in range(frame.count)
    ]
    assert len(rows) == 10
    last = {name: value for (name, instance), value in rows[-1].items() if instance == 0}
    light, ozone = last.pop("illuminance"), last.pop("o3_corrected")
    assert light is not None and abs(light - 12_345) < 12
    # algorithm 1 of AAN 803-05 at 20 degrees, on what the zeros leave; ozone is less the NO2 that was corrected so
    no2 = round((25 * 0.300 - 5 - 0.6 * 2) / 0.300)
    assert ozone == round((40 * 0.390 + (25 - no2) * 0.360) / 0.390)
    assert last == {
        "temperature": 200,
        "humidity": 615,
        "pressure": 10034,
        "voc_signal": 30100,
        "nox_signal": 15800,
        "voc_index": 100,
        "nox_index": 1,
        "no2": 25,
        "no2_corrected": no2,
        "o3": 40,
        "wind_speed": 43,
        "wind_direction": 278,
    }
    humidity, temperature = layers.compensation
    assert (humidity, temperature) == (round(0.615 * 65535), round((20.0 + 45) / 175 * 65535)), "the layers were told"
    assert direction.level == 0 and direction.changes >= 2 * 10, "the line was let go after each request"
