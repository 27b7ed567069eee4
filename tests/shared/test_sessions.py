"""Sessions under both interpreters: EDHOC over CoAP into OSCORE, the limits on it, the claim, delegations."""

from coap_world import Source, TimedOut, World, crypto

from citymote_protocol import ccs, claim, coap, delegation, edhoc, limiter, sign1
from citymote_protocol.coap_client import request, request_steps
from citymote_protocol.coap_server import OPEN, Server
from citymote_protocol.edhoc import EdhocError
from citymote_protocol.edhoc_initiator import Initiator, read_error
from citymote_protocol.errors import FrameError
from citymote_protocol.handshake import PATH, Handshakes
from citymote_protocol.handshake_client import Busy, Renewal, handshake_steps
from citymote_protocol.limiter import Limiter
from citymote_protocol.oscore_client import Unprotected
from citymote_protocol.p256 import run
from citymote_protocol.sessions import Sessions

# Both ends and everything that is under way between them are in one heap here.
HEAP = "200k"

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


def _initiator(by_value=True, key=HOST, c_i=b"\x00", pair=OTHER):
    # The pair is used for more than one session only because this is a test.
    return Initiator(HOST_CRYPTO, key[0], ccs.write(b"h", key[1]), b"h", pair, c_i, by_value=by_value)


def _label(kid, credential):
    """What a host with the label expects."""
    return NODE_CREDENTIAL if kid == KID else None


def _connect(world, peer="c", initiator=None, expected=_label):
    """(Keys, OSCORE context) of the host's side."""
    keys = world.run(peer, handshake_steps(initiator or _initiator(), expected))
    return keys, keys.oscore(True)


def _ask(world, context, message, peer="c"):
    return world.run(peer, request_steps(HOST_CRYPTO, context, message, world.room))


def _claim(world, keys, context, owner=OWNER, secret=SECRET, peer="c"):
    tag = claim.claim_tag(HOST_CRYPTO, claim.claim_key(HOST_CRYPTO, secret), claim.exported(keys), owner)
    return _ask(world, context, request(coap.POST, "claim", claim.write(owner, tag)), peer)


def test_from_nothing_to_a_claim_in_three_round_trips():
    node = Node()
    world = World(node.server)
    keys, context = _connect(world)
    assert _ask(world, context, request(coap.GET, "who")).code == coap.FORBIDDEN, "a session alone gives no rights"
    assert _claim(world, keys, context).code == coap.CHANGED
    assert node.owner == OWNER
    assert _ask(world, context, request(coap.GET, "who")).payload == b"'owner'"
    assert world.sent == [5, 5]


def test_sizes_of_the_messages():
    node = Node()
    world = World(node.server)
    sizes = []
    world.change = lambda up, data: sizes.append(len(data)) or data
    _connect(world)
    # header 4, token 2, path or format, marker; then true and 37 bytes, 51, C_R and 67, 9 bytes of EDHOC
    assert sizes == [63, 60, 94, 18], sizes


def test_the_handshake_over_the_narrowest_link():
    """An indication of 61 bytes: message_2 has to fit, because whole is the only way it comes."""
    node = Node()
    world = World(node.server, room=60)
    world.change = lambda up, data: data if up or len(data) - 4 <= 60 else None
    keys, context = _connect(world)
    assert _claim(world, keys, context).code == coap.CHANGED


def test_a_claim_again_by_the_same_owner_succeeds_and_by_another_not():
    node = Node()
    world = World(node.server)
    keys, context = _connect(world)
    assert _claim(world, keys, context).code == coap.CHANGED
    world.idle(3000)
    keys, context = _connect(world, "d")
    assert _claim(world, keys, context, peer="d").code == coap.CHANGED
    world.idle(3000)
    keys, context = _connect(world, "e")
    other = b"\x03" + bytes(32)
    assert _claim(world, keys, context, other, peer="e").code == coap.FORBIDDEN
    assert node.owner == OWNER


