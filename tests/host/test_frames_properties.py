"""Properties of frames in both directions: what is encoded decodes to itself, what decodes encodes to a fixed point.

The decoder is also fed what peers could make of right frames (bytes changed, taken out, put in, cut): it has to answer
with a frame or with one of its own codes, and never with anything else.
"""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from array import array
from pathlib import Path
from typing import Any, cast

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from citymote_protocol import errors, frame, plain, quality
from citymote_protocol.errors import FrameError
from citymote_protocol.quantities import ABSENT

_frame: Any = frame
_plain: Any = plain
_quality: Any = quality
VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors"
CODES = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str)}
GOOD = [
    bytes.fromhex(case["hex"]) for case in json.loads((VECTORS / "frames.json").read_text(encoding="utf-8"))["cases"]
]

readings = st.one_of(
    st.integers(-50, 50),
    st.integers(-2000, 20000),
    st.integers(-0x3FFFFFFF, 0x3FFFFFFF),
    st.integers(-100, 100).map(lambda value: value * 10),
)


@st.composite
def columns(draw: st.DrawFn, count: int) -> list[int | None]:
    shape = draw(st.sampled_from(["any", "still", "walk", "gaps", "absent", "steps"]))
    if shape == "absent":
        return [None] * count
    if shape == "any":
        return draw(st.lists(readings, min_size=count, max_size=count))
    value = draw(readings)
    if shape == "still":
        return [value] * count
    step = draw(st.sampled_from([1, 1, 7, 10, 1000])) if shape == "steps" else 1
    deltas = draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count))
    out: list[int | None] = []
    for delta in deltas:
        value = max(-(0x3FFFFF00 // step), min(0x3FFFFF00 // step, value + delta))
        out.append(value * step)
    if shape == "gaps":
        present = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        return [value if here else None for value, here in zip(out, present, strict=True)]
    return out


@st.composite
def batches(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(1, 40))
    width = draw(st.integers(1, 6))
    named = draw(
        st.lists(st.tuples(st.integers(1, 200), st.integers(0, 3)), min_size=width, max_size=width, unique=True)
    )
    interval = draw(st.integers(1, 3600))
    time = draw(st.integers(0, 2**32 - 1 - 41 * 100000))
    times = None
    if count > 1 and draw(st.booleans()):
        gaps = draw(st.lists(st.sampled_from([interval, interval, 1, 99999]), min_size=count - 1, max_size=count - 1))
        if any(gap != interval for gap in gaps):
            times = [time]
            for gap in gaps:
                times.append(times[-1] + gap)
    codes = draw(
        st.lists(
            st.lists(st.sampled_from([0, 0, 0, 3, 8, 23]), min_size=count, max_size=count),
            min_size=width,
            max_size=width,
        )
    )
    runs = [list(run) for run in _quality.runs([bytearray(line) for line in codes], count)]
    return {
        "kind": draw(st.sampled_from(["batch", "packed"])),
        "node": draw(st.sampled_from([None, "010203040506"])),
        "epoch": draw(st.integers(0, 2**32 - 1)),
        "seq": draw(st.integers(0, 2**32 - 1)),
        "time": time,
        "clock": draw(st.integers(0, 4)),
        "minor": 0,
        "columns": [list(each) for each in named],
        "values": [draw(columns(count)) for _ in range(width)],
        "quality": runs,
        "options": [],
        "count": count,
        "interval": interval,
        "times": times,
    }


@given(batches())
@settings(max_examples=80, deadline=None)
def test_what_is_encoded_decodes_to_itself(case: dict[str, Any]) -> None:
    raw = _plain.from_plain(case)
    got = _plain.to_plain(_frame.decode(raw))
    if case["kind"] == "packed" and got["kind"] == "batch":
        case = {**case, "kind": "batch"}  # SPEC 4.7: what a bit stream cannot say
    assert got == case
    assert _plain.from_plain(got) == raw


@given(batches())
@settings(max_examples=30, deadline=None)
def test_another_cbor_library_reads_the_same_items(case: dict[str, Any]) -> None:
    raw = _plain.from_plain({**case, "kind": "batch"})
    items = cbor2.loads(raw)
    assert items[1] == (None if case["node"] is None else bytes.fromhex(case["node"]))
    assert items[2:6] == [case["epoch"], case["seq"], case["time"], case["count"]]
    assert len(items) == 8 + len(case["columns"]) + (1 if case["quality"] else 0)
    assert cbor2.dumps(items, canonical=True) == raw


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["change", "insert", "delete", "cut", "splice"]))
        if how == "change" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif how == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=9))
        elif how == "delete":
            del data[at : at + draw(st.integers(1, 9))]
        elif how == "cut":
            del data[at:]
        elif how == "splice":
            data[at:] = draw(st.sampled_from(GOOD))[at:]
    return bytes(data)


