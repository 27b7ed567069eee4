"""State machines of the session layer against models, driven by Hypothesis.

Each machine says in a few lines what must hold whatever happens in whatever order: how often a node works for
strangers, which contexts it keeps, and what a network that loses, repeats and reorders can do to messages and to
OSCORE. What hosts can do to a node together is in `test_session_node_machine`.
"""

from __future__ import annotations

import hashlib
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.support.stateful import case_of

from citymote.crypto import HostCrypto
from citymote_protocol import coap, coap_udp, limiter, oscore
from citymote_protocol.coap import Message
from citymote_protocol.coap_client import request
from citymote_protocol.coap_udp import Udp
from citymote_protocol.errors import FrameError
from citymote_protocol.handshake_client import Renewal
from citymote_protocol.limiter import Limiter
from citymote_protocol.oscore_client import protect_request
from citymote_protocol.oscore_derive import derive
from citymote_protocol.oscore_server import open_request

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


TestLimiter = case_of(LimiterMachine, 100)
TestRenewal = case_of(RenewalMachine, 50)
TestOscore = case_of(OscoreMachine, 60, 60)
TestMessageLayer = case_of(MessageLayerMachine, 60, 60)
