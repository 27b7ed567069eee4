"""What a node spends: time to encode a reading, flash programmed and erased in a day, heap alive in a week.

Times are the 32-bit VM's on this machine's processor: ratios carry over to a chip, microseconds do not. JSON is
MicroPython's own C encoder, given dicts that are ready (`json`), and with making them from the node's columns
(`json_from_columns`). A day is 720 samples of ten quantities of the whole firmware with the replay driver, on
emulated flash under the real littlefs: once with a broker that takes every frame, once without any.

The heap is that of a node in a chip's memory, where what is needed now and then is loaded each time. Of the duty-cycled
profile the share of the time that is slept through; of a row, the processor's time from one day's run and two days'.
What a fault costs is in bench_recovery.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench import wire_data
from tests.bench.measuring import Missing, data_file, note
from tests.firmware import collecting as collecting_node
from tests.support import vm

from citymote.broker import Broker
from citymote.collect import collect_from
from citymote.demo import city
from citymote.registry import quantity
from citymote.simulate import broker_settings
from citymote.storage.base import Query, open_store
from citymote.testing.vm import VirtualNode
from citymote.testing.wiring import wire
from citymote.testing.world import World
from citymote_protocol.quantities import quantity_set

FAMILY = "node"
SCRIPT = Path(__file__).with_name("encode_vm.py")
ROUNDS = 50
CITY_TEN = 1
INTERVAL = 120
LOW = "heap_low_water"
HEAP = 400  # KB: plenty, so that times are those of the work and not of looking for memory
SMALL = 120  # KB, a chip's; whether the node lives in it is for tests, here is measured what it takes of it


def encode_us(rows: wire_data.Rows, folder: Path) -> dict[str, float]:
    """Microseconds a reading, by encoder, for one batch."""
    named = [
        {"id": wire_data.NODE.hex(), "time": f"2020-10-01T00:{index:02}:00Z"}
        | {
            name: value / 10**decimals if decimals else value
            for name, decimals, value in zip(rows.names, rows.decimals, row, strict=True)
            if value is not None
        }
        for index, row in enumerate(rows.values)
    ]
    path = folder / f"rows{len(named)}.json"
    columns = [list(column) for column in zip(*rows.values, strict=True)]
    scales = [10**decimals for decimals in rows.decimals]
    said = {"columns": rows.columns, "times": rows.times, "values": columns, "rows": named}
    said |= {"names": rows.names, "scales": scales}
    path.write_text(json.dumps(said), encoding="utf-8")
    lines = vm.run(SCRIPT, str(path), str(ROUNDS), heap="400k").checked().stdout.split("\n")
    return {name: int(spent) / rows.readings() for name, spent in (line.split() for line in lines if line)}


def encoding(folder: Path) -> dict[str, float]:
    try:
        rows = wire_data.kit(data_file("sck_1min_geo.csv"))
    except Missing as missing:
        note(f"{missing}; a generated city pole in its place")
        rows = wire_data.pole()
    metrics: dict[str, float] = {}
    for size, suffix in ((10, ""), (60, "_batch60")):
        for name, spent in encode_us(rows.cut(600, 600 + size), folder).items():
            metrics[f"node.encode_us_per_reading{suffix}.{name}"] = spent
    return metrics


def lived(folder: Path, link: dict[str, Any], days: int = 1, kilobytes: int = HEAP) -> VirtualNode:
    """A node that has lived some days of a generated city, in so much heap."""
    columns = quantity_set(CITY_TEN)
    assert columns is not None, "set city_ten is not in the registry"
    names = [quantity(number).name for number, _ in columns]
    station = city.generate(nodes=1, hours=24 * days, interval=INTERVAL).stations[0]
    world = World(station.start - INTERVAL + 1)
    world.table(station.start, INTERVAL, station.rows)
    board: dict[str, Any] = {
        "board": "replay",
        "sensors": [{"driver": "replay", "bus": "uart1", "settings": {"quantities": names}}],
    }
    node = VirtualNode(
        folder,
        board=board,
        settings={"interval": INTERVAL, "until": station.start + (len(station.rows) - 1) * INTERVAL, **link},
        wiring=wire(board, world),
        start_time=world.start_time,
        heap=f"{kilobytes}k",
        wear=days == 1,
        memory=days > 1,
        keep_events=False,
    )
    with node:
        node.start()
        ending = node.wait(280 * days, check=False)  # without a broker its frames wait, which its exit code says
    if ending.report.get("rows") != len(station.rows):
        raise AssertionError(f"the node did not live its days: {ending}\n{node.last_words()}")
    return node


@contextlib.contextmanager
def collecting(folder: Path) -> Iterator[str]:
    """A broker's address behind which everything is stored and then acknowledged."""
    stops: list[Callable[[], None]] = []

    def job(url: str) -> None:
        collect_from(url, str(folder / "readings.db"), allow_unsealed=True, on_start=stops.append)

    with Broker() as broker:
        thread = threading.Thread(target=job, args=(broker.url,), daemon=True)
        thread.start()
        try:
            yield broker.url
        finally:
            for stop in stops:
                stop()
            thread.join(30)


