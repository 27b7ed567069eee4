"""Sessions under both interpreters: EDHOC over CoAP into OSCORE, the claim, and a context that is made again.

What bounds strangers is in `test_session_limits`, and what an owner gives others in `test_delegations`.
"""

from coap_world import World
from session_node import HOST, HOST_CRYPTO, KID, OTHER, OWNER, SECRET, Node, ask, claim_it, connect, new_initiator

from citymote_protocol import ccs, claim, coap, edhoc
from citymote_protocol.coap_client import request
from citymote_protocol.edhoc import EdhocError
from citymote_protocol.errors import FrameError
from citymote_protocol.handshake import PATH
from citymote_protocol.handshake_client import Renewal
from citymote_protocol.oscore_client import Unprotected

# Both ends and everything that is under way between them are in one heap here.
HEAP = "200k"


def test_from_nothing_to_a_claim_in_three_round_trips():
    node = Node()
    world = World(node.server)
    keys, context = connect(world)
    assert ask(world, context, request(coap.GET, "who")).code == coap.FORBIDDEN, "a session alone gives no rights"
    assert claim_it(world, keys, context).code == coap.CHANGED
    assert node.owner == OWNER
    assert ask(world, context, request(coap.GET, "who")).payload == b"'owner'"
    assert world.sent == [5, 5]


def test_sizes_of_the_messages():
    node = Node()
    world = World(node.server)
    sizes = []
    world.change = lambda up, data: sizes.append(len(data)) or data
    connect(world)
    # header 4, token 2, path or format, marker; then true and 37 bytes, 51, C_R and 67, 9 bytes of EDHOC
    assert sizes == [63, 60, 94, 18], sizes


def test_the_handshake_over_the_narrowest_link():
    """An indication of 61 bytes: message_2 has to fit, because whole is the only way it comes."""
    node = Node()
    world = World(node.server, room=60)
    world.change = lambda up, data: data if up or len(data) - 4 <= 60 else None
    keys, context = connect(world)
    assert claim_it(world, keys, context).code == coap.CHANGED


def test_a_claim_again_by_the_same_owner_succeeds_and_by_another_not():
    node = Node()
    world = World(node.server)
    keys, context = connect(world)
    assert claim_it(world, keys, context).code == coap.CHANGED
    world.idle(3000)
    keys, context = connect(world, "d")
    assert claim_it(world, keys, context, peer="d").code == coap.CHANGED
    world.idle(3000)
    keys, context = connect(world, "e")
    other = b"\x03" + bytes(32)
    assert claim_it(world, keys, context, other, peer="e").code == coap.FORBIDDEN
    assert node.owner == OWNER


def test_a_claim_without_the_secret_or_from_another_session_is_refused():
    node = Node()
    world = World(node.server)
    keys, context = connect(world)
    answer = claim_it(world, keys, context, secret=bytes(16))
    assert (answer.code, answer.payload) == (coap.BAD_REQUEST, b"claim")
    world.idle(3000)
    _, context_2 = connect(world)
    assert claim_it(world, keys, context_2).code == coap.BAD_REQUEST, "T of another session"
    assert node.owner is None


def test_the_claim_is_what_the_specification_says():
    key = claim.claim_key(HOST_CRYPTO, SECRET)
    prk = HOST_CRYPTO.hkdf_extract(b"", SECRET)
    assert key == HOST_CRYPTO.hkdf_expand(prk, b"claim", 32)
    bound = bytes(32)
    structure = b"\x83\x65claim\x58\x20" + bound + b"\x58\x20" + HOST_CRYPTO.sha256(OWNER).digest()
    assert claim.claim_tag(HOST_CRYPTO, key, bound, OWNER) == HOST_CRYPTO.hmac(key, structure)
    body = claim.write(OWNER, bytes(32))
    assert body == b"\x83\x01\x58\x21" + OWNER + b"\x58\x20" + bytes(32)
    assert claim.read(body) == (OWNER, bytes(32))
    for bad, code in (
        (b"\x82\x01" + body[2:37], "range"),
        (b"\x83\x02" + body[2:], "range"),
        (body + b"\x00", "trailing"),
        (body[:-1], "truncated"),
        (body.replace(b"\x58\x21\x02", b"\x58\x21\x04"), claim.OWNER),
        (b"\x83\x01\x58\x20" + bytes(32) + b"\x58\x20" + bytes(32), claim.OWNER),
        (b"\x83\x01\x58\x21" + OWNER + b"\x5f", "indefinite"),
        (b"\x83\x01\x58\x21" + OWNER + b"\x41\x00", "range"),
    ):
        try:
            claim.read(bad)
            raise AssertionError(bad.hex())
        except FrameError as error:
            assert error.code == code, "%s gave %s" % (bad[:4].hex(), error.code)


