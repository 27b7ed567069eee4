"""OSCORE under both interpreters: RFC 8613's appendix C byte for byte, refusals, replays, notifications, wear."""

import sys

from feeding import Chance

from citymote_protocol import coap, coap_udp, oscore, oscore_server
from citymote_protocol.coap import Message
from citymote_protocol.coap_client import request
from citymote_protocol.errors import EncodeError, FrameError
from citymote_protocol.oscore_client import Unprotected, protect_request
from citymote_protocol.oscore_derive import derive, info
from citymote_protocol.oscore_server import open_request

if sys.implementation.name == "micropython":
    from node.crypto import NodeCrypto as Crypto
else:
    from citymote.crypto import HostCrypto as Crypto

CRYPTO = Crypto(None)


def _hex(text):
    return bytes.fromhex(text)


SECRET = _hex("0102030405060708090a0b0c0d0e0f10")
SALT = _hex("9e7ca92223786340")
ABOUT = _hex("37cbf3210017a2d3")

# Appendix C.1 to C.3: salt, sender, recipient, ID context -> infos, keys, IV, nonces for Partial IV 0
DERIVATIONS = (
    (
        (SALT, "", "01", None),
        ("8540f60a634b657910", "854101f60a634b657910", "8540f60a6249560d"),
        ("f0910ed7295e6ad4b54fc793154302ff", "ffb14e093c94c9cac9471648b4f98710", "4622d4dd6d944168eefb54987c"),
        ("4622d4dd6d944168eefb54987c", "4722d4dd6d944169eefb54987c"),
    ),
    (
        (b"", "00", "01", None),
        ("854100f60a634b657910", "854101f60a634b657910", "8540f60a6249560d"),
        ("321b26943253c7ffb6003b0b64d74041", "e57b5635815177cd679ab4bcec9d7dda", "be35ae297d2dace910c52e99f9"),
        ("bf35ae297d2dace910c52e99f9", "bf35ae297d2dace810c52e99f9"),
    ),
    (
        (SALT, "", "01", ABOUT),
        (
            "85404837cbf3210017a2d30a634b657910",
            "8541014837cbf3210017a2d30a634b657910",
            "85404837cbf3210017a2d30a6249560d",
        ),
        ("af2a1300a5e95788b356336eeecd2b92", "e39a0c7c77b43f03b4b39ab9a268699f", "2ca58fb85ff1b81c0b7181b85e"),
        ("2ca58fb85ff1b81c0b7181b85e", "2da58fb85ff1b81d0b7181b85e"),
    ),
)


def _contexts(which):
    """(client's, server's) context of C.1, C.2 or C.3."""
    salt, sender, recipient, about = DERIVATIONS[which][0]
    sender, recipient = _hex(sender), _hex(recipient)
    return derive(CRYPTO, SECRET, salt, sender, recipient, about), derive(
        CRYPTO, SECRET, salt, recipient, sender, about
    )


def _code(function, *arguments):
    try:
        function(*arguments)
    except FrameError as error:
        return error.code
    return None


def test_appendix_c_1_to_3_derivation_on_both_sides():
    for which, (given, infos, keys, nonces) in enumerate(DERIVATIONS):
        about = given[3]
        assert info(_hex(given[1]), about, b"\x63Key", 16) == _hex(infos[0])
        assert info(_hex(given[2]), about, b"\x63Key", 16) == _hex(infos[1])
        assert info(b"", about, b"\x62IV", 13) == _hex(infos[2])
        client, server = _contexts(which)
        for mine, other in ((client, server), (server, client)):
            assert mine.sender_key == other.recipient_key and mine.common_iv == _hex(keys[2])
        assert client.sender_key == _hex(keys[0]) and client.recipient_key == _hex(keys[1])
        assert oscore.nonce(client.common_iv, client.sender_id, b"\0") == _hex(nonces[0])
        assert oscore.nonce(client.common_iv, client.recipient_id, b"\0") == _hex(nonces[1])


# Appendix C.4 to C.6: context, unprotected, AAD, option, protected
REQUESTS = (
    (
        0,
        "44015d1f00003974396c6f63616c686f737483747631",
        "8368456e63727970743040488501810a40411440",
        "0914",
        "44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e",
    ),
    (
        1,
        "440171c30000b932396c6f63616c686f737483747631",
        "8368456e63727970743040498501810a4100411440",
        "091400",
        "440271c30000b932396c6f63616c686f737463091400ff4ed339a5a379b0b8bc731fffb0",
    ),
    (
        2,
        "44012f8eef9bbf7a396c6f63616c686f737483747631",
        "8368456e63727970743040488501810a40411440",
        "19140837cbf3210017a2d3",
        "44022f8eef9bbf7a396c6f63616c686f73746b19140837cbf3210017a2d3ff72cd7273fd331ac45cffbe55c3",
    ),
)


