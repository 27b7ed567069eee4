"""The inputs of the golden vectors that every decoder refuses, each with the word for why: SPEC 8.

One at least for every error a decoder can name, and where several rules are broken, which of them comes first. Written
by hand, byte for byte: an encoder that could write them would be wrong.
"""

from collections.abc import Iterator

from citymote_protocol import errors
from raw_frames import NODE, arr, bits, bstr, dic, head, num, tstr


def bad() -> Iterator[tuple[str, bytes, str]]:
    """One input at least for every error a decoder can name."""
    lead = (num(2), bstr(bytes.fromhex(NODE)), num(1), num(1000), num(848000000))
    rows = (num(3), num(120), arr(num(3)))
    column = arr(num(215), num(1), num(-1))
    frame = arr(*lead, *rows, column)

    def with_column(raw: bytes, count: int = 3) -> bytes:
        return arr(*lead, num(count), num(120), arr(num(3)), raw)

    def with_options(raw: bytes) -> bytes:
        return arr(*lead, *rows, column, raw)

    def with_rows(count: bytes, interval: bytes) -> bytes:
        return arr(*lead, count, interval, arr(num(3)), column)

    def with_columns(raw: bytes) -> bytes:
        return arr(*lead, num(3), num(120), raw, column)

    yield "nothing", b"", errors.TRUNCATED
    yield "cut in the last column", frame[:-1], errors.TRUNCATED
    yield "cut in the node", frame[:5], errors.TRUNCATED
    yield "a list longer than the frame", frame[:-4] + head(4, 200), errors.TRUNCATED
    yield "one byte more", frame + b"\x00", errors.TRAILING
    yield "a second frame behind", frame + frame, errors.TRAILING
    yield (
        "sequence in a longer head",
        arr(lead[0], lead[1], num(1), bytes.fromhex("1a000003e8"), *frame_tail()),
        errors.NOT_SHORTEST,
    )
    yield "number below 24 in two bytes", with_column(arr(num(215), b"\x18\x01", num(1))), errors.NOT_SHORTEST
    yield "length in a longer head", frame.replace(b"\x46", b"\x58\x06", 1), errors.NOT_SHORTEST
    yield "indefinite array", b"\x9f" + frame[1:] + b"\xff", errors.INDEFINITE
    yield "indefinite column", with_column(b"\x9f" + column[1:] + b"\xff"), errors.INDEFINITE
    yield (
        "indefinite node",
        arr(num(2), b"\x5f\x46\x01\x02\x03\x04\x05\x06\xff", num(1), num(1), *lead[4:], *rows, column),
        errors.INDEFINITE,
    )
    yield "reserved head", with_column(arr(num(215), b"\x1c", num(1))), errors.RESERVED
    yield "half float", with_column(arr(num(215), b"\xf9\x3c\x00", num(1))), errors.FLOAT
    yield "not a number", with_column(arr(num(215), b"\xf9\x7e\x00", num(1))), errors.FLOAT
    yield "double", with_column(b"\xfb\x40\x35\x80\x00\x00\x00\x00\x00"), errors.FLOAT
    yield "undefined", with_column(arr(num(215), b"\xf7", num(1))), errors.SIMPLE
    yield "two-byte simple value", with_column(arr(num(215), b"\xf8\xff", num(1))), errors.SIMPLE
    yield "true as a reading", with_column(arr(num(215), b"\xf5", num(1))), errors.TYPE
    yield "text as a column", with_column(tstr("21.5")), errors.TYPE
    yield "text in a column", with_column(arr(num(215), tstr("1"), num(1))), errors.TYPE
    yield "array in a column", with_column(arr(num(215), arr(), num(1))), errors.TYPE
    yield "map instead of a frame", dic((1, num(1))), errors.TYPE
    yield "number instead of a frame", num(5), errors.TYPE
    yield "negative sequence", arr(lead[0], lead[1], num(1), num(-1), *frame_tail()), errors.TYPE
    yield "options that are no map", with_options(arr(num(1))), errors.TYPE
    yield "untyped bytes as deltas", with_column(bstr(b"\x01\x02")), errors.TYPE
    yield "64-bit typed array", with_column(arr(num(1), head(6, 79) + bstr(bytes(16)))), errors.TAG
    yield "unsigned typed array", with_column(arr(num(1), head(6, 64) + bstr(b"\x01\x02"))), errors.TAG
    yield "tag in an option", with_options(dic((2, head(6, 1) + num(5)))), errors.TAG
    yield "node of a thousand bytes", arr(lead[0], bstr(bytes(1000)), *lead[2:], *rows, column), errors.NODE
    yield "text of 65 bytes", _described((2, tstr("m" * 65)), (4, tstr("f"))), errors.TOO_LONG
    yield "more options than allowed", with_options(dic(*((2 * i, num(0)) for i in range(1, 18)))), errors.TOO_LONG
    yield "sequence over 32 bits", arr(lead[0], lead[1], num(1), num(1 << 32), *frame_tail()), errors.RANGE
    yield "instance 0 in brackets", with_columns(arr(arr(num(3), num(0)))), errors.RANGE
    yield "quantity 0", with_columns(arr(num(0))), errors.RANGE
    yield "step of 1", with_column(arr(num(1), num(215), num(1), num(-1))), errors.RANGE
    yield "option nested too deep", with_options(dic((2, arr(arr(arr(arr(arr()))))))), errors.DEPTH
    yield "option twice", with_options(dic((2, num(1)), (2, num(1)))), errors.DUPLICATE_KEY
    yield "key twice inside an option", with_options(dic((2, dic((5, num(1)), (5, num(2)))))), errors.DUPLICATE_KEY
    yield "options out of order", with_options(dic((4, num(1)), (2, num(1)))), errors.KEY_ORDER
    yield "keys out of order inside an option", with_options(dic((2, dic((24, num(1)), (5, num(2)))))), errors.KEY_ORDER
    yield "text that is not UTF-8", _described((2, b"\x61\xff"), (4, tstr("f"))), errors.TEXT
    yield "overlong UTF-8", _described((2, b"\x62\xc0\xaf"), (4, tstr("f"))), errors.TEXT
    yield "surrogate", _described((2, b"\x63\xed\xa0\x80"), (4, tstr("f"))), errors.TEXT
    yield "control character", _described((2, tstr("a\nb")), (4, tstr("f"))), errors.TEXT
    yield "8193 bytes", arr(*lead, *rows, column, dic((2, bstr(bytes(8193))))), errors.TOO_LARGE
    yield "COSE_Encrypt0 with its tag", bytes.fromhex("d08343a1010aa0455566778899"), errors.SEALED
    yield "COSE_Encrypt0 without", bytes.fromhex("8340a0455566778899"), errors.SEALED
    yield "version 2", arr(num(66), *lead[1:], *rows, column), errors.VERSION
    yield "kind 5", arr(num(42), *lead[1:], *rows, column), errors.KIND
    yield "clock state 5", arr(num(5), *lead[1:], *rows, column), errors.CLOCK
    yield "node of five bytes", arr(lead[0], bstr(bytes(5)), *lead[2:], *rows, column), errors.NODE
    yield (
        "packed, null as node",
        arr(num(18), b"\xf6", num(1), num(1), arr(num(3)), bstr(_stream("1110", (0, 4)))),
        errors.NODE,
    )
    yield "unknown set", with_columns(num(60000)), errors.SET
    yield "no columns", with_columns(arr()), errors.COLUMNS
    yield "65 columns", arr(*lead, *rows[:2], arr(*(num(i) for i in range(1, 66))), *([num(1)] * 65)), errors.COLUMNS
    yield "column twice", arr(*lead, *rows[:2], arr(num(3), num(3)), num(1), num(1)), errors.DUPLICATE_COLUMN
    yield "a column too few", arr(*lead, *rows[:2], arr(num(3), num(4)), column), errors.ITEMS
    yield "a column too many", arr(*lead, *rows, column, column, column), errors.ITEMS
    yield "four items", arr(*lead[:4]), errors.ITEMS
    yield "no rows", with_rows(num(0), num(120)), errors.COUNT
    yield "256 rows", with_rows(num(256), num(120)), errors.COUNT
    yield "rows at the same time", with_rows(num(3), num(0)), errors.INTERVAL
    yield "a deviation too few", with_rows(num(3), arr(num(120), num(1))), errors.INTERVAL
    yield "an interval of no deviations", with_rows(num(3), arr(num(120))), errors.INTERVAL
    yield "backwards", with_rows(num(3), arr(num(120), num(-120), num(5))), errors.TIMES
    yield "gap of 2**24 seconds", with_rows(num(3), arr(num(120), num(0xFFFFFF), num(0))), errors.TIMES
    yield "past the end of time", arr(*lead[:4], num(0xFFFFFFFF), *rows, column), errors.TIMES
    yield "list too short", with_column(arr(num(215), num(1))), errors.COLUMN_LENGTH
    yield "list too long", with_column(arr(num(2), num(215), num(1), num(0), num(4))), errors.COLUMN_LENGTH
    yield "typed array too short", with_column(arr(num(1), head(6, 72) + bstr(b"\x01"))), errors.COLUMN_LENGTH
    yield (
        "typed array of odd length",
        with_column(arr(num(1), head(6, 77) + bstr(b"\x01\x02\x03"))),
        errors.COLUMN_LENGTH,
    )
    yield (
        "something behind a typed array",
        with_column(arr(num(1), head(6, 72) + bstr(b"\x01\x02"), num(1))),
        errors.COLUMN_LENGTH,
    )
    yield "a mask with more bits than deltas", with_column(arr(num(1), bstr(b"\xc0"), num(1))), errors.COLUMN_LENGTH
    yield "empty mask", with_column(arr(num(1), bstr(b""))), errors.MASK
    yield "mask with a bit behind the last row", with_column(arr(num(1), bstr(b"\x20"), num(1))), errors.MASK
    yield "mask longer than its rows", with_column(arr(num(1), bstr(b"\x80\x80"), num(1), num(1))), errors.MASK
    yield "mask that ends in zeros", with_column(arr(num(1), bstr(b"\x80\x00"), num(1)), 12), errors.MASK
    yield "marked row that does not change", with_column(arr(num(1), bstr(b"\x80"), num(0))), errors.MASK
    yield "absent marked after absent", with_column(arr(b"\xf6", bstr(b"\x80"), b"\xf6")), errors.MASK
    yield "reading over 31 bits", with_column(arr(num(0x3FFFFFFF), num(1), num(0))), errors.VALUE
    yield "the node's mark for absent", with_column(arr(num(-0x3FFFFFFF), num(-1), num(0))), errors.VALUE
    yield "reading over 31 bits in steps", with_column(arr(num(1000), num(0x3FFFFFF), num(1), num(0))), errors.VALUE
    yield "constant over 31 bits", with_column(num(0x40000000)), errors.RANGE
    yield "typed array over 31 bits", with_column(arr(num(0x3FFFFFFF), head(6, 72) + bstr(b"\x00\x01"))), errors.VALUE
    yield "quality code 0", with_options(dic((1, arr(num(0), num(0), num(1), num(0))))), errors.QUALITY
    yield "quality code 24", with_options(dic((1, arr(num(0), num(0), num(1), num(24))))), errors.QUALITY
    yield "quality behind the last row", with_options(dic((1, arr(num(0), num(2), num(2), num(3))))), errors.QUALITY
    yield "quality of no column", with_options(dic((1, arr(num(1), num(0), num(1), num(3))))), errors.QUALITY
    yield "quality of three numbers", with_options(dic((1, arr(num(0), num(0), num(1))))), errors.QUALITY
    yield "quality of nothing", with_options(dic((1, arr()))), errors.QUALITY
    yield (
        "quality runs that overlap",
        with_options(dic((1, arr(num(0), num(0), num(2), num(3), num(0), num(1), num(1), num(4))))),
        errors.QUALITY,
    )
    yield "option that must be understood", with_options(dic((3, num(1)))), errors.CRITICAL
    yield "quality in a descriptor", _described((1, arr()), (2, tstr("m")), (4, tstr("f"))), errors.CRITICAL
    yield "descriptor without a firmware version", _described((2, tstr("m"))), errors.MISSING
    yield (
        "sensor without its columns",
        _described((2, tstr("m")), (4, tstr("f")), (8, arr(dic((0, tstr("d")))))),
        errors.MISSING,
    )
    yield from _bad_packed()


