"""The frames of the golden vectors that every decoder reads: what encoders write exactly so, and what only others do.

Each has a name and the frame as plain data, or as bytes where no encoder of this version writes it. A case that was
published stays as it is; a new one goes where a new file takes it from.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any, cast

from raw_frames import NODE, arr, bstr, dic, num, tstr

Case = dict[str, Any]
TEN = [[1, 0], [2, 0], [3, 0], [4, 0], [7, 0], [9, 0], [13, 0], [14, 0], [58, 0], [59, 0]]


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


def calibrated() -> Iterator[tuple[str, Case]]:
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