def _protect(which, plain):
    client, server = _contexts(which)
    client.sequence = 20
    kind, mid, message = coap_udp.decode(plain)
    outer, question = protect_request(CRYPTO, client, message, which == 2)
    return coap_udp.encode(kind, mid, outer), question, server


def test_appendix_c_4_to_6_requests_are_protected():
    for which, plain, aad, option, protected in REQUESTS:
        data, question, _ = _protect(which, _hex(plain))
        assert data == _hex(protected), data.hex()
        assert oscore.additional(question.context.sender_id, b"\x14") == _hex(aad)
        assert coap_udp.decode(data)[2].option(coap.OSCORE) == _hex(option)


def test_appendix_c_4_to_6_requests_are_opened():
    for which, plain, _, _, protected in REQUESTS:
        _, server = _contexts(which)
        asked = []

        def find(kid, kid_context, server=server, asked=asked):
            asked.append((kid, kid_context))
            return server

        kind, mid, outer = coap_udp.decode(_hex(protected))
        inner, binding = open_request(CRYPTO, find, outer)
        assert coap_udp.encode(kind, mid, inner) == _hex(plain)
        assert asked == [(server.recipient_id, ABOUT if which == 2 else None)]
        assert server.newest == 20 and binding.piv == b"\x14"


# Appendix C.7 and C.8
ANSWER = _hex("64455d1f00003974ff48656c6c6f20576f726c6421")
PROTECTED_7 = _hex("64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106")
PROTECTED_8 = _hex("64445d1f00003974920100ff4d4c13669384b67354b2b6175ff4b8658c666a6cf88e")


def test_appendix_c_7_and_8_responses_both_ways():
    for number, protected in ((7, PROTECTED_7), (8, PROTECTED_8)):
        _, question, server = _protect(0, _hex(REQUESTS[0][1]))
        outer = coap_udp.decode(_hex(REQUESTS[0][4]))[2]
        _, binding = open_request(CRYPTO, lambda kid, context, server=server: server, outer)
        binding.first = number == 7  # in C.8 the server takes a number of its own
        kind, mid, answer = coap_udp.decode(ANSWER)
        assert coap_udp.encode(kind, mid, binding.protect(CRYPTO, answer)) == protected, number
        opened = question.open(CRYPTO, coap_udp.decode(protected)[2])
        assert coap_udp.encode(kind, mid, opened) == ANSWER, number


def test_option_values_that_section_6_1_does_not_allow():
    for value in ("00", "06", "07", "20", "40", "80", "01", "020102"[:4], "10", "1005aa", "0100ff", "020001", "e90000"):
        assert _code(oscore.read_option, _hex(value)) == oscore.OPTION, value
    for value, read in (
        ("", (None, None, None)),
        ("0914", (b"\x14", b"", None)),
        ("091400", (b"\x14", b"\x00", None)),
        ("0100", (b"\x00", None, None)),
        ("19140837cbf3210017a2d3", (b"\x14", b"", ABOUT)),
        ("0dffffffffffaa", (b"\xff" * 5, b"\xaa", None)),
        ("08aabb", (None, b"\xaa\xbb", None)),
    ):
        assert oscore.read_option(_hex(value)) == read, value


class _Pair:
    """A client and a server that have one context."""

    def __init__(self):
        self.client, self.server = _contexts(1)

    def ask(self, message):
        return protect_request(CRYPTO, self.client, message)

    def open(self, outer):
        return open_request(CRYPTO, lambda kid, about: self.server if kid == b"\x00" else None, outer)


def _post(payload=b"body", options=()):
    return request(coap.POST, "config", payload, options)


def test_what_is_protected_is_not_seen_outside_and_comes_out_whole():
    pair = _Pair()
    message = _post(b"secret", [(coap.URI_HOST, b"h"), (coap.CONTENT_FORMAT, b"\x3c"), (coap.ECHO, b"e"), (5, b"")])
    outer, question = pair.ask(message)
    assert [number for number, _ in outer.options] == [coap.URI_HOST, coap.OSCORE] and outer.code == coap.POST
    inner, binding = pair.open(outer)
    assert (inner.code, inner.options, inner.payload) == (coap.POST, message.options, b"secret")
    answer = Message(coap.NOT_FOUND, b"", [(coap.MAX_AGE, b"\x05")], b"why")
    protected = binding.protect(CRYPTO, answer)
    assert protected.code == coap.CHANGED and protected.options == [(coap.OSCORE, b"")]
    opened = question.open(CRYPTO, protected)
    assert (opened.code, opened.options, opened.payload) == (coap.NOT_FOUND, answer.options, b"why")


