"""The CoAP server and client under both interpreters: every line of the server's table; RFC 7959, 7641 and 9175."""

from coap_world import TimedOut, World, crypto
from feeding import Chance

from citymote_protocol import block, coap, echo
from citymote_protocol.coap import Message
from citymote_protocol.coap_client import Watch, request, request_steps
from citymote_protocol.coap_server import FRESH, OBSERVABLE, OPEN, STREAM, Refused, Server
from citymote_protocol.errors import FrameError
from citymote_protocol.oscore_derive import derive

# Both ends and everything that is under way between them are in one heap here.
HEAP = "200k"

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


def _ask(world, message, context=None, peer="c", room=None):
    return world.run(peer, request_steps(CRYPTO, context, message, room or world.room))


def _hello(request):
    return coap.CONTENT, b"hello " + request.payload, coap.TEXT


def test_a_resource_answers_with_code_payload_and_format():
    server = Server(CRYPTO)
    server.add("a/b", OPEN, get=_hello, post=lambda request: coap.CHANGED)
    world = World(server)
    answer = _ask(world, request(coap.GET, "a/b"))
    assert (answer.code, answer.payload, answer.uint(coap.CONTENT_FORMAT)) == (coap.CONTENT, b"hello ", coap.TEXT)
    answer = _ask(world, request(coap.POST, "a/b", b"x"))
    assert (answer.code, answer.payload, answer.options) == (coap.CHANGED, b"", [])


def test_line_1_a_full_queue_tells_to_come_back():
    server = Server(CRYPTO)
    server.add("a", OPEN, get=_hello)
    world = World(server)
    for i in range(5):
        server.submit(world.link, "p%d" % i, Message(coap.GET, b"%d" % i, coap.path_options("a")), 0)
    busy = world.link.take()
    assert [peer for peer, _ in busy] == ["p3", "p4"]
    while server.step(0):
        pass
    assert len(world.link.take()) == 3


def test_lines_2_and_4_what_an_outsider_learns():
    sessions = OneContext()
    server = Server(CRYPTO, sessions)
    server.add("open", OPEN, get=_hello)
    server.add("secret", get=_hello)
    world = World(server)
    for path in ("secret", "nothing", "open/x", ""):
        answer = _ask(world, request(coap.GET, path))
        assert (answer.code, answer.payload) == (coap.UNAUTHORIZED, b""), path
    assert _ask(world, request(coap.GET, "secret"), sessions.client).payload == b"hello "
    assert sessions.last is sessions.server
    outer = world.exchange("c", Message(coap.POST, b"", [(coap.OSCORE, b"\x09\x00x")], b"123456789"))
    assert (outer.code, outer.payload) == (coap.UNAUTHORIZED, b"Security context not found")


def test_a_server_without_sessions_has_no_context():
    world = World(Server(CRYPTO))
    outer = world.exchange("c", Message(coap.POST, b"", [(coap.OSCORE, b"\x09\x00x")], b"123456789"))
    assert outer.code == coap.UNAUTHORIZED


def test_line_3_critical_options():
    server = Server(CRYPTO)
    server.add("a", OPEN, get=_hello)
    world = World(server)
    for options, code in (
        ([(1, b"")], coap.BAD_OPTION),
        ([(5, b"")], coap.BAD_OPTION),
        ([(21, b"")], coap.BAD_OPTION),
        ([(65535, b"")], coap.BAD_OPTION),
        ([(coap.PROXY_URI, b"coap://x")], coap.PROXYING),
        ([(coap.PROXY_SCHEME, b"coap")], coap.PROXYING),
        ([(coap.URI_HOST, b"h"), (coap.URI_HOST, b"h")], coap.BAD_OPTION),
        ([(coap.ACCEPT, b""), (coap.ACCEPT, b"")], coap.BAD_OPTION),
        ([(coap.URI_HOST, b"h"), (coap.URI_PORT, b"\x16\x33")], coap.CONTENT),
        ([(65534, b""), (60, b"\x10"), (60, b"\x10")], coap.CONTENT),
        ([(coap.URI_QUERY, b"a=1"), (coap.URI_QUERY, b"b")], coap.CONTENT),
        ([(coap.ACCEPT, b"\x3c")], coap.NOT_ACCEPTABLE),
        ([(coap.ACCEPT, b"")], coap.CONTENT),
    ):
        answer = _ask(world, request(coap.GET, "a", b"", options))
        assert answer.code == code, "%s gave %02x" % (options, answer.code)