def test_a_claim_without_the_secret_or_from_another_session_is_refused():
    node = Node()
    world = World(node.server)
    keys, context = _connect(world)
    answer = _claim(world, keys, context, secret=bytes(16))
    assert (answer.code, answer.payload) == (coap.BAD_REQUEST, b"claim")
    world.idle(3000)
    _, context_2 = _connect(world)
    assert _claim(world, keys, context_2).code == coap.BAD_REQUEST, "T of another session"
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
            _connect(world, expected=expected)
            raise AssertionError("a stranger was trusted")
        except EdhocError as error:
            assert error.code in (edhoc.MAC, edhoc.UNKNOWN)
        assert not node.limiter.pending((world.link, "c"), world.now), "the node still waits"
        world.idle(3000)
    assert node.sessions._stranger is None


def test_known_credentials_come_by_reference_and_are_admitted_at_once():
    node = Node({b"h": ccs.write(b"h", HOST[1])})
    world = World(node.server)
    _, context = _connect(world, initiator=_initiator(False))
    assert _ask(world, context, request(coap.GET, "who")).payload == b"b'h'"
    assert not node.limiter.pending((world.link, "c"), world.now)


def test_a_key_id_that_the_node_does_not_know():
    node = Node()
    world = World(node.server)
    try:
        _connect(world, initiator=_initiator(False))
        raise AssertionError("taken")
    except EdhocError as error:
        assert error.code == edhoc.REFUSED and "unknown credential" in str(error)


def test_on_a_link_with_forgeable_addresses_the_first_message_needs_an_echo():
    node = Node()
    world = World(node.server, needs_echo=True)
    keys, context = _connect(world)
    assert world.sent == [3, 3] and node.shakes.count == 1
    assert _claim(world, keys, context).code == coap.CHANGED


def test_a_flood_of_first_messages_reaches_no_arithmetic_without_an_echo():
    node = Node()
    world = World(node.server, needs_echo=True)
    for i in range(50):
        payload = b"\xf5" + _initiator().message_1()
        node.server.submit(world.link, "f%d" % i, request(coap.POST, PATH, payload), world.now)
        while node.server.step(world.now):
            pass
    assert node.shakes.count == 0 and node.limiter.wait("x", world.now) == 0


def test_a_context_that_is_gone_after_a_power_cut_is_made_again():
    node = Node()
    world = World(node.server)
    keys, context = _connect(world)
    _claim(world, keys, context)
    again = Node()
    again.owner = node.owner
    world.server = again.server
    try:
        _ask(world, context, request(coap.GET, "who"))
        raise AssertionError("the context outlived the node")
    except Unprotected as error:
        assert error.answer == coap.UNAUTHORIZED
    keys, context = _connect(world)
    assert _claim(world, keys, context).code == coap.CHANGED
    assert _ask(world, context, request(coap.GET, "who")).payload == b"'owner'"


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


# Limits on strangers


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
    steps = handshake_steps(_initiator(), _label)
    world.exchange("c", next(steps))
    assert node.shakes._responder is not None
    try:
        _connect(world, "d")
        raise AssertionError("two handshakes at once")
    except Busy as busy:
        assert 18 <= busy.seconds <= 20
    world.now += 20_000
    keys, context = _connect(world, "d")
    assert _claim(world, keys, context, peer="d").code == coap.CHANGED


def test_a_session_without_a_claim_is_dropped_after_its_time():
    node = Node()
    world = World(node.server)
    keys, context = _connect(world)
    assert _ask(world, context, request(coap.GET, "who")).code == coap.FORBIDDEN
    world.now += 20_000
    node.shakes.tick(world.now)
    try:
        _claim(world, keys, context)
        raise AssertionError("the session was still there")
    except Unprotected:
        pass
    assert node.sessions._stranger is None and node.limiter.wait("x", world.now) == 0


