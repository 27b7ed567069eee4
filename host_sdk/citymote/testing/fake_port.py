"""A fake node at a real UDP port of this machine, for programs in other processes.

with FakePort(owner=store.owner_public) as port:          a thread of its own, in real time
    subprocess.run(["citymote", "node", port.node.id, "info", "--via", f"udp:127.0.0.1:{port.number}", ...])
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

from .background import Background
from .fake_node import FakeNode
from .fake_wire import FakeTransport


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, node: FakeNode) -> None:
        self._node = node
        self._wires: dict[Any, FakeTransport] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._tasks.add(asyncio.ensure_future(self._take(data, addr)))

    async def _take(self, data: bytes, addr: Any) -> None:
        wire = self._wires.get(addr)
        if wire is None:
            wire = self._wires[addr] = self._node.connect("udp")
            await wire.connect()
            self._tasks.add(asyncio.ensure_future(self._answer(wire, addr)))
        await wire.send(data)

    async def _answer(self, wire: FakeTransport, addr: Any) -> None:
        while True:
            self._transport.sendto(await wire.receive(), addr)

    async def close(self) -> None:
        self._transport.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class FakePort:
    """See the module. `owner` is whose it is; `call` runs something in the node's own thread."""

    def __init__(self, owner: bytes | None = None) -> None:
        self.number = 0
        self._owner = owner
        self._home = Background("fake node")
        self._home.start()
        self.node = self._home.run(self._make())

    async def _make(self) -> FakeNode:
        return FakeNode()

    async def _start(self) -> _Datagrams:
        self.node.start()
        self.node.flash.owner, self.node.online = self._owner, True
        loop = asyncio.get_running_loop()
        transport, made = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self.node), local_addr=("127.0.0.1", 0)
        )
        self.number = transport.get_extra_info("sockname")[1]
        return made

    def call(self, do: Callable[[], Any]) -> None:
        """Run a function of the node where it lives."""

        async def run() -> None:
            do()

        self._home.run(run())

    def __enter__(self) -> Self:
        self._datagrams = self._home.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._home.run(self._datagrams.close())
        self._home.run(self.node.stop())
        self._home.stop()