def test_a_node_that_is_not_the_labels_learns_nothing_and_is_told():
    node = Node()
    world = World(node.server)
    for expected in (lambda kid, credential: ccs.write(KID, OTHER[1]), lambda kid, credential: None):
        try:
            connect(world, expected=expected)
            raise AssertionError("a stranger was trusted")
        except EdhocError as error:
            assert error.code in (edhoc.MAC, edhoc.UNKNOWN)
        assert not node.limiter.pending((world.link, "c"), world.now), "the node still waits"
        world.idle(3000)
    assert node.sessions._stranger is None


def test_known_credentials_come_by_reference_and_are_admitted_at_once():
    node = Node({b"h": ccs.write(b"h", HOST[1])})
    world = World(node.server)
    _, context = connect(world, initiator=new_initiator(False))
    assert ask(world, context, request(coap.GET, "who")).payload == b"b'h'"
    assert not node.limiter.pending((world.link, "c"), world.now)


def test_a_key_id_that_the_node_does_not_know():
    node = Node()
    world = World(node.server)
    try:
        connect(world, initiator=new_initiator(False))
        raise AssertionError("taken")
    except EdhocError as error:
        assert error.code == edhoc.REFUSED and "unknown credential" in str(error)


def test_on_a_link_with_forgeable_addresses_the_first_message_needs_an_echo():
    node = Node()
    world = World(node.server, needs_echo=True)
    keys, context = connect(world)
    assert world.sent == [3, 3] and node.shakes.count == 1
    assert claim_it(world, keys, context).code == coap.CHANGED


def test_a_flood_of_first_messages_reaches_no_arithmetic_without_an_echo():
    node = Node()
    world = World(node.server, needs_echo=True)
    for i in range(50):
        payload = b"\xf5" + new_initiator().message_1()
        node.server.submit(world.link, "f%d" % i, request(coap.POST, PATH, payload), world.now)
        while node.server.step(world.now):
            pass
    assert node.shakes.count == 0 and node.limiter.wait("x", world.now) == 0


def test_a_context_that_is_gone_after_a_power_cut_is_made_again():
    node = Node()
    world = World(node.server)
    keys, context = connect(world)
    claim_it(world, keys, context)
    again = Node()
    again.owner = node.owner
    world.server = again.server
    try:
        ask(world, context, request(coap.GET, "who"))
        raise AssertionError("the context outlived the node")
    except Unprotected as error:
        assert error.answer == coap.UNAUTHORIZED
    keys, context = connect(world)
    assert claim_it(world, keys, context).code == coap.CHANGED
    assert ask(world, context, request(coap.GET, "who")).payload == b"'owner'"


def test_an_unprotected_error_is_asked_again_before_it_is_believed():
    renewal = Renewal()
    assert renewal.unprotected(0) == Renewal.REPEAT
    renewal.answered()
    assert renewal.unprotected(10) == Renewal.REPEAT, "the context was good all the time"
    done = 0
    for now in range(0, 3_600_000, 1000):  # somebody forges one for every request, for an hour
        done += renewal.unprotected(now) == Renewal.RENEW
    assert done <= 5 + 6, "handshakes in an hour of forged errors: %d" % done
    assert renewal.wait(3_600_000) <= 600_000
    assert renewal.unprotected(3_600_000 + 600_000) in (Renewal.RENEW, Renewal.REPEAT), "locked out for good"