@given(st.one_of(damaged(), st.binary(max_size=300)))
@example(b"")
@example(b"\xff" * 300)
@settings(max_examples=400, deadline=None)
def test_whatever_comes_in_is_a_frame_or_a_named_error(data: bytes) -> None:
    try:
        got = _frame.decode(data)
    except FrameError as error:
        assert cast("Any", error).code in CODES
        return
    said = _plain.to_plain(got)
    if said["minor"] or said.get("options") or said["kind"] == "descriptor":
        return
    again = _plain.from_plain(said)
    if said["kind"] == "batch":
        assert len(again) <= len(data), "an encoder of ours takes the smallest form"
    assert _same(_plain.to_plain(_frame.decode(again))) == _same(said)


def _same(said: dict[str, Any]) -> dict[str, Any]:
    """What a frame means, where a peer may say it in several ways: runs that touch, regular rows with times."""
    if "count" not in said:
        return said
    count, width = said["count"], len(said["columns"])
    times = said["times"] or [said["time"] + row * said["interval"] for row in range(count)]
    codes = _quality.expand(said["quality"], width, count)
    return {**said, "kind": "batch", "quality": _quality.runs(codes, count), "times": times}


values = st.one_of(st.none(), readings)
words = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=16)
days = st.integers(0, 49710)
some_columns = st.lists(
    st.tuples(st.integers(1, 65535), st.integers(0, 255)).map(list), min_size=1, max_size=5, unique_by=tuple
)


@given(st.sampled_from(["event", "status"]), some_columns, st.data())
@settings(max_examples=80, deadline=None)
def test_events_decode_to_themselves(kind: str, named: list[list[int]], data: st.DataObject) -> None:
    case = {
        "kind": kind,
        "node": None,
        "epoch": 0,
        "seq": 23,
        "time": 24,
        "clock": 4,
        "minor": 0,
        "columns": named,
        "values": [data.draw(values) for _ in named],
        "quality": [[at, 8] for at in range(len(named)) if data.draw(st.booleans())],
        "options": [],
    }
    assert _plain.to_plain(_frame.decode(_plain.from_plain(case))) == case


sensors = st.fixed_dictionaries(
    {"driver": words.filter(bool), "columns": some_columns},
    optional={
        **dict.fromkeys(("serial", "batch", "sound_method", "model", "instrument", "operator"), words),
        "offset": st.integers(-2000, 2000),
        "calibrated": days,
        "pm_class": st.integers(0, 3),
    },
)


@given(
    st.fixed_dictionaries(
        {
            "model": words.filter(bool),
            "firmware": words.filter(bool),
            "sensors": st.lists(sensors, min_size=1, max_size=4),
        },
        optional={
            **dict.fromkeys(("runtime", "station", "maker", "hardware"), words),
            "support_until": days,
            "corrections": st.lists(st.tuples(st.integers(1, 65535), words, st.integers(0, 9)).map(list), max_size=3),
            "position": st.tuples(st.integers(-90000000, 90000000), st.integers(-180000000, 180000000)).map(list),
            "batch_columns": some_columns,
        },
    )
)
@settings(max_examples=80, deadline=None)
def test_descriptors_decode_to_themselves(fields: dict[str, Any]) -> None:
    case = {"kind": "descriptor", "node": "010203040506", "epoch": 1, "seq": 2, "time": 3, "clock": 2, "minor": 0}
    case["fields"] = fields
    assert _plain.to_plain(_frame.decode(_plain.from_plain(case))) == case


def test_no_bad_input_takes_memory_for_what_it_only_announces() -> None:
    cases = json.loads((VECTORS / "frames-bad.json").read_text(encoding="utf-8"))["cases"]
    hostile = [bytes.fromhex(case["hex"]) for case in cases]
    hostile += [
        start + b"\xff" * size for start in (b"\x9a", b"\x9b", b"\x8a\x02\x5a", b"\x8a\x02\x5b") for size in (4, 8)
    ]
    for data in hostile:
        tracemalloc.start()
        try:
            with contextlib.suppress(FrameError):
                _frame.decode(data)
            assert tracemalloc.get_traced_memory()[1] < 40_000 + 20 * len(data), data.hex()[:80]
        finally:
            tracemalloc.stop()


@given(st.lists(st.one_of(st.none(), st.integers(-0x3FFFFFFF, 0x3FFFFFFF)), min_size=1, max_size=60))
@settings(max_examples=80, deadline=None)
def test_no_form_is_longer_than_the_list(values: list[int | None]) -> None:
    encoder = _frame.Encoder(None, ((1, 0),), 4096)
    column = array("i", [ABSENT if value is None else value for value in values])
    size = len(encoder.encode(0, 0, 0, 2, 60, len(values), [column])) - len(
        encoder.encode(0, 0, 0, 2, 60, len(values), [array("i", [ABSENT] * len(values))])
    )
    deltas: list[int | None] = []
    last = 0
    for value in values:
        deltas.append(None if value is None else value - last)
        last = last if value is None else value
    assert size + 1 <= len(cbor2.dumps(deltas))


@pytest.mark.parametrize("kind", ["batch", "packed"])
def test_two_encoders_agree_on_every_golden_frame(kind: str) -> None:
    for case in json.loads((VECTORS / "frames.json").read_text(encoding="utf-8"))["cases"]:
        if case["frame"]["kind"] == kind:
            assert _plain.from_plain(case["frame"]) == _plain.from_plain(json.loads(json.dumps(case["frame"])))
