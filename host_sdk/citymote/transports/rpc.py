"""Requests to a node through an MQTT broker (SPEC 16.12): one message a payload, under a client name of our own.

The broker is trusted with nothing: it sees who talks to which node and how much, and what it delivers twice is executed
once. The MQTT client itself is `mqtt`'s; its network runs in a thread, messages come over into the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from typing import Any

from citymote.errors import BrokerError, UsageError
from citymote_protocol.coap_udp import Udp

from .base import Disconnected, Inbox, Transport, Unreachable
from .mqtt import Broker, parse_url

CONNECT = 20.0
_LONGEST = 1152
_NAME = re.compile(r"[a-z0-9-]{1,23}")


class MqttTransport(Transport):
    """One node at a broker. `client` is the name under which this host asks, 1 to 23 of a-z, 0-9 and -."""

    token_size = 4

    def __init__(
        self,
        url: str,
        node: str,
        *,
        client: str | None = None,
        password: str | None = None,
        ca_file: str | None = None,
        timeout: float = CONNECT,
    ) -> None:
        name = client if client is not None else f"host-{secrets.token_hex(6)}"
        if _NAME.fullmatch(name) is None:
            raise UsageError(f"{name!r} is no name of a client", "", "1 to 23 of a-z, 0-9 and -.")
        self.peer = f"{parse_url(url)}/{node}"
        self.mtu = _LONGEST
        self.layer = Udp(secrets.token_bytes)
        self._topic = f"citymote/{node}/rpc/{name}"
        self._timeout = timeout
        self._heard = Inbox()
        self._broker = Broker(url, f"citymote-{name}", password, ca_file)
        self._open = False

    async def connect(self) -> None:
        """Connect to the broker and listen for answers. Whether the node is there shows when it answers."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[BrokerError | None] = loop.create_future()

        def settle(error: BrokerError | None) -> None:
            if not ready.done():
                ready.set_result(error)
            elif error is not None:
                self._heard.end()

        def hear(payload: bytes) -> None:
            if len(payload) <= _LONGEST:
                self._heard.put(payload)

        def later(call: Any, argument: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may have ended before the thread
                loop.call_soon_threadsafe(call, argument)

        self._open = True
        self._broker.start(
            self._topic + "/answer", lambda payload: later(hear, payload), lambda error: later(settle, error)
        )
        try:
            async with asyncio.timeout(self._timeout):
                error = await ready
        except TimeoutError:
            raise Unreachable(
                f"{self._broker.address} does not answer", "", "Is the broker up, and the URL right?"
            ) from None
        if error is not None:
            raise error

    async def send(self, data: bytes) -> None:
        """Publish one message; the broker may take its time."""
        if not self._open or not self._broker.publish(self._topic, data):
            raise self._ended()

    async def receive(self) -> bytes:
        """The next answer."""
        data = await self._heard.get()
        if data is None:
            raise self._ended()
        return data

    def _ended(self) -> Disconnected:
        return Disconnected(f"the connection to {self._broker.address} has ended")

    async def close(self) -> None:
        """Let the broker go."""
        if self._open:
            self._open = False
            await asyncio.to_thread(self._broker.stop)
        self._heard.end()
