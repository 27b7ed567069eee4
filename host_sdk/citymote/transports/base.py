"""What every way of talking to a node has in common: a transport carries bytes, a channel makes messages of them.

A `Transport` is one connection to one node and brings the message layer that its kind of wire needs (`coap_gatt` on
BLE, `coap_udp` on UDP and serial lines). A `Channel` runs the two and matches answers to requests:

    async with Channel(BleTransport(sighting)) as channel:
        answer = await channel.run(request_steps(crypto, None, request(GET, "info"), channel.room))

Nothing here knows what a message means or how it is protected: `citymote_protocol.coap_client` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Generator
from types import TracebackType
from typing import Protocol, Self, TypeVar

from citymote.errors import CitymoteError
from citymote_protocol.coap import Message

T = TypeVar("T")

ANSWER = 30.0
"""Seconds that a node may take to answer; a session's arithmetic takes an ESP32-C3 two."""
_WAITING = 64  # messages that nobody has asked for


class TransportError(CitymoteError):
    """A connection to a node that cannot be made, or has failed."""

    whose = "peer"


class Unreachable(TransportError):
    """There is nobody, or nobody that can be talked to."""


class Disconnected(TransportError):
    """The connection has ended."""


class NoAnswer(TransportError):
    """The peer does not answer, or says that it knows nothing about what was sent."""


class NoRadio(TransportError):
    """This computer has no adapter for that, or not any more."""

    whose = "machine"


class Layer(Protocol):
    """A message layer of `citymote_protocol`: see `coap_udp.Udp`."""

    def receive(self, peer: object, data: bytes, now: int) -> Message | None: ...
    def send(self, peer: object, message: Message, now: int, confirmable: bool = False) -> int | None: ...
    def take(self) -> list[tuple[object, bytes]]: ...
    def lost(self) -> list[tuple[object, object, str]]: ...
    def forget(self, peer: object, token: bytes, now: int) -> None: ...
    def tick(self, now: int) -> None: ...
    def wait(self, now: int) -> int | None: ...
    def room(self, peer: object) -> int: ...


class Transport(ABC):
    """One connection to one node. `peer` says to whom, for people; `mtu` is the longest value or datagram."""

    peer: str
    mtu: int
    layer: Layer
    token_size = 2

    @abstractmethod
    async def connect(self) -> None:
        """Connect, or TransportError."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Hand one value or datagram over; on a reliable wire this returns when the peer's stack has it."""

    @abstractmethod
    async def receive(self) -> bytes:
        """The next one from the peer; Disconnected when there will be none."""

    @abstractmethod
    async def close(self) -> None:
        """Let the peer go; harmless when there is no connection."""


