"""What the virtual node costs its host: a transaction on a wire, a wake-up, a start, and how many run in real time.

`measure()` returns {metric: number}. Times are this machine's. Nodes per core that run in real time: the processor time
that hours of a node take, against those hours. The node samples every two minutes and publishes sealed frames until
each is acknowledged; its share of the host, of the broker and of a subscriber is counted with it. It replays a row, has
six chips, or has a microphone beside these, whose sound is rendered for one minute an hour (as `citymote simulate`
does) or all the time.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.measuring import fastest
from tests.firmware.collecting import Collector
from tests.support.node import said, scripted

from citymote import Decoder, boards
from citymote.broker import Broker
from citymote.demo.city_nodes import HEAP
from citymote.keys import KeyFile, Opener
from citymote.testing.bridge import Wiring
from citymote.testing.emul.base import I2CChip, Microphone
from citymote.testing.vm import VirtualNode
from citymote.testing.wiring import wire
from citymote.testing.world import World

FAMILY = "virtual"
T0 = 820_454_400
HOURS = 6
CITY = {
    "pm1": 5.0, "pm2_5": 12.3, "pm10": 20.1, "temperature": 21.5, "humidity": 44.4, "wind_direction": 120.0,
    "wind_speed": 3.2, "illuminance": 120.0, "uv_index": 1.1, "laeq": 61.3, "acceleration_x": 0.01,
    "acceleration_y": 0.02, "acceleration_z": 9.81, "visitors": 3.0,
}  # fmt: skip

WIRES = """
import time
bus = hal.i2c("i2c0")
buf = bytearray(6)
t = time.ticks_us()
for _ in range(2000):
    bus.readfrom_into(0x44, buf)
say(time.ticks_diff(time.ticks_us(), t) / 2000)
stream = hal.i2s("i2s0", 48000)
buf = bytearray(19200)
t = time.ticks_us()
for _ in range(100):
    await stream.readinto(buf)
say(time.ticks_diff(time.ticks_us(), t) / 100)
t = time.ticks_us()
for _ in range(20000):
    await asyncio.sleep_ms(1000)
say(time.ticks_diff(time.ticks_us(), t) / 20000)
"""


class Chip(I2CChip):
    """Answers at once."""

    address = 0x44


def wires(folder: Path) -> dict[str, float]:
    """Microseconds, as the node sees them."""
    with scripted(folder, WIRES, wiring=Wiring({"i2c0": Chip(), "i2s0": Microphone()})) as node:
        node.start()
        node.wait(60)
        i2c, sound, wake = said(node)
    return {"virtual.i2c_read_us": i2c, "virtual.i2s_100ms_us": sound, "virtual.wake_us": wake}


def start(folder: Path) -> dict[str, float]:
    """Milliseconds from start to end of a node that does nothing, and of one that formats its flash as well."""
    empty = scripted(folder, "pass")

    def once() -> None:
        empty.start()
        empty.wait(20)

    def fresh() -> None:
        node = scripted(Path(tempfile.mkdtemp(dir=folder)), "hal.mount()")
        node.start()
        node.wait(20)

    return {"virtual.start_ms": 1000 * fastest(once, 10), "virtual.first_start_ms": 1000 * fastest(fresh, 10)}


def real_time(folder: Path, name: str, board: dict[str, Any], heard: str, hours: int) -> dict[str, float]:
    world = World(T0)
    for quantity, value in CITY.items():
        world.constant(quantity, value)
    keys = KeyFile.create(folder / f"{name}.keys")
    with Broker() as broker, Collector(broker.port) as collector:
        settings = {
            "interval": 120, "until": T0 + hours * 3600, "broker_host": "127.0.0.1", "broker_port": broker.port,
            "collector_key": keys.collectors[-1].public.hex(),
        }  # fmt: skip
        node = VirtualNode(
            folder / name, board=board, settings=settings, wiring=wire(board, world, heard=heard), start_time=T0,
            heap=f"{HEAP}k",
        )  # fmt: skip
        before = os.times()
        node.start()
        ending = node.wait(280)
        after = os.times()
        frames = collector.wait(ending.report["acked"])
    keys.add_node(bytes.fromhex(node.event_data("identity")[0]["public_key"]))
    batches = [one for one in Decoder(Opener(keys)).frames(frames) if one.sealed and one.kind == "batch"]
    rows = len({sample.time for batch in batches for sample in batch.samples()})
    if rows != hours * 30:
        raise RuntimeError(f"{name}: {rows} rows in sealed frames; {ending}\n{node.last_words()}")
    spent = sum(after[:4]) - sum(before[:4])
    return {f"virtual.nodes_per_core.{name}": hours * 3600 / spent}


def measure() -> dict[str, float]:
    replay: dict[str, Any] = {
        "board": "replay",
        "sensors": [{"driver": "replay", "bus": "uart1", "settings": {"quantities": list(CITY)}}],
    }
    chips = boards.load("virtual")
    silent = {**chips, "sensors": [s for s in chips["sensors"] if s["driver"] != "sound_meter"]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        metrics = wires(folder) | start(folder)
        for kind, board, heard, hours in (
            ("replay", replay, "never", HOURS),
            ("chips", silent, "never", HOURS),
            ("sound_a_minute_an_hour", chips, "minute", HOURS),
            ("sound_always", chips, "always", 1),
        ):
            metrics |= real_time(folder, kind, board, heard, hours)
    return metrics