def test_what_a_lost_connection_had_begun_keeps_nobody_waiting():
    node = Node()
    world = World(node.server)
    world.exchange("c", next(handshake_steps(_initiator(), _label)))
    link, peer = node.shakes._peer
    node.shakes.gone(link, "another")
    assert node.shakes.pending
    node.shakes.gone(link, peer)
    assert not node.shakes.pending
    world.now += 2_000
    _connect(world, "d")
    node.shakes.gone(*node.shakes._peer)
    assert node.sessions._stranger is None, "a session without a claim"
    world.now += 2_000
    keys, context = _connect(world, "e")
    assert _claim(world, keys, context, peer="e").code == coap.CHANGED
    node.shakes.gone(*node.shakes._peer)
    assert _ask(world, context, request(coap.GET, "who")).code == coap.CONTENT, "one with rights outlives connections"


def test_a_second_stranger_takes_the_place_of_the_first():
    node = Node()
    world = World(node.server)
    _, first = _connect(world)
    world.idle(2500)
    keys, second = _connect(world)
    try:
        _ask(world, first, request(coap.GET, "who"))
        raise AssertionError("two strangers at once")
    except Unprotected:
        pass
    assert _claim(world, keys, second).code == coap.CHANGED


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
        contexts.append(_connect(world, "p%d" % i, initiator)[1])
        if i == 2:
            assert _ask(world, contexts[0], request(coap.GET, "who")).code == coap.CONTENT
    assert len(ended) == 1
    for i, context in enumerate(contexts):
        try:
            _ask(world, context, request(coap.GET, "who"))
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
    steps = handshake_steps(_initiator(), _label)
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
                keys, context = _connect(world)
                assert _claim(world, keys, context).code == coap.CHANGED
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
            keys, context = _connect(world)
            _claim(world, keys, context)
            raise AssertionError("nothing was killed")
        except TimedOut:
            pass
        assert (node.owner is None) == (killed < 6), killed
        world.change = None
        world.air = []
        world.now += 25_000
        node.shakes.tick(world.now)
        keys, context = _connect(world, "d")
        assert _claim(world, keys, context, peer="d").code == coap.CHANGED, killed


# Delegations. The signatures are of the key of RFC 6979's example; what they are over is checked by the vectors.


def _claims(**changes):
    made = {
        "issuer": "aabbccddeeff",
        "audience": ["1b2c0f41ac8a", "site:harbour"],
        "exp": 1_795_000_000,
        "nbf": 1_794_000_000,
        "cti": b"12345678",
        "x": HOST[1][1:],
        "scope": "installer",
        "epoch": 3,
        "nonce": None,
    }
    made.update(changes)
    found = delegation.Delegation()
    for name, value in made.items():
        setattr(found, name, value)
    return found


NOW = 1_794_500_000 - 946_684_800


def _judge(found, **changes):
    given = {
        "issuer": "aabbccddeeff",
        "node": "1b2c0f41ac8a",
        "site": None,
        "epoch": 3,
        "x": HOST[1][1:],
        "now": NOW,
        "nonce": None,
    }
    given.update(changes)
    try:
        return delegation.judge(
            found,
            given["issuer"],
            given["node"],
            given["site"],
            given["epoch"],
            given["x"],
            given["now"],
            given["nonce"],
        )
    except FrameError as error:
        return error.code


def test_whom_a_delegation_gives_what():
    good = _claims()
    assert _judge(good) == "installer"
    assert _judge(good, epoch=2) == "installer" and _judge(good, epoch=4) == delegation.EPOCH
    assert _judge(good, issuer="000000000000") == delegation.ISSUER
    assert _judge(good, node="000000000001") == delegation.AUDIENCE
    assert _judge(good, node="000000000001", site="harbour") == "installer"
    assert _judge(good, node="000000000001", site="hill") == delegation.AUDIENCE
    assert _judge(good, x=OTHER[1][1:]) == delegation.CONFIRMATION
    assert _judge(_claims(scope="god")) == delegation.SCOPE
    for role in delegation.ROLES:
        assert _judge(_claims(scope=role)) == role


def test_calendar_limits_count_only_against_time_that_the_owner_signed():
    good = _claims()
    late, early = 1_795_000_000 - 946_684_800, 1_793_999_999 - 946_684_800
    assert _judge(good, now=late) == delegation.EXPIRED and _judge(good, now=late - 1) == "installer"
    assert _judge(good, now=early) == delegation.EARLY and _judge(good, now=early + 1) == "installer"
    assert _judge(good, now=None) == "installer", "without such a time the epoch is what revokes"
    assert _judge(_claims(nbf=None), now=early) == "installer"