def frame_tail() -> tuple[bytes, ...]:
    return (num(848000000), num(3), num(120), arr(num(3)), arr(num(215), num(1), num(-1)))


def _described(*pairs: tuple[int, bytes]) -> bytes:
    return arr(num(34), bstr(bytes.fromhex(NODE)), num(1), num(1000), num(848000000), dic(*pairs))


def _stream(*fields: tuple[int, int] | str, count: str = "00101") -> bytes:
    """Time, three rows, two minutes, regular, no gaps, unsigned, then these."""
    return bits((848000000, 32), count, "1", "00100", "0", "00", *fields)


def _bad_packed() -> Iterator[tuple[str, bytes, str]]:
    def packed(stream: bytes, columns: bytes = arr(num(3))) -> bytes:
        return arr(num(18), bstr(bytes.fromhex(NODE)), num(1), num(1000), columns, bstr(stream))

    constant = "1110" + "0011" + "01"  # 5, three times
    yield "packed, stream ends in a column", packed(_stream("0", "0", "1000")), errors.PACKED_END
    yield "packed, stream ends in the time", packed(b"\x32\x8b"), errors.PACKED_END
    yield "packed, stream ends in a unary number", packed(_stream("0", "0", "0001", "000", "1" * 17)), errors.PACKED_END
    yield "packed, empty", packed(b""), errors.PACKED_END
    yield "packed, a byte more", packed(_stream(constant) + b"\x00"), errors.PACKED_REST
    yield "packed, padding of ones", packed(_stream(constant, "1")), errors.PACKED_REST
    yield "packed, short number in the long form", packed(_stream("1110", "1111", (5, 30))), errors.PACKED_FORM
    yield (
        "packed, short parameter in the long form",
        packed(_stream("0", "0", "0001", "111", (3, 4), "000", "000")),
        errors.PACKED_FORM,
    )
    yield (
        "packed, escape without need",
        packed(_stream("0", "0", "0001", "000", "1" * 20, (5, 24), "0")),
        errors.PACKED_FORM,
    )
    yield (
        "packed, step of ten in the long form",
        packed(_stream("0", "11", (10, 16), "0001", "000", "0", "0")),
        errors.PACKED_FORM,
    )
    yield "packed, run over the end", packed(_stream("110", "0", "0001", "000", "000", "1110", "0")), errors.PACKED_FORM
    yield (
        "packed, whole minutes in seconds",
        packed(bits((848000000, 32), "00101", "0", "0111", (120 - 64, 6), "0", "00", constant)),
        errors.PACKED_FORM,
    )
    yield (
        "packed, gaps announced, none there",
        packed(bits((848000000, 32), "00101", "1", "00100", "0", "10", "1110", "0", "001101")),
        errors.PACKED_FORM,
    )
    yield "packed, no rows", packed(_stream("1111", count="0000")), errors.COUNT
    yield "packed, 256 rows", packed(_stream("1111", count="1001" + "0" * 8)), errors.COUNT
    yield (
        "packed, reading over 31 bits",
        packed(_stream("0", "0", "1111", (0x3FFFFFFF, 30), "000", "110", "0")),
        errors.VALUE,
    )
    yield "packed, node missing and one item too few", arr(num(18), num(1), num(1000), arr(num(3)), num(1)), errors.TYPE
    yield (
        "packed, an item too many",
        arr(num(18), bstr(bytes.fromhex(NODE)), num(1), num(1), arr(num(3)), bstr(_stream(constant)), dic(), dic()),
        errors.ITEMS,
    )


