"""Frames on a serial line: the check sequence of RFC 1662, escapes, damage, and pieces of any size."""

from citymote_protocol.slipmux import COAP, LIMIT, TEXT, Slipmux, fcs16, frame

MESSAGE = bytes((0x44, 0x01, 0x12, 0x34)) + b"\xc0\xdb\xdc\xdd" + bytes(range(256))


def test_check_sequence():
    # X.25's check value, and the value after the byte that begins a CoAP frame, as other implementations have it
    assert fcs16(b"123456789") ^ 0xFFFF == 0x906E
    assert fcs16(b"\xa9") == 0x374C


def test_what_goes_on_the_line():
    assert frame(TEXT, b"boot") == b"\xc0\x0aboot\xc0"
    data = frame(COAP, b"\x60\x00\x12\xc0")
    assert data[:6] == b"\xc0\xa9\x60\x00\x12\xdb"
    assert data[-1] == 0xC0 and b"\xc0" not in data[1:-1]


def test_whole_byte_by_byte_and_with_noise_around():
    line = frame(TEXT, b"hello") + frame(COAP, MESSAGE)
    wanted = [(TEXT, b"hello"), (COAP, MESSAGE)]
    assert Slipmux().feed(line) == wanted
    reader = Slipmux()
    found = []
    for byte in line:
        found.extend(reader.feed(bytes((byte,))))
    assert found == wanted and reader.dropped == 0
    reader = Slipmux()
    assert reader.feed(b">>> import x\r\n" + line) == wanted, "a prompt's text before it is closed by the first END"
    assert reader.dropped == 1


def test_damage_costs_one_frame():
    good = frame(COAP, MESSAGE)
    for at in range(1, len(good) - 1):
        for flip in (1, 0x80):
            bad = bytearray(good)
            bad[at] ^= flip
            reader = Slipmux()
            found = reader.feed(bad) + reader.feed(good)
            assert found[-1:] == [(COAP, MESSAGE)] and len(found) == 1, "byte %d" % at
    for cut in range(1, len(good)):
        reader = Slipmux()
        assert reader.feed(good[:cut]) == []
        reader.feed(b"\xc0")
        assert reader.feed(good) == [(COAP, MESSAGE)]


def test_nothing_grows_without_end():
    reader = Slipmux()
    reader.feed(b"\xa9" * (LIMIT * 3))
    assert len(reader._body) <= LIMIT
    assert reader.feed(b"\xc0" + frame(TEXT, b"x")) == [(TEXT, b"x")]
    assert reader.dropped == 1


def test_kinds_that_mean_nothing_here_and_empty_frames():
    reader = Slipmux()
    assert reader.feed(b"\xc0\xc0\xc0\xc0") == [] and reader.dropped == 0
    assert reader.feed(b"\xc0\x45\x00\x00\xc0\xa9\xc0\xdb\xc0") == []
    assert reader.dropped == 3
