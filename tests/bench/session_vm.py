# Runs inside the VM for bench_session.py: answers what a host has sent before (hexadecimal lines on stdin); on
# CPython bench_session.py imports it to record what that host sends. Everything random here is a hash of a counter.
import gc
import sys
from hashlib import sha256

from citymote_protocol import coap
from citymote_protocol.coap_server import OPEN, Server
from citymote_protocol.coap_udp import Udp
from citymote_protocol.handshake import GONE, PATH, Handshakes
from citymote_protocol.limiter import Limiter
from citymote_protocol.sessions import Sessions

PRIVATE = sha256(b"citymote test node 1").digest()
KID = b"\x1b\x2c\x0f\x41\xac\x8a"
SECRET = bytes(range(16))


class Source:
    """Draws of each length count apart, because blinding draws on the node alone."""

    def __init__(self):
        self.counts = {}

    def __call__(self, count):
        number = self.counts.get(count, 0)
        self.counts[count] = number + 1
        return (sha256(b"%d %d" % (count, number)).digest() * (count // 32 + 1))[:count]


class Node:
    """A node without an owner: handshake, claim, and a configuration that the owner may put."""

    def __init__(self, crypto, public, room):
        self.crypto = crypto
        self.link = Udp(crypto.random, room=room)
        self.sessions = Sessions(Limiter())
        self.server = Server(crypto, self.sessions)
        self.shakes = Handshakes(crypto, self.server, self.sessions, lambda: PRIVATE, public, KID, lambda kid: None)
        self.owner = None
        self.stored = None
        self.server.add(PATH, OPEN, post=self.shakes.post)
        self.server.add("claim", 0, post=self.claim)
        self.server.add("config", 0, put=self.put)
        self.server.report = self.fault
        self.steps = 0

    def fault(self, error):
        raise error

    def claim(self, request):
        from citymote_protocol import claim

        keys = self.sessions.keys(request.session)
        self.owner = claim.check(self.crypto, SECRET, claim.exported(keys), request.payload)
        self.sessions.admit(request.session)
        return coap.CHANGED

    def put(self, request):
        self.stored = len(request.payload)
        return coap.CHANGED

    def limiter_wait(self, now):
        return self.sessions.limiter.wait("somebody", now)

    def receive(self, data, now):
        """What the node sends about one datagram."""
        message = self.link.receive("host", data, now)
        if message is not None:
            self.server.submit(self.link, "host", message, now)
        while self.server.step(now):
            self.steps += 1
        return [out for _, out in self.link.take()]


def forget():
    """What a node lets go of once a handshake has ended (`handshake.GONE`)."""
    for name in GONE:
        if sys.modules.pop(name, None) is not None:
            package, _, last = name.rpartition(".")
            delattr(sys.modules[package], last)
    gc.collect()


def main(case, lines):
    from node.crypto import NodeCrypto

    from citymote_protocol import p256

    crypto = NodeCrypto(Source())
    public = bytes.fromhex(lines.readline().strip())
    if case == "nothing":
        return
    node = Node(crypto, public, 511)
    p256.run(node.shakes.prepare_steps())
    del p256
    if case == "waiting":
        return
    now = 0
    for number, line in enumerate(lines):
        now += 2000
        for out in node.receive(bytes.fromhex(line.strip()), now):
            print("out", out.hex())
        if number == 1:
            forget()
            print("after", gc.mem_alloc())
        if case == "handshake" and number == 1:
            break
    gc.collect()
    print("in_use", gc.mem_alloc())
    print("steps", node.steps)
    print("stored", node.stored)


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin)