def bad_order() -> Iterator[tuple[str, bytes, str]]:
    """Which rule comes first, and numbers just over their limits."""
    lead = (num(2), bstr(bytes.fromhex(NODE)), num(1), num(1000), num(848000000))
    rows = (num(3), num(120), arr(num(3)))
    column = arr(num(215), num(1), num(-1))
    one = (num(10), *lead[1:])
    basic = ((2, tstr("m")), (4, tstr("f")))

    def with_interval(raw: bytes, count: int = 3) -> bytes:
        return arr(*lead, num(count), raw, arr(num(3)), column)

    def with_columns(raw: bytes) -> bytes:
        return arr(*lead, num(3), num(120), raw, column)

    def with_options(raw: bytes) -> bytes:
        return arr(*lead, *rows, column, raw)

    yield "version before the number of items", arr(num(66), num(0)), errors.VERSION
    yield "kind before clock state", arr(num(47), num(0)), errors.KIND
    yield "clock state before the number of items", arr(num(5), num(0)), errors.CLOCK
    yield "batch of eight items, and no node", arr(num(2), num(5), *([num(1)] * 6)), errors.ITEMS
    yield "event of six items, and no node", arr(num(10), num(5), *([num(1)] * 4)), errors.ITEMS
    yield "descriptor of seven items, and no node", arr(num(34), num(5), *([num(1)] * 5)), errors.ITEMS
    yield "packed with a node and five items", arr(num(18), *lead[1:4], num(60000)), errors.ITEMS
    yield "node before epoch", arr(num(2), num(5), num(-1), *lead[3:], *rows, column), errors.TYPE
    yield "number of items before an unknown set", arr(*lead, num(3), num(120), num(60000)), errors.ITEMS
    yield "unknown set before bad columns", arr(*lead, num(3), num(120), num(60000), tstr("x")), errors.SET
    yield "count before interval", arr(*lead, num(0), num(604801), arr(num(3)), column), errors.COUNT
    yield (
        "a length over its limit and over the input",
        arr(*one, arr(num(3)), num(1), b"\xbb" + b"\xff" * 8),
        errors.TOO_LONG,
    )
    yield "tag in front of a frame", head(6, 55799) + arr(*lead, *rows, column), errors.TYPE
    yield "head over 32 bits", arr(num(1 << 32), *lead[1:], *rows, column), errors.RANGE
    yield "epoch over 32 bits", arr(*lead[:2], num(1 << 32), *lead[3:], *rows, column), errors.RANGE
    yield "time over 32 bits", arr(*lead[:4], num(1 << 32), *rows, column), errors.RANGE
    yield "interval over a week", with_interval(num(604801)), errors.RANGE
    yield "interval over a week with deviations", with_interval(arr(num(604801), num(1), num(1))), errors.RANGE
    yield "interval over a week with a mask", with_interval(arr(num(604801), bstr(b"\x80"), num(1))), errors.RANGE
    yield "deviation of 2**24", with_interval(arr(num(120), num(1 << 24), num(0))), errors.RANGE
    yield "interval as an empty array", with_interval(arr()), errors.INTERVAL
    yield "interval of 257 items", with_interval(arr(num(120), *([num(1)] * 256)), 255), errors.TOO_LONG
    yield (
        "mask of deviations with a bit too many",
        with_interval(arr(num(120), bstr(b"\xe0"), *([num(1)] * 3))),
        errors.MASK,
    )
    yield "deviation missing for a bit", with_interval(arr(num(120), bstr(b"\xc0"), num(1))), errors.COLUMN_LENGTH
    yield "set over 16 bits", with_columns(num(65536)), errors.RANGE
    yield "set 0", with_columns(num(0)), errors.SET
    yield "quantity over 16 bits", with_columns(arr(num(65536))), errors.RANGE
    yield "instance 256", with_columns(arr(arr(num(3), num(256)))), errors.RANGE
    yield "a column of one number in brackets", with_columns(arr(arr(num(3)))), errors.TYPE
    yield "a column of three numbers", with_columns(arr(arr(num(3), num(1), num(1)))), errors.TOO_LONG
    yield (
        "the same column with and without an instance",
        with_columns(arr(arr(num(3), num(1)), arr(num(3), num(1)))),
        (errors.DUPLICATE_COLUMN),
    )
    yield "option key over 32 bits", with_options(dic((1 << 32, num(1)))), errors.RANGE
    yield "negative option key", with_options(head(5, 1) + num(-1) + num(1)), errors.TYPE
    yield "minor version over 16 bits", with_options(dic((0, num(65536)))), errors.RANGE
    yield "option longer than the input", with_options(dic((2, head(2, 60000)))), errors.TRUNCATED
    yield "event with a reading over 31 bits", arr(*one, arr(num(3)), num(0x40000000)), errors.RANGE
    yield (
        "event with two pairs for one column",
        arr(*one, arr(num(3)), num(1), dic((1, arr(*([num(0), num(3)] * 2))))),
        (errors.QUALITY),
    )
    yield "event with pairs of nothing", arr(*one, arr(num(3)), num(1), dic((1, arr()))), errors.QUALITY
    yield "event with an option to be understood", arr(*one, arr(num(3)), num(1), dic((3, num(1)))), errors.CRITICAL
    yield "status without a value", arr(num(26), *lead[1:], arr(num(3))), errors.ITEMS
    yield (
        "descriptor of 33 sensors",
        _described(*basic, (8, arr(*([dic((0, tstr("d")), (2, arr(num(3))))] * 33)))),
        (errors.TOO_LONG),
    )
    yield "descriptor of 28 fields", _described(*basic, *((2 * i, num(1)) for i in range(20, 46))), errors.TOO_LONG
    yield "support until after the end of time", _described(*basic, (8, arr()), (10, num(49711))), errors.RANGE
    yield "position beyond the pole", _described(*basic, (8, arr()), (20, arr(num(90000001), num(0)))), errors.RANGE
    yield "position of one number", _described(*basic, (8, arr()), (20, arr(num(1)))), errors.ITEMS
    yield "correction of two items", _described(*basic, (8, arr()), (14, arr(arr(num(21), tstr("h"))))), errors.ITEMS
    yield (
        "PM class over 16 bits",
        (_described(*basic, (8, arr(dic((0, tstr("d")), (2, arr(num(3))), (10, num(65536))))))),
        errors.RANGE,
    )
    yield (
        "sensor with a field to be understood",
        (_described(*basic, (8, arr(dic((0, tstr("d")), (2, arr(num(3))), (17, num(1))))))),
        errors.CRITICAL,
    )
