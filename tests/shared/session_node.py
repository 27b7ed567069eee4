"""A node without an owner and the host that comes to it: handshake, claim and one resource, for the tests of sessions.

Server, sessions and limits are the protocol's own; only the ephemeral pairs are made beforehand, since arithmetic alone
would be most of the tests' time. MicroPython runs this, too: both ends share one heap.
"""

from coap_world import crypto

from citymote_protocol import ccs, claim, coap
from citymote_protocol.coap_client import request, request_steps
from citymote_protocol.coap_server import OPEN, Server
from citymote_protocol.edhoc_initiator import Initiator
from citymote_protocol.handshake import PATH, Handshakes
from citymote_protocol.handshake_client import handshake_steps
from citymote_protocol.limiter import Limiter
from citymote_protocol.p256 import run
from citymote_protocol.sessions import Sessions

NODE_CRYPTO = crypto(2)
HOST_CRYPTO = crypto(3)
NODE = run(NODE_CRYPTO.key_pair_steps())
HOST = run(HOST_CRYPTO.key_pair_steps())
OTHER = run(HOST_CRYPTO.key_pair_steps())
KID = b"\x1b\x2c\x0f\x41\xac\x8a"
SECRET = bytes(range(16))
OWNER = b"\x02" + bytes(range(32))
NODE_CREDENTIAL = ccs.write(KID, NODE[1])

# What only pure arithmetic would make slow: each node takes its ephemeral pairs from here.
PAIRS = [run(NODE_CRYPTO.key_pair_steps()) for _ in range(4)]


class Node:
    """A node without an owner: its resources are the handshake, the claim, and one that needs rights."""

    def __init__(self, known=None, most=4, seed=5):
        self.owner = None
        self.limiter = Limiter()
        self.sessions = Sessions(self.limiter, most)
        self.server = Server(NODE_CRYPTO, self.sessions)
        self.known = known or {}
        self.shakes = Handshakes(
            NODE_CRYPTO, self.server, self.sessions, lambda: NODE[0], NODE[1], KID, self.known.get, self.admitted
        )
        self.server.add(PATH, OPEN, post=self.post)
        self.server.add("claim", 0, post=self.claim)
        self.server.add("who", 0, get=lambda request: (coap.CONTENT, repr(request.session.claims).encode()))
        self.server.permit = lambda request: request.path != "who" or request.session.claims is not None
        self.sessions.ended = lambda context: self.server.drop(session=context)
        self.pairs = 0

    def post(self, request):
        self.shakes._pair = PAIRS[self.pairs % len(PAIRS)]
        self.pairs += 1
        return self.shakes.post(request)

    def admitted(self, context, credential):
        for kid, known in self.known.items():
            if known == credential:
                context.claims = kid
                self.sessions.admit(context)

    def claim(self, request):
        keys = self.sessions.keys(request.session)
        if keys is None:
            return coap.FORBIDDEN
        owner = claim.check(NODE_CRYPTO, SECRET, claim.exported(keys), request.payload)
        if self.owner not in (None, owner):
            return coap.FORBIDDEN
        self.owner = owner
        request.session.claims = "owner"
        self.sessions.admit(request.session)
        return coap.CHANGED


def new_initiator(by_value=True, key=HOST, c_i=b"\x00", pair=OTHER):
    # The pair is used for more than one session only because this is a test.
    return Initiator(HOST_CRYPTO, key[0], ccs.write(b"h", key[1]), b"h", pair, c_i, by_value=by_value)


def by_label(kid, credential):
    """What a host with the label expects."""
    return NODE_CREDENTIAL if kid == KID else None


def connect(world, peer="c", initiator=None, expected=by_label):
    """(Keys, OSCORE context) of the host's side."""
    keys = world.run(peer, handshake_steps(initiator or new_initiator(), expected))
    return keys, keys.oscore(True)


def ask(world, context, message, peer="c"):
    return world.run(peer, request_steps(HOST_CRYPTO, context, message, world.room))


def claim_it(world, keys, context, owner=OWNER, secret=SECRET, peer="c"):
    tag = claim.claim_tag(HOST_CRYPTO, claim.claim_key(HOST_CRYPTO, secret), claim.exported(keys), owner)
    return ask(world, context, request(coap.POST, "claim", claim.write(owner, tag)), peer)
