"""Requests that must be fresh, under both interpreters: RFC 9175's Echo, and the tag of each protected transfer.

OSCORE says that a request is the sender's and comes once, but not that it is recent: a broker may keep "reset" for a
day. Echo bounds that day to a minute, and Request-Tag keeps blocks of two transfers apart.
"""

from coap_served import BODY, CRYPTO, OneContext, ask, hello, stored
from coap_world import World

from citymote_protocol import coap, echo
from citymote_protocol.coap_client import request, request_steps
from citymote_protocol.coap_server import FRESH, Server

# Both ends and everything that is under way between them are in one heap here.
HEAP = "200k"


def test_echo_a_change_has_to_be_fresh():
    sessions = OneContext()
    server = Server(CRYPTO, sessions)
    done = []
    server.add("reset", FRESH, post=lambda request: done.append(1) or coap.CHANGED, get=hello)
    world = World(server)
    asked = request(coap.POST, "reset")
    first = world.exchange("c", request(coap.GET, "x"))
    assert first.code == coap.UNAUTHORIZED
    assert ask(world, asked, sessions.client).code == coap.CHANGED and done == [1]
    assert world.sent[1] == 3, "the request was made twice: without Echo, and with it"
    assert ask(world, request(coap.GET, "reset"), sessions.client).code == coap.CONTENT, "reading needs no Echo"


def test_echo_values_are_good_for_whom_and_when_they_were_made():
    maker = echo.Echo(CRYPTO)
    value = maker.value(b"a", 5_000)
    assert maker.fresh(value, b"a", 5_000) and maker.fresh(value, b"a", 65_999)
    assert not maker.fresh(value, b"a", 66_000) and not maker.fresh(value, b"a", 4_999)
    assert not maker.fresh(value, b"b", 5_000) and not maker.fresh(None, b"a", 5_000)
    assert not maker.fresh(value[:-1], b"a", 5_000) and not maker.fresh(b"", b"a", 5_000)
    assert not echo.Echo(CRYPTO).fresh(value, b"a", 5_000), "a restart makes another key"
    for bit in range(96):
        bad = bytearray(value)
        bad[bit >> 3] ^= 1 << (bit & 7)
        assert not maker.fresh(bytes(bad), b"a", 5_000), bit


def test_a_delayed_request_is_not_executed_where_it_matters():
    """A broker that keeps a protected "reset" and sends it later: the number is fresh, the Echo is not."""
    sessions = OneContext()
    server = Server(CRYPTO, sessions)
    done = []
    server.add("reset", FRESH, post=lambda request: done.append(1) or coap.CHANGED)
    world = World(server)
    kept = []

    def keep(up, data):
        if up and len(kept) < 2:
            kept.append(data)
            if len(kept) == 2:
                return None  # the one with its Echo does not arrive now
        return data

    world.change = keep
    steps = request_steps(CRYPTO, sessions.client, request(coap.POST, "reset"), 1024)
    message = steps.send(world.exchange("c", next(steps)))
    message.token = b"late"
    world.client("c").send("server", message, world.now)
    world.turn()
    assert len(kept) == 2
    server.submit(world.link, "c", world.link.receive("c", kept[1], 70_000), 70_000)
    world.now = 70_000
    world.turn()
    assert done == []


def test_a_transfer_under_protection_has_a_tag_of_its_own():
    sessions = OneContext()
    _, server = stored(sessions=sessions)
    world = World(server, room=100)
    tags = []
    plain = sessions.find

    def find(kid, about=None):
        return plain(kid, about)

    sessions.find = find
    collect = server.transfers().collect
    server._blocks.collect = lambda who, message, now: (
        tags.append(message.option(coap.REQUEST_TAG)) or collect(who, message, now)
    )
    for _ in range(2):
        assert ask(world, request(coap.PUT, "status", BODY), sessions.client).code == coap.CHANGED
    assert len(set(tags)) == 2 and None not in tags, tags
