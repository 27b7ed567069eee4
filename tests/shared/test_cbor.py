"""The CBOR profile (SPEC 1.2): what is written, what is read, and how each thing outside of it is refused."""

import json

from feeding import refusal, three_ways

from citymote_protocol.cbor import Pairs, Reader, Writer, dumps, loads, put_head
from citymote_protocol.errors import EncodeError

HEAP = "200k"  # the RFC's vectors are larger than what a node holds


def _cases():
    with open("protocol/vectors/cbor-rfc8949.json") as file:
        return json.load(file)["cases"]


def _plain(value):
    """Byte strings as hexadecimal, as the vectors have them."""
    if isinstance(value, bytes):
        return "h'" + "".join("%02x" % byte for byte in value) + "'"
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def test_examples_of_the_rfc_inside_the_profile_decode():
    for case in _cases():
        if "error" not in case:
            raw = bytes.fromhex(case["hex"])
            got = _plain(three_ways(loads, raw, case["hex"]))
            assert got == case["value"], "%s: %r" % (case["hex"], got)


def test_examples_of_the_rfc_outside_the_profile_are_refused_by_name():
    for case in _cases():
        if "error" in case:
            code = refusal(loads, bytes.fromhex(case["hex"]))
            assert code == case["error"], "%s: %s, not %s" % (case["hex"], code, case["error"])


def test_heads_are_shortest_at_every_boundary():
    for number, wanted in (
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (255, "18ff"),
        (256, "190100"),
        (65535, "19ffff"),
        (65536, "1a00010000"),
        (0xFFFFFFFF, "1affffffff"),
        (0x100000000, "1b0000000100000000"),
        (0xFFFFFFFFFFFFFFFF, "1bffffffffffffffff"),
        (-1, "20"),
        (-24, "37"),
        (-25, "3818"),
        (-256, "38ff"),
        (-257, "390100"),
        (-0x10000000000000000, "3bffffffffffffffff"),
    ):
        raw = dumps(number)
        assert raw == bytes.fromhex(wanted), "%d gave %r" % (number, raw)
        assert three_ways(loads, raw) == number


def test_longer_heads_are_refused_for_every_major_type():
    for major in range(7):
        for info, number in ((24, 0), (24, 23), (25, 255), (26, 65535), (27, 0xFFFFFFFF)):
            size = 1 << (info - 24)
            raw = bytes([major << 5 | info]) + number.to_bytes(size, "big")
            assert refusal(loads, raw + bytes(8)) == "not_shortest", raw


def test_values_come_back():
    for value in (None, True, False, "", "grün", "\U0001f32b", b"", b"\x00\xff", [], [1, [2, [3]]], ["a", None, -7]):
        assert three_ways(loads, dumps(value)) == value


def test_maps_are_written_in_the_order_of_their_bytes():
    raw = dumps(Pairs([(24, "c"), (-1, "d"), (1, "a"), ("a", "e"), (10, "b")]))
    assert raw == bytes.fromhex("a50161610a616218186163206164616161" + "65"), raw
    assert loads(raw) == [(1, "a"), (10, "b"), (24, "c"), (-1, "d"), ("a", "e")]


def test_a_claimed_length_is_held_against_limit_and_bytes_before_anything_is_read():
    for raw, code in (
        ("5affffffff", "truncated"),
        ("7bffffffffffffffff", "truncated"),
        ("9affffffff", "truncated"),
        ("bbffffffffffffffff", "truncated"),
        ("a201", "truncated"),
    ):
        assert refusal(loads, bytes.fromhex(raw)) == code, raw
    assert refusal(lambda data: Reader(data).bytes(4), bytes.fromhex("450102030405")) == "too_long"
    assert refusal(lambda data: Reader(data).text(4), bytes.fromhex("656162636465")) == "too_long"
    assert refusal(lambda data: Reader(data).array(4), bytes.fromhex("85")) == "too_long"
    assert refusal(lambda data: Reader(data).map(4), bytes.fromhex("a5")) == "too_long"


def test_nesting_has_a_limit():
    assert loads(b"\x81\x81\x81\x81\x00") == [[[[0]]]]
    assert refusal(loads, b"\x81\x81\x81\x81\x80") == "depth"
    assert refusal(loads, b"\x81" * 1000) == "depth"


def test_text_is_strict_utf8_without_control_characters():
    for raw in ("ff", "80", "c0af", "c1bf", "e080af", "eda080", "f08080af", "f4908080", "f5808080", "e282", "c3"):
        text = bytes.fromhex(raw)
        assert refusal(loads, bytes([0x60 | len(text)]) + text) == "text", raw
    for raw in ("00", "1f", "7f", "0a", "c280", "c29f"):
        text = bytes.fromhex(raw)
        assert refusal(loads, bytes([0x60 | len(text)]) + text) == "text", raw
    for word in ("\x20", "\xa0", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff"):
        assert loads(dumps(word)) == word


def test_each_expectation_names_what_came_instead():
    for read, raw, code in (
        (lambda reader: reader.uint(), "20", "type"),
        (lambda reader: reader.uint(9), "0a", "range"),
        (lambda reader: reader.integer(-5, 5), "25", "range"),
        (lambda reader: reader.integer(-5, 5), "40", "type"),
        (lambda reader: reader.boolean(), "f6", "type"),
        (lambda reader: reader.tag(16), "d1", "tag"),
        (lambda reader: reader.key(3), "03", "duplicate_key"),
        (lambda reader: reader.key(3), "02", "key_order"),
    ):
        data = bytes.fromhex(raw)
        assert refusal(lambda each, read=read: read(Reader(each)), data) == code, raw


def test_a_writer_without_room_says_so_and_writes_nothing_behind_its_end():
    for value in (24, "text", b"bytes", [1, 2, 3]):
        whole = dumps(value)
        for size in range(len(whole)):
            writer = Writer(bytearray(size))
            try:
                writer.item(value)
            except EncodeError as error:
                assert error.code == "no_room", error.code
            else:
                raise AssertionError("%r fits %d bytes" % (value, size))
        writer = Writer(bytearray(len(whole)))
        writer.item(value)
        assert bytes(writer.view()) == whole


def test_put_head_returns_the_position_behind():
    buf = bytearray(12)
    assert put_head(buf, 1, 0, 1000) == 4
    assert bytes(buf[:5]) == b"\x00\x19\x03\xe8\x00"
