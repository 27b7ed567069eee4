"""The CoAP server under both interpreters: every line of its table, in order, and requests that nobody would make.

What it does with a body in blocks is in `test_coap_block`, with observers in `test_coap_observe`, and with requests
that must be fresh in `test_coap_fresh`.
"""

from coap_served import BODY, CRYPTO, OneContext, ask, hello, stored
from coap_world import World
from feeding import Chance

from citymote_protocol import coap
from citymote_protocol.coap import Message
from citymote_protocol.coap_client import request
from citymote_protocol.coap_server import OPEN, Refused, Server
from citymote_protocol.errors import FrameError

# Both ends and everything that is under way between them are in one heap here.
HEAP = "200k"


def test_a_resource_answers_with_code_payload_and_format():
    server = Server(CRYPTO)
    server.add("a/b", OPEN, get=hello, post=lambda request: coap.CHANGED)
    world = World(server)
    answer = ask(world, request(coap.GET, "a/b"))
    assert (answer.code, answer.payload, answer.uint(coap.CONTENT_FORMAT)) == (coap.CONTENT, b"hello ", coap.TEXT)
    answer = ask(world, request(coap.POST, "a/b", b"x"))
    assert (answer.code, answer.payload, answer.options) == (coap.CHANGED, b"", [])


def test_line_1_a_full_queue_tells_to_come_back():
    server = Server(CRYPTO)
    server.add("a", OPEN, get=hello)
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
    server.add("open", OPEN, get=hello)
    server.add("secret", get=hello)
    world = World(server)
    for path in ("secret", "nothing", "open/x", ""):
        answer = ask(world, request(coap.GET, path))
        assert (answer.code, answer.payload) == (coap.UNAUTHORIZED, b""), path
    assert ask(world, request(coap.GET, "secret"), sessions.client).payload == b"hello "
    assert sessions.last is sessions.server
    outer = world.exchange("c", Message(coap.POST, b"", [(coap.OSCORE, b"\x09\x00x")], b"123456789"))
    assert (outer.code, outer.payload) == (coap.UNAUTHORIZED, b"Security context not found")


def test_a_server_without_sessions_has_no_context():
    world = World(Server(CRYPTO))
    outer = world.exchange("c", Message(coap.POST, b"", [(coap.OSCORE, b"\x09\x00x")], b"123456789"))
    assert outer.code == coap.UNAUTHORIZED


def test_line_3_critical_options():
    server = Server(CRYPTO)
    server.add("a", OPEN, get=hello)
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
        answer = ask(world, request(coap.GET, "a", b"", options))
        assert answer.code == code, "%s gave %02x" % (options, answer.code)


def test_lines_5_to_7_and_12_the_usual_refusals():
    sessions = OneContext()
    server = Server(CRYPTO, sessions)
    server.add("a", 0, get=hello)
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
        answer = ask(world, message, sessions.client)
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


def test_random_requests_are_all_answered_and_none_ends_the_server():
    sessions = OneContext()
    _, server = stored(BODY, sessions=sessions)
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
