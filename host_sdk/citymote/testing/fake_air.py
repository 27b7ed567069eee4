"""An air full of fake nodes, for programs that provision fleets: who is heard, one adapter, its faults.

    air = FakeAir([FakeNode(uplink, conditions=conditions) for _ in range(50)])

A node that is in the air is heard four times a second. `vanish` takes the adapter away, `restore` gives it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from citymote.nearby import Sighting, State
from citymote.reach import Reach
from citymote.transports.base import NoRadio, Transport

from .fake_node import FakeNode

INTERVAL = 0.25


class FakeAir(Reach):
    """See the module. Two hosts share nodes by having an air each over the same ones."""

    def __init__(self, nodes: Sequence[FakeNode], *, parallel: int = 3) -> None:
        super().__init__()
        self.nodes = {node.id: node for node in nodes}
        self.parallel = parallel
        self._gone = False

    def start(self) -> None:
        """Power on for all nodes that are off."""
        for node in self.nodes.values():
            if not node.powered:
                node.start()

    async def stop(self) -> None:
        """Power off, and stop listening."""
        await self.close()
        for node in self.nodes.values():
            await node.stop()

    def vanish(self) -> None:
        """The adapter is pulled out: connections end, nothing is heard."""
        self._gone = True
        for node in self.nodes.values():
            if node.busy is not None:
                node.busy.lose()

    def restore(self) -> None:
        """It is in again."""
        self._gone = False

    def _check(self) -> None:
        if self._gone:
            raise NoRadio("there is no Bluetooth", "the adapter is gone", "Is it there and on?")

    async def scan(self, seconds: float | None = None) -> AsyncGenerator[Sighting, None]:
        """What is heard, until `seconds` are over."""
        loop = asyncio.get_running_loop()
        end = None if seconds is None else loop.time() + seconds
        while end is None or loop.time() < end:
            self._check()
            await asyncio.sleep(INTERVAL)
            self._check()
            for node in list(self.nodes.values()):
                if node.state is not None:
                    yield Sighting(node.id, node.id, -60, State(node.state), node.detail, loop.time(), node)

    def transport(self, sighting: Sighting) -> Transport:
        """A connection to it."""
        self._check()
        return self.nodes[sighting.node].connect("ble", self.turn)
