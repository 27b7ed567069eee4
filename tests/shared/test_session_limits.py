"""What strangers may cost a node: handshakes and sessions under flood, loss, nonsense and whoever stops in the middle.

Anybody in range may send a first message. The limits bound what that costs, and lock nobody out for longer than their
time; whatever was killed or altered on the way leaves nothing behind and can be done again.
"""

from coap_world import Source, TimedOut, World
from session_node import HOST, HOST_CRYPTO, OTHER, Node, ask, by_label, claim_it, connect, new_initiator

from citymote_protocol import ccs, coap, edhoc, limiter
from citymote_protocol.coap_client import request
from citymote_protocol.edhoc import EdhocError
from citymote_protocol.edhoc_initiator import Initiator, read_error
from citymote_protocol.handshake import PATH
from citymote_protocol.handshake_client import Busy, handshake_steps
from citymote_protocol.limiter import Limiter
from citymote_protocol.oscore_client import Unprotected
from citymote_protocol.sessions import Sessions

# Both ends and everything that is under way between them are in one heap here.
HEAP = "200k"


def test_the_table_of_the_limiter():
    limit = Limiter()
    assert limit.first("a", 0)
    assert not limit.first("b", 0) and limit.wait("a", 0) == limiter.SPACING, "line 1"
    assert limit.first("a", 2_000), "line 3: the same peer starts over"
    assert limit.wait("b", 4_000) == 18_000 and not limit.first("b", 21_999), "line 4"
    assert limit.pending("a", 21_999) and not limit.pending("b", 21_999)
    assert limit.expired(22_000) and limit.first("b", 22_000), "line 5"
    limit.end()
    assert limit.first("c", 24_000)


def test_ten_at_once_and_one_more_each_six_seconds():
    limit = Limiter()
    now = taken = 0
    while now < 120_000:
        if limit.first("x", now):
            taken += 1
            limit.end()
        now += 100
    assert taken == 10 + 19, "%d: a full bucket, and one for each six seconds after" % taken
    assert limit.wait("y", now) <= 6_000
    assert limit.wait("y", now + 60_000) == 0


def test_a_handshake_that_stops_in_the_middle_is_dropped_after_its_time():
    node = Node()
    world = World(node.server)
    steps = handshake_steps(new_initiator(), by_label)
    world.exchange("c", next(steps))
    assert node.shakes._responder is not None
    try:
        connect(world, "d")
        raise AssertionError("two handshakes at once")
    except Busy as busy:
        assert 18 <= busy.seconds <= 20
    world.now += 20_000
    keys, context = connect(world, "d")
    assert claim_it(world, keys, context, peer="d").code == coap.CHANGED


def test_a_session_without_a_claim_is_dropped_after_its_time():
    node = Node()
    world = World(node.server)
    keys, context = connect(world)
    assert ask(world, context, request(coap.GET, "who")).code == coap.FORBIDDEN
    world.now += 20_000
    node.shakes.tick(world.now)
    try:
        claim_it(world, keys, context)
        raise AssertionError("the session was still there")
    except Unprotected:
        pass
    assert node.sessions._stranger is None and node.limiter.wait("x", world.now) == 0


def test_what_a_lost_connection_had_begun_keeps_nobody_waiting():
    node = Node()
    world = World(node.server)
    world.exchange("c", next(handshake_steps(new_initiator(), by_label)))
    link, peer = node.shakes._peer
    node.shakes.gone(link, "another")
    assert node.shakes.pending
    node.shakes.gone(link, peer)
    assert not node.shakes.pending
    world.now += 2_000
    connect(world, "d")
    node.shakes.gone(*node.shakes._peer)
    assert node.sessions._stranger is None, "a session without a claim"
    world.now += 2_000
    keys, context = connect(world, "e")
    assert claim_it(world, keys, context, peer="e").code == coap.CHANGED
    node.shakes.gone(*node.shakes._peer)
    assert ask(world, context, request(coap.GET, "who")).code == coap.CONTENT, "one with rights outlives connections"


def test_a_second_stranger_takes_the_place_of_the_first():
    node = Node()
    world = World(node.server)
    _, first = connect(world)
    world.idle(2500)
    keys, second = connect(world)
    try:
        ask(world, first, request(coap.GET, "who"))
        raise AssertionError("two strangers at once")
    except Unprotected:
        pass
    assert claim_it(world, keys, second).code == coap.CHANGED