def test_options_and_code_added_outside_are_not_believed():
    pair = _Pair()
    outer, _ = pair.ask(_post())
    coap.put_option(outer.options, coap.IF_MATCH if hasattr(coap, "IF_MATCH") else 1, b"x")
    coap.put_option(outer.options, coap.ETAG, b"x")
    coap.put_option(outer.options, coap.ECHO, b"x")
    outer.code = coap.DELETE
    inner, _ = pair.open(outer)
    assert inner.code == coap.POST and [n for n, _ in inner.options] == [coap.URI_PATH]


def test_each_refusal_has_its_code_and_the_answer_of_section_8_2():
    pair = _Pair()
    good, _ = pair.ask(_post())
    value = good.option(coap.OSCORE)

    def changed(option, payload):
        return Message(good.code, b"t", [(coap.OSCORE, option)], payload)

    flipped = bytearray(good.payload)
    flipped[0] ^= 1
    for message, code, answer, text in (
        (changed(b"\x07" + value[1:], good.payload), oscore.OPTION, coap.BAD_OPTION, b"Failed to decode COSE"),
        (changed(b"\x01\x00", good.payload), oscore.OPTION, coap.BAD_OPTION, b"Failed to decode COSE"),
        (changed(b"\x08\x00", good.payload), oscore.OPTION, coap.BAD_OPTION, b"Failed to decode COSE"),
        (changed(value, b""), oscore.OPTION, coap.BAD_OPTION, b"Failed to decode COSE"),
        (changed(b"\x09\x00\x05", good.payload), oscore.NO_CONTEXT, coap.UNAUTHORIZED, b"Security context not found"),
        (changed(value, bytes(flipped)), oscore.DECRYPTION, coap.BAD_REQUEST, b"Decryption failed"),
        (changed(b"\x09\x01\x00", good.payload), oscore.DECRYPTION, coap.BAD_REQUEST, b"Decryption failed"),
        (changed(value, good.payload[:8]), oscore.DECRYPTION, coap.BAD_REQUEST, b"Decryption failed"),
    ):
        found = _code(pair.open, message)
        assert found == code, "%s instead of %s" % (found, code)
        refusal = oscore_server.refusal(code, b"t")
        assert (refusal.code, refusal.payload, refusal.token) == (answer, text, b"t")
        assert refusal.option(coap.OSCORE) is None and refusal.option(coap.MAX_AGE) == b""
    pair.open(good)
    assert _code(pair.open, good) == oscore.REPLAY
    assert oscore_server.refusal(oscore.REPLAY, b"").code == coap.UNAUTHORIZED


def test_the_replay_window_takes_each_number_once_in_any_order():
    pair = _Pair()
    messages = [pair.ask(_post(b"%d" % i))[0] for i in range(80)]
    order = [0, 5, 3, 1, 4, 2, 36, 37, 6, 5, 4, 70, 39, 38, 79]
    taken = []
    for number in order:
        if _code(pair.open, messages[number]) is None:
            taken.append(number)
    # 36 - 4 = 32 is out of the window, as is 70 - 38; 5 and 4 were there before
    assert taken == [0, 5, 3, 1, 4, 2, 36, 37, 6, 70, 39, 79], taken
    for number in order:
        assert _code(pair.open, messages[number]) == oscore.REPLAY, number


def test_a_forged_message_does_not_move_the_window():
    pair = _Pair()
    first, _ = pair.ask(_post())
    forged = Message(first.code, b"", [(coap.OSCORE, b"\x0b\x00\xff\xff"[:1] + b"\x0f\xff\xff\x00")], first.payload)
    assert _code(pair.open, forged) == oscore.DECRYPTION
    assert pair.server.newest == -1 and pair.server.failures == 1
    assert _code(pair.open, first) is None


def test_an_unprotected_answer_is_never_taken():
    pair = _Pair()
    _, question = pair.ask(_post())
    for code in (coap.UNAUTHORIZED, coap.CONTENT, coap.CHANGED):
        try:
            question.open(CRYPTO, Message(code, b"", [], b"Security context not found"))
            raise AssertionError("taken")
        except Unprotected as error:
            assert error.answer == code and error.code == oscore.UNPROTECTED


