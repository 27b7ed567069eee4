"""Readings nearby: BTHome advertisements, as the decoder of Home Assistant's own integration reads them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bleak import BleakScanner
from tests.support import vm

from citymote import boards
from citymote.registry import quantity
from citymote.testing.air import Air
from citymote.testing.vm import VirtualNode
from citymote.testing.wiring import wire
from citymote.testing.world import World

PEER = Path(__file__).resolve().parents[2] / "build" / "peers" / "bthome"
UUID = "0000fcd2-0000-1000-8000-00805f9b34fb"
# What a whole node measures here, the name that BTHome has for it, and what is left at its resolution.
SAID = {
    "temperature": (-12.3, "temperature", -12.3),
    "humidity": (44.4, "humidity", 44.4),
    "pm2_5": (12.0, "pm25", 12),
}


def decoded(lines: list[bytes]) -> list[dict[str, float]]:
    """What the peer reads in these service data."""
    if not PEER.is_dir():
        pytest.skip(f"bthome-ble is not at {PEER}: make setup could not install it")
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("bthome_peer.py")],
        input="".join(f"{line.hex()}\n" for line in lines),
        env={"PYTHONPATH": str(PEER), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def service_data(advertisement: bytes) -> bytes:
    """The service data in an advertisement's bytes."""
    assert len(advertisement) <= 31
    assert advertisement[:3] == b"\x02\x01\x06"
    assert advertisement[3] == len(advertisement) - 4
    assert advertisement[4:7] == b"\x16\xd2\xfc"
    return advertisement[7:]


def made(run_vm: Callable[..., vm.Result], *rows: list[tuple[str, int | None]]) -> list[bytes]:
    """Advertisements of these readings, integers of the registry, by the node's code."""
    numbers = [[(quantity(name).id, value) for name, value in row] for row in rows]
    code = f"from node.links.bthome import advertisement\nfor row in {numbers!r}: print(advertisement(row).hex())"
    return [bytes.fromhex(line) for line in run_vm(code, heap="200k").checked().stdout.split()]


EVERYTHING: dict[str, tuple[int, str, float]] = {
    "temperature": (-123, "temperature", -12.3),
    "humidity": (1000, "humidity", 100),
    "pressure": (10132, "pressure", 1013.2),
    "illuminance": (120000, "illuminance", 120000),
    "pm2_5": (125, "pm25", 13),
    "pm10": (124, "pm10", 12),
    "co2": (40000, "carbon_dioxide", 40000),
    "wind_speed": (655, "speed", 65.5),
    "uv_index": (110, "uv_index", 11),
    "wind_direction": (359, "direction", 359),
}


def test_every_quantity_that_has_an_object_is_read_back(run_vm: Callable[..., vm.Result]) -> None:
    sent = made(run_vm, *([(name, value)] for name, (value, _, _) in EVERYTHING.items()))
    for found, (_, name, value) in zip(decoded([service_data(one) for one in sent]), EVERYTHING.values(), strict=True):
        assert found == {name: pytest.approx(value)}


def test_what_is_absent_or_cannot_be_said_is_left_out(run_vm: Callable[..., vm.Result]) -> None:
    (sent,) = made(run_vm, [("temperature", None), ("humidity", 444), ("illuminance", 200000), ("pm2_5", 20)])
    assert decoded([service_data(sent)]) == [{"humidity": pytest.approx(44.4), "pm25": 2}]


def test_as_many_as_fit_go_in_by_the_owners_order_and_are_sorted_by_object(run_vm: Callable[..., vm.Result]) -> None:
    first = [(name, EVERYTHING[name][0]) for name in EVERYTHING]
    forwards, backwards = made(run_vm, first, first[::-1])
    there, back = decoded([service_data(forwards), service_data(backwards)])
    assert list(there) != list(back)
    assert {"temperature", "humidity", "pressure", "illuminance", "pm25", "pm10"} <= set(there)
    assert {"direction", "uv_index", "speed", "carbon_dioxide"} <= set(back)
    for sent in (forwards, backwards):
        numbers, at, data = [], 1, service_data(sent)
        while at < len(data):
            numbers.append(data[at])
            at += 1 + {0x04: 3, 0x05: 3, 0x46: 1}.get(data[at], 2)
        assert numbers == sorted(numbers)


async def heard(adapter: Any, wanted: Callable[[bytes], bool], seconds: float = 30) -> bytes:
    """Service data in the air that is what is wanted."""
    found: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def on(_: object, advertisement: Any) -> None:
        data = advertisement.service_data.get(UUID)
        if data and wanted(data) and not found.done():
            found.set_result(data)

    async with BleakScanner(on, backend=adapter.scanner, **adapter.options):
        return await asyncio.wait_for(found, seconds)


def test_a_whole_node_is_heard_where_its_owner_wants_it(tmp_path: Path) -> None:
    board = {**boards.load("virtual"), "sensors": [
        {"driver": "sht4x", "bus": "i2c0"}, {"driver": "pms5003", "bus": "uart0", "settings": {"start_up": 3000}},
    ]}  # fmt: skip
    world = World(820_454_400)
    for name, (value, _, _) in SAID.items():
        world.constant(name, value)
    settings = {"interval": 10, "unsealed": True, "nearby": "temperature, humidity, pm2_5, laeq"}
    with Air(seed=1) as air:
        adapter = air.adapter()
        wiring = wire(board, world)
        with VirtualNode(
            tmp_path, board=board, settings=settings, wiring=wiring, air=air, speed=20, start_time=820_454_400
        ) as node:
            node.start()
            data = asyncio.run(heard(adapter, lambda data: len(data) == 10))
            said = [line.text for line in node.logs]
    assert decoded([data]) == [{name: pytest.approx(value) for _, name, value in SAID.values()}]
    assert "nearby: laeq is not measured or has no object in BTHome" in said