def test_a_delegation_for_a_nonce_is_good_for_that_alone():
    bound = _claims(nonce=b"nonce123")
    assert _judge(bound, nonce=b"nonce123") == "installer"
    assert _judge(bound, nonce=b"nonce124") == delegation.NONCE and _judge(bound) == delegation.NONCE
    assert _judge(_claims(), nonce=b"nonce123") == "installer"


def _cwt():
    """The claims of `_claims`, as they are written."""
    return (
        b"\xa8\x01\x6caabbccddeeff\x03\x82\x6c1b2c0f41ac8a\x6csite:harbour"
        b"\x04\x1a\x6a\xfd\x62\xc0\x05\x1a\x6a\xee\x20\x80\x07\x4812345678"
        b"\x08\xa1\x01\xa3\x01\x02\x20\x01\x21\x58\x20" + HOST[1][1:] + b"\x09\x69installer\x3a\x00\x01\x00\x00\x03"
    )


def test_the_claims_are_read_strictly():
    found = delegation.read(_cwt())
    good = _claims()
    for name in ("issuer", "audience", "cti", "x", "scope", "epoch", "nonce"):
        assert getattr(found, name) == getattr(good, name), name
    data = _cwt()
    for end in range(len(data)):
        try:
            delegation.read(data[:end])
            raise AssertionError("%d bytes were read" % end)
        except FrameError as error:
            assert error.code == "truncated", end
    for old, new, code in (
        (b"\x07\x48", b"\x06\x48", "critical"),
        (b"\x01\x6caabb", b"\x00\x6caabb", "critical"),
        (b"\x20\x01\x21", b"\x20\x02\x21", "range"),
        (b"\x01\xa3\x01\x02", b"\x01\xa3\x01\x01", "range"),
        (b"\x3a\x00\x01\x00\x00\x03", b"\x3a\x00\x01\x00\x01\x03", "range"),
        (b"\x04\x1a", b"\x03\x1a", "key_order"),
        (b"\x09\x69installer", b"\x09\x49installer", "type"),
    ):
        try:
            delegation.read(data.replace(old, new))
            raise AssertionError(old.hex())
        except FrameError as error:
            assert error.code == code, "%s gave %s" % (old.hex(), error.code)
    for cut, pairs in ((b"\x07\x4812345678", 7), (b"\x09\x69installer", 7)):
        try:
            delegation.read(bytes((0xA0 + pairs,)) + data.replace(cut, b"")[1:])
            raise AssertionError(cut.hex())
        except FrameError as error:
            assert error.code == "missing"


def test_the_envelope_of_a_statement_is_one_form_only():
    good = sign1.write(b"payload", bytes(64))
    assert good == b"\xd2\x84\x43\xa1\x01\x28\xa0\x47payload\x58\x40" + bytes(64)
    for data, code in (
        (good[1:], "type"),
        (b"\xd1" + good[1:], "tag"),
        (good.replace(b"\xa1\x01\x28", b"\xa1\x01\x26"), sign1.HEADER),
        (good.replace(b"\x28\xa0", b"\x28\xa1\x04\x40"), "too_long"),
        (good + b"\0", "trailing"),
        (good[:-1], "truncated"),
        (good[:-66] + b"\x40", sign1.SIGNATURE),
        (good, sign1.SIGNATURE),
    ):
        try:
            run(sign1.open_steps(HOST_CRYPTO, data, HOST[1], b"test"))
            raise AssertionError(data[:8].hex())
        except FrameError as error:
            assert error.code == code, "%s gave %s" % (data[:8].hex(), error.code)


def test_the_purpose_is_signed_too():
    one = sign1.to_be_signed(b"p", b"citymote delegation 1")
    assert one == b"\x84\x6aSignature1\x43\xa1\x01\x28\x55citymote delegation 1\x41p"
    assert one != sign1.to_be_signed(b"p", b"citymote transfer 1")
