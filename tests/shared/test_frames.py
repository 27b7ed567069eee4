"""Batch, event, status and descriptor frames: what goes in comes out, forms are chosen by rule, nonsense is refused."""

from array import array
from hashlib import sha256

from feeding import Chance, refusal, three_ways

from citymote_protocol.columns import divisor
from citymote_protocol.errors import EncodeError
from citymote_protocol.frame import (
    Descriptor,
    Encoder,
    decode,
    encode_descriptor,
    encode_event,
    encode_status,
    is_envelope,
)
from citymote_protocol.limits import MAX_VALUE, MIN_VALUE
from citymote_protocol.quality import expand, runs
from citymote_protocol.quantities import ABSENT

HEAP = "160k"  # many encoders, one after the other
NODE = b"\x01\x02\x03\x04\x05\x06"
START = 848000000
ALL_FRAMES = "26092f35c2d651d4939592af9524e05bc34d6404b8672f1a2f4778410fa98063"


def _encode(columns, packed=False, quality=None, times=None, interval=120, node=NODE, size=4096):
    encoder = Encoder(node, tuple((index + 1, 3) for index in range(len(columns))), size)
    rows = [array("i", column) for column in columns]
    count = len(columns[0])
    return bytes(encoder.encode(7, 42, START, 2, interval, count, rows, quality, packed, times))


def _column(chance, count):
    """A column of some shape: still, walking, white, coarse, with gaps, wild."""
    shape = chance.below(7)
    value = chance.below(2000) - 500
    out = []
    absent = False
    for _ in range(count):
        if shape == 1:
            value += chance.below(5) - 2
        elif shape == 2:
            value = 500 + chance.below(400)
        elif shape == 3:
            value = 10 * chance.below(30)
        elif shape == 4 and chance.below(6) == 0:
            value += chance.below(300) - 150
        elif shape == 5:
            value += chance.below(9) - 4
            if chance.below(4) == 0:
                absent = not absent
        elif shape == 6:
            value = chance.below(MAX_VALUE) * (1 if chance.below(2) else -1)
        out.append(ABSENT if absent else value)
    return out


def _refused(make, code, *arguments, **named):
    try:
        make(*arguments, **named)
    except EncodeError as error:
        assert error.code == code, error.code
    else:
        raise AssertionError("encoded: %r %r" % (arguments, named))


def test_any_columns_come_back_plain_and_packed():
    chance = Chance(1)
    for turn in range(60):
        count = 1 + chance.below(20) if turn % 10 else 1 + chance.below(200)
        columns = [_column(chance, count) for _ in range(1 + chance.below(6))]
        for packed in (False, True):
            raw = _encode(columns, packed)
            frame = decode(raw)
            assert (frame.node, frame.epoch, frame.seq, frame.time, frame.clock) == (NODE, 7, 42, START, 2)
            assert (frame.count, frame.interval, frame.times) == (count, 120, None)
            got = [[ABSENT if value is None else value for value in line] for line in frame.values]
            assert got == columns, "turn %d packed %s" % (turn, packed)


def test_the_same_readings_are_the_same_bytes_on_every_interpreter():
    chance = Chance(6)
    digest = sha256()
    for _ in range(40):
        count = 1 + chance.below(30)
        columns = [_column(chance, count) for _ in range(1 + chance.below(4))]
        for packed in (False, True):
            digest.update(_encode(columns, packed))
    got = "".join("%02x" % byte for byte in digest.digest())
    assert got == ALL_FRAMES, "an encoder's choices have changed, or differ between interpreters: " + got


def test_frames_are_refused_when_cut_or_followed():
    chance = Chance(2)
    for _ in range(6):
        columns = [_column(chance, 6) for _ in range(3)]
        for packed in (False, True):
            three_ways(decode, _encode(columns, packed))


def test_the_same_readings_are_the_same_bytes_whatever_was_encoded_before():
    chance = Chance(3)
    encoder = Encoder(NODE, ((1, 0), (2, 0)), 2048)
    columns = [array("i", _column(chance, 20)) for _ in range(2)]
    for packed in (False, True):
        first = bytes(encoder.encode(1, 1, START, 2, 120, 20, columns, None, packed))
        for _ in range(3):
            encoder.encode(1, 1, START, 2, 60, 30, [array("i", _column(chance, 30)) for _ in range(2)], None, packed)
        assert bytes(encoder.encode(1, 1, START, 2, 120, 20, columns, None, packed)) == first


def test_irregular_rows_come_back_plain_and_packed():
    chance = Chance(4)
    for shape in range(4):
        times = [START]
        for _ in range(29):
            gap = 120
            if shape == 0 and chance.below(10) == 0:
                gap = 120 * (1 + chance.below(9))
            elif shape == 1:
                gap = 100 + chance.below(40)
            elif shape == 2:
                gap = 1 + chance.below(100000)
            elif shape == 3 and len(times) == 15:
                gap = 0xFFFFFF
            times.append(times[-1] + gap)
        for packed in (False, True):
            frame = decode(_encode([[5] * 30], packed, times=times))
            assert [frame.time_of(row) for row in range(30)] == times, (shape, packed)