def flash(folder: Path) -> dict[str, float]:
    """Bytes programmed and blocks erased in a day on both filesystems, the first format included."""
    with collecting(folder) as url:
        nodes = {"": lived(folder / "delivered", {**broker_settings(url), "unsealed": True})}
    nodes["_offline"] = lived(folder / "offline", {})
    metrics: dict[str, float] = {}
    for suffix, node in nodes.items():
        blocks = [block for name in ("config", "store") for block in node.wear(name)]
        metrics[f"node.flash_bytes_per_day{suffix}"] = sum(block.programmed for block in blocks)
        metrics[f"node.flash_erases_per_day{suffix}"] = sum(block.erased for block in blocks)
        metrics[f"node.flash_erases_per_day_worst_block{suffix}"] = max(block.erased for block in blocks)
    return metrics


def heap(folder: Path, days: int = 7) -> dict[str, float]:
    """Live bytes in the heap as a week's status frames, one an hour, found them: the most, and the last day's median.

    The heap's own tables are included.
    """
    with collecting(folder) as url:
        lived(folder / "week", {**broker_settings(url), "unsealed": True}, days, SMALL)
    with open_store(folder / "readings.db", create=False) as store:
        told = sorted((r.time, r.quantity, r.value) for r in store.iter_readings(Query(quantities=("heap_free", LOW))))
    free = {name: [value for _, quantity, value in told if quantity == name] for name in ("heap_free", LOW)}
    return {
        "node.heap_peak_bytes.week": SMALL * 1024 - min(free[LOW]),
        "node.heap_steady_bytes.week": SMALL * 1024 - statistics.median(free["heap_free"][-24:]),
    }


def asleep(folder: Path) -> dict[str, float]:
    """A climate sensor every two minutes for six hours, asleep in between; each frame is delivered."""
    hours = 6
    with Broker() as broker, collecting_node.Collector(broker.port):
        settings = {"heap": f"{HEAP}k", "profile": "sleep", "wear": False}
        with collecting_node.node(folder, hours, broker.port, **settings) as node:
            node.start()
            node.wait(280)
            return {
                "node.asleep_percent": 100 * node.asleep / node.now,
                "node.awake_ms_per_row": (node.now - node.asleep) / (hours * 3600 / INTERVAL),
            }


def cpu(folder: Path) -> dict[str, float]:
    """The processor's time of a row of ten quantities, sampled, stored and encoded; virtual chips included."""
    spent: list[float] = []
    for days in (1, 2):
        before = os.times()
        lived(folder / str(days), {}, days)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return {"node.cpu_ms_per_row": 1000 * (spent[1] - spent[0]) / (86400 / INTERVAL)}


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        apart = folder / "heap"
        apart.mkdir()
        metrics = encoding(folder) | flash(folder) | heap(apart)
        return metrics | asleep(folder / "asleep") | cpu(folder / "cpu")