def test_lines_5_to_7_and_12_the_usual_refusals():
    sessions = OneContext()
    server = Server(CRYPTO, sessions)
    server.add("a", 0, get=_hello)
    server.add("q", 0, get=lambda request: (coap.CONTENT, repr((request.query("a"), request.query("b"))).encode()))

    def refuse(request):
        raise Refused(coap.CONFLICT, "not now")

    def misread(request):
        raise FrameError("range", "secret bytes")

    def fail(request):
        raise OSError(5)

    faults = []
    server.report = faults.append
    server.add("r", 0, get=refuse, post=misread, put=fail)
    world = World(server)

    def code(message):
        answer = _ask(world, message, sessions.client)
        return answer.code, answer.payload

    assert code(request(coap.GET, "b")) == (coap.NOT_FOUND, b"")
    assert code(request(coap.POST, "a")) == (coap.METHOD_NOT_ALLOWED, b"")
    assert code(Message(0x1F, b"", coap.path_options("a"))) == (coap.METHOD_NOT_ALLOWED, b"")
    assert code(request(coap.GET, "r")) == (coap.CONFLICT, b"not now")
    assert code(request(coap.POST, "r")) == (coap.BAD_REQUEST, b"range")
    assert code(request(coap.PUT, "r")) == (coap.SERVER_ERROR, b"") and len(faults) == 1
    assert code(request(coap.GET, "q", b"", [(coap.URI_QUERY, b"a=1"), (coap.URI_QUERY, b"b")]))[1] == b"('1', '')"
    server.permit = lambda request: request.session.claims == "owner" or request.message.code == coap.GET
    assert code(request(coap.GET, "a"))[0] == coap.CONTENT
    assert code(request(coap.PUT, "r"))[0] == coap.FORBIDDEN
    sessions.server.claims = "owner"
    assert code(request(coap.PUT, "r"))[0] == coap.SERVER_ERROR


def test_long_work_is_done_in_steps_and_acknowledged_meanwhile():
    server = Server(CRYPTO)

    def slow(request):
        for _ in range(100):
            yield
        return coap.CONTENT, b"done"

    server.add("slow", OPEN, get=slow)
    world = World(server)
    client = world.client("c")
    message = request(coap.GET, "slow")
    message.token = b"t"
    client.send("server", message, 0, True)
    server.submit(world.link, "c", world.link.receive("c", client.take()[0][1], 0), 0)
    now = steps = 0
    while server.step(now):
        steps += 1
        now += 20
        world.link.tick(now)
    datagrams = [data for _, data in world.link.take()]
    assert steps >= 100 and len(datagrams) == 2, "an acknowledgement and a separate answer"
    assert datagrams[0][0] == 0x60 and datagrams[1][0] == 0x41


def test_requests_of_two_clients_wait_for_one_another():
    server = Server(CRYPTO)
    running = []

    def slow(request):
        assert not running
        running.append(1)
        yield
        yield
        running.pop()
        return coap.CHANGED

    server.add("slow", OPEN, post=slow)
    world = World(server)
    for peer in ("a", "b"):
        message = request(coap.POST, "slow")
        message.token = peer.encode()
        world.client(peer).send("server", message, 0, True)
    done = []
    while len(done) < 2:
        done += [message.code for _, message in world.turn()]
    assert done == [coap.CHANGED, coap.CHANGED]


# RFC 7959


def test_block_values():
    for number, more, exponent, raw in (
        (0, False, 0, ""),
        (0, True, 3, "0b"),
        (1, False, 3, "13"),
        (2, False, 3, "23"),
        (15, True, 6, "fe"),
        (16, False, 0, "0100"),
        (4095, True, 2, "fffa"),
        (4096, False, 2, "010002"),
        (0xFFFFF, True, 6, "fffffe"),
    ):
        assert block.value(number, more, exponent) == bytes.fromhex(raw)
        assert block.read(bytes.fromhex(raw)) == (number, more, exponent)
    for raw in ("07", "0f", "ffffff", "00000000"):
        try:
            block.read(bytes.fromhex(raw))
            raise AssertionError(raw)
        except FrameError as error:
            assert error.code == block.BLOCK


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


def _stored(body=b"", most=4096, flags=OPEN, sessions=None):
    store = Store(body)
    server = Server(CRYPTO, sessions, most)
    server.add("status", flags, get=store.get, put=store.put)
    return store, server


BODY = bytes([i * 7 & 255 for i in range(300)])


def _one(world, code, options, payload=b""):
    return world.exchange("c", request(code, "status", payload, options))


