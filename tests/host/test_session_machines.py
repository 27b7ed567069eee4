"""State machines of the session layer against models, driven by Hypothesis.

Each machine says in a few lines what must hold whatever happens in whatever order: how often a node works for
strangers, which contexts it keeps, what a network that loses, repeats and reorders can do to messages and to OSCORE,
and what two hosts and a stranger can do to a node together.
"""

from __future__ import annotations

import hashlib
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from citymote.crypto import HostCrypto
from citymote_protocol import ccs, claim, coap, coap_udp, limiter, oscore, p256
from citymote_protocol.coap import Message
from citymote_protocol.coap_client import request, request_steps
from citymote_protocol.coap_server import OPEN, Server
from citymote_protocol.coap_udp import Udp
from citymote_protocol.edhoc_initiator import Initiator
from citymote_protocol.errors import FrameError
from citymote_protocol.handshake import PATH, Handshakes
from citymote_protocol.handshake_client import Renewal, handshake_steps
from citymote_protocol.limiter import Limiter
from citymote_protocol.oscore_client import protect_request
from citymote_protocol.oscore_derive import derive
from citymote_protocol.oscore_server import open_request
from citymote_protocol.sessions import Sessions

CRYPTO: Any = HostCrypto()
Untyped = Any
PEERS = st.sampled_from(["a", "b", "c"])


