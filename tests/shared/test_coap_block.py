"""Bodies in blocks under both interpreters: RFC 7959's own figures, then the limits, losses and peers that lie.

A settings file is larger than what a radio's packet carries, so blocks are the usual case here. What a server keeps of
an unfinished body is bounded, and a transfer that does not fit together is gone and not stored.
"""

from coap_served import BODY, CRYPTO, OneContext, ask, stored, within
from coap_world import TimedOut, World

from citymote_protocol import block, coap
from citymote_protocol.coap import Message
from citymote_protocol.coap_client import request, request_steps
from citymote_protocol.coap_server import OPEN, STREAM, Server
from citymote_protocol.errors import FrameError

# Both ends and everything that is under way between them are in one heap here.
HEAP = "200k"


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


def _one(world, code, options, payload=b""):
    return world.exchange("c", request(code, "status", payload, options))


def test_figure_2_a_get_in_blocks_of_128():
    store, server = stored(BODY)
    world = World(server, room=180)
    got = b""
    for number, value in ((None, "0b"), (1, "1b"), (2, "23")):
        options = [] if number is None else [(coap.BLOCK2, block.value(number, False, 3))]
        answer = _one(world, coap.GET, options)
        assert answer.option(coap.BLOCK2).hex() == value
        got += answer.payload
    assert got == BODY and store.gets == 1, "the later blocks come from what is kept"


def test_figure_3_early_negotiation():
    _, server = stored(BODY)
    world = World(server)
    answer = _one(world, coap.GET, [(coap.BLOCK2, block.value(0, False, 2))])
    assert answer.option(coap.BLOCK2) == block.value(0, True, 2) and answer.payload == BODY[:64]
    assert answer.uint(coap.SIZE2) == 300
    answer = _one(world, coap.GET, [(coap.BLOCK2, block.value(4, False, 2))])
    assert answer.option(coap.BLOCK2) == block.value(4, False, 2) and answer.payload == BODY[256:]


def test_figure_4_late_negotiation():
    _, server = stored(BODY)
    world = World(server, room=180)
    assert _one(world, coap.GET, []).option(coap.BLOCK2) == block.value(0, True, 3)
    answer = _one(world, coap.GET, [(coap.BLOCK2, block.value(2, False, 2))])
    assert answer.option(coap.BLOCK2) == block.value(2, True, 2) and answer.payload == BODY[128:192]


def test_a_block_larger_than_fits_comes_as_the_same_place_in_smaller_ones():
    _, server = stored(BODY)
    world = World(server, room=120)
    answer = _one(world, coap.GET, [(coap.BLOCK2, block.value(1, False, 3))])
    number, more, exponent = block.read(answer.option(coap.BLOCK2))
    assert (number << 4 + exponent, more) == (128, True)
    assert answer.payload == BODY[128 : 128 + (16 << exponent)]


def test_figure_7_an_atomic_put():
    store, server = stored()
    world = World(server)
    for number, more, piece in ((0, True, BODY[:128]), (1, True, BODY[128:256]), (2, False, BODY[256:])):
        value = block.value(number, more, 3)
        answer = _one(world, coap.PUT, [(coap.BLOCK1, value)], piece)
        assert answer.code == (coap.CONTINUE if more else coap.CHANGED) and answer.option(coap.BLOCK1) == value
    assert store.body == BODY and store.puts == 1


def test_blocks_that_do_not_fit_together_are_4_08_and_the_transfer_is_gone():
    store, server = stored()
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
    store, server = stored(most=200)
    world = World(server)
    assert _one(world, coap.PUT, [(coap.BLOCK1, block.value(0, True, 3))], BODY[:128]).code == coap.CONTINUE
    answer = _one(world, coap.PUT, [(coap.BLOCK1, block.value(1, True, 3))], BODY[:128])
    assert answer.code == coap.TOO_LARGE_ENTITY and answer.uint(coap.SIZE1) == 200
    assert store.puts == 0
    answer = ask(World(server), request(coap.PUT, "status", bytes(500)), room=100)
    assert answer.code == coap.TOO_LARGE_ENTITY


def test_one_body_at_a_time_and_an_abandoned_one_makes_room():
    store, server = stored()
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
                store, server = stored(sessions=sessions, flags=OPEN)
                world = World(server, room=room)
                world.change = within(room)
                body = bytes([(i * size) & 255 for i in range(size)])
                assert ask(world, request(coap.PUT, "status", body), context).code == coap.CHANGED, (room, size)
                assert store.body == body and store.puts == 1
                answer = ask(world, request(coap.GET, "status"), context)
                assert answer.payload == body and answer.uint(coap.CONTENT_FORMAT) == coap.CBOR, (room, size)
                assert answer.option(coap.BLOCK2) is None


def test_a_body_that_changes_under_way_is_fetched_anew():
    store, server = stored(BODY)
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
        answer = ask(world, request(coap.POST, "turn", BODY), context)
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
    assert ask(world, request(coap.POST, "update", body)).code == coap.CHANGED
    assert b"".join([piece for _, _, piece in got]) == body, "more than any body that is kept"
    assert [offset for offset, _, _ in got] == [i * 64 for i in range(len(got))]
    assert [more for _, more, _ in got] == [True] * (len(got) - 1) + [False]


def _persist(world, message, context, again):
    """Ask until there is an answer: of a hundred exchanges over such a link, one is given up."""
    options = list(message.options)
    while True:
        try:
            message.options = list(options)
            return ask(world, message, context)
        except TimedOut:
            again[0] += 1
            assert again[0] < 5


def test_everything_goes_over_a_link_that_loses_a_fifth():
    sessions = OneContext()
    for seed in range(1, 6):
        store, server = stored(sessions=sessions)
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
