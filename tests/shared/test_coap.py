"""CoAP messages under both interpreters: RFC 7252's examples byte for byte, every way of being wrong, both ways."""

from feeding import Chance, refusal

from citymote_protocol import coap, coap_udp
from citymote_protocol.coap import Message
from citymote_protocol.errors import EncodeError, FrameError

# RFC 7252, appendix A, figures 16 and 17
GET = b"\x40\x01\x7d\x34\xbbtemperature"
ANSWER = b"\x60\x45\x7d\x34\xff22.3 C"
GET_TOKEN = b"\x41\x01\x7d\x35\x20\xbbtemperature"
ANSWER_TOKEN = b"\x61\x45\x7d\x35\x20\xff22.3 C"


def test_the_examples_of_rfc_7252_read():
    kind, mid, message = coap_udp.decode(GET)
    assert (kind, mid, message.code, message.token) == (coap_udp.CON, 0x7D34, coap.GET, b"")
    assert message.options == [(coap.URI_PATH, b"temperature")] and message.payload == b""
    assert message.path() == "temperature" and len(GET) == 16 and len(ANSWER) == 11
    kind, mid, message = coap_udp.decode(ANSWER_TOKEN)
    assert (kind, mid, message.code, message.token) == (coap_udp.ACK, 0x7D35, coap.CONTENT, b"\x20")
    assert message.options == [] and message.payload == b"22.3 C"


def test_the_examples_of_rfc_7252_are_written():
    for data in (GET, ANSWER, GET_TOKEN, ANSWER_TOKEN):
        kind, mid, message = coap_udp.decode(data)
        assert coap_udp.encode(kind, mid, message) == data, data.hex()


def test_every_form_of_delta_and_length_survives():
    sizes = (0, 1, 12, 13, 14, 268, 269, 270, 700)
    for first in (0, 1, 12, 13, 268, 269, 300, 65535):
        for size in sizes:
            options = [(first, bytes(size))]
            message = Message(coap.PUT, b"token", options, b"x")
            data = coap_udp.encode(coap_udp.NON, 7, message)
            assert len(data) == 4 + len(message.token) + coap.body_size(message), (first, size)
            again = coap_udp.decode(data)[2]
            assert again.options == options and again.payload == b"x", (first, size)


def test_extended_forms_are_the_shortest():
    # 3.1: 13 means one byte more, 14 two
    for number, head in ((12, b"\xc0"), (13, b"\xd0\x00"), (268, b"\xd0\xff"), (269, b"\xe0\x00\x00")):
        out = bytearray()
        coap.write_options(out, [(number, b"")], b"")
        assert bytes(out) == head, number


def test_options_of_one_number_keep_their_order():
    options = coap.path_options("b/a/c")
    coap.put_option(options, coap.URI_HOST, b"host")
    coap.put_option(options, coap.URI_PATH, b"0")
    coap.put_option(options, coap.MAX_AGE, b"")
    data = coap_udp.encode(coap_udp.CON, 1, Message(coap.GET, b"", options))
    message = coap_udp.decode(data)[2]
    assert message.path() == "b/a/c/0" and message.option(coap.URI_HOST) == b"host"


def test_integers_are_written_without_leading_zeros():
    for number, raw in ((0, b""), (1, b"\x01"), (255, b"\xff"), (256, b"\x01\x00"), (0xFFFFFF, b"\xff\xff\xff")):
        assert coap.uint_bytes(number) == raw
        message = Message(coap.GET, b"", [(coap.MAX_AGE, raw)])
        assert message.uint(coap.MAX_AGE) == number
    # leading zeros are read all the same (3.2)
    assert Message(coap.GET, b"", [(coap.MAX_AGE, b"\x00\x01")]).uint(coap.MAX_AGE) == 1
    assert Message(coap.GET).uint(coap.MAX_AGE) is None


