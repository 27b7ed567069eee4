"""The seconds of an update over two roads: the node's own firmware in its slots, a release of the whole application.

Time is the node's: it runs at the pace of this machine's clock, a radio and a network put their latency to it, and this
machine does a chip's arithmetic and is a chip's flash, which is faster than either. Over BLE a release is carried in a
session that stands already, to the end of its verification, over Bumble's link layer with a connection interval of
30 ms. Over HTTP it is from the question of a node that polls to the same end: two answers, the envelope once more
because it is news, and a connection for each file, over a mobile network of 40 ms one way and 100 KB a second.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.measuring import Missing, note
from tests.firmware.test_update import VERIFIED, identify, slotted
from tests.firmware.test_update_carried import HEAP, NEW, Road, carried, pressed, settled
from tests.support import vm
from tests.support.claimable import BOARD, street
from tests.support.file_server import FileServer
from tests.support.release import Maker

from citymote.reach import way_to
from citymote.testing.air import Conditions
from citymote.testing.bridge import Event

FAMILY = "update"
BLE_LATENCY = 0.03  # s one way: a connection interval of 30 ms
HTTP_LATENCY = 0.04  # s one way, over a mobile network
HTTP_RATE = 100_000  # bytes a second


def _ble(folder: Path) -> dict[str, float]:
    maker = Maker(folder / "maker", BOARD)
    bundle = maker.release("1.0.2", NEW, 2)
    messages = 0
    with street(folder, slotted=True, heap=HEAP, pace=1) as node:
        pressed(node)
        store = settled(node, maker)
        node.air.conditions = Conditions(latency=(BLE_LATENCY, BLE_LATENCY), supervision=4)
        go = way_to("ble", node.id, radio=node.adapter)

        async def counted() -> Any:
            made = await go()
            send = made.send

            async def count(data: bytes) -> None:
                nonlocal messages
                messages += 1
                await send(data)

            made.send = count
            return made

        async def run() -> tuple[int, float, int]:
            async with Road(counted, node.public, store) as session:
                before, began = messages, time.monotonic()
                sent = await carried(session, maker, bundle)
                return sent, time.monotonic() - began, messages - before

        sent, seconds, count = asyncio.run(run())
    return {"update.ble.bytes": sent, "update.ble.messages": count, "update.ble.seconds": seconds}


def _http(folder: Path) -> dict[str, float]:
    maker = Maker(folder / "maker", BOARD)
    bundle = maker.release("1.0.2", NEW, 2)
    ended: list[float] = []

    def verified(event: Event) -> None:
        if event.data["state"] == VERIFIED:
            ended.append(time.monotonic())

    with (
        FileServer(maker.folder / "www", latency=HTTP_LATENCY, rate=HTTP_RATE) as server,
        slotted(folder / "n", 2, None, server, update_root=maker.root.public.hex(), update_interval=60) as node,
    ):
        maker.publish(bundle, identify(node))
        node.on_event(verified, "update")
        node.kill()
        node.speed = 1
        node.start(off=1000)
        until = time.monotonic() + 300
        while not ended:
            if time.monotonic() > until:
                raise AssertionError(f"not verified: {node.last_words()}")
            time.sleep(0.1)
        node.kill()
    return {"update.http.bytes": server.sent, "update.http.seconds": ended[0] - server.began}


def measure() -> dict[str, float]:
    """See the module."""
    if vm.best(32).bits != 32:
        raise Missing("a 32-bit MicroPython")
    metrics: dict[str, float] = {}
    for road in (_ble, _http):
        with tempfile.TemporaryDirectory() as name:
            metrics |= road(Path(name))
    note(f"BLE: {BLE_LATENCY * 1000:.0f} ms one way; HTTP: {HTTP_LATENCY * 1000:.0f} ms and {HTTP_RATE:,} bytes/s")
    return metrics
