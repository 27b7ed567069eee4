"""How a node is reached: over BLE, UDP, a serial line or a broker, named in one word each.

    way_to("ble", node)                        scan for it, then connect
    way_to("udp:192.0.2.7", node)              port 5683 unless another one follows
    way_to("serial:/dev/ttyUSB0", node)
    way_to("mqtts://me@broker.city", node)     the password comes from CITYMOTE_MQTT_PASSWORD, or is handed in

A `Reach` is the air that many nodes share: who is in it, and a connection to one of them. `BleReach` is this
computer's radio; tests have others (`citymote.testing.fake_air`).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from citymote.errors import CitymoteError, UsageError
from citymote.nearby import Sighting

if TYPE_CHECKING:
    from citymote.session import Way
    from citymote.transports.base import Transport
    from citymote.transports.ble import Radio

FIND = 20.0
"""Seconds that a node may take to be heard: it speaks four times a second, but not to everybody at once."""
_HELP = "Write ble, udp:HOST[:PORT], serial:PORT, mqtt://HOST or mqtts://USER@HOST."


class Reach(ABC):
    """Nodes in the air. One scan serves all who wait; connections are made one after the other."""

    parallel = 3
    """Connections at a time that an adapter can be trusted with."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()  # connections are made one after the other, as adapters do
        self._seen: dict[str, Sighting] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._scan: asyncio.Task[None] | None = None

    @abstractmethod
    def scan(self, seconds: float | None = None) -> AsyncGenerator[Sighting, None]:
        """Sightings as they come; `heard` is the running loop's time."""

    @abstractmethod
    def transport(self, sighting: Sighting) -> Transport:
        """A transport to a node that was heard."""

    async def hear(
        self, node: str, *, after: float | None = None, wanted: Callable[[Sighting], bool] | None = None
    ) -> Sighting:
        """Wait until a node is heard, after that time of the loop, saying what is wanted."""
        loop = asyncio.get_running_loop()
        if after is None:
            after = loop.time()
        while True:
            found = self._seen.get(node)
            if found is not None and found.heard > after and (wanted is None or wanted(found)):
                return found
            if self._scan is None or self._scan.done():
                self._scan = asyncio.create_task(self._listen())
            news: asyncio.Future[None] = loop.create_future()
            self._waiting.setdefault(node, set()).add(news)
            try:
                await news
            finally:
                waiting = self._waiting[node]
                waiting.discard(news)
                if not waiting:
                    del self._waiting[node]
                if not self._waiting:
                    # whoever waits on will be back at once: the scan ends when nobody is
                    loop.call_soon(self._rest)

    def _rest(self) -> None:
        if not self._waiting and self._scan is not None:
            self._scan.cancel()
            self._scan = None

    async def _listen(self) -> None:
        try:
            async for sighting in self.scan():
                self._seen[sighting.node] = sighting
                for news in self._waiting.get(sighting.node, ()):
                    if not news.done():
                        news.set_result(None)
        except CitymoteError as fault:
            for waiting in self._waiting.values():
                for news in waiting:
                    if not news.done():
                        news.set_exception(fault)

    def way(self, node: str, *, seconds: float = FIND) -> Way:
        """A way to one node: hear it, then connect, nobody else connecting meanwhile."""
        from citymote.transports.base import Unreachable

        async def go() -> Transport:
            try:
                async with asyncio.timeout(seconds):
                    sighting = await self.hear(node)
            except TimeoutError:
                raise Unreachable(
                    f"node {node} is not heard", f"for {seconds:g} s", "Is it in range and in service mode?"
                ) from None
            return self.transport(sighting)

        return go

    async def close(self) -> None:
        """Stop listening."""
        scan, self._scan = self._scan, None
        if scan is not None:
            scan.cancel()
            await asyncio.gather(scan, return_exceptions=True)


class BleReach(Reach):
    """This computer's Bluetooth, or another radio (`citymote.nearby.open_radio`, a test's air)."""

    def __init__(self, radio: Radio | None = None, *, parallel: int = 3) -> None:
        super().__init__()
        self.parallel = parallel
        self._radio = radio

    def scan(self, seconds: float | None = None) -> AsyncGenerator[Sighting, None]:
        """See `citymote.scan`; every advertisement."""
        from citymote.transports import ble

        return ble.scan(self._radio, seconds)

    def transport(self, sighting: Sighting) -> Transport:
        """CoAP over GATT to it."""
        from citymote.transports.ble import BleTransport

        return BleTransport(sighting, radio=self._radio, turn=self.turn)


def way_to(
    via: str,
    node: str,
    *,
    radio: Radio | None = None,
    password: str | None = None,
    ca_file: str | None = None,
    client: str | None = None,
    seconds: float = FIND,
) -> Way:
    """The way to a node that a word names; see the module. UsageError where it names none."""
    kind, _, rest = via.partition(":")
    if via == "ble":
        return BleReach(radio).way(node, seconds=seconds)
    if kind == "udp" and rest:
        host, port = _host(rest)
        return _always(lambda: _udp(host, port))
    if kind == "serial" and rest:
        return _always(lambda: _serial(rest))
    if kind in ("mqtt", "mqtts"):
        from citymote.transports.mqtt import parse_url

        parse_url(via)
        return _always(lambda: _mqtt(via, node, password, ca_file, client))
    raise UsageError(f"{via!r} is no way to a node", "", _HELP)


def _always(make: Callable[[], Transport]) -> Way:
    async def go() -> Transport:
        return make()

    return go


def _host(text: str) -> tuple[str, int | None]:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(f"//{text}")
        if parts.hostname and parts.username is None and not parts.path:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise UsageError(f"{text!r} is no host", "", _HELP)


def _udp(host: str, port: int | None) -> Transport:
    from citymote.transports.udp import PORT, UdpTransport

    return UdpTransport(host, PORT if port is None else port)


def _serial(port: str) -> Transport:
    from citymote.transports.serial import SerialTransport

    return SerialTransport(port)


def _mqtt(url: str, node: str, password: str | None, ca_file: str | None, client: str | None) -> Transport:
    from citymote.transports.rpc import MqttTransport

    return MqttTransport(url, node, client=client, password=password, ca_file=ca_file)