class Inbox:
    """What a peer has sent and nobody has asked for yet. More than 64 messages are not kept: they come again."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    def put(self, data: bytes) -> None:
        """A message has come."""
        if self._queue.qsize() < _WAITING:
            self._queue.put_nowait(data)

    def end(self) -> None:
        """There will be none any more."""
        self._queue.put_nowait(None)

    async def get(self) -> bytes | None:
        """The next message, or None, from then on always, at the end."""
        data = await self._queue.get()
        if data is None:
            self.end()
        return data


def _seen(future: asyncio.Future[Message]) -> None:
    if not future.cancelled():
        future.exception()


class Channel:
    """Messages to and from one node, over any transport. Requests may overlap: their tokens tell answers apart."""

    def __init__(self, transport: Transport, *, timeout: float = ANSWER) -> None:
        self.transport = transport
        self.timeout = timeout
        self.unasked: asyncio.Queue[Message] = asyncio.Queue(_WAITING)
        self._layer = transport.layer
        self._answers: dict[bytes, asyncio.Future[Message]] = {}
        self._watched: dict[bytes, asyncio.Queue[Message]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._sending = asyncio.Lock()
        self._due = asyncio.Event()
        self._error: TransportError | None = None
        self._ended = asyncio.Event()

    @property
    def failed(self) -> bool:
        """Whether the connection has ended."""
        return self._error is not None

    @property
    def peer(self) -> str:
        """Who is at the other end."""
        return self.transport.peer

    @property
    def room(self) -> int:
        """Bytes that a message's code, token, options and payload may take together."""
        return self._layer.room(0)

    async def __aenter__(self) -> Self:
        await self.transport.connect()
        self._tasks = [asyncio.create_task(self._hear()), asyncio.create_task(self._keep_time())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End it: what waits gets Disconnected."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail(Disconnected(f"the connection to {self.peer} is closed"))
        await self.transport.close()

    # -- what callers do ----------------------------------------------------------------------------------------------

    async def send(self, message: Message, *, confirmable: bool = True) -> None:
        """Send a message as it is, its token included; returns when it is handed over."""
        self._check()
        self._layer.send(0, message, self._now(), confirmable)
        await self._flush()

    async def request(self, message: Message, *, timeout: float | None = None, token: bytes | None = None) -> Message:
        """Send one request and wait for its one answer; it gets a token of its own, unless one is given."""
        message.token = self.token() if token is None else token
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[message.token] = future
        future.add_done_callback(_seen)  # sending may fail as well, and then nobody asks it
        try:
            await self.send(message)
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                return await future
        except TimeoutError:
            raise NoAnswer(f"{self.peer} does not answer", "", "Is it still in range and running?") from None
        finally:
            self._answers.pop(message.token, None)
            self._layer.forget(0, message.token, self._now())

    async def run(
        self, steps: Generator[Message, Message, T], *, timeout: float | None = None, token: bytes | None = None
    ) -> T:
        """Drive one of `coap_client`'s generators to its value; `timeout` is for each of its requests, `token` for the
        first, which begins or ends an observation."""
        try:
            message = next(steps)
            while True:
                message = steps.send(await self.request(message, timeout=timeout, token=token))
                token = None
        except StopIteration as done:
            return done.value
        finally:
            steps.close()

    def watch(self, token: bytes) -> asyncio.Queue[Message]:
        """From now on every message with this token goes into a queue: an observation's notifications."""
        return self._watched.setdefault(token, asyncio.Queue(_WAITING))

    async def next_of(self, queue: asyncio.Queue[Message]) -> Message:
        """The next message of a queue that `watch` gave, or what has ended the connection."""
        getter = asyncio.create_task(queue.get())
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait((getter, ended), return_when=asyncio.FIRST_COMPLETED)
            if getter.done():
                return getter.result()
            self._check()
            raise Disconnected(f"the connection to {self.peer} has ended")
        finally:
            getter.cancel()
            ended.cancel()

    def unwatch(self, token: bytes) -> None:
        """No longer."""
        self._watched.pop(token, None)

    # -- how it runs --------------------------------------------------------------------------------------------------

    @staticmethod
    def _now() -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    def token(self) -> bytes:
        """A token that nobody uses on this connection."""
        while True:
            token = secrets.token_bytes(self.transport.token_size)
            if token not in self._answers and token not in self._watched:
                return token

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if not self._tasks:
            raise Disconnected(f"there is no connection to {self.peer} yet")

    async def _flush(self) -> None:
        async with self._sending:
            for _, data in self._layer.take():
                await self.transport.send(data)
        for _, token, why in self._layer.lost():
            future = self._answers.get(token) if isinstance(token, bytes) else None
            if future is not None and not future.done():
                text = {"timeout": "does not acknowledge what it is sent", "reset": "knows nothing of this request"}
                future.set_exception(NoAnswer(f"{self.peer} {text.get(why, why)}"))
        self._due.set()

    async def _hear(self) -> None:
        try:
            while True:
                data = await self.transport.receive()
                message = self._layer.receive(0, data, self._now())
                if message is not None:
                    self._deliver(message)
                await self._flush()
        except TransportError as error:
            self._fail(error)

    def _deliver(self, message: Message) -> None:
        future = self._answers.get(message.token)
        if future is not None and not future.done():
            future.set_result(message)
            return
        queue = self._watched.get(message.token, self.unasked)
        with contextlib.suppress(asyncio.QueueFull):
            queue.put_nowait(message)

    async def _keep_time(self) -> None:
        try:
            while True:
                wait = self._layer.wait(self._now())
                # not wait_for, which in Python 3.11 may swallow a cancellation
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if wait is None else wait / 1000):
                        await self._due.wait()
                self._layer.tick(self._now())
                await self._flush()
                self._due.clear()  # flushing says that something may have become due, and so does whoever sends
        except TransportError as error:
            self._fail(error)

    def _fail(self, error: TransportError) -> None:
        if self._error is None:
            self._error = error
        self._ended.set()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(error)
