"""A server and clients on one virtual link: time that jumps, messages that are lost, late, double or altered."""

import sys

from feeding import Chance

from citymote_protocol import coap
from citymote_protocol.coap_udp import Udp

if sys.implementation.name == "micropython":
    from node.crypto import NodeCrypto as Crypto
else:
    from citymote.crypto import HostCrypto as Crypto


class Source:
    """Random bytes that are the same on both interpreters, and never twice the same."""

    def __init__(self, seed=0):
        self.state = seed << 20

    def __call__(self, count):
        self.state += 1
        out = b""
        while len(out) < count:
            out += Crypto(None).sha256(b"%d %d" % (self.state, len(out))).digest()
        return out[:count]


def crypto(seed):
    return Crypto(Source(seed))


class TimedOut(Exception):
    pass


class World:
    """`loss` is in percent; `change(to_server, data)` sees every datagram, and may alter or drop it (None)."""

    def __init__(self, server, loss=0, seed=1, latency=15, room=1024, change=None, needs_echo=False):
        self.server = server
        self.now = 0
        self.link = Udp(Source(seed), most=8, room=room)
        self.link.needs_echo = needs_echo
        self.clients = {}
        self.air = []
        self.loss = loss
        self.latency = latency
        self.chance = Chance(seed)
        self.change = change
        self.room = room
        self.tokens = 0
        self.sent = [0, 0]  # datagrams to the client, to the server
        self.bytes = [0, 0]
        self.inbox = []  # (peer, message) that nobody waited for: notifications
        self.steps = 0

    def client(self, peer):
        if peer not in self.clients:
            self.clients[peer] = Udp(Source(hash(peer) & 0xFF), room=self.room)
        return self.clients[peer]

    def _send(self, peer, up, data):
        self.sent[up] += 1
        self.bytes[up] += len(data)
        if self.change is not None:
            data = self.change(up, data)
        if data is None or self.chance.below(100) < self.loss:
            return
        order = self.sent[0] + self.sent[1]
        late = self.chance.below(85) if self.loss else 0
        self.air.append((self.now + self.latency + late, order, peer, up, data))
        if self.loss and self.chance.below(100) < 5:
            self.air.append((self.now + 3 * self.latency, order, peer, up, data))

    def turn(self):
        """Everything that is due, then time up to what comes next; returns [(peer, message)] for clients."""
        came = []
        if self.server is not None:
            while self.server.step(self.now):
                self.steps += 1
            self.server.lost(self.link)
        for peer, data in self.link.take():
            self._send(peer, 0, data)
        for peer, layer in self.clients.items():
            for _, data in layer.take():
                self._send(peer, 1, data)
        self.air.sort()
        times = [entry[0] for entry in self.air[:1]]
        for layer in list(self.clients.values()) + [self.link]:
            wait = layer.wait(self.now)
            if wait is not None:
                times.append(self.now + wait)
        if times:
            self.now = max(self.now, min(times))
        while self.air and self.air[0][0] <= self.now:
            _, _, peer, up, data = self.air.pop(0)
            if up:
                message = self.link.receive(peer, data, self.now)
                if message is not None and coap.is_request(message.code):
                    self.server.submit(self.link, peer, message, self.now)
            else:
                message = self.client(peer).receive("server", data, self.now)
                if message is not None:
                    came.append((peer, message))
        for layer in list(self.clients.values()) + [self.link]:
            layer.tick(self.now)
        return came

    def idle(self, until):
        """Let time pass."""
        end = self.now + until
        while True:
            if self.server is not None:
                while self.server.step(self.now):
                    pass
            waits = [layer.wait(self.now) for layer in list(self.clients.values()) + [self.link]]
            pending = self.air or self.link._out or [w for w in waits if w is not None]
            if not pending or self.now >= end:
                break
            self.inbox += self.turn()
        self.now = max(self.now, end)

    def exchange(self, peer, message, token=None, most=200_000):
        """One message to the server, the answer with its token back."""
        self.tokens += 1
        message.token = token if token is not None else b"t%d" % self.tokens
        layer = self.client(peer)
        layer.send("server", message, self.now, True)
        begun = self.now
        while True:
            for who, answer in self.turn():
                if who == peer and answer.token == message.token:
                    layer.forget("server", message.token, self.now)
                    return answer
                self.inbox.append((who, answer))
            if layer.lost() or self.now - begun > most:
                raise TimedOut

    def run(self, peer, steps, token=None):
        """Drive a generator of `coap_client` or `handshake_client` to its end."""
        try:
            message = next(steps)
            while True:
                message = steps.send(self.exchange(peer, message, token))
                token = None
        except StopIteration as end:
            return end.value