def test_answers_of_another_request_do_not_open():
    pair = _Pair()
    first, question_1 = pair.ask(_post(b"1"))
    second, question_2 = pair.ask(_post(b"2"))
    answer_1 = pair.open(first)[1].protect(CRYPTO, Message(coap.CHANGED))
    answer_2 = pair.open(second)[1].protect(CRYPTO, Message(coap.CHANGED))
    assert _code(question_1.open, CRYPTO, answer_2) == oscore.DECRYPTION
    assert _code(question_2.open, CRYPTO, answer_1) == oscore.DECRYPTION
    assert _code(question_1.open, CRYPTO, answer_1) is None
    assert _code(question_1.open, CRYPTO, answer_1) == oscore.REPLAY


def test_a_request_reflected_is_no_answer():
    pair = _Pair()
    outer, question = pair.ask(_post())
    assert _code(question.open, CRYPTO, Message(coap.CHANGED, b"", outer.options, outer.payload)) == oscore.OPTION


def test_notifications_have_numbers_of_their_own_and_only_newer_ones_count():
    pair = _Pair()
    outer, question = pair.ask(request(coap.GET, "live", b"", [(coap.OBSERVE, b"")]))
    assert outer.code == coap.FETCH and outer.option(coap.OBSERVE) == b"", "4.1.3.5: FETCH, and Observe outside too"
    inner, binding = pair.open(outer)
    assert inner.option(coap.OBSERVE) == b""
    sent = []
    for i in range(5):
        answer = Message(coap.CONTENT, b"", [(coap.OBSERVE, coap.uint_bytes(i))], b"%d" % i)
        protected = binding.protect(CRYPTO, answer)
        assert protected.code == coap.CONTENT and protected.option(coap.OBSERVE) == coap.uint_bytes(i)
        sent.append(protected)
    assert sent[0].option(coap.OSCORE) == b"" and sent[1].option(coap.OSCORE) == b"\x01\x00"
    for number, code in ((0, None), (2, None), (1, oscore.REPLAY), (2, oscore.REPLAY), (0, oscore.REPLAY), (4, None)):
        assert _code(question.open, CRYPTO, sent[number]) == code, number
    assert question.open(CRYPTO, binding.protect(CRYPTO, answer)).option(coap.OBSERVE) == b"\x04"


def test_an_observe_nobody_asked_for_is_refused():
    pair = _Pair()
    outer, question = pair.ask(request(coap.GET, "live"))
    _, binding = pair.open(outer)
    answer = binding.protect(CRYPTO, Message(coap.CONTENT, b"", [(coap.OBSERVE, b"")], b""))
    assert _code(question.open, CRYPTO, answer) == oscore.INNER


def test_a_worn_context_says_so_and_uses_no_number_twice():
    pair = _Pair()
    pair.client.sequence = oscore.LIMIT - 1
    last, _ = pair.ask(_post())
    assert _code(pair.open, last) is None and pair.server.newest == oscore.LIMIT - 1
    for _ in range(2):
        try:
            pair.ask(_post())
            raise AssertionError("a number was used twice")
        except EncodeError as error:
            assert error.code == oscore.WORN
    pair = _Pair()
    pair.server.failures = oscore.LIMIT
    assert _code(pair.open, pair.ask(_post())[0]) == oscore.WORN


def test_every_bit_of_a_protected_request_counts():
    pair = _Pair()
    outer, _ = pair.ask(_post(b"four"))
    data = coap_udp.encode(coap_udp.CON, 1, outer)
    for bit in range(32, 8 * len(data)):  # behind the header: token, options, payload
        bad = bytearray(data)
        bad[bit >> 3] ^= 1 << (bit & 7)
        try:
            message = coap_udp.decode(bytes(bad))[2]
        except FrameError:
            continue
        if message.option(coap.OSCORE) is None:
            continue  # no longer a protected message: the server's resources refuse that
        assert _code(pair.open, message) is not None, "bit %d" % bit
    assert pair.server.newest == -1
    assert _code(pair.open, outer) is None


def test_random_messages_are_refused_and_change_nothing_but_a_counter():
    pair = _Pair()
    chance = Chance(8613)
    for _ in range(400):
        size = chance.below(40)
        value = bytes([chance.below(256) for _ in range(chance.below(8))])
        message = Message(coap.POST, b"", [(coap.OSCORE, value)], bytes([chance.below(256) for _ in range(size)]))
        assert _code(pair.open, message) in (oscore.OPTION, oscore.NO_CONTEXT, oscore.DECRYPTION)
    assert pair.server.newest == -1 and pair.server.seen == 0


def test_nothing_secret_is_shown():
    client, _ = _contexts(0)
    shown = repr(client) + str(client)
    assert client.sender_key.hex()[:8] not in shown and repr(client.sender_key)[2:10] not in shown
