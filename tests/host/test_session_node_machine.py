"""A node, two hosts that have its label and a stranger, driven by Hypothesis: who owns the node, and who gets in.

Whatever happens in whatever order (handshakes, claims, power cuts, noise, time), the first owner stays, nobody owns the
node without its label, and after a while of silence somebody with the label gets in.
"""

from __future__ import annotations

import hashlib
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.stateful import case_of

from citymote.crypto import HostCrypto
from citymote_protocol import ccs, claim, coap, limiter, p256
from citymote_protocol.coap_client import request, request_steps
from citymote_protocol.coap_server import OPEN, Server
from citymote_protocol.edhoc_initiator import Initiator
from citymote_protocol.errors import FrameError
from citymote_protocol.handshake import PATH, Handshakes
from citymote_protocol.handshake_client import handshake_steps
from citymote_protocol.limiter import Limiter
from citymote_protocol.sessions import Sessions

CRYPTO: Any = HostCrypto()
Untyped = Any
NODE_PRIVATE = hashlib.sha256(b"citymote test node 1").digest()
NODE_PUBLIC: bytes = p256.public_key(NODE_PRIVATE, None)
KID = b"\x1b\x2c\x0f\x41\xac\x8a"
CREDENTIAL: bytes = ccs.write(KID, NODE_PUBLIC)
SECRET = bytes(range(16))


class _Node:
    """A node that can be claimed; it loses everything but its owner when its power is cut."""

    def __init__(self, owner: bytes | None) -> None:
        self.owner = owner
        self.sessions: Untyped = Sessions(Limiter(), 2)
        self.server: Untyped = Server(CRYPTO, self.sessions)
        self.shakes: Untyped = Handshakes(
            CRYPTO, self.server, self.sessions, lambda: NODE_PRIVATE, NODE_PUBLIC, KID, lambda kid: None
        )
        self.server.add(PATH, OPEN, post=self.shakes.post)
        self.server.add("claim", 0, post=self.claim)
        self.server.add("who", 0, get=lambda request: (coap.CONTENT, request.session.claims))
        self.server.permit = lambda request: request.path == "claim" or request.session.claims is not None
        self.faults: list[BaseException] = []
        self.server.report = self.faults.append
        self.room = 1024
        self.out: list[tuple[Untyped, Untyped]] = []

    def claim(self, request: Untyped) -> int:
        keys = self.sessions.keys(request.session)
        if keys is None:
            return coap.FORBIDDEN
        owner = claim.check(CRYPTO, SECRET, claim.exported(keys), request.payload)
        if self.owner not in (None, owner):
            return coap.FORBIDDEN
        self.owner = owner
        request.session.claims = owner
        self.sessions.admit(request.session)
        return coap.CHANGED

    def ask(self, peer: str, message: Untyped, now: int) -> Untyped:
        """A request over a link that does nothing: the answer."""
        node = self

        class Link:
            needs_echo = False

            def room(self, peer: str) -> int:
                return 1024

            def send(self, peer: str, message: Untyped, now: int, confirmable: bool = False) -> int:
                node.out.append((peer, message))
                return 0

        self.link = getattr(self, "link", None) or Link()
        message.token = b"t"
        self.server.submit(self.link, peer, message, now)
        while self.server.step(now):
            pass
        ((_, answer),) = self.out
        self.out = []
        return answer


class _Host:
    def __init__(self, name: str, secret: bytes) -> None:
        self.name = name
        self.owner_key = b"\x02" + hashlib.sha256(name.encode()).digest()
        self.secret = secret
        self.private, self.public = p256.run(CRYPTO.key_pair_steps())
        self.keys: Untyped = None
        self.context: Untyped = None
        self.steps: Untyped = None
        self.message: Untyped = None


class NodeMachine(RuleBasedStateMachine):
    """Two hosts that have the label, a stranger without it, power cuts and time: who owns the node, and who gets in."""

    @initialize()
    def begin(self) -> None:
        self.node = _Node(None)
        self.now = 0
        self.hosts = {
            "one": _Host("one", SECRET),
            "two": _Host("two", SECRET),
            "stranger": _Host("stranger", bytes(16)),
        }
        self.first: bytes | None = None

    HOSTS = st.sampled_from(["one", "two", "stranger"])

    @rule(ms=st.integers(0, 25_000))
    def wait(self, ms: int) -> None:
        self.now += ms
        self.node.shakes.tick(self.now)

    @rule(name=HOSTS)
    def start_handshake(self, name: str) -> None:
        host = self.hosts[name]
        initiator: Untyped = Initiator(
            CRYPTO, host.private, ccs.write(b"h", host.public), b"h", p256.run(CRYPTO.key_pair_steps()), b"\x00"
        )
        host.steps = handshake_steps(initiator, lambda kid, value: CREDENTIAL)
        host.message = next(host.steps)

    @rule(name=HOSTS)
    def next_message(self, name: str) -> None:
        host = self.hosts[name]
        if host.steps is None:
            return
        answer = self.node.ask(name, host.message, self.now)
        try:
            host.message = host.steps.send(answer)
        except StopIteration as end:
            host.keys, host.context, host.steps = end.value, end.value.oscore(True), None
        except FrameError:
            host.steps = None

    def _protected(self, host: _Host, message: Untyped) -> Untyped:
        steps: Untyped = request_steps(CRYPTO, host.context, message, 1024)
        answer = self.node.ask(host.name, next(steps), self.now)
        try:
            steps.send(answer)
        except StopIteration as end:
            return end.value
        except FrameError:
            return None
        raise AssertionError("one exchange was not enough")

    @rule(name=HOSTS, owner=HOSTS)
    def claim_it(self, name: str, owner: str) -> None:
        host = self.hosts[name]
        if host.context is None:
            return
        key = self.hosts[owner].owner_key
        tag = claim.claim_tag(CRYPTO, claim.claim_key(CRYPTO, host.secret), claim.exported(host.keys), key)
        answer = self._protected(host, request(coap.POST, "claim", claim.write(key, tag)))
        if answer is not None and answer.code == coap.CHANGED:
            assert host.secret == SECRET, "claimed without the label"
            assert self.first in (None, key), "claimed twice"
            self.first = key

    @rule(name=HOSTS)
    def get(self, name: str) -> None:
        host = self.hosts[name]
        if host.context is None:
            return
        answer = self._protected(host, request(coap.GET, "who"))
        if answer is not None and answer.code == coap.CONTENT:
            assert answer.payload == self.first and host.secret == SECRET

    @rule()
    def power_cut(self) -> None:
        self.node = _Node(self.node.owner)

    @rule(name=HOSTS, payload=st.binary(max_size=60))
    def noise(self, name: str, payload: bytes) -> None:
        self.node.ask(name, request(coap.POST, PATH, payload), self.now)

    @invariant()
    def the_first_owner_stays(self) -> None:
        if hasattr(self, "node"):
            assert self.node.owner == self.first
            assert self.node.faults == []
            assert len(self.node.sessions._admitted) <= 2

    def teardown(self) -> None:
        """Whatever has happened: after a while of silence somebody with the label gets in."""
        if not hasattr(self, "node"):
            return
        self.now += limiter.DEADLINE
        self.start_handshake("one")
        self.next_message("one")
        self.next_message("one")
        host = self.hosts["one"]
        assert host.steps is None and host.context is not None, "locked out"
        owner = next((other for other in self.hosts.values() if other.owner_key == self.first), host)
        self.claim_it("one", owner.name)
        assert self.node.owner is not None


TestNode = case_of(NodeMachine, 40)