def test_figure_2_a_get_in_blocks_of_128():
    store, server = _stored(BODY)
    world = World(server, room=180)
    got = b""
    for number, value in ((None, "0b"), (1, "1b"), (2, "23")):
        options = [] if number is None else [(coap.BLOCK2, block.value(number, False, 3))]
        answer = _one(world, coap.GET, options)
        assert answer.option(coap.BLOCK2).hex() == value
        got += answer.payload
    assert got == BODY and store.gets == 1, "the later blocks come from what is kept"


def test_figure_3_early_negotiation():
    _, server = _stored(BODY)
    world = World(server)
    answer = _one(world, coap.GET, [(coap.BLOCK2, block.value(0, False, 2))])
    assert answer.option(coap.BLOCK2) == block.value(0, True, 2) and answer.payload == BODY[:64]
    assert answer.uint(coap.SIZE2) == 300
    answer = _one(world, coap.GET, [(coap.BLOCK2, block.value(4, False, 2))])
    assert answer.option(coap.BLOCK2) == block.value(4, False, 2) and answer.payload == BODY[256:]


def test_figure_4_late_negotiation():
    _, server = _stored(BODY)
    world = World(server, room=180)
    assert _one(world, coap.GET, []).option(coap.BLOCK2) == block.value(0, True, 3)
    answer = _one(world, coap.GET, [(coap.BLOCK2, block.value(2, False, 2))])
    assert answer.option(coap.BLOCK2) == block.value(2, True, 2) and answer.payload == BODY[128:192]


def test_a_block_larger_than_fits_comes_as_the_same_place_in_smaller_ones():
    _, server = _stored(BODY)
    world = World(server, room=120)
    answer = _one(world, coap.GET, [(coap.BLOCK2, block.value(1, False, 3))])
    number, more, exponent = block.read(answer.option(coap.BLOCK2))
    assert (number << 4 + exponent, more) == (128, True)
    assert answer.payload == BODY[128 : 128 + (16 << exponent)]


def test_figure_7_an_atomic_put():
    store, server = _stored()
    world = World(server)
    for number, more, piece in ((0, True, BODY[:128]), (1, True, BODY[128:256]), (2, False, BODY[256:])):
        value = block.value(number, more, 3)
        answer = _one(world, coap.PUT, [(coap.BLOCK1, value)], piece)
        assert answer.code == (coap.CONTINUE if more else coap.CHANGED) and answer.option(coap.BLOCK1) == value
    assert store.body == BODY and store.puts == 1


def test_blocks_that_do_not_fit_together_are_4_08_and_the_transfer_is_gone():
    store, server = _stored()
    world = World(server)

    def put(number, more, piece, exponent=2):
        return _one(world, coap.PUT, [(coap.BLOCK1, block.value(number, more, exponent))], piece).code

    assert put(1, True, BODY[:64]) == coap.INCOMPLETE, "no first block"
    assert put(0, True, BODY[:64]) == coap.CONTINUE
    assert put(2, True, BODY[:64]) == coap.INCOMPLETE, "a gap"
    assert put(1, False, b"x") == coap.INCOMPLETE, "what was begun is gone"
    assert put(0, True, BODY[:63]) == coap.BAD_REQUEST, "a block that is not full"
    assert put(0, False, BODY[:65]) == coap.BAD_REQUEST, "more than a block"
    assert _one(world, coap.PUT, [(coap.BLOCK1, b"\x0f")], b"").code == coap.BAD_OPTION
    assert store.puts == 0
    assert put(0, False, b"whole") == coap.CHANGED and store.body == b"whole"


def test_a_body_over_the_limit_is_4_13_before_it_is_kept():
    store, server = _stored(most=200)
    world = World(server)
    assert _one(world, coap.PUT, [(coap.BLOCK1, block.value(0, True, 3))], BODY[:128]).code == coap.CONTINUE
    answer = _one(world, coap.PUT, [(coap.BLOCK1, block.value(1, True, 3))], BODY[:128])
    assert answer.code == coap.TOO_LARGE_ENTITY and answer.uint(coap.SIZE1) == 200
    assert store.puts == 0
    answer = _ask(World(server), request(coap.PUT, "status", bytes(500)), room=100)
    assert answer.code == coap.TOO_LARGE_ENTITY