class Draws:
    """Random bytes that are the same in every replay of a failing case."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, count: int) -> bytes:
        self.count += 1
        return hashlib.shake_256(b"%d" % self.count).digest(count)


class LimiterMachine(RuleBasedStateMachine):
    """Spacing, bucket, one pending, a deadline; and never longer than the deadline for anybody."""

    def __init__(self) -> None:
        super().__init__()
        self.limit: Untyped = Limiter()
        self.now = 0
        self.taken: list[int] = []
        self.pending: tuple[str, int] | None = None

    @rule(ms=st.integers(0, 30_000))
    def wait(self, ms: int) -> None:
        self.now += ms

    @rule(peer=PEERS)
    def first_message(self, peer: str) -> None:
        promised = self.limit.wait(peer, self.now)
        taken = self.limit.first(peer, self.now)
        assert taken == (promised == 0)
        if not taken:
            return
        assert not self.taken or self.now - self.taken[-1] >= limiter.SPACING
        if self.pending is not None and self.pending[0] != peer:
            assert self.now >= self.pending[1], "two at once"
        self.taken.append(self.now)
        self.pending = (peer, self.now + limiter.DEADLINE)

    @rule()
    def end(self) -> None:
        self.limit.end()
        self.pending = None

    @rule(peer=PEERS)
    def come_back_as_told(self, peer: str) -> None:
        self.now += self.limit.wait(peer, self.now)
        assert self.limit.wait(peer, self.now) == 0

    @invariant()
    def nobody_is_locked_out(self) -> None:
        for peer in "abcd":
            assert 0 <= self.limit.wait(peer, self.now) <= limiter.DEADLINE

    @invariant()
    def the_bucket_holds(self) -> None:
        for index, begin in enumerate(self.taken):
            for later, at in enumerate(self.taken[index:]):
                assert later + 1 <= limiter.CAPACITY + (at - begin) // limiter.REFILL

    @invariant()
    def pending_is_what_is_pending(self) -> None:
        for peer in "abc":
            expected = self.pending is not None and self.pending[0] == peer and self.now < self.pending[1]
            assert self.limit.pending(peer, self.now) == expected


class RenewalMachine(RuleBasedStateMachine):
    """Forged errors bring about few handshakes, and true ones enough."""

    def __init__(self) -> None:
        super().__init__()
        self.renewal: Untyped = Renewal()
        self.now = 0
        self.renewed: list[int] = []
        self.doubts = 0

    @rule(ms=st.integers(0, 700_000))
    def wait(self, ms: int) -> None:
        self.now += ms

    @rule()
    def unprotected(self) -> None:
        what = self.renewal.unprotected(self.now)
        self.doubts += 1
        if self.doubts == 1:
            assert what == Renewal.REPEAT
        elif what == Renewal.RENEW:
            self.renewed.append(self.now)
            self.doubts = 0
        else:
            assert what == Renewal.GIVE_UP and 0 < self.renewal.wait(self.now) <= Renewal.REFILL

    @rule()
    def answered(self) -> None:
        self.renewal.answered()
        self.doubts = 0

    @invariant()
    def few(self) -> None:
        for index, begin in enumerate(self.renewed):
            for later, at in enumerate(self.renewed[index:]):
                assert later + 1 <= Renewal.CAPACITY + (at - begin) // Renewal.REFILL


class OscoreMachine(RuleBasedStateMachine):
    """A network that keeps, repeats, drops, reorders and alters: each request is taken at most once, in the window at
    least once, as it was; each answer belongs to its question."""

    def __init__(self) -> None:
        super().__init__()
        self.client: Untyped = derive(CRYPTO, b"s" * 16, b"salt", b"\x01", b"\x02")
        self.server: Untyped = derive(CRYPTO, b"s" * 16, b"salt", b"\x02", b"\x01")
        self.sent: list[tuple[Untyped, Untyped]] = []
        self.taken: set[int] = set()
        self.answers: dict[int, Untyped] = {}
        self.opened: set[int] = set()

    def _open(self, outer: Untyped) -> Untyped:
        return open_request(CRYPTO, lambda kid, about: self.server if kid == b"\x01" else None, outer)

    @rule()
    def send(self) -> None:
        number = len(self.sent)
        self.sent.append(protect_request(CRYPTO, self.client, request(coap.POST, "x", b"%d" % number)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.sent) - 1))
        newest = max(self.taken, default=-1)
        try:
            inner, binding = self._open(self.sent[number][0])
        except FrameError as error:
            assert error.code == oscore.REPLAY
            assert number in self.taken or newest - number >= oscore.WINDOW
            return
        assert number not in self.taken and inner.payload == b"%d" % number
        assert number > newest - oscore.WINDOW
        self.taken.add(number)
        self.answers[number] = binding.protect(CRYPTO, Message(coap.CHANGED, b"", [], b"to %d" % number))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def deliver_altered(self, data: st.DataObject) -> None:
        outer = self.sent[data.draw(st.integers(0, len(self.sent) - 1))][0]
        payload = bytearray(outer.payload)
        bit = data.draw(st.integers(0, 8 * len(payload) - 1))
        payload[bit >> 3] ^= 1 << (bit & 7)
        before = self.server.newest, self.server.seen
        try:
            self._open(Message(outer.code, b"", outer.options, bytes(payload)))
            raise AssertionError("an altered request was taken")
        except FrameError as error:
            assert error.code in (oscore.REPLAY, oscore.DECRYPTION)
        assert (self.server.newest, self.server.seen) == before

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.answers)))
        question = data.draw(st.sampled_from(sorted(self.answers)))
        try:
            opened = self.sent[question][1].open(CRYPTO, self.answers[number])
        except FrameError:
            assert number != question or number in self.opened
            return
        assert number == question and number not in self.opened and opened.payload == b"to %d" % number
        self.opened.add(number)


class MessageLayerMachine(RuleBasedStateMachine):
    """Two ends of the UDP layer: whatever the network does, each request is passed up once, each answer is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.client: Untyped = Udp(Draws(), most=64)
        self.server: Untyped = Udp(Draws(), most=64)
        self.air: list[tuple[bool, bytes]] = []
        self.asked: list[bytes] = []
        self.executed: list[bytes] = []
        self.open: list[bytes] = []
        self.confirmable: dict[bytes, bool] = {}

    def _collect(self) -> None:
        self.air += [(True, data) for _, data in self.client.take()]
        self.air += [(False, data) for _, data in self.server.take()]

    @rule(confirmable=st.booleans())
    def ask(self, confirmable: bool) -> None:
        token = b"%d" % len(self.asked)
        self.asked.append(token)
        self.confirmable[token] = confirmable
        message = request(coap.GET, "x")
        message.token = token
        self.client.send("server", message, self.now, confirmable)
        self._collect()

    @precondition(lambda self: self.air)
    @rule(data=st.data(), keep=st.booleans())
    def deliver(self, data: st.DataObject, keep: bool) -> None:
        index = data.draw(st.integers(0, len(self.air) - 1))
        up, datagram = self.air[index] if keep else self.air.pop(index)
        message = (self.server if up else self.client).receive("client" if up else "server", datagram, self.now)
        if message is not None and up:
            assert message.token not in self.executed, "passed up twice"
            self.executed.append(message.token)
            self.open.append(message.token)
        elif message is not None:
            assert message.payload == b"to " + message.token and message.token in self.executed
        self._collect()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        token = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.server.send("client", Message(coap.CONTENT, token, [], b"to " + token), self.now)
        self._collect()

    @precondition(lambda self: self.air)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.air.pop(data.draw(st.integers(0, len(self.air) - 1)))

    @rule(ms=st.integers(0, 5_000))
    def wait(self, ms: int) -> None:
        # Within the exchange lifetime: after it a message id may come again.
        if self.now + ms < coap_udp.EXCHANGE_LIFETIME:
            self.now += ms
        self.client.tick(self.now)
        self.server.tick(self.now)
        self._collect()

    @invariant()
    def at_most_one_confirmable_is_under_way(self) -> None:
        for layer in (self.client, self.server):
            assert sum(1 for sent in layer._sent if sent.due is not None) <= 1


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


def _case(machine: type[RuleBasedStateMachine], examples: int, steps: int = 40) -> Any:
    case = machine.TestCase
    case.settings = settings(max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True)
    return case


TestLimiter = _case(LimiterMachine, 100)
TestRenewal = _case(RenewalMachine, 50)
TestOscore = _case(OscoreMachine, 60, 60)
TestMessageLayer = _case(MessageLayerMachine, 60, 60)
TestNode = _case(NodeMachine, 40)
