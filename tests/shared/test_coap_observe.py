"""Observations under both interpreters: RFC 7641 as a server keeps them, and as a client judges what it is told.

Whoever watches a reading learns of each change, and of none twice or out of order; a server remembers a bounded number
of those who watch, and finds out by itself who is gone.
"""

from coap_served import CRYPTO, OneContext, Store, within
from coap_world import World

from citymote_protocol import coap
from citymote_protocol.coap import Message
from citymote_protocol.coap_client import Watch, request
from citymote_protocol.coap_server import OBSERVABLE, OPEN, Refused, Server

# Both ends and everything that is under way between them are in one heap here.
HEAP = "200k"


class Live(Store):
    def get(self, request):
        self.gets += 1
        if self.body is None:
            raise Refused(coap.NOT_FOUND)
        return coap.CONTENT, self.body


def _live(sessions=None, flags=OPEN):
    live = Live(b"18.5 Cel")
    server = Server(CRYPTO, sessions)
    server.add("temperature", flags | OBSERVABLE, get=live.get)
    return live, server


def test_an_observer_is_told_of_changes_until_it_resets():
    live, server = _live()
    world = World(server)
    watch = Watch(CRYPTO, None, request(coap.GET, "temperature"), 1024)
    answer = world.run("c", watch.begin(), b"obs")
    assert answer.payload == b"18.5 Cel" and watch.active
    for value in (b"19.2 Cel", b"19.7 Cel"):
        live.body = value
        server.notify("temperature")
        server.notify("temperature")
        world.idle(100)
        ((_, message),) = world.inbox
        world.inbox = []
        assert message.token == b"obs"
        assert watch.notification(message, world.now).payload == value
    # the client forgets: it resets what it does not know
    server.notify("temperature")
    world.server.step(world.now)
    ((_, data),) = world.link.take()
    world.link.receive("c", bytes((0x70, 0)) + data[2:4], world.now)
    server.lost(world.link)
    assert server.observations.all == []


def test_an_observation_is_cancelled():
    _, server = _live()
    world = World(server)
    watch = Watch(CRYPTO, None, request(coap.GET, "temperature"), 1024)
    world.run("c", watch.begin(), b"obs")
    assert world.run("c", watch.cancel(), b"obs").code == coap.CONTENT
    assert server.observations.all == [] and not watch.active


def test_an_error_ends_an_observation():
    live, server = _live()
    world = World(server)
    watch = Watch(CRYPTO, None, request(coap.GET, "temperature"), 1024)
    world.run("c", watch.begin(), b"obs")
    live.body = None
    server.notify("temperature")
    world.idle(100)
    ((_, message),) = world.inbox
    assert watch.notification(message, world.now).code == coap.NOT_FOUND and not watch.active
    assert server.observations.all == []


def test_observers_are_bounded_and_a_new_registration_replaces_its_own():
    _, server = _live()
    world = World(server)
    for number in (0, 1, 2, 3, 3, 4):
        watch = Watch(CRYPTO, None, request(coap.GET, "temperature"), 1024)
        answer = world.run("c", watch.begin(), b"o%d" % number)
        assert watch.active == (number < 4), number
        assert answer.payload == b"18.5 Cel"
    assert len(server.observations.all) == 4
    server.drop(world.link, "c")
    assert server.observations.all == []


def test_a_peer_that_is_gone_is_found_out_by_a_confirmable_notification():
    _, server = _live()
    world = World(server)
    watch = Watch(CRYPTO, None, request(coap.GET, "temperature"), 1024)
    world.run("c", watch.begin(), b"obs")
    world.change = lambda up, data: None
    for _ in range(10):
        server.notify("temperature")
        world.idle(1000)
    assert len(server.observations.all) == 1
    world.idle(100_000)
    world.turn()
    assert server.observations.all == [], "nobody acknowledged"


def test_an_older_notification_is_passed_over():
    watch = Watch(CRYPTO, None, request(coap.GET, "temperature"), 1024)
    steps = watch.begin()
    next(steps)
    try:
        steps.send(Message(coap.CONTENT, b"", [(6, b"\x0c")], b"12"))
    except StopIteration:
        pass
    # RFC 7641, 3.4: 44 then 60, and 44 again on a longer way; then after the number has turned over
    for number, now, payload in (
        (44, 1000, b"a"),
        (60, 2000, b"b"),
        (44, 3000, None),
        (60, 3000, None),
        (0x800000 + 59, 4000, b"c"),
        (5, 5000, b"d"),
        (0xFFFFFF, 6000, None),
        (0xFFFFFF, 5000 + 128_001, b"e"),
    ):
        message = Message(coap.CONTENT, b"", [(6, coap.uint_bytes(number))], payload or b"old")
        found = watch.notification(message, now)
        assert (found and found.payload) == payload, number


def test_protected_observation_over_a_narrow_link_in_blocks():
    sessions = OneContext()
    live, server = _live(sessions, 0)
    live.body = bytes(200)
    world = World(server, room=80)
    world.change = within(80)
    watch = Watch(CRYPTO, sessions.client, request(coap.GET, "temperature"), 80)
    assert world.run("c", watch.begin(), b"obs").payload == bytes(200)
    for i in range(3):
        live.body = bytes([i + 1]) * 150
        server.notify("temperature")
        world.idle(100)
        ((_, message),) = world.inbox
        world.inbox = []
        first = watch.notification(message, world.now)
        assert first.option(coap.BLOCK2) is not None
        assert world.run("c", watch.rest(first)).payload == live.body
