"""A city's air in one process: radios of virtual nodes and of hosts, down to the link layer, without any hardware.

    with Air(seed=1, conditions=Conditions(latency=(0.015, 0.1), loss=0.2)) as air:
        adapter = air.adapter()                            # a host's radio, with a bleak backend
        with VirtualNode(directory, air=air) as node:      # its `bluetooth` is in the same air
            node.start()
            async for sighting in citymote.scan(radio=adapter): ...

Everything is driven by Bumble's host and virtual controllers in a thread of its own. Faults are asked for by name: a
radio that vanishes, a connection that ends, a place out of range; what gets lost and how late it comes is `Conditions`.
Real time rules in the air: a node whose radio is on lives at `speed` virtual milliseconds per real one.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Self

from bumble import hci
from bumble.device import Device
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink, StreamPacketSource

from .air_controller import AirController
from .air_link import AirLink, Conditions
from .air_node import BUFFERS, AirNode
from .background import Background
from .bleak_bumble import MTU, Adapter

__all__ = ["Air", "Conditions"]


class Air:
    """See the module. Methods may be called from any thread; the air is on from `start` (or `with`) to `close`."""

    def __init__(
        self, *, seed: int = 0, conditions: Conditions | None = None, speed: float = 1.0, buffers: int = BUFFERS
    ) -> None:
        self.seed = seed
        self.speed = speed
        self._buffers = buffers
        self._home = Background("air")
        self._link = AirLink(conditions, seed)
        self._servers: list[asyncio.Server] = []
        self._port = 0
        self._hci_port = 0
        self._numbers = itertools.count(1)
        self._hosts = itertools.count(1)
        self._nodes: dict[int, AirNode] = {}
        self._adapters: dict[str, tuple[Adapter, AirController]] = {}
        self._visitors: set[asyncio.Task[None]] = set()

    def start(self) -> Self:
        """Switch it on."""
        self._home.start()
        self._home.run(self._start())
        return self

    async def _start(self) -> None:
        nodes = await asyncio.start_server(self._attach, "127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        hosts = await loop.create_server(lambda: _HostProtocol(self._controller), "127.0.0.1", 0)
        self._servers = [nodes, hosts]
        self._port = nodes.sockets[0].getsockname()[1]
        self._hci_port = hosts.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Switch it off: every connection ends, every node loses its radio."""

        async def close() -> None:
            for server in self._servers:
                server.close()
            for adapter, controller in self._adapters.values():
                adapter.lost()
                controller.vanish()
            for node in list(self._nodes.values()):
                node.vanish()
            for visitor in list(self._visitors):
                visitor.cancel()
            if self._visitors:
                await asyncio.wait(list(self._visitors), timeout=1)  # one may wait for a controller that is gone

        self._home.run(close())
        self._home.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- who is in it -------------------------------------------------------------------------------------------------

    def adapter(self, name: str = "", *, mtu: int = MTU, connections: int | None = None) -> Adapter:
        """A host's radio. `mtu` is the largest it agrees to; `connections`: how many it can hold at a time."""
        name = name or f"hci{len(self._adapters)}"
        adapter = Adapter(self._home, name, mtu, connections)
        self._home.run(self._power(adapter))
        return adapter

    async def _power(self, adapter: Adapter) -> None:
        controller = self._controller(adapter.name)
        number = next(self._hosts)
        address = hci.Address(f"CA:00:00:00:{number >> 8 & 255:02X}:{number & 255:02X}")
        host = Host(controller, AsyncPipeSink(controller))
        await adapter.power_on(Device(name=adapter.name, address=address, host=host))
        self._adapters[adapter.name] = adapter, controller

    def _controller(self, name: str = "") -> AirController:
        number = next(self._numbers)
        public = hci.Address(f"00:AA:00:00:{number >> 8 & 255:02X}:{number & 255:02X}", hci.AddressType.PUBLIC_DEVICE)
        return AirController(name or f"host{number}", self._link, public_address=public)

    @property
    def transport(self) -> str:
        """What another process opens to have a radio in this air: `bleak_bumble.open_adapter(air.transport)`."""
        return f"tcp-client:127.0.0.1:{self._hci_port}"

    def hello(self, name: str) -> dict[str, Any]:
        """What a virtual node is told of the air (`VirtualNode(air=...)` does it); `name` is how it is called here."""
        return {"host": "127.0.0.1", "port": self._port, "name": name, "speed": self.speed}

    async def _attach(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._visitors.add(task)
        number = next(self._numbers)
        node = self._nodes[number] = AirNode(self._link, number, self._buffers)
        try:
            await node.run(reader, writer)
        except asyncio.CancelledError:
            if not self._home.loop.is_running():
                raise
        finally:
            self._nodes.pop(number, None)
            if task is not None:
                self._visitors.discard(task)

    def radios(self) -> list[str]:
        """The names of the nodes whose radio is on."""

        async def names() -> list[str]:
            return sorted(node.name for node in self._nodes.values() if node.controller and not node.controller.gone)

        return self._home.run(names())

    def connected(self) -> list[str]:
        """The names of the nodes that somebody is connected to."""

        async def names() -> list[str]:
            return sorted(node.name for node in self._nodes.values() for _ in node.connections)

        return self._home.run(names())

    def _node(self, name: str) -> AirNode:
        for node in self._nodes.values():
            if node.name == name:
                return node
        raise KeyError(f"no radio of a node {name!r} is on")

    # -- what it does to them -----------------------------------------------------------------------------------------

    @property
    def conditions(self) -> Conditions:
        """Latency, loss and the like; may be changed at any time."""
        return self._link.conditions

    @conditions.setter
    def conditions(self, conditions: Conditions) -> None:
        self._link.conditions = conditions

    def counts(self) -> dict[str, int]:
        """Data packets sent, of which repeats, and advertisements lost."""
        link = self._link
        return {"packets": link.packets, "repeats": link.repeats, "lost_advertisements": link.lost_advertisements}

    def place(self, name: str, x: float, y: float = 0.0) -> None:
        """Put a radio at a place, in metres. Beyond about 70 m nobody hears it: connections end."""

        async def move() -> None:
            link = self._link
            link.places[name] = (x, y)
            for one in list(link.controllers):
                for connection in list(one.le_connections.values()):
                    other = link.find_le_controller(connection.peer_address)
                    if other is not None and name in (one.name, other.name) and not link.hears(one.name, other.name):
                        link.silence(one, other)

        self._home.run(move())

    def rssi(self, a: str, b: str) -> int:
        """What the radios hear of each other, in dBm."""
        return self._link.rssi(a, b)

    def disconnect(self, name: str) -> int:
        """End every connection of that node, as a fading radio does; how many there were."""

        async def end() -> int:
            controller, ended = self._node(name).controller, 0
            for connection in list(controller.le_connections.values()) if controller else ():
                ended += 1
                other = self._link.find_le_controller(connection.peer_address)
                if other is not None and controller is not None:
                    self._link.lose(controller, other)
            return ended

        return self._home.run(end())

    def vanish(self, name: str) -> None:
        """Take a radio away, a node's or an adapter's: it is silent from now on, and its user finds out."""

        async def vanish() -> None:
            found = self._adapters.pop(name, None)
            if found is None:
                self._node(name).vanish()
                return
            adapter, controller = found
            controller.vanish()
            adapter.lost()

        self._home.run(vanish())

    def restore(self, adapter: Adapter) -> None:
        """Plug an adapter in again that had vanished."""
        self._home.run(self._power(adapter))


class _HostProtocol(asyncio.Protocol):
    """HCI over TCP: one controller for each connection, for hosts in other processes."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._source = StreamPacketSource()
        self._transport: Any = None
        self._controller: AirController | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._controller = self._make()
        self._source.set_packet_sink(self._controller)  # pyright: ignore[reportArgumentType]
        self._controller.set_packet_sink(self)  # pyright: ignore[reportOptionalMemberAccess]

    def on_packet(self, packet: bytes) -> None:
        """From the controller to its host."""
        if not self._transport.is_closing():
            self._transport.write(packet)

    def data_received(self, data: bytes) -> None:
        self._source.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._controller is not None:
            self._controller.vanish()