def test_one_body_at_a_time_and_an_abandoned_one_makes_room():
    store, server = _stored()
    world = World(server)
    first = [(coap.BLOCK1, block.value(0, True, 0))]
    assert _one(world, coap.PUT, first, b"a" * 16).code == coap.CONTINUE
    other = request(coap.PUT, "status", b"b" * 16, first)
    answer = world.exchange("d", other)
    assert answer.code == coap.UNAVAILABLE and answer.uint(coap.MAX_AGE) == 5
    assert _one(world, coap.PUT, [(coap.BLOCK1, block.value(1, True, 0))], b"a" * 16).code == coap.CONTINUE
    world.now += 30_000
    assert world.exchange("d", request(coap.PUT, "status", b"b" * 16, first)).code == coap.CONTINUE
    assert _one(world, coap.PUT, [(coap.BLOCK1, block.value(2, False, 0))], b"a").code == coap.INCOMPLETE
    answer = world.exchange("d", request(coap.PUT, "status", b"c", [(coap.BLOCK1, block.value(1, False, 0))]))
    assert answer.code == coap.CHANGED and store.body == b"b" * 16 + b"c"


def test_bodies_of_every_size_go_both_ways_over_links_of_every_width():
    sessions = OneContext()
    for context in (None, sessions.client):
        for room in (60, 61, 100, 244, 511, 1024):
            for size in (0, 1, 15, 16, 17, 31, 32, 100, 300, 511, 512, 513, 1500):
                store, server = _stored(sessions=sessions, flags=OPEN)
                world = World(server, room=room)
                world.change = _within(room)
                body = bytes([(i * size) & 255 for i in range(size)])
                assert _ask(world, request(coap.PUT, "status", body), context).code == coap.CHANGED, (room, size)
                assert store.body == body and store.puts == 1
                answer = _ask(world, request(coap.GET, "status"), context)
                assert answer.payload == body and answer.uint(coap.CONTENT_FORMAT) == coap.CBOR, (room, size)
                assert answer.option(coap.BLOCK2) is None


def _within(room):
    def change(up, data):
        # header 4; what is left is code, token, options, payload
        assert len(data) - 4 <= room, "%d bytes for a link that takes %d" % (len(data) - 4, room)
        return data

    return change


def test_a_body_that_changes_under_way_is_fetched_anew():
    store, server = _stored(BODY)
    world = World(server, room=100)
    steps = request_steps(CRYPTO, None, request(coap.GET, "status"), 100)
    answer = world.exchange("c", next(steps))
    message = steps.send(answer)
    server._blocks = None  # what was kept is gone, and the resource has changed
    store.body = BODY[::-1] if len(BODY) == 0 else bytes(reversed(BODY))
    try:
        while True:
            message = steps.send(world.exchange("c", message))
    except StopIteration as end:
        assert end.value.payload == store.body


def test_a_block_of_an_answer_that_is_gone_is_not_executed_again():
    server = Server(CRYPTO)
    runs = []

    def post(request):
        runs.append(request.payload)
        return coap.CHANGED, BODY

    server.add("status", OPEN, post=post)
    world = World(server, room=100)
    first = _one(world, coap.POST, [], b"go")
    assert first.option(coap.BLOCK2) is not None
    again = _one(world, coap.POST, [(coap.BLOCK2, block.value(1, False, 1))])
    assert again.code == coap.CHANGED and runs == [b"go"]
    server._blocks = None
    assert _one(world, coap.POST, [(coap.BLOCK2, block.value(1, False, 1))]).code == coap.INCOMPLETE
    assert runs == [b"go"]


def test_an_answer_in_blocks_to_a_request_in_blocks():
    sessions = OneContext()
    server = Server(CRYPTO, sessions)
    server.add("turn", 0, post=lambda request: (coap.CHANGED, bytes(reversed(request.payload))))
    for context in (sessions.client,):
        world = World(server, room=100)
        answer = _ask(world, request(coap.POST, "turn", BODY), context)
        assert answer.code == coap.CHANGED and answer.payload == bytes(reversed(BODY))


def test_a_streaming_resource_gets_each_block_as_it_comes():
    server = Server(CRYPTO, None, 100)
    got = []

    def post(request):
        got.append((request.offset, request.more, request.payload))
        return coap.CHANGED

    server.add("update", OPEN | STREAM, post=post)
    world = World(server, room=100)
    body = bytes(1000)
    assert _ask(world, request(coap.POST, "update", body)).code == coap.CHANGED
    assert b"".join([piece for _, _, piece in got]) == body, "more than any body that is kept"
    assert [offset for offset, _, _ in got] == [i * 64 for i in range(len(got))]
    assert [more for _, more, _ in got] == [True] * (len(got) - 1) + [False]


