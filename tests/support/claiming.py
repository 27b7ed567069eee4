"""Whether a node as boards have it is claimed and configured over BLE in a heap of a given size, and how long it takes.

Its whole application runs, with nothing beside it but the radio, on a chip of an ESP32-C3's memory (`testing.ledger`).
The other side is the SDK's. Seconds are virtual, which over the air are real ones: a radio's latency is in them, a
chip's arithmetic is not, because here this machine does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import tempfile
from pathlib import Path

from citymote.errors import CitymoteError
from citymote.node import Node, claim_with
from citymote.owner import OwnerStore
from citymote.reach import BleReach
from citymote.testing.air import Conditions
from citymote_protocol.errors import ProtocolError

from .claimable import Street, street

PATIENCE = 15.0
"""Seconds after which a node is not claimed and configured: some times what it takes."""
LATENCY = 0.03
"""s one way: a BLE connection interval of 30 ms."""


async def _configure(fresh: Street, store: OwnerStore) -> tuple[float, float]:
    way = BleReach(fresh.adapter).way(fresh.id)
    settings = {**fresh.uplink, "site": "bench", "station": "pole 1", "broker_ca": b"\x30" * 500}
    claim = claim_with(fresh.secret)
    async with (
        asyncio.timeout(PATIENCE),
        Node(way, fresh.public, store, claim=claim, patience=PATIENCE) as node,
    ):
        await node.info()
        first = fresh.node.now / 1000
        await node.set_time(signer=store.owner)
        await node.configure(settings)
        return first, fresh.node.now / 1000


def claimed(heap: int) -> tuple[float, float] | None:
    """(seconds from power until it is claimed, until it is configured) in so many KB; None where it is not."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),  # what a failing test would show
        street(Path(folder), start=False) as fresh,
    ):
        fresh.air.conditions = Conditions(latency=(LATENCY, LATENCY))
        store = OwnerStore.create(Path(folder) / "owner", ask=lambda new: "only for a bench", cost=2)
        fresh.node.heap = f"{heap}k"
        fresh.node.start()
        try:
            took = asyncio.run(_configure(fresh, store))
        except (CitymoteError, ProtocolError, TimeoutError):
            return None
        # one that ran out of memory on the way and was asked again has not lived in it
        return None if fresh.node.endings else took


def smallest(low: int = 80, high: int = 155) -> int:
    """The smallest heap in KB in which it is; more than `high` a C3 does not have beside BLE."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if claimed(middle) else (middle + 1, high)
    return low
