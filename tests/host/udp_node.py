"""A node's CoAP server on a real UDP socket of this machine, in a thread, for peers that speak over nothing else.

Not a test itself. The node has an owner whose credential it knows, so that a session is admitted as soon as its EDHOC
has ended; its resources show what the server can do.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from citymote.crypto import HostCrypto
from citymote_protocol import ccs, coap, p256
from citymote_protocol.coap_server import FRESH, OBSERVABLE, OPEN, Server
from citymote_protocol.coap_udp import Udp
from citymote_protocol.handshake import PATH, Handshakes
from citymote_protocol.limiter import Limiter
from citymote_protocol.sessions import Sessions

KID = b"\x1b\x2c\x0f\x41\xac\x8a"


class Patient(Limiter):
    """No limit on handshakes: what is tested here is whether they succeed, not how often."""

    def wait(self, peer: Any, now: int) -> int:
        return 0


class UdpNode:
    """`with UdpNode(known) as node:`; `node.port`, `node.credential`. `known` is {kid: credential} of who may come."""

    def __init__(self, known: dict[bytes, bytes], needs_echo: bool = True) -> None:
        self.crypto: Any = HostCrypto()
        self.private, self.public = p256.run(self.crypto.key_pair_steps())
        self.credential: bytes = ccs.write(KID, self.public)
        self.sessions: Any = Sessions(Patient())
        self.server: Any = Server(self.crypto, self.sessions)
        self.known = known
        self.shakes: Any = Handshakes(
            self.crypto, self.server, self.sessions, lambda: self.private, self.public, KID, known.get, self._admitted
        )
        self.server.add(PATH, OPEN, post=self.shakes.post)
        self.server.add("hello", 0, get=lambda request: (coap.CONTENT, b"hello", coap.TEXT))
        self.server.add("plain", OPEN, get=lambda request: (coap.CONTENT, b"plain", coap.TEXT))
        self.stored = b""
        self.puts = 0
        self.server.add("store", 0, get=lambda request: (coap.CONTENT, self.stored), put=self._put)
        self.server.add("slow", 0, get=self._slow)
        self.ticks = 0
        self.server.add("live", OBSERVABLE, get=lambda request: (coap.CONTENT, b"%d" % self.ticks), post=self._tick)
        self.resets = 0
        self.server.add("reset", FRESH, post=self._reset)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.link: Any = Udp(os.urandom, most=32)
        self.link.needs_echo = needs_echo
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.faults: list[BaseException] = []
        self.server.report = self.faults.append
        self.drop: Callable[[bytes], bool] = lambda data: False

    def _admitted(self, context: Any, credential: bytes) -> None:
        if credential in self.known.values():
            context.claims = "owner"
            self.sessions.admit(context)

    def _put(self, request: Any) -> int:
        self.puts += 1
        self.stored = request.payload
        return coap.CHANGED

    def _tick(self, request: Any) -> int:
        self.ticks += 1
        self.server.notify("live")
        return coap.CHANGED

    def _reset(self, request: Any) -> int:
        self.resets += 1
        return coap.CHANGED

    def _slow(self, request: Any) -> Any:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            yield
        return coap.CONTENT, b"slow"

    def _serve(self) -> None:
        while not self._stop.is_set():
            now = int(time.monotonic() * 1000)
            busy = self.server.step(now)
            self.server.lost(self.link)
            self.link.tick(now)
            for peer, data in self.link.take():
                self.socket.sendto(data, peer)
            ready, _, _ = select.select([self.socket], [], [], 0 if busy else 0.01)
            if ready:
                data, peer = self.socket.recvfrom(2048)
                if self.drop(data):
                    continue
                message = self.link.receive(peer, data, now)
                if message is not None:
                    self.server.submit(self.link, peer, message, now)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(10)
        self.socket.close()


class UdpClient:
    """Drives the generators of `coap_client` and `handshake_client` over a real socket."""

    def __init__(self, port: int) -> None:
        self.link: Any = Udp(os.urandom)
        self.address = ("127.0.0.1", port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.02)
        self.tokens = 0
        self.inbox: list[Any] = []

    def close(self) -> None:
        self.socket.close()

    def wait(self, token: bytes, patience: float = 20) -> Any:
        """The next message with this token."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            for message in self.inbox:
                if message.token == token:
                    self.inbox.remove(message)
                    return message
            now = int(time.monotonic() * 1000)
            self.link.tick(now)
            for _, data in self.link.take():
                self.socket.sendto(data, self.address)
            try:
                data, _ = self.socket.recvfrom(2048)
            except TimeoutError:
                continue
            message = self.link.receive(self.address, data, now)
            if message is not None:
                self.inbox.append(message)
        raise TimeoutError

    def run(self, steps: Any, token: bytes | None = None) -> Any:
        try:
            message = next(steps)
            while True:
                self.tokens += 1
                message.token = token or b"%d" % self.tokens
                token = None
                self.link.send(self.address, message, int(time.monotonic() * 1000), True)
                message = steps.send(self.wait(message.token))
        except StopIteration as end:
            return end.value
