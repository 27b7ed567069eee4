"""The wire between a host and a fake node: late, lossy and breakable as asked, in whatever time the loop keeps.

On BLE a lost packet is repeated by the link layer and comes later; on UDP and MQTT it is gone, and the message layer
has to repeat it. Everything else, from acknowledgements up, is the real thing.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from citymote.transports.base import Disconnected, Layer, Transport

if TYPE_CHECKING:
    from .fake_node import FakeNode

ROOM = 0.03
"""Seconds until a packet that was lost on BLE is sent again: a connection interval."""


@dataclass
class Conditions:
    """`latency` one way in seconds, a number between the two; `loss` the share of packets lost; `connecting` seconds
    that a connection with its discovery takes; `change(up, data)` sees every packet, and may alter or drop it."""

    latency: tuple[float, float] = (0.0, 0.0)
    loss: float = 0.0
    connecting: float = 0.0
    seed: int = 1
    change: Any = None
    mtu: int = 512

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def late(self, reliable: bool) -> float | None:
        """Seconds until a packet is there; None: never."""
        seconds = self._chance.uniform(*self.latency)
        while self.loss and self._chance.random() < self.loss:
            if not reliable:
                return None
            seconds += ROOM
        return seconds


class FakeTransport(Transport):
    """Both ends of one connection: a `Transport` for the host, and a queue for the node."""

    def __init__(
        self, node: FakeNode, over: str, layer: Layer, there: Any, conditions: Conditions, turn: asyncio.Lock | None
    ) -> None:
        self.over = over
        self.peer = f"{over}:{node.id}"
        self.mtu = conditions.mtu
        self.layer = layer
        self.layer_there = there
        self.token_size = 1 if over == "ble" else 4
        self._reliable = over == "ble"
        self._conditions = conditions
        self._node = node
        self._up: list[bytes] = []
        self._down: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._due = {True: 0.0, False: 0.0}
        self._open = False
        self._turn = turn if turn is not None else asyncio.Lock()

    async def connect(self) -> None:
        """Connect, when it is our turn."""
        async with self._turn:
            await asyncio.sleep(self._conditions.connecting)
            self._node.take(self)
            self._open = True

    async def send(self, data: bytes) -> None:
        """To the node; on BLE this returns when its stack has it."""
        if not self._open:
            raise Disconnected(f"the connection to {self.peer} has ended")
        there = asyncio.get_running_loop().create_future() if self._reliable else None

        def arrive(data: bytes) -> None:
            if self._open:
                self._up.append(data)
                self._node.heard()
            if there is not None and not there.done():
                there.set_result(None)

        self._carry(True, data, arrive)
        if there is not None:
            self._waiting = there
            await there
            if not self._open:
                raise Disconnected(f"the connection to {self.peer} has ended")

    def say_all(self) -> None:
        """What the node's layer has to say goes out."""
        for _, data in self.layer_there.take():
            self._carry(False, data, self._down.put_nowait)

    def _carry(self, up: bool, data: bytes, arrive: Any) -> None:
        if self._conditions.change is not None:
            changed: bytes | None = self._conditions.change(up, data)
            if changed is None:
                return
            data = changed
        late = self._conditions.late(self._reliable)
        if late is None:
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + late
        if self._reliable:  # packets of one connection stay in order
            at = self._due[up] = max(at, self._due[up])
        loop.call_at(at, arrive, data)

    def arrived(self) -> list[bytes]:
        """What has come for the node."""
        came, self._up = self._up, []
        return came

    async def receive(self) -> bytes:
        """The next from the node."""
        data = await self._down.get()
        if data is None:
            self._down.put_nowait(None)
            raise Disconnected(f"the connection to {self.peer} has ended")
        return data

    def lose(self) -> None:
        """The connection ends, for both."""
        if self._open:
            self._open = False
            self._down.put_nowait(None)
            waiting: asyncio.Future[None] | None = getattr(self, "_waiting", None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
            self._node.gone(self)

    async def close(self) -> None:
        """Hang up."""
        self.lose()