BAD = (
    (b"", "truncated"),
    (b"\x40\x01\x00", "truncated"),
    (b"\x00\x01\x00\x00", "coap_version"),
    (b"\x80\x01\x00\x00", "coap_version"),
    (b"\xc0\x01\x00\x00", "coap_version"),
    (b"\x49\x01\x00\x00123456789", "token_length"),
    (b"\x4f\x01\x00\x00" + bytes(15), "token_length"),
    (b"\x44\x01\x00\x00123", "truncated"),
    (b"\x41\x00\x00\x00x", "empty_message"),
    (b"\x40\x00\x00\x00\xff", "empty_message"),
    (b"\x40\x20\x00\x00", "code_class"),
    (b"\x40\xc0\x00\x00", "code_class"),
    (b"\x40\xff\x00\x00", "code_class"),
    (b"\x40\x01\x00\x00\xff", "marker"),
    (b"\x40\x01\x00\x00\xb1a\xff", "marker"),
    (b"\x40\x01\x00\x00\xf0", "option_head"),
    (b"\x40\x01\x00\x00\x0f", "option_head"),
    (b"\x40\x01\x00\x00\xfe\x00\x00", "option_head"),
    (b"\x40\x01\x00\x00\xd0", "truncated"),
    (b"\x40\x01\x00\x00\xe0\x00", "truncated"),
    (b"\x40\x01\x00\x00\x0d", "truncated"),
    (b"\x40\x01\x00\x00\x0e\x00", "truncated"),
    (b"\x40\x01\x00\x00\xb2a", "truncated"),
    (b"\x40\x01\x00\x00\xbe\xff\xff" + bytes(100), "truncated"),
    (b"\x40\x01\x00\x00\xe0\xff\xff", "option_number"),
    (b"\x40\x01\x00\x00\xe0\xfe\xf2\x10", "option_number"),
    (b"\x40\x01\x00\x00" + b"\x00" * 25, "options"),
    (b"\x40\x01\x00\x00\xff" + bytes(1148), "too_large"),
)


def test_every_way_of_being_wrong_has_its_code():
    for data, code in BAD:
        found = refusal(coap_udp.decode, data)
        assert found == code, "%s gave %s instead of %s" % (data[:12].hex(), found, code)


def test_the_limits_themselves_are_allowed():
    assert len(coap_udp.decode(b"\x40\x01\x00\x00" + b"\x00" * 24)[2].options) == 24
    assert len(coap_udp.decode(b"\x40\x01\x00\x00\xff" + bytes(1147))[2].payload) == 1147
    assert coap_udp.decode(b"\x40\x01\x00\x00\xe0\xfe\xf2")[2].options == [(65535, b"")]
    assert coap_udp.decode(b"\x48\x01\x00\x0012345678")[2].token == b"12345678"


def test_a_length_is_held_against_the_bytes_before_memory_is_taken():
    # 65804 bytes announced, none there
    assert refusal(coap_udp.decode, b"\x40\x01\x00\x00\xbe\xff\xff") == "truncated"


def test_what_cannot_be_said_is_not_written():
    for options, payload, code in (
        ([(11, b"a"), (3, b"h")], b"", "option_number"),
        ([], bytes(1200), "too_large"),
    ):
        try:
            coap_udp.encode(coap_udp.CON, 0, Message(coap.GET, b"", options, payload))
            raise AssertionError(code + " was written")
        except EncodeError as error:
            assert error.code == code


def test_damaged_messages_are_refused_or_read_and_never_crash():
    chance = Chance(7252)
    good = coap_udp.encode(
        coap_udp.CON,
        0x1234,
        Message(coap.POST, b"tok", coap.path_options("a/bc") + [(12, b"\x3c"), (252, bytes(12))], b"payload"),
    )
    codes = set()
    for round in range(1500):
        data = bytearray(good)
        for _ in range(1 + chance.below(4)):
            data[chance.below(len(data))] = chance.below(256)
        if round % 3 == 0:
            data = data[: chance.below(len(data))]
        try:
            kind, mid, message = coap_udp.decode(bytes(data))
        except FrameError as error:
            codes.add(error.code)
            continue
        # What was read can be written; that gives the same message, in its shortest form.
        written = coap_udp.encode(kind, mid, message)
        again = coap_udp.decode(written)[2]
        assert (again.code, again.token, again.options, again.payload) == (
            message.code,
            message.token,
            message.options,
            message.payload,
        )
    assert codes >= {"truncated", "coap_version", "token_length", "option_head", "code_class"}, codes
