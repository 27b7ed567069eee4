"""What the tests of the CoAP server have in common: a server with a resource to read and write, and how it is asked.

The link between server and clients is `coap_world`; here is what stands at its ends, open or behind one session. Plain
functions and classes, since MicroPython runs these tests, too.
"""

from coap_world import crypto

from citymote_protocol import coap
from citymote_protocol.coap_client import request_steps
from citymote_protocol.coap_server import OPEN, Server
from citymote_protocol.oscore_derive import derive

CRYPTO = crypto(1)


class OneContext:
    """A table of sessions with one OSCORE context in it."""

    def __init__(self):
        self.client = derive(CRYPTO, b"s" * 16, b"", b"c", b"s")
        self.server = derive(CRYPTO, b"s" * 16, b"", b"s", b"c")

    def find(self, kid, kid_context=None):
        return self.server if kid == b"c" and kid_context is None else None

    def used(self, context):
        self.last = context


def ask(world, message, context=None, peer="c", room=None):
    return world.run(peer, request_steps(CRYPTO, context, message, room or world.room))


def hello(request):
    return coap.CONTENT, b"hello " + request.payload, coap.TEXT


class Store:
    """A resource whose body can be put and got."""

    def __init__(self, body=b""):
        self.body = body
        self.puts = 0
        self.gets = 0

    def get(self, request):
        self.gets += 1
        return coap.CONTENT, self.body, coap.CBOR

    def put(self, request):
        self.puts += 1
        self.body = request.payload
        return coap.CHANGED


def stored(body=b"", most=4096, flags=OPEN, sessions=None):
    store = Store(body)
    server = Server(CRYPTO, sessions, most)
    server.add("status", flags, get=store.get, put=store.put)
    return store, server


BODY = bytes([i * 7 & 255 for i in range(300)])


def within(room):
    def change(up, data):
        # header 4; what is left is code, token, options, payload
        assert len(data) - 4 <= room, "%d bytes for a link that takes %d" % (len(data) - 4, room)
        return data

    return change
