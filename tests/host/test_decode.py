"""Readings from frames: the three lines of the README, strictness, seals, and what happens to what cannot be read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.host.making import NODE, START, batch, batches, event, status, write_capture

import citymote
from citymote import Decoder, FrameProblem, Reading, wire
from citymote.crypto import HostCrypto
from citymote.errors import DamagedRecord, RefusedFrame, UnopenableFrame, UsageError
from citymote.keys import KeyFile, Opener
from citymote.reading import as_json, moment
from citymote_protocol.quantities import ABSENT
from citymote_protocol.sealing import Sealer

if TYPE_CHECKING:
    from pathlib import Path

LINE = (
    '{"node": "0102030405aa", "seq": 7, "time": "2026-11-22T03:04:00Z", "time_quality": "network", '
    '"quantity": "pm2_5", "sensor": 0, "value": 12.0, "unit": "ug/m3", "quality": "unchecked", "sealed": false}'
)


def seconds(text: str) -> int:
    return int((datetime.fromisoformat(text) - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds())


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile.create(tmp_path / "city.keys")


@pytest.fixture
def sealer(keys: KeyFile) -> Sealer:
    crypto = HostCrypto()
    from citymote_protocol import p256

    private, public = p256.run(crypto.key_pair_steps())
    node = keys.add_node(crypto.compressed(public))
    keys.save()
    return Sealer(crypto, node, private, keys.collectors[0].public, 1, bytes(range(8)))


def test_a_json_line_is_exactly_the_documents() -> None:
    frame = batch(7, columns=((1, 0),), values=[[120]], time=seconds("2026-11-22T03:04:00Z"))
    (reading,) = citymote.readings([frame])
    assert as_json(reading) == LINE


def test_a_reading_has_everything() -> None:
    frame = batch(3, columns=((3, 1),), values=[[-105, ABSENT]], epoch=9, clock=4, quality=[bytes((0, 8))])
    first, second = citymote.readings([frame])
    when = moment(START + 3 * 5 * 120)
    assert first == Reading(NODE.hex(), 3, 9, when, "estimated", "temperature", 1, -10.5, "Cel", "unchecked", False)
    assert first.time.tzinfo is not None
    assert second.value is None
    assert second.quality == "no_answer"
    assert (second.time - first.time).total_seconds() == 120


def test_absent_is_null_and_not_zero() -> None:
    (reading,) = citymote.readings([batch(0, columns=((1, 0),), values=[[ABSENT]])])
    assert json.loads(as_json(reading))["value"] is None


def test_events_and_status_frames_are_readings_too() -> None:
    found = [
        (r.quantity, r.sensor, r.value, r.quality, r.time_quality) for r in citymote.readings([event(), status(1)])
    ]
    assert found == [
        ("visitors", 0, 4.0, "unchecked", "satellite"),
        ("laeq", 1, None, "no_answer", "satellite"),
        ("heap_free", 0, 51_000.0, "unchecked", "never"),
        ("uptime", 0, 86_400.0, "unchecked", "never"),
    ]


def test_an_unknown_quantity_keeps_its_number() -> None:
    (reading,) = citymote.readings([batch(0, columns=((60_000, 2),), values=[[-5]])])
    assert (reading.quantity, reading.value, reading.unit, reading.sensor) == ("quantity_60000", -5.0, "", 2)


@pytest.mark.parametrize("packed", [False, True])
def test_sensors_of_one_quantity_stay_apart_in_frame_json_and_arrow(packed: bool) -> None:
    columns = ((1, 0), (1, 1), (1, 200))
    data = batch(0, columns=columns, values=[[120, 121], [140, ABSENT], [90, 91]], packed=packed)
    (frame,) = Decoder().frames([data])
    assert wire.is_batch(frame.body)
    assert tuple(frame.body.columns) == columns
    expected = [(0, 12.0), (1, 14.0), (200, 9.0), (0, 12.1), (1, None), (200, 9.1)]
    lines = [json.loads(as_json(reading)) for reading in citymote.readings([data])]
    assert [(line["sensor"], line["value"]) for line in lines] == expected
    rows = citymote.to_arrow([data]).to_pylist()
    assert [(row["sensor"], row["value"]) for row in rows] == expected
    assert {row["quantity"] for row in rows} == {"pm2_5"}


def test_values_have_the_shortest_digits_of_their_resolution() -> None:
    integers = list(range(-100, 101))
    found = [reading.value for reading in citymote.readings([batch(0, columns=((3, 0),), values=[integers])])]
    assert [repr(value) for value in found] == [repr(float(f"{integer}e-1")) for integer in integers]


def test_rows_of_their_own_times() -> None:
    frame = batch(0, columns=((3, 0),), values=[[1, 2, 3]], time=START, times=[START, START + 7, START + 200])
    assert [r.time for r in citymote.readings([frame])] == [moment(START + offset) for offset in (0, 7, 200)]


def test_sealed_frames_open_with_a_key_file(tmp_path: Path, keys: KeyFile, sealer: Sealer) -> None:
    from citymote_protocol import sealing

    node = bytes(sealing.parse(sealer.seal(b"x" * 20)).kid)
    frames = [batch(seq, node=None) for seq in range(3)]
    path = write_capture(tmp_path / "x.cmcap", [sealer.seal(frame) for frame in frames])
    for opener in (tmp_path / "city.keys", str(tmp_path / "city.keys"), Opener(keys)):
        found = list(citymote.readings(path, keys=opener))
        assert len(found) == 150
        assert all(reading.sealed and reading.node == node.hex() for reading in found)
    table = citymote.to_arrow(path, keys=Opener(keys))
    assert table.to_pylist() == [{name: getattr(reading, name) for name in table.column_names} for reading in found]


def test_replayed_envelopes_and_frames_sealed_again_are_duplicates(
    tmp_path: Path, keys: KeyFile, sealer: Sealer
) -> None:
    frame = batch(3, node=None)
    first, again = sealer.seal(frame), sealer.seal(frame)
    assert first != again
    with citymote.open_store(str(tmp_path / "s.db")) as store:
        outcomes = store.add(
            list(Decoder(Opener(keys)).frames([first, first, again, sealer.seal(batch(4, node=None))]))
        )
        assert outcomes == ["stored", "duplicate", "duplicate", "stored"]
        assert store.counts().conflicts == 0


def test_sealed_frames_without_keys_are_named_as_such(sealer: Sealer) -> None:
    with pytest.raises(UnopenableFrame, match="no keys were given") as caught:
        list(citymote.readings([sealer.seal(batch(0, node=None))]))
    assert caught.value.code == "no_keys"
    assert caught.value.node is not None
    assert caught.value.whose == "sender"


def test_a_stranger_cannot_be_opened(tmp_path: Path, sealer: Sealer) -> None:
    other = Opener(KeyFile.create(tmp_path / "other.keys"))
    with pytest.raises(UnopenableFrame) as caught:
        list(citymote.readings([sealer.seal(batch(0, node=None))], keys=other))
    assert caught.value.code == "unknown_node"


def test_a_changed_envelope_cannot_be_opened(keys: KeyFile, sealer: Sealer) -> None:
    sealed = bytearray(sealer.seal(batch(0, node=None)))
    sealed[-1] ^= 1
    with pytest.raises(UnopenableFrame):
        list(citymote.readings([bytes(sealed)], keys=Opener(keys)))


def test_a_node_cannot_pass_on_anothers_frame(keys: KeyFile, sealer: Sealer) -> None:
    with pytest.raises(FrameProblem) as caught:
        list(citymote.readings([sealer.seal(batch(0))], keys=Opener(keys)))
    assert caught.value.code == "inner_node"


def test_a_frame_without_a_node_needs_one_named() -> None:
    frame = batch(0, node=None)
    with pytest.raises(RefusedFrame) as caught:
        list(citymote.readings([frame]))
    assert caught.value.code == "node_missing"
    assert next(citymote.readings([frame], node="0a0b0c0d0e0f")).node == "0a0b0c0d0e0f"


BAD = [batch(0), batch(1)[:-1], b"\x00", batch(2) + b"\x00", batch(3)]


def test_raise_stops_at_the_first_problem() -> None:
    seen: list[int] = []
    with pytest.raises(FrameProblem) as caught:
        seen.extend(reading.seq for reading in citymote.readings(BAD))
    assert set(seen) == {0}
    assert caught.value.where == "frame 2"
    assert caught.value.code == "truncated"


def test_skip_counts_by_code() -> None:
    decoder = Decoder(on_error="skip")
    assert {reading.seq for reading in decoder.readings(BAD)} == {0, 3}
    assert dict(decoder.tally.problems) == {"truncated": 1, "type": 1, "trailing": 1}
    assert (decoder.tally.frames, decoder.tally.readings, decoder.tally.failed) == (2, 100, 3)
    assert decoder.aside == []


def test_keep_keeps_bytes_and_reason() -> None:
    decoder = Decoder(on_error="keep")
    list(decoder.readings(BAD))
    assert [aside.data for aside in decoder.aside] == BAD[1:4]
    assert [aside.problem.code for aside in decoder.aside] == ["truncated", "type", "trailing"]


def test_a_function_hears_of_every_problem() -> None:
    heard: list[tuple[str, bytes]] = []
    list(citymote.readings(BAD, on_error=lambda problem, item: heard.append((problem.code, item.data))))
    assert [code for code, _ in heard] == ["truncated", "type", "trailing"]


def test_a_damaged_record_is_a_problem_like_others(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "x.cmcap", batches(3))
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedRecord, match=r"x\.cmcap record 1"):
        list(citymote.readings(path))
    assert {reading.seq for reading in citymote.readings(path, on_error="skip")} == {1, 2}


def test_an_error_says_what_where_and_what_next() -> None:
    with pytest.raises(FrameProblem) as caught:
        list(citymote.readings([batch(0) + b"\x00"]))
    text = str(caught.value)
    assert "frame 1" in text
    assert "trailing" in text
    assert "SPEC" in text


def test_meaningless_on_error_is_refused() -> None:
    with pytest.raises(UsageError, match="on_error"):
        Decoder(on_error="ignore")


def test_golden_vectors_decode(vectors: Path) -> None:
    cases = json.loads((vectors / "frames.json").read_text())["cases"]
    decoder = Decoder(node=NODE.hex())
    for case in cases:
        frame = case["frame"]
        (made,) = decoder.frames([bytes.fromhex(case["hex"])])
        assert made.seq == frame["seq"], case["name"]
        present = [value for value in _flat(frame.get("values", [])) if value is not None]
        assert [s.value for s in made.samples() if s.value is not None] == present, case["name"]


def _flat(values: list[object]) -> list[object]:
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


def test_bad_vectors_are_refused_with_their_code(vectors: Path) -> None:
    for case in json.loads((vectors / "frames-bad.json").read_text())["cases"]:
        data = bytes.fromhex(case["hex"])
        decoder = Decoder(on_error="skip", node=NODE.hex())
        assert list(decoder.readings([data])) == [], case["name"]
        if case["error"] != "sealed":
            assert list(decoder.tally.problems) == [case["error"]], case["name"]


def many(seed: int = 0) -> list[bytes]:
    """Enough messages for the bulk way, with a bad one, an event and a frame of another shape among them."""
    frames = batches(600)
    frames[100] = frames[100][:-1]
    frames[200] = event(200)
    frames[300] = batch(300, columns=((60_000, 1), (3, 0)), quality=[bytes((8, 0, 0, 3, 3)), None])
    frames[400] = frames[400] + b"\x00"
    return frames


def test_many_messages_read_together_are_as_if_one_by_one() -> None:
    together, alone = Decoder(on_error="keep"), Decoder(on_error="keep")
    assert list(together.readings(many())) == list(alone.readings(iter(many())))
    assert together.tally == alone.tally
    assert [aside.data for aside in together.aside] == [aside.data for aside in alone.aside]


def test_many_messages_raise_in_their_turn() -> None:
    seen: list[int] = []
    with pytest.raises(FrameProblem) as caught:
        seen.extend(reading.seq for reading in citymote.readings(many()))
    assert max(seen) == 99
    assert caught.value.where == "frame 101"


def test_many_sealed_messages(keys: KeyFile, sealer: Sealer) -> None:
    messages = [sealer.seal(batch(seq, node=None)) for seq in range(300)]
    messages[7] = messages[7][:-1] + bytes((messages[7][-1] ^ 1,))
    together, alone = Decoder(Opener(keys), "skip"), Decoder(Opener(keys), "skip")
    assert list(together.readings(messages)) == list(alone.readings(iter(messages)))
    assert together.tally == alone.tally
    assert together.tally.failed == 1