def test_regular_times_are_no_times():
    times = [START + 120 * row for row in range(5)]
    for packed in (False, True):
        assert _encode([[1, 2, 3, 4, 5]], packed, times=times) == _encode([[1, 2, 3, 4, 5]], packed)


def test_quality_comes_back_as_maximal_runs():
    chance = Chance(5)
    for packed in (False, True):
        for _ in range(10):
            codes = [None, bytearray(20), bytearray(20)]
            for line in codes[1:]:
                for row in range(20):
                    line[row] = (0, 0, 3, 8, 23)[chance.below(5)]
            frame = decode(_encode([[1] * 20, [2] * 20, [3] * 20], packed, codes))
            assert list(frame.quality) == runs(codes, 20)
            assert expand(frame.quality, 3, 20)[1:] == codes[1:]


def test_what_the_bit_stream_cannot_say_becomes_columns():
    # SPEC 4.7: values of 30 bits and more, residuals over 24 bits where no other form helps
    for column in ([0x20000000, 1], [-0x20000000, 1], [0, 0x1000000, 3, 0x1FFFFFF, 17], [MIN_VALUE, MAX_VALUE]):
        frame = decode(_encode([column], True))
        assert not frame.packed, column
        assert frame.values == [column]
    assert decode(_encode([[0x1FFFFFFF, 0x1FFFFFFF]], True)).packed


def test_a_node_can_be_left_to_the_link():
    for packed in (False, True):
        frame = decode(_encode([[1, 2, 3]], packed, node=None))
        assert frame.node is None
        assert frame.identity() == (None, 7, 42)
    assert len(_encode([[1, 2, 3]], True)) - len(_encode([[1, 2, 3]], True, node=None)) == 7


def test_a_frame_that_does_not_fit_its_buffer_says_so():
    columns = [[5, 80, 900, 7000, 60000]] * 3
    for packed in (False, True):
        whole = len(_encode(columns, packed))
        assert len(_encode(columns, packed, size=whole)) == whole
        for size in range(whole):
            _refused(_encode, "no_room", columns, packed, size=size)


def test_what_cannot_be_said_is_refused_before_anything_is_written():
    good = dict(epoch=1, seq=1, time=START, clock=2, interval=120, count=2, columns=[array("i", [1, 2])])
    encoder = Encoder(NODE, ((3, 0),))
    for change in (
        {"count": 0},
        {"count": 256},
        {"interval": -1},
        {"interval": 604801},
        {"interval": 0},
        {"clock": 5},
        {"epoch": -1},
        {"seq": 1 << 32},
        {"time": -1},
        {"time": 0xFFFFFFFF},
        {"columns": []},
        {"times": [START, START]},
        {"times": [START + 1, START + 2]},
        {"times": [START, START + 0x1000000]},
        {"quality": [bytearray([24, 0])]},
    ):
        named = dict(good)
        named.update(change)
        _refused(encoder.encode, "argument", **named)
    _refused(Encoder, "argument", NODE, ())
    _refused(Encoder, "argument", NODE, ((1, 0), (1, 0)))
    _refused(Encoder, "argument", NODE, ((0, 0),))
    _refused(Encoder, "argument", NODE, ((1, 256),))
    _refused(Encoder, "argument", NODE, tuple((number, 0) for number in range(1, 66)))
    _refused(Encoder, "argument", b"12345", ((1, 0),))


def test_the_step_of_a_column_is_its_greatest_common_divisor():
    for column, step in (([120, -30, 0], 30), ([ABSENT, 14, 21], 7), ([7, 3], 1), ([0, 0], 1), ([200000, 400000], 1)):
        assert divisor(array("i", column), len(column)) == step, column


def test_events_come_back():
    for encode in (encode_event, encode_status):
        raw = encode(NODE, 1, 9, START, 3, ((77, 0), (77, 1)), (1, None), (0, 8))
        frame = three_ways(decode, raw)
        assert (frame.columns, frame.values, frame.quality) == (((77, 0), (77, 1)), [1, None], ((1, 8),))
        assert frame.clock == 3
        _refused(encode, "argument", NODE, 1, 9, START, 3, ((77, 0),), (1, 2))
        _refused(encode, "argument", NODE, 1, 9, START, 3, ((77, 0),), (MAX_VALUE + 1,))
        _refused(encode, "argument", NODE, 1, 9, START, 3, ((77, 0),), (1,), (24,))


def test_a_descriptor_needs_model_firmware_and_sensors():
    descriptor = Descriptor(model="m", firmware="f", sensors=())
    _refused(encode_descriptor, "argument", descriptor)
    _refused(Descriptor, "argument", colour="green")


def test_quality_codes_survive_their_columns():
    assert refusal(decode, _encode([[1, 2]], quality=[b"\x00\x17"])) is None


def test_the_first_byte_tells_envelopes_from_frames():
    assert is_envelope(b"\xd0\x83\x40") and is_envelope(b"\x83\x40")
    for packed in (False, True):
        assert not is_envelope(_encode([[1, 2, 3]], packed))
    assert not is_envelope(b"")