def test_admitted_sessions_are_bounded_and_the_unused_go_first():
    known = {bytes((i,)): ccs.write(bytes((i,)), HOST[1]) for i in range(8)}
    node = Node(known, most=3)
    world = World(node.server)
    contexts = []
    ended = []
    node.sessions.ended = ended.append
    for i in range(4):
        world.idle(2500)
        kid = bytes((i,))
        initiator = Initiator(HOST_CRYPTO, HOST[0], known[kid], kid, OTHER, b"\x30", by_value=False)
        contexts.append(connect(world, "p%d" % i, initiator)[1])
        if i == 2:
            assert ask(world, contexts[0], request(coap.GET, "who")).code == coap.CONTENT
    assert len(ended) == 1
    for i, context in enumerate(contexts):
        try:
            ask(world, context, request(coap.GET, "who"))
            assert i != 1
        except Unprotected:
            assert i == 1, "the second was used longest ago"
    node.sessions.clear()
    assert len(ended) == 4 and node.sessions.find(contexts[0].sender_id) is None


def test_recipient_ids_are_unique_and_one_byte():
    sessions = Sessions(Limiter(), 40)
    random = Source(9)
    seen = set()

    class Context:
        def worn(self):
            return False

    for _ in range(40):
        first, second = sessions.free_ids(random)
        assert first not in seen and second not in seen and first != second
        assert edhoc.is_short(first) and edhoc.is_short(second)
        context = Context()
        context.recipient_id = first
        seen.add(first)
        sessions.begin(context)
        sessions.admit(context)
    assert len(seen) == 40


def test_posts_that_are_no_handshake():
    node = Node()
    world = World(node.server)
    for payload, code in (
        (b"", "truncated"),
        (b"\xf5", "truncated"),
        (b"\x05\x41\x00", "state"),
        (b"\x60", "type"),
        (b"\x48" + bytes(8), "too_long"),
        (b"\xf5\x03\x00", "truncated"),
    ):
        answer = world.exchange("c", request(coap.POST, PATH, payload))
        assert answer.code == coap.BAD_REQUEST and answer.uint(coap.CONTENT_FORMAT) == coap.EDHOC, payload
        assert read_error(answer.payload) == (1, code), "%s gave %s" % (payload, answer.payload)
        world.idle(2500)
    assert node.sessions._stranger is None


def test_a_foreign_message_3_does_not_disturb_the_pending_handshake():
    node = Node()
    world = World(node.server)
    steps = handshake_steps(new_initiator(), by_label)
    third = steps.send(world.exchange("c", next(steps)))
    for payload in (bytes((third.payload[0] ^ 1,)) + third.payload[1:], third.payload):
        answer = world.exchange("thief", request(coap.POST, PATH, payload))
        assert answer.code == coap.BAD_REQUEST
    try:
        steps.send(world.exchange("c", third))
    except StopIteration as end:
        assert end.value.oscore(True) is not None


def test_the_whole_of_it_over_a_link_that_loses_a_fifth():
    for seed in range(3):
        node = Node()
        world = World(node.server, loss=20, seed=seed + 20, latency=50)
        tries = 0
        while node.owner is None:
            tries += 1
            assert tries < 6
            try:
                keys, context = connect(world)
                assert claim_it(world, keys, context).code == coap.CHANGED
            except (TimedOut, Busy, Unprotected, EdhocError):
                world.idle(25_000)
                node.shakes.tick(world.now)


def test_a_handshake_killed_at_every_message_leaves_nothing_and_can_be_done_again():
    for killed in range(1, 7):
        node = Node()
        world = World(node.server)
        count = [0]

        def change(up, data, count=count, killed=killed):
            count[0] += 1
            return None if count[0] >= killed else data

        world.change = change
        try:
            keys, context = connect(world)
            claim_it(world, keys, context)
            raise AssertionError("nothing was killed")
        except TimedOut:
            pass
        assert (node.owner is None) == (killed < 6), killed
        world.change = None
        world.air = []
        world.now += 25_000
        node.shakes.tick(world.now)
        keys, context = connect(world, "d")
        assert claim_it(world, keys, context, peer="d").code == coap.CHANGED, killed
