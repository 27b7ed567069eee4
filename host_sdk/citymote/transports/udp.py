"""CoAP over UDP to a node in one's own network (RFC 7252; SPEC 15.5)."""

from __future__ import annotations

import asyncio
import secrets
from typing import cast

from citymote_protocol.coap_udp import Udp

from .base import Disconnected, Transport, Unreachable

PORT = 5683
_LONGEST = 1152
_WAITING = 64


class UdpTransport(Transport):
    """One peer by host and port. That it is there shows when it answers."""

    token_size = 4  # addresses can be forged: answers have to bring back what nobody can guess (RFC 7252, 5.3.1)

    def __init__(self, host: str, port: int = PORT) -> None:
        self.peer = f"udp:{host}:{port}"
        self.mtu = _LONGEST
        self.layer = Udp(secrets.token_bytes)
        self._host = host
        self._port = port
        self._protocol: _Protocol | None = None

    async def connect(self) -> None:
        """Find the host's address."""
        try:
            _, self._protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                _Protocol, remote_addr=(self._host, self._port)
            )
        except OSError as error:
            raise Unreachable(f"{self.peer} has no address here", error.strerror or str(error)) from error

    async def send(self, data: bytes) -> None:
        """Send one datagram; it may be lost."""
        self._open().send(data)

    async def receive(self) -> bytes:
        """The next datagram from the peer."""
        data = await self._open().heard.get()
        if data is None:
            raise Disconnected(f"{self.peer} is closed")
        return data

    def _open(self) -> _Protocol:
        if self._protocol is None:
            raise Disconnected(f"{self.peer} is closed")
        return self._protocol

    async def close(self) -> None:
        """Give the socket back."""
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            await protocol.close()


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # not asserted: Python 3.11's own datagram transport is no DatagramTransport by its classes
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if len(data) <= _LONGEST and self.heard.qsize() < _WAITING:
            self.heard.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        """A closed port is told by ICMP, perhaps by somebody else: the message layer finds out by itself."""

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.sendto(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()

    async def close(self) -> None:
        self.heard.put_nowait(None)
        if self._transport is not None:
            self._transport.close()
            await self._closed.wait()  # the socket is given back one turn of the loop later
