"""A channel whose connection ends under it: whoever waits is told, once, and nothing is left to be told to nobody."""

from __future__ import annotations

import asyncio
import gc
import secrets
from typing import Any

import pytest

from citymote.transports.base import Channel, Disconnected, Transport
from citymote_protocol.coap import POST, Message
from citymote_protocol.coap_udp import Udp


class DyingTransport(Transport):
    """Its connection ends while it sends."""

    peer = "nobody"
    mtu = 1152

    def __init__(self) -> None:
        self.layer = Udp(secrets.token_bytes)
        self.dead = asyncio.Event()

    async def connect(self) -> None:
        """There is somebody for now."""

    async def send(self, data: bytes) -> None:
        """Not any more: who listens hears of it before who sends."""
        self.dead.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        raise Disconnected("the connection to nobody has ended while sending")

    async def receive(self) -> bytes:
        """The end."""
        await self.dead.wait()
        raise Disconnected("the connection to nobody has ended")

    async def close(self) -> None:
        """Nothing to do."""


def test_a_connection_that_ends_while_a_request_is_sent_is_told_to_its_sender_alone() -> None:
    """asyncio would print what is left in a future that nobody asks any more, on the terminal of a person."""
    left: list[dict[str, Any]] = []

    async def ask() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
        async with Channel(DyingTransport()) as channel:
            with pytest.raises(Disconnected, match="while sending"):
                await channel.request(Message(POST, b"", [], b"x"))
            with pytest.raises(Disconnected, match=r"has ended$"):
                await channel.request(Message(POST, b"", [], b"x"))
        gc.collect()

    asyncio.run(ask())
    assert left == []
