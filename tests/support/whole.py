"""Whole nodes of several kinds, and the heap in which each lives: all of the application, from boot to the last frame.

The figure of a module says little of the whole: loading takes more than what stays, and a heap breaks into pieces. So
a node is started with a heap, lives some virtual hours with a broker, and has lived if every row was sampled and every
frame acknowledged. One that updates itself meanwhile also has to end in the other slot, never short of memory. The heap
is the application's own, `runtime.STAND_IN` left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.firmware.collecting import Collector
from tests.support.file_server import FileServer
from tests.support.node import ran
from tests.support.release import Maker

from citymote import boards
from citymote.broker import Broker
from citymote.keys import generate_collector_key
from citymote.testing import slots
from citymote.testing.vm import VirtualNode
from citymote.testing.wiring import wire
from citymote.testing.world import World

START = 850_000_080  # s2000, a multiple of the interval
INTERVAL = 120
HOURS = 2
AIR = {
    "pm1": 5.0, "pm2_5": 12.3, "pm10": 20.1, "temperature": 21.5, "humidity": 44.4, "wind_direction": 120.0,
    "wind_speed": 3.2, "illuminance": 120.0, "uv_index": 1.1, "laeq": 61.3, "acceleration_x": 0.01,
    "acceleration_y": 0.02, "acceleration_z": 9.81, "vibration_x": 0.01, "vibration_y": 0.01, "vibration_z": 0.01,
    "visitors": 3.0,
}  # fmt: skip
CLIMATE: dict[str, Any] = {"driver": "sht4x", "bus": "i2c0"}
DUST: dict[str, Any] = {"driver": "pms5003", "bus": "uart0"}
SOUND: dict[str, Any] = {
    "driver": "sound_meter",
    "bus": "i2s0",
    "settings": {"microphone": "inmp441", "quantities": ["laeq", "laf_max", "l10", "l90"]},
}
# What a node of Seoul's S-DoT measures: fine dust, temperature, humidity, wind, light, ultraviolet, vibration, visitors
# and noise, which is twenty columns in eight chips here.
NOISE: dict[str, Any] = {**SOUND, "settings": {"microphone": "inmp441", "quantities": ["laeq", "laf_max", "laf_min"]}}
SDOT: tuple[dict[str, Any], ...] = (
    CLIMATE,
    DUST,
    {"driver": "ltr390", "bus": "i2c0", "settings": {"ambient": True}},
    {"driver": "lis3dh", "bus": "i2c0"},
    {"driver": "wind_vane", "bus": "adc0"},
    {"driver": "anemometer", "bus": "counter0"},
    {"driver": "motion", "bus": "counter1"},
    NOISE,
)


@dataclass(frozen=True)
class Kind:
    """One kind of node: what it measures and whether it seals."""

    title: str
    sensors: tuple[dict[str, Any], ...]
    sealed: bool = True
    owned: bool = False
    board: dict[str, Any] = field(default_factory=dict[str, Any])


def kinds() -> dict[str, Kind]:
    virtual = boards.load("virtual")
    return {
        "one": Kind("one driver, frames not sealed", (CLIMATE,), sealed=False),
        "two": Kind("two drivers", (CLIMATE, DUST)),
        "sound": Kind("two drivers and the sound level meter", (CLIMATE, DUST, SOUND)),
        "sdot": Kind("all quantities of S-DoT in eight chips, noise among them", SDOT),
        "owned": Kind("the same, with an owner, as every node at work has one", SDOT, owned=True),
        "virtual": Kind("all of boards/virtual", tuple(virtual["sensors"]), board=virtual),
    }


def claim(folder: Path) -> None:
    """Let the node in `folder`/node have an owner and a proven configuration, as nodes at work have."""
    ran(
        folder,
        """
        hal.mount()
        from node.access import record
        owner, trial = record.Owner(), record.Trial()
        owner.key = b"\\x02" + bytes(range(32))
        owner.save()
        trial.number, trial.state, trial.proven = 1, record.SUCCEEDED, 1
        trial.save()
        """,
    )


def _node(kind: Kind, folder: Path, heap: int, settings: dict[str, Any], **made_with: Any) -> VirtualNode:
    board = {"board": "virtual", **kind.board, "sensors": list(kind.sensors)}
    if kind.owned:
        claim(folder)
    world = World(START)
    for quantity, value in AIR.items():
        world.constant(quantity, value)
    sealing = {"collector_key": generate_collector_key().public.hex()} if kind.sealed else {"unsealed": True}
    return VirtualNode(
        folder / "node",
        board=board,
        settings={"interval": INTERVAL, "broker_host": "127.0.0.1", **sealing, **settings},
        wiring=wire(board, world, heard="never"),
        start_time=START,
        heap=f"{heap}k",
        deployed=not kind.owned,
        **made_with,
    )


def lives(kind: Kind, heap: int) -> bool:
    """Whether such a node lives its hours in that heap (KB)."""
    with tempfile.TemporaryDirectory() as folder, Broker() as broker, Collector(broker.port):
        settings = {"until": START + HOURS * 3600, "broker_port": broker.port}
        with _node(kind, Path(folder), heap, settings) as node:
            node.start()
            try:
                ending = node.wait(120, check=False)
            except TimeoutError:
                return False  # it does nothing any more but look for memory
    report = ending.report
    return ending.code == 0 and report.get("rows") == HOURS * 3600 // INTERVAL and report.get("pending") == 0


def updates(kind: Kind, heap: int) -> bool:
    """Whether such a node, in slots, updates itself from a file server in that heap while it goes on as above."""
    with tempfile.TemporaryDirectory() as name, Broker() as broker, Collector(broker.port):
        folder = Path(name)
        maker = Maker(folder / "maker", {"board": "virtual", **kind.board, "sensors": list(kind.sensors)})
        with FileServer(maker.folder / "www") as server:
            settings = {
                "until": START + HOURS * 3600,
                "broker_port": broker.port,
                "update_root": maker.root.public.hex(),
                "update_url": server.url,
                "update_interval": 1200,
            }
            with _node(kind, folder, heap, settings, slotted=True) as node:
                node.run_until(30_000)
                found = [event["node"] for event in node.event_data("identity")]
                if not found:
                    return False
                maker.publish(maker.release("1.0.2", {"node/extra.py": "NEW = 1\n"}, 2), found[0])
                try:
                    ending = node.wait(240, check=False)
                except TimeoutError:
                    return False
                record = slots.boot_record(node.directory)
    starved = any("memory" in line.text or "MemoryError" in line.text for line in node.logs)
    done = record == slots.BootRecord(1, trial=False, starts=0, why=0, floor=2) and not starved
    return done and ending.code == 0 and ending.report.get("pending") == 0


def smallest(kind: Kind, low: int = 60, high: int = 256, test: Callable[[Kind, int], bool] = lives) -> int:
    """The smallest heap in KB in which it lives, or does what else is asked."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if test(kind, middle) else (middle + 1, high)
    return low
