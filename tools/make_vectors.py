"""Makes the golden vectors of frames in protocol/vectors: what is right, what is refused, and with which word.

`python3 tools/make_vectors.py` writes files that are missing and says whether those that are there are still what the
code gives. A file that is there is never rewritten: a new version of the specification adds files. The vectors of
sealing and of RFC 8949 have other sources.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "protocol" / "vectors"
sys.path.insert(0, str(ROOT / "protocol"))

from citymote_protocol import errors, frame, plain  # noqa: E402
from citymote_protocol.errors import FrameError  # noqa: E402

Case = dict[str, Any]
_plain = cast("Any", plain)
_decode = cast("Any", frame).decode

NODE = "010203040506"
TEN = [[1, 0], [2, 0], [3, 0], [4, 0], [7, 0], [9, 0], [13, 0], [14, 0], [58, 0], [59, 0]]


def head(major: int, number: int) -> bytes:
    """A shortest CBOR head, written here once more so that the bad inputs do not hang on the code they test."""
    if number < 24:
        return bytes([major << 5 | number])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise ValueError(number)


def num(value: int) -> bytes:
    return head(0, value) if value >= 0 else head(1, -1 - value)


def arr(*items: bytes) -> bytes:
    return head(4, len(items)) + b"".join(items)


def dic(*pairs: tuple[int, bytes]) -> bytes:
    return head(5, len(pairs)) + b"".join(num(key) + value for key, value in pairs)


def bstr(data: bytes) -> bytes:
    return head(2, len(data)) + data


def tstr(text: str) -> bytes:
    return head(3, len(text.encode())) + text.encode()


def bits(*fields: tuple[int, int] | str) -> bytes:
    """A bit stream from (value, size) pairs and texts of bits, padded with zeros."""
    text = "".join(field if isinstance(field, str) else f"{field[0]:0{field[1]}b}" for field in fields)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def batch(columns: list[list[int]], values: Sequence[Sequence[int | None]], **changes: Any) -> Case:
    case: Case = {
        "kind": "batch",
        "node": NODE,
        "epoch": 1,
        "seq": 1000,
        "time": 848000000,
        "clock": 2,
        "minor": 0,
        "columns": columns,
        "values": values,
        "quality": [],
        "options": [],
        "count": len(values[0]),
        "interval": 120,
        "times": None,
    }
    case.update(changes)
    return case


def _walk(seed: int, count: int, start: int, step: int, still: float = 0.0) -> list[int | None]:
    """A seeded walk of readings; `still` is the share of rows that do not change."""
    chance = random.Random(seed)
    out: list[int | None] = []
    for _ in range(count):
        if chance.random() >= still:
            start += chance.randint(-step, step)
        out.append(start)
    return out


def _city(count: int) -> list[list[int | None]]:
    pm = _walk(1, count, 180, 12)
    return [
        pm,
        [value and value + offset for value, offset in zip(pm, cast("list[int]", _walk(2, count, 60, 4)), strict=True)],
        _walk(3, count, 213, 1, 0.7),
        _walk(4, count, 655, 4, 0.4),
        [0] * count,
        _walk(5, count, 553, 150),
        [value and value * 2 // 30 * 10 for value in pm],
        _walk(6, count, 10101, 1, 0.8),
        _walk(7, count, 40, 3, 0.5),
        [None] * count,
    ]


def good() -> Iterator[tuple[str, Case]]:
    """Frames that every encoder writes exactly so."""
    one = [[3, 0]]
    yield "one reading", batch(one, [[215]])
    yield "one absent reading", batch(one, [[None]])
    yield "negative reading", batch(one, [[-127]])
    yield "smallest and largest reading", batch([[3, 0], [4, 0]], [[-0x3FFFFFFF], [0x3FFFFFFF]])
    yield "constant column", batch(one, [[215] * 30])
    yield "absent column", batch(one, [[None] * 30])
    yield "list", batch(one, [[215, 216, 214, 213, 215]])
    yield "list that begins absent", batch(one, [[None, 7, 9, 8, 7]])
    yield "list with a gap", batch(one, [[215, 216, None, 213, 215]])
    yield "list in steps", batch([[1, 0]], [[120, 130, 110, 150, 140]])
    yield "list in steps with gaps", batch([[1, 0]], [[1200, None, 1100, 1500, None, 1400]])
    yield "mask", batch(one, [[215] * 7 + [216] * 9 + [214] * 4])
    yield "mask with gaps", batch(one, [[215] * 7 + [None] * 9 + [215] * 4])
    yield "mask that begins absent", batch(one, [[None] * 9 + [0] * 9])
    yield "mask in steps", batch([[1, 0]], [[1200] * 20 + [1700] * 20 + [400] * 20])
    yield "mask, last row", batch(one, [[215] * 16 + [216]])
    yield "signed bytes", batch([[9, 0]], [_walk(11, 24, 553, 60)])
    yield "signed bytes at their ends", batch([[9, 0]], [[0, 127, -1, 126, -2, 100, 0, 99, -20, 80]])
    yield "signed words", batch([[7, 0]], [_walk(12, 40, 12000, 3000)])
    yield "signed words at their ends", batch([[7, 0]], [[1, 32768, 0, 32767, -1, 32700]])
    yield "signed bytes in steps", batch([[15, 0]], [[v and v * 7 for v in _walk(13, 20, 553, 60)]])
    yield "widest deltas", batch([[7, 0]], [[-0x3FFFFFFF, 0x3FFFFFFF, -0x3FFFFFFE]])
    yield "set of ten, ten rows", batch(TEN, _city(10))
    yield "set of ten, sixty rows", batch(TEN, _city(60), interval=60)
    yield "two sensors of one quantity", batch([[1, 0], [1, 1], [1, 255]], [[120, 130], [110, 150], [None, 140]])
    yield "unknown quantities", batch([[999, 0], [65535, 3]], [[1, 2], [3, 4]])
    yield "no node", batch(one, [[215, 216]], node=None)
    yield "store epoch and sequence at their ends", batch(one, [[215]], epoch=0xFFFFFFFF, seq=0xFFFFFFFF)
    yield "time at its end", batch(one, [[215, 216]], time=0xFFFFFFFF - 60, interval=60)
    yield "255 rows", batch(one, [_walk(14, 255, 215, 2, 0.5)], interval=60)
    for number, name in enumerate(("never", "ble", "network", "satellite", "estimated")):
        yield f"clock {name}", batch(one, [[215]], clock=number)
    yield "quality of one reading", batch(one, [[215, None, 216]], quality=[[0, 1, 1, 8]])
    yield (
        "quality runs in two columns",
        batch(
            [[3, 0], [4, 0]],
            [[215, 216, 217, 218], [None, None, 655, 656]],
            quality=[[0, 0, 2, 10], [0, 3, 1, 3], [1, 0, 1, 8], [1, 1, 1, 9]],
        ),
    )
    start = 848000000
    gaps = [120] * 9
    gaps[4] = 360
    yield "a row is missing", batch(one, [_walk(15, 10, 215, 2)], times=_times(start, gaps))
    yield "every row jitters", batch(one, [_walk(16, 6, 215, 2)], times=_times(start, [121, 118, 122, 119, 125]))
    yield "rows without an interval", batch(one, [[1, 2, 3]], interval=0, times=_times(start, [5, 7]))
    for name, case in list(_packed(start)):
        yield name, case
    event = {key: value for key, value in batch(one, [[215]]).items() if key not in ("count", "interval", "times")}
    yield "event", {**event, "kind": "event", "values": [215]}
    yield "event, nothing to say", {**event, "kind": "event", "values": [None], "quality": [[0, 8]]}
    yield (
        "event of two sensors",
        {**event, "kind": "event", "columns": [[77, 0], [77, 1]], "values": [0, 3], "node": None},
    )
    health = [[quantity, 0] for quantity in (100, 101, 102, 103, 104, 106, 107, 111, 113, 114)]
    yield (
        "status with the set of health",
        {**event, "kind": "status", "columns": health, "values": [41200, 30912, 86400, 3, 1, 12, 0, 2, 0, 0]},
    )
    yield (
        "status with quality",
        {**event, "kind": "status", "columns": [[96, 0], [105, 0]], "values": [3712, None], "quality": [[1, 8]]},
    )
    for name, fields in _descriptors():
        yield name, {**{key: event[key] for key in IDENTITY}, "kind": "descriptor", "fields": fields}


IDENTITY = ("node", "epoch", "seq", "time", "clock", "minor")


def _times(start: int, gaps: list[int]) -> list[int]:
    out = [start]
    for gap in gaps:
        out.append(out[-1] + gap)
    return out


def _packed(start: int) -> Iterator[tuple[str, Case]]:
    one = [[3, 0]]
    walk = cast("list[int]", _walk(21, 30, 215, 3))

    def case(columns: list[list[int]], values: Sequence[Sequence[int | None]], **changes: Any) -> Case:
        return batch(columns, values, kind="packed", **changes)

    yield "packed, one reading", case(one, [[215]])
    yield "packed, absent", case(one, [[None] * 4])
    yield "packed, constant", case(one, [[215] * 40])
    yield "packed, negative constant", case(one, [[-5] * 4])
    yield "packed, zero", case(one, [[0] * 4])
    yield "packed, long number", case([[14, 0]], [[0x4000] * 2])
    yield "packed, largest number", case([[14, 0]], [[0x1FFFFFFF] * 2])
    yield "packed, deltas", case(one, [list(range(200, 290, 3))])
    yield "packed, about the mean", case([[9, 0]], [_white(22, 30)])
    yield "packed, runs", case(one, [[215] * 20 + [218] * 15 + [210] * 25])
    yield "packed, runs that end in a change", case(one, [[215] * 20 + [218] * 15 + [210]])
    yield "packed, gaps", case([[3, 0], [4, 0]], [[215, None, 217, None, 220], [1, 2, 3, 4, 5]])
    yield "packed, minus the column before", case([[1, 0], [2, 0]], [[*walk], [value + 60 for value in walk]])
    yield "packed, in tens", case([[1, 0]], [[value * 10 for value in walk]])
    yield "packed, in steps of seven", case([[1, 0]], [[value * 7 for value in walk]])
    yield "packed, escape", case([[7, 0]], [[0] * 30 + [1, 0, 1, 8000000, 8000001, 8000000, 8000001] + [8000000] * 30])
    yield "packed, long parameter", case([[7, 0]], [[value * 811 + value % 7 for value in walk]])
    yield "packed, set of ten, ten rows", case(TEN, _city(10))
    yield "packed, set of ten, sixty rows", case(TEN, _city(60), interval=60)
    yield "packed, no node", case(TEN, _city(4), node=None)
    yield "packed, interval in seconds", case(one, [[*walk]], interval=61)
    yield "packed, no interval", case(one, [[215]], interval=0)
    gaps = [120] * 29
    gaps[20] = 1200
    yield "packed, a row is missing", case(one, [[*walk]], times=_times(start, gaps))
    yield "packed, quality", case(one, [[None, None, 215]], quality=[[0, 0, 2, 10]])
    yield "packed, 255 rows", case(one, [_walk(23, 255, 215, 1, 0.9)])


def _white(seed: int, count: int) -> list[int | None]:
    chance = random.Random(seed)
    return [550 + chance.randint(-40, 40) for _ in range(count)]


def _descriptors() -> Iterator[tuple[str, Case]]:
    smallest = {
        "model": "citymote virtual",
        "firmware": "0.1.0",
        "sensors": [{"driver": "sht4x", "columns": [[3, 0], [4, 0]]}],
    }
    yield "descriptor, smallest", smallest
    yield (
        "descriptor, all fields",
        {
            "model": "citymote pole",
            "firmware": "1.2.3",
            "runtime": "MicroPython 1.28.0",
            "sensors": [
                {
                    "driver": "sps30",
                    "columns": [[13, 0], [1, 0], [2, 0]],
                    "serial": "A1B2C3D4",
                    "batch": "2026-W07",
                    "calibrated": 9500,
                    "pm_class": 1,
                    "model": "SPS30",
                },
                {"driver": "microphone", "columns": [[9, 0], [18, 0]], "sound_method": "IEC 61672-1, electrical"},
            ],
            "support_until": 13149,
            "station": "종로구-17",
            "corrections": [[21, "humidity", 1], [22, "humidity", 1]],
            "maker": "citymote",
            "hardware": "rev C",
            "position": [37566500, 126978000, 32],
            "batch_columns": [[1, 0], [2, 0], [3, 0], [4, 0]],
        },
    )


def _calibrated() -> Iterator[tuple[str, Case]]:
    for name, fields in (
        ("all of it", {"calibrated": 9822, "offset": 170, "instrument": "calibrator 94 dB, no. 31", "operator": "hk"}),
        ("an offset below zero, and no more", {"offset": -25}),
    ):
        sensor = {"driver": "sound_meter", "columns": [[9, 0], [18, 0], [19, 0], [20, 0]], **fields}
        yield (
            "calibration of a sensor, " + name,
            {"model": "citymote virtual", "firmware": "0.1.0", "sensors": [sensor]},
        )


def other() -> Iterator[tuple[str, bytes]]:
    """Frames that decode though no encoder of this version writes them: other choices, and what the future may add."""
    one = num(1 << 8 | 1)  # never a set
    lead = (num(2), bstr(bytes.fromhex(NODE)), num(1), num(1000), num(848000000))
    rows = (num(3), num(120), arr(num(3)))
    column = arr(num(215), num(1), num(-1))
    yield "list where a mask is smaller", arr(*lead, num(20), num(120), arr(num(3)), arr(*([num(5)] + [num(0)] * 19)))
    yield "list where a constant is smaller", arr(*lead, *rows, arr(num(215), num(0), num(0)))
    yield (
        "columns spelled out where there is a set",
        arr(*lead, num(1), num(120), arr(*(num(q) for q in (1, 2, 3, 4))), num(1), num(2), num(3), num(4)),
    )
    yield "step that is not the largest", arr(*lead, *rows, arr(num(5), num(24), num(4), num(-8)))
    yield "newer minor version", arr(*lead, *rows, column, dic((0, num(7))))
    yield "field that may be passed over", arr(*lead, *rows, column, dic((2, tstr("ahead"))))
    yield (
        "nested field that may be passed over",
        arr(*lead, *rows, column, dic((4, arr(num(1), dic((1, arr(num(2), bstr(b"x"), b"\xf5"))))))),
    )
    yield (
        "quality beside a field that may be passed over",
        arr(*lead, *rows, column, dic((1, arr(num(0), num(0), num(1), num(3))), (2, b"\xf6"))),
    )
    yield "unknown quality code", arr(*lead, *rows, column, dic((1, arr(num(0), num(0), num(1), num(23)))))
    yield (
        "runs that touch",
        arr(*lead, *rows, column, dic((1, arr(num(0), num(0), num(1), num(3), num(0), num(1), num(1), num(3))))),
    )
    yield "no optional fields, said so", arr(*lead, *rows, column, dic())
    yield (
        "event with a field that may be passed over",
        arr(num(10), *lead[1:], arr(num(3)), num(215), dic((1 << 16, num(one[0])))),
    )
    yield (
        "descriptor with fields of a newer version",
        arr(
            num(34),
            *lead[1:],
            dic(
                (0, num(1)),
                (2, tstr("m")),
                (4, tstr("f")),
                (8, arr(dic((0, tstr("d")), (2, arr(num(3))), (100, num(5))))),
                (200, arr(num(1), num(2))),
            ),
        ),
    )


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


def frames_good() -> list[Case]:
    out: list[Case] = []
    for name, case in good():
        raw: bytes = _plain.from_plain(case)
        out.append({"name": name, "hex": raw.hex(), "frame": _plain.to_plain(_decode(raw))})
        assert out[-1]["frame"] == case, name
    return out


def frames_calibration() -> list[Case]:
    event = next(case for name, case in good() if name == "descriptor, smallest")
    out: list[Case] = []
    for name, fields in _calibrated():
        plain = {**{key: event[key] for key in IDENTITY}, "kind": "descriptor", "fields": fields}
        raw = _plain.from_plain(plain)
        assert _plain.to_plain(_decode(raw)) == plain, name
        out.append({"name": name, "hex": raw.hex(), "frame": plain})
    return out


def frames_other() -> list[Case]:
    return [{"name": name, "hex": raw.hex(), "frame": _plain.to_plain(_decode(raw))} for name, raw in other()]


def frames_bad(made: Callable[[], Iterator[tuple[str, bytes, str]]] = bad) -> list[Case]:
    out: list[Case] = []
    for name, raw, code in made():
        try:
            _decode(raw)
        except FrameError as error:
            assert cast("Any", error).code == code, f"{name}: {error}, not {code}"
        else:
            raise AssertionError(f"{name}: decoded")
        out.append({"name": name, "hex": raw.hex(), "error": code})
    return out


FILES = {
    "frames.json": ("SPEC 3, 4, 6: frames that every decoder reads and every encoder writes exactly so.", frames_good),
    "frames-calibration.json": (
        "SPEC 6.3: descriptors whose sensors say how they were calibrated.",
        frames_calibration,
    ),
    "frames-other.json": (
        "SPEC 7.2: frames that every decoder reads and no encoder of version 1.0 writes.",
        frames_other,
    ),
    "frames-bad.json": ("SPEC 8: what every decoder refuses, and with which code.", frames_bad),
    "frames-bad-2.json": (
        "SPEC 1.2, 3.2 and 9: which rule comes first, and numbers just over their limits.",
        lambda: frames_bad(bad_order),
    ),
}


def text(name: str) -> str:
    what, make = FILES[name]
    cases = ",\n".join("  " + json.dumps(case, ensure_ascii=False, separators=(", ", ": ")) for case in make())
    return f'{{\n "what": {json.dumps(what)},\n "cases": [\n{cases}\n ]\n}}\n'


def main() -> int:
    status = 0
    for name in FILES:
        path = FOLDER / name
        wanted = text(name)
        if not path.exists():
            path.write_text(wanted, encoding="utf-8")
            print(f"{name}: written")
        elif path.read_text(encoding="utf-8") != wanted:
            print(f"{name}: the code no longer gives these bytes; published vectors stay, new ones go into a new file")
            status = 1
        else:
            print(f"{name}: holds")
    return status


if __name__ == "__main__":
    sys.exit(main())