def _persist(world, message, context, again):
    """Ask until there is an answer: of a hundred exchanges over such a link, one is given up."""
    options = list(message.options)
    while True:
        try:
            message.options = list(options)
            return _ask(world, message, context)
        except TimedOut:
            again[0] += 1
            assert again[0] < 5


def test_everything_goes_over_a_link_that_loses_a_fifth():
    sessions = OneContext()
    for seed in range(1, 6):
        store, server = _stored(sessions=sessions)
        world = World(server, loss=20, seed=seed, room=120, latency=50)
        body = bytes([(i * seed) & 255 for i in range(400)])
        again = [0]
        for context in (None, sessions.client):
            assert _persist(world, request(coap.PUT, "status", body), context, again).code == coap.CHANGED
            assert store.body == body
            assert _persist(world, request(coap.GET, "status"), context, again).payload == body
        assert store.puts <= 2 + again[0], "a repetition was executed"


def test_an_answer_that_does_not_belong_is_refused():
    for answers, code in (
        ([Message(coap.CONTINUE, b"", [(27, block.value(1, True, 2))])], "answer"),
        ([Message(coap.CONTINUE)], "answer"),
        ([Message(coap.CONTINUE, b"", [(27, block.value(0, True, 6))])], "answer"),
        ([Message(coap.CHANGED, b"", [(9, b"")])], "answer"),
        ([Message(coap.CHANGED, b"", [(1, b"")])], "answer"),
        ([Message(coap.CONTENT, b"", [(23, block.value(1, True, 0))], bytes(16))], "answer"),
        ([Message(coap.CONTENT, b"", [(23, block.value(0, True, 0))], bytes(15))], "answer"),
        (
            [
                Message(coap.CONTENT, b"", [(23, block.value(0, True, 0))], bytes(16)),
                Message(coap.CONTENT, b"", [(23, block.value(2, True, 0))], bytes(16)),
            ],
            "answer",
        ),
    ):
        steps = request_steps(CRYPTO, None, request(coap.PUT, "a", bytes(300)), 100)
        next(steps)
        try:
            for answer in answers:
                steps.send(answer)
            raise AssertionError("taken: %s" % [a.options for a in answers])
        except FrameError as error:
            assert error.code == code


def test_a_body_without_end_is_cut_off():
    steps = request_steps(CRYPTO, None, request(coap.GET, "a"), 1024, most=100)
    next(steps)
    number = 0
    try:
        while True:
            steps.send(Message(coap.CONTENT, b"", [(23, block.value(number, True, 0))], bytes(16)))
            number += 1
            assert number < 10
    except FrameError as error:
        assert error.code == "too_large"


# RFC 9175


def test_echo_a_change_has_to_be_fresh():
    sessions = OneContext()
    server = Server(CRYPTO, sessions)
    done = []
    server.add("reset", FRESH, post=lambda request: done.append(1) or coap.CHANGED, get=_hello)
    world = World(server)
    asked = request(coap.POST, "reset")
    first = world.exchange("c", request(coap.GET, "x"))
    assert first.code == coap.UNAUTHORIZED
    assert _ask(world, asked, sessions.client).code == coap.CHANGED and done == [1]
    assert world.sent[1] == 3, "the request was made twice: without Echo, and with it"
    assert _ask(world, request(coap.GET, "reset"), sessions.client).code == coap.CONTENT, "reading needs no Echo"


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
    _, server = _stored(sessions=sessions)
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
        assert _ask(world, request(coap.PUT, "status", BODY), sessions.client).code == coap.CHANGED
    assert len(set(tags)) == 2 and None not in tags, tags


# RFC 7641


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
    world.change = _within(80)
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


# Robustness


def test_random_requests_are_all_answered_and_none_ends_the_server():
    sessions = OneContext()
    _, server = _stored(BODY, sessions=sessions)
    world = World(server)
    chance = Chance(77)
    numbers = (1, 3, 4, 6, 9, 11, 12, 15, 17, 23, 27, 28, 35, 60, 252, 292, 2049, 65535)
    for _ in range(300):
        options = []
        for _ in range(chance.below(5)):
            value = bytes([chance.below(256) for _ in range(chance.below(5))])
            coap.put_option(options, numbers[chance.below(len(numbers))], value)
        if chance.below(2):
            coap.put_option(options, coap.URI_PATH, b"status")
        payload = bytes(chance.below(40))
        message = Message(1 + chance.below(7), b"r", options, payload)
        server.submit(world.link, "c", message, 0)
        while server.step(0):
            pass
        assert len(world.link.take()) == 1, (message.code, options)
