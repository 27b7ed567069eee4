"""Corrections on the node: beside the raw readings of their row, named in the descriptor, absent with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import citymote
from citymote import Reading
from citymote.broker import Broker
from citymote.testing.vm import VirtualNode
from citymote.testing.wiring import wire
from citymote.testing.world import World
from citymote_protocol.corrections import correct
from citymote_protocol.quantities import PM2_5_EPA

from .collecting import HEAP, START, Collector

pytestmark = pytest.mark.usefixtures("run_vm")
CLIMATE: dict[str, Any] = {"driver": "sht4x", "bus": "i2c0"}
DUST: dict[str, Any] = {"driver": "sps30", "bus": "i2c0"}
ROWS = 30


def column(values: Sequence[float | None]) -> list[tuple[int, float | None]]:
    return [(START + 120 * row, value) for row, value in enumerate(values, 1)]


def world(humidity: Sequence[float | None] | None = None) -> World:
    made = World(START)
    made.constant("temperature", 20.0)
    damp: Sequence[float | None] = humidity or [30.0 + 2.0 * row for row in range(ROWS)]
    made.series("humidity", column(damp), 120)
    made.series("pm2_5", column([5.0 + 3.3 * row for row in range(ROWS)]), 120)
    return made


def lived(
    folder: Path, broker: Broker, around: World, *, sensors: list[dict[str, Any]] | None = None, **board: Any
) -> tuple[list[bytes], VirtualNode]:
    full = {"board": "virtual", "sensors": sensors or [CLIMATE, DUST], **board}
    settings = {
        "until": START + ROWS * 120, "broker_host": "127.0.0.1", "broker_port": broker.port, "unsealed": True,
    }  # fmt: skip
    node = VirtualNode(folder, board=full, settings=settings, wiring=wire(full, around), start_time=START, heap=HEAP)
    with Collector(broker.port) as collector, node:
        node.start()
        messages = collector.wait(node.wait(60).report["frames"])
    return messages, node


def by_row(messages: list[bytes], name: str, sensor: int = 0) -> dict[int, Reading]:
    found = {r.time: r for r in citymote.readings(messages) if r.quantity == name and r.sensor == sensor}
    return {row: found[time] for row, time in enumerate(sorted(found), 1)}


def test_raw_and_corrected_are_both_sent_and_agree_with_the_shared_formula(tmp_path: Path, broker: Broker) -> None:
    messages, _ = lived(tmp_path / "n", broker, world(), corrections=["pm2_5_epa", "pm2_5_humidity"])
    raw, damp, made = (by_row(messages, name) for name in ("pm2_5", "humidity", "pm2_5_epa"))
    assert len(made) == len(raw) == ROWS
    for row in made:
        integers = [round((raw[row].value or 0) * 10), round((damp[row].value or 0) * 10)]
        expected: int = correct(PM2_5_EPA, integers) or 0  # pyright: ignore[reportUnknownVariableType]
        assert made[row].value == expected / 10, f"row {row}: {integers}"
    assert by_row(messages, "pm2_5_humidity")[1].value == 4.5, "5.0 divided by 1.104 at 30 %RH"


def test_the_descriptor_names_formula_and_version(tmp_path: Path, broker: Broker) -> None:
    messages, _ = lived(tmp_path / "n", broker, world(), corrections=["pm2_5_epa"])
    (found,) = citymote.descriptors(messages)
    assert [(made.quantity, made.name, made.version) for made in found.corrections] == [
        ("pm2_5_epa", "epa-barkjohn", 2021)
    ]


def test_an_absent_input_is_the_reason_for_an_absent_result(tmp_path: Path, broker: Broker) -> None:
    damp: list[float | None] = [40.0] * 10 + [None] * 10 + [40.0] * 10
    around = world(damp)
    around.series("temperature", column([20.0] * 10 + [None] * 10 + [20.0] * 10), 120)
    messages, _ = lived(tmp_path / "n", broker, around, corrections=["pm2_5_epa"])
    made, raw = by_row(messages, "pm2_5_epa"), by_row(messages, "pm2_5")
    assert [row for row in made if made[row].value is None] == list(range(11, 21))
    assert {made[row].quality for row in range(11, 21)} == {"no_answer"}
    assert all(raw[row].value is not None for row in raw), "the raw reading does not suffer"


def test_outside_of_the_formula_there_is_no_corrected_value(tmp_path: Path, broker: Broker) -> None:
    messages, _ = lived(tmp_path / "n", broker, world([97.5] * ROWS), corrections=["pm2_5_humidity"])
    made = by_row(messages, "pm2_5_humidity")
    assert {(r.value, r.quality) for r in made.values()} == {(None, "out_of_range")}


def test_the_height_of_the_site_is_an_input(tmp_path: Path, broker: Broker) -> None:
    around = World(START)
    for name, value in (("temperature", 15.0), ("pressure", 1001.3)):
        around.constant(name, value)
    replay = {"driver": "replay", "bus": "uart0", "settings": {"quantities": ["temperature", "pressure"]}}
    messages, _ = lived(
        tmp_path / "n", broker, around, sensors=[replay], corrections=["pressure_sea_level"], site={"altitude": 100.0}
    )
    (value,) = {r.value for r in by_row(messages, "pressure_sea_level").values()}
    assert value == pytest.approx(1013.2, abs=0.15), "the standard atmosphere at 100 m"


def test_what_cannot_be_corrected_is_named_and_the_rest_goes_on(tmp_path: Path, broker: Broker) -> None:
    messages, node = lived(
        tmp_path / "n", broker, world(), sensors=[DUST], corrections=["pm2_5_epa", "pm2_5_corrected", "nonsense"]
    )
    said = [line.text for line in node.logs if line.text.startswith("correction ")]
    assert said == [
        "correction pm2_5_epa: no sensor gives what it needs",
        "correction pm2_5_corrected: not known here",
        "correction nonsense: not known here",
    ]
    assert len(by_row(messages, "pm2_5")) == ROWS


def test_a_suspicious_input_makes_a_suspicious_result(tmp_path: Path, broker: Broker) -> None:
    dust = DUST | {"limits": {"pm2_5": [0, 10000, 20]}}  # a step of more than 2.0 ug/m3 is suspicious
    messages, _ = lived(tmp_path / "n", broker, world(), sensors=[CLIMATE, dust], corrections=["pm2_5_epa"])
    made = by_row(messages, "pm2_5_epa")
    assert {made[row].quality for row in range(3, ROWS)} == {"suspicious"}


def test_each_instance_is_corrected_with_its_own(tmp_path: Path, broker: Broker) -> None:
    first = {"driver": "replay", "bus": "uart0", "settings": {"quantities": ["pm2_5", "humidity"]}}
    second = {"driver": "replay", "bus": "uart1", "settings": {"quantities": ["pm2_5"]}, "instance": 1}
    around = world()
    around.series("pm2_5", column([60.0] * ROWS), 120, instance=1)
    messages, _ = lived(tmp_path / "n", broker, around, sensors=[first, second], corrections=["pm2_5_epa"])
    damp, one = by_row(messages, "humidity"), by_row(messages, "pm2_5_epa", 1)
    assert len(one) == ROWS
    assert one[1].value == (correct(PM2_5_EPA, [600, round((damp[1].value or 0) * 10)]) or 0) / 10
