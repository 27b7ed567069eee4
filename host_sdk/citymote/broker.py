"""The broker inside `citymote demo` and the tests: MQTT 3.1.1 on one port, with an acknowledgement that means "stored".

It keeps no message on disk. Instead it acknowledges a publisher (PUBACK) only when every QoS 1 subscriber of the topic
has acknowledged the copy it got, and holds the message, unacknowledged, while a subscriber that kept its session is
away. So a node's frame leaves the node's flash only after the collector has committed it, and killing this process at
any moment loses nothing. Fleets in service use a broker of their own; this one is for one machine and some hundreds of
clients.

OASIS MQTT 3.1.1 (section numbers in the code). QoS 0 and 1; a publish with QoS 2 closes the connection. Written here
because the Python brokers at hand drop messages of persistent sessions (amqtt 0.12.1: 0 of 50 arrived).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, cast

from citymote.errors import BrokerError

if TYPE_CHECKING:
    from types import TracebackType

MAX_PACKET = 262_144  # the remaining length we take: frames are below 64 KB, so this is generous and bounded
MAX_WAITING = (
    20_000  # messages held for subscribers; beyond it publishers wait for their PUBACK and TCP holds them back
)
INFLIGHT = 64  # copies on the way to one subscriber without its PUBACK; keeps a slow collector's memory flat
CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = (
    1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14,
)  # fmt: skip


class _Bad(Exception):
    """The client broke the protocol: its connection is closed, nothing else happens."""


@dataclass(eq=False, slots=True)
class _Message:
    topic: str
    payload: bytes
    retain: bool
    publisher: _Client | None
    packet_id: int
    owed: int = 0  # subscribers that still have to acknowledge


@dataclass(eq=False, slots=True)
class _Session:
    """What outlives a connection when the client asked for it (clean session 0)."""

    name: str
    filters: dict[str, int] = field(default_factory=dict[str, int])
    waiting: OrderedDict[int, _Message] = field(default_factory=OrderedDict[int, _Message])  # by our packet id
    unsent: list[_Message] = field(default_factory=list[_Message])
    next_id: int = 1
    client: _Client | None = None

    def packet_id(self) -> int:
        while self.next_id in self.waiting:
            self.next_id = self.next_id % 65535 + 1
        taken = self.next_id
        self.next_id = self.next_id % 65535 + 1
        return taken


class _Client:
    """One connection: reads packets, answers, and takes the session's messages to the wire."""

    def __init__(self, broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.broker, self.reader, self.writer = broker, reader, writer
        self.session: _Session | None = None
        self.clean = True
        self.will: _Message | None = None
        self.keepalive = 0

    async def run(self) -> None:
        try:
            kind, _, body = await asyncio.wait_for(self._packet(), 10)
            if kind != CONNECT:
                raise _Bad("the first packet is no CONNECT")
            if not self._connect(body):
                return
            while True:
                patience = self.keepalive * 1.5 or None  # 3.1.2.10
                kind, flags, body = await asyncio.wait_for(self._packet(), patience)
                if kind == DISCONNECT:
                    self.will = None
                    return
                self._handle(kind, flags, body)
                await self.writer.drain()
        except (_Bad, TimeoutError, asyncio.IncompleteReadError, OSError, UnicodeDecodeError, IndexError):
            pass  # a broken or vanished client is an everyday event of a broker
        finally:
            self.broker.gone(self)
            self.writer.close()

    async def _packet(self) -> tuple[int, int, bytes]:
        head = (await self.reader.readexactly(1))[0]
        length = shift = 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            length |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                break
            if shift > 21:
                raise _Bad("remaining length is malformed")
        if length > MAX_PACKET:
            raise _Bad("packet too large")
        return head >> 4, head & 15, await self.reader.readexactly(length)

    def send(self, kind: int, body: bytes, flags: int = 0) -> None:
        length, digits = len(body), bytearray()
        while True:
            digits.append(length & 127 | (128 if length > 127 else 0))
            length >>= 7
            if not length:
                break
        if not self.writer.is_closing():
            self.writer.write(bytes([kind << 4 | flags]) + digits + body)

    def _connect(self, body: bytes) -> bool:
        protocol, at = _text(body, 0)
        level, flags, self.keepalive, at = body[at], body[at + 1], int.from_bytes(body[at + 2 : at + 4]), at + 4
        if protocol != "MQTT" or level != 4:
            self.send(CONNACK, b"\x00\x01")
            return False
        if flags & 1:
            raise _Bad("reserved connect flag")
        name, at = _text(body, at)
        self.clean = bool(flags & 2)
        if flags & 4:
            topic, at = _text(body, at)
            payload, at = _binary(body, at)
            self.will = _Message(topic, payload, bool(flags & 32), None, 0)
        user, at = _text(body, at) if flags & 128 else ("", at)
        password, at = _binary(body, at) if flags & 64 else (b"", at)
        if not self.broker.allows(user, password):
            self.will = None
            self.send(CONNACK, b"\x00\x05")
            return False
        if not name and not self.clean:
            self.send(CONNACK, b"\x00\x02")
            return False
        present = self.broker.attach(self, name or f"anonymous-{id(self):x}")
        self.send(CONNACK, bytes([present, 0]))
        self.broker.flush(self.mine, again=True)
        return True

    @property
    def mine(self) -> _Session:
        if self.session is None:
            raise _Bad("not connected")
        return self.session

    def _handle(self, kind: int, flags: int, body: bytes) -> None:
        if kind == PUBLISH:
            self._publish(flags, body)
        elif kind == PUBACK:
            self.broker.acknowledged(self.mine, int.from_bytes(body[:2]))
        elif kind == SUBSCRIBE and flags == 2:
            granted, at = bytearray(body[:2]), 2
            fresh: list[str] = []
            while at < len(body):
                wanted, at = _text(body, at)
                qos, at = min(body[at], 1), at + 1
                valid = _valid_filter(wanted)
                if valid:
                    self.mine.filters[wanted] = qos
                    fresh.append(wanted)
                granted.append(qos if valid else 0x80)
            self.send(SUBACK, bytes(granted))
            self.broker.retained_for(self.mine, fresh)
        elif kind == UNSUBSCRIBE and flags == 2:
            at = 2
            while at < len(body):
                wanted, at = _text(body, at)
                self.mine.filters.pop(wanted, None)
            self.send(UNSUBACK, body[:2])
        elif kind == PINGREQ:
            self.send(PINGRESP, b"")
        else:
            raise _Bad(f"packet type {kind} is not for a broker")

    def _publish(self, flags: int, body: bytes) -> None:
        qos = flags >> 1 & 3
        topic, at = _text(body, 0)
        if qos > 1 or not topic or "+" in topic or "#" in topic:
            raise _Bad("QoS 2 or a wildcard in a topic")
        packet_id = 0
        if qos:
            packet_id, at = int.from_bytes(body[at : at + 2]), at + 2
            if not packet_id:
                raise _Bad("packet id 0")
        self.broker.publish(_Message(topic, body[at:], bool(flags & 1), self if qos else None, packet_id))


class Broker:
    """An MQTT 3.1.1 broker on a loopback port, in a thread of its own.

    `with Broker() as broker: ... broker.url`. `users` maps user names to passwords; left out, anybody on this machine
    may connect. `stop()` closes every connection at once; `start()` may be called again and finds the sessions and
    what they are owed, as a broker that comes back does.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, users: dict[str, str] | None = None) -> None:
        self.host, self.port, self._users = host, port, users
        self._sessions: dict[str, _Session] = {}
        self._retained: dict[str, _Message] = {}
        self._orphans: list[_Message] = []
        self._clients: set[_Client] = set()
        # Also of those that have ended and still have bytes to send: they outlive their client.
        self._transports: weakref.WeakSet[asyncio.WriteTransport] = weakref.WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.published = 0

    @property
    def url(self) -> str:
        """Where clients connect: mqtt://host:port."""
        return f"mqtt://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; BrokerError where the port is taken."""
        try:
            listener = socket.create_server((self.host, self.port))
        except OSError as error:
            why = error.strerror or str(error)
            raise BrokerError(
                f"the broker cannot listen on {self.host}:{self.port}", why, "Choose another port."
            ) from None
        self.port = listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(listener, ready), name="citymote-broker", daemon=True)
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """Drop every connection, without a goodbye, and stop listening."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            loop.call_soon_threadsafe(loop.stop)
        thread.join()
        self._loop = self._thread = None

    def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(asyncio.start_server(self._accept, sock=listener))
        self._loop = loop
        ready.set()
        try:
            loop.run_forever()
        finally:
            server.close()
            loop.run_until_complete(asyncio.sleep(0))  # what was accepted just now gets its task
            for transport in list(self._transports):
                transport.abort()
            loop.run_until_complete(self._end())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = _Client(self, reader, writer)
        self._clients.add(client)
        self._transports.add(writer.transport)
        try:
            await client.run()
        except asyncio.CancelledError:
            pass  # stop() ends us; the stream's own callback would report a cancellation as an error
        finally:
            self._tasks.discard(task)

    def allows(self, user: str, password: bytes) -> bool:
        """Whether these credentials may connect; compared in constant time."""
        if self._users is None:
            return True
        return hmac.compare_digest(self._users.get(user, "").encode(), password) and user in self._users

    def attach(self, client: _Client, name: str) -> bool:
        """Give a connection its session (3.1.3.1: a second connection of the same name ends the first)."""
        session = self._sessions.get(name)
        if session is not None and session.client is not None:
            session.client.writer.transport.abort()
            session.client.session = None
        present = session is not None and not client.clean
        if session is None or client.clean:
            if session is not None:
                self._forget(session)
            session = _Session(name)
        self._sessions[name] = session
        session.client, client.session = client, session
        return present

    def gone(self, client: _Client) -> None:
        """A connection ended: keep or drop its session, send its will."""
        self._clients.discard(client)
        session, will = client.session, client.will
        client.session = client.will = None
        if session is not None and session.client is client:
            session.client = None
            if client.clean:
                self._sessions.pop(session.name, None)
                self._forget(session)
        if will is not None and self._loop is not None:
            self.publish(will)

    def _forget(self, session: _Session) -> None:
        """A session without a future owes nothing: its publishers get the acknowledgement of the others."""
        for message in [*session.waiting.values(), *session.unsent]:
            self._settle(message)
        session.waiting.clear()
        session.unsent.clear()

    def publish(self, message: _Message) -> None:
        """Hand a message to every session that wants it."""
        self.published += 1
        if message.retain:
            if message.payload:
                self._retained[message.topic] = message
            else:
                self._retained.pop(message.topic, None)
        takers = [(session, _granted(session.filters, message.topic)) for session in self._sessions.values()]
        message.owed = 1  # our own hold, so that nothing settles while copies are still being made
        for session, qos in takers:
            if qos == 1 and message.publisher is not None:
                if sum(len(other.unsent) for other, _ in takers) >= MAX_WAITING:
                    message.owed = MAX_WAITING  # never acknowledged: the publisher keeps it and tries again
                    return
                message.owed += 1
                session.unsent.append(message)
                self.flush(session)
            elif qos is not None and session.client is not None:
                session.client.send(PUBLISH, _topic(message.topic) + message.payload)
        if not any(qos == 1 for _, qos in takers) and message.publisher is not None and not message.retain:
            # Nobody has ever asked for this topic: acknowledging would lose the message. It waits for its first taker.
            if len(self._orphans) < MAX_WAITING:
                self._orphans.append(message)
            return
        self._settle(message)

    def flush(self, session: _Session, *, again: bool = False) -> None:
        """Send what a session is owed as far as its window allows; `again` repeats what went unacknowledged (4.4)."""
        client = session.client
        if client is None:
            return
        if again:
            for packet_id, message in session.waiting.items():
                client.send(PUBLISH, _topic(message.topic) + packet_id.to_bytes(2) + message.payload, 0b1010)
        while session.unsent and len(session.waiting) < INFLIGHT:
            message = session.unsent.pop(0)
            packet_id = session.packet_id()
            session.waiting[packet_id] = message
            client.send(PUBLISH, _topic(message.topic) + packet_id.to_bytes(2) + message.payload, 0b0010)

    def acknowledged(self, session: _Session, packet_id: int) -> None:
        """A subscriber has its copy for good."""
        message = session.waiting.pop(packet_id, None)
        if message is not None:
            self._settle(message)
            self.flush(session)

    def _settle(self, message: _Message) -> None:
        message.owed -= 1
        publisher = message.publisher
        if message.owed == 0 and publisher is not None and publisher.session is not None:
            publisher.send(PUBACK, message.packet_id.to_bytes(2))

    def retained_for(self, session: _Session, filters: list[str]) -> None:
        """A new subscription gets retained messages, and the messages that found no taker so far."""
        client = session.client
        for topic, message in self._retained.items():
            if client is not None and any(_matches(wanted, topic) for wanted in filters):
                client.send(PUBLISH, _topic(topic) + message.payload, 1)
        kept: list[_Message] = []
        for message in self._orphans:
            if _granted({wanted: session.filters[wanted] for wanted in filters}, message.topic) == 1:
                session.unsent.append(message)
            elif message.publisher is not None and message.publisher.session is not None:
                kept.append(message)
        self._orphans[:] = kept
        self.flush(session)


def _text(body: bytes, at: int) -> tuple[str, int]:
    data, at = _binary(body, at)
    return data.decode("utf-8"), at


def _binary(body: bytes, at: int) -> tuple[bytes, int]:
    end = at + 2 + int.from_bytes(body[at : at + 2])
    if end > len(body) or len(body) < at + 2:
        raise _Bad("a field runs past its packet")
    return body[at + 2 : end], end


def _topic(topic: str) -> bytes:
    data = topic.encode()
    return len(data).to_bytes(2) + data


def _valid_filter(text: str) -> bool:
    levels = text.split("/")
    hashes = [index for index, level in enumerate(levels) if "#" in level]
    plain = all(level == "+" or "+" not in level for level in levels) and all(levels[index] == "#" for index in hashes)
    return bool(text) and plain and hashes in ([], [len(levels) - 1])


def _matches(wanted: str, topic: str) -> bool:
    """4.7: + is one level, # the rest and its parent; wildcards at the start do not match $-topics."""
    if topic.startswith("$") != wanted.startswith("$"):
        return False
    have = topic.split("/")
    for index, level in enumerate(wanted.split("/")):
        if level == "#":
            return True
        if index >= len(have) or (level not in ("+", have[index])):
            return False
    return len(wanted.split("/")) == len(have)


def _granted(filters: dict[str, int], topic: str) -> int | None:
    found = [qos for wanted, qos in filters.items() if _matches(wanted, topic)]
    return max(found) if found else None
