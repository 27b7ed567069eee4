"""Which nodes' frames have come through their uplinks: the proof that a node is provisioned.

A frame counts when it opens with the collector's key of the run (or is a bare frame where the plan allows these), and
when it came after the node's trial was begun. `feed` takes frames from anywhere; `MqttArrivals` from a broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from types import TracebackType
from typing import TYPE_CHECKING, Self

from citymote.decode import Decoder
from citymote.errors import CitymoteError, FrameProblem

if TYPE_CHECKING:
    from citymote.keys import Opener


class Arrivals:
    """Frames as they come. `opener` opens sealed ones; its key file has to know the nodes (`Fleet.fill`)."""

    def __init__(self, opener: Opener | None, *, unsealed: bool = False) -> None:
        self.refused = 0
        self._decoder = Decoder(opener)
        self._unsealed = unsealed or opener is None
        self._last: dict[str, float] = {}
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held here."""

    async def feed(self, payload: bytes) -> None:
        """A frame has come in."""
        try:
            frames = list(self._decoder.frames([payload]))
        except FrameProblem:
            self.refused += 1
            return
        for frame in frames:
            if not frame.sealed and not self._unsealed:
                self.refused += 1
                continue
            async with self._news:
                self._last[frame.node] = asyncio.get_running_loop().time()
                self._news.notify_all()

    async def of(self, node: str, after: float) -> None:
        """Wait for a frame of a node that comes after that time of the loop."""
        async with self._news:
            while self._last.get(node, -1.0) <= after:
                await self._news.wait()


class MqttArrivals(Arrivals):
    """What comes in at a broker under `citymote/+/frames`, beside the collector."""

    def __init__(
        self,
        url: str,
        opener: Opener | None,
        *,
        unsealed: bool = False,
        password: str | None = None,
        ca_file: str | None = None,
    ) -> None:
        super().__init__(opener, unsealed=unsealed)
        from citymote.transports.mqtt import Subscriber

        name = f"citymote-proof-{secrets.token_hex(4)}"
        self._subscriber = Subscriber(url, client_id=name, password=password, ca_file=ca_file)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Subscribe; CitymoteError where the broker refuses or is not there."""
        self._subscriber.start()
        try:
            if not await asyncio.to_thread(self._subscriber.wait, 20):
                raise self._subscriber.no_answer()
        except BaseException:
            await asyncio.to_thread(self._subscriber.stop)
            raise
        self._task = asyncio.create_task(self._take())
        return self

    async def _take(self) -> None:
        while True:
            messages = await asyncio.to_thread(self._subscriber.take, 0.2)
            for message in messages:
                await self.feed(message.payload)
            self._subscriber.ack(messages)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError, CitymoteError):
                await self._task
        await asyncio.to_thread(lambda: self._subscriber.stop(forget=True))
