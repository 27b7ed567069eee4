"""Bumble's parts as bleak's backend wants them: a connection that leaves no request behind, and an advertisement.

Bumble leaves a request without an answer when its connection ends, and forgets one that its caller has cancelled while
the response is on its way; `Link` does neither.
"""

# Bumble leaves some of its types out.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast
from uuid import UUID

from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError, BleakGATTProtocolError
from bumble import att, core
from bumble.core import AdvertisingData
from bumble.device import Advertisement, Connection, Peer

T = TypeVar("T")


class Link:
    """One connection, in the adapter's loop. Bumble leaves requests without an answer when it ends; this does not."""

    def __init__(self, connection: Connection, ended: Callable[[Link], None]) -> None:
        self.connection = connection
        self.peer = Peer(connection)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.why = ""
        self.on_end: Callable[[], None] | None = None
        self.writes = 0
        self._forget = ended
        connection.on(connection.EVENT_DISCONNECTION, self._disconnected)

    def _disconnected(self, _: int) -> None:
        self.end("the peer is gone")

    def end(self, why: str) -> None:
        """The connection is over."""
        if self.ended.done():
            return
        self.why = why
        self.ended.set_result(None)
        self._forget(self)
        if self.on_end is not None:
            self.on_end()

    async def do(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Begin something that the peer answers, and await it; BleakError when the connection ends before."""
        if self.ended.done():
            raise BleakError(f"not connected: {self.why}")
        task = asyncio.ensure_future(begin())
        try:
            await asyncio.wait({task, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # A request that is on its way is waited for all the same: an ATT bearer has one at a time, and its late
            # response would be taken for the next one's (Core 5.4, Vol 3, Part F, 3.3.2). A disconnection ends it.
            task.add_done_callback(ignore)
            raise
        if not task.done() or task.cancelled():
            # Bumble cancels its requests a little before it says why, and what we cancel may linger in its wait_for.
            task.cancel()
            task.add_done_callback(ignore)
            await asyncio.wait({self.ended}, timeout=1)
            raise BleakError(f"the connection ended: {self.why or 'no answer'}")
        try:
            return task.result()
        except att.ATT_Error as error:
            raise BleakGATTProtocolError(cast("Any", error.error_code)) from error
        except (core.BaseBumbleError, TimeoutError) as error:
            raise BleakError(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Hang up."""
        if not self.ended.done():
            with contextlib.suppress(core.BaseBumbleError, TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(5):
                    await self.connection.disconnect()
        self.end("this side hung up")


def ignore(task: asyncio.Future[Any]) -> None:
    """A callback for what nobody waits for any more: its error is nobody's."""
    if not task.cancelled():
        task.exception()


def parse(advertisement: Advertisement) -> AdvertisementData:
    """What bleak's users are told of an advertisement and its scan response."""
    name: str | None = None
    makers: dict[int, bytes] = {}
    services: dict[str, bytes] = {}
    uuids: list[str] = []
    power: int | None = None
    for kind, raw in advertisement.data.ad_structures:
        value: Any = AdvertisingData.ad_data_to_object(kind, raw)
        if kind == AdvertisingData.COMPLETE_LOCAL_NAME or (kind == AdvertisingData.SHORTENED_LOCAL_NAME and not name):
            name = value
        elif kind == AdvertisingData.MANUFACTURER_SPECIFIC_DATA:
            makers[value[0]] = bytes(value[1])
        elif kind in (
            AdvertisingData.SERVICE_DATA_16_BIT_UUID,
            AdvertisingData.SERVICE_DATA_32_BIT_UUID,
            AdvertisingData.SERVICE_DATA_128_BIT_UUID,
        ):
            services[text_of(value[0])] = bytes(value[1])
        elif 0x02 <= kind <= 0x07:
            uuids += [text for text in map(text_of, value) if text not in uuids]
        elif kind == AdvertisingData.TX_POWER_LEVEL:
            power = int.from_bytes(raw, "little", signed=True)
    return AdvertisementData(name, makers, services, uuids, power, advertisement.rssi, (advertisement,))


def text_of(uuid: core.UUID) -> str:
    """A UUID as bleak writes it: 128 bits, lower case."""
    return str(UUID(bytes=uuid.to_bytes(force_128=True)[::-1]))
