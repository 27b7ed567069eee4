"""Tables say what readings say, row by row, whoever decoded them."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.host.making import batch, batches, event, status, write_capture

import citymote
from citymote import Decoder, FrameProblem, arrow
from citymote.arrow import SCHEMA, assemble_frames, iter_tables

if TYPE_CHECKING:
    from pathlib import Path


def rows(source) -> list[dict[str, object]]:
    return [{name: getattr(r, name) for name in SCHEMA.names} for r in citymote.readings(source)]


def mixed(seed: int) -> list[bytes]:
    rng = random.Random(seed)
    frames = []
    for seq in range(60):
        node = bytes((1, 2, 3, 4, 5, rng.randrange(3)))
        kind = rng.random()
        if kind < 0.1:
            frames.append(event(seq, node))
        elif kind < 0.2:
            frames.append(status(seq, node))
        elif kind < 0.35:
            frames.append(batch(seq, node=node, columns=((3, 0), (3, 1), (50_000, 2)), count=rng.choice((1, 4))))
        elif kind < 0.45:
            frames.append(batch(seq, node=node, packed=True))
        else:
            codes = [bytes((0, 8, 8, 0, 3))] + [None] * 9
            frames.append(batch(seq, node=node, quality=codes if rng.random() < 0.3 else None, clock=rng.randrange(5)))
    return frames


@pytest.mark.parametrize("seed", range(4))
def test_table_and_readings_are_the_same(seed: int) -> None:
    frames = mixed(seed)
    table = citymote.to_arrow(frames)
    assert table.schema == SCHEMA
    assert table.to_pylist() == rows(frames)


def test_one_shape_alone_keeps_its_order() -> None:
    frames = batches(50, count=7)
    assert citymote.to_arrow(frames).to_pylist() == rows(frames)


def test_chunks_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "CHUNK_FRAMES", 9)
    frames = mixed(9)
    assert len(list(iter_tables(frames, Decoder()))) == 7
    assert citymote.to_arrow(frames).to_pylist() == rows(frames)


def test_frames_decoded_one_by_one_make_the_same_table() -> None:
    frames = mixed(3)
    assert assemble_frames(list(Decoder().frames(frames))).to_pylist() == rows(frames)


def test_nothing_gives_an_empty_table_with_the_columns() -> None:
    assert citymote.to_arrow(b"").schema == SCHEMA
    assert citymote.to_arrow([]).num_rows == 0


def test_frames_without_readings_add_no_rows(vectors: Path) -> None:
    cases = json.loads((vectors / "frames.json").read_text())["cases"]
    descriptors = [bytes.fromhex(case["hex"]) for case in cases if case["frame"]["kind"] == "descriptor"]
    assert descriptors
    assert citymote.to_arrow([*batches(20), *descriptors], node="0a0b0c0d0e0f").num_rows == 20 * 50


def test_problems_go_the_same_way() -> None:
    frames = [*batches(20), batch(20)[:-1], b"\x00", *batches(2, epoch=5)]
    with pytest.raises(FrameProblem, match="frame 21"):
        citymote.to_arrow(frames)
    heard: list[str] = []
    table = citymote.to_arrow(frames, on_error=lambda problem, _: heard.append(problem.code))
    assert heard == ["truncated", "type"]
    assert table.num_rows == 22 * 50


def test_a_bad_frame_among_many_of_its_shape_is_refused_and_the_others_are_not() -> None:
    frames = batches(100)
    frames[50] = frames[50][:-1] + bytes((frames[50][-1] ^ 0xFF,)) + b"\x00"
    decoder = Decoder(on_error="skip")
    tables = list(iter_tables(frames, decoder))
    assert sum(table.num_rows for table in tables) == 99 * 50
    assert decoder.tally.frames == 99
    assert decoder.tally.failed == 1


def test_damage_is_reported(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "x.cmcap", batches(12))
    data = bytearray(path.read_bytes())
    data[60] ^= 4
    path.write_bytes(data)
    assert citymote.to_arrow(path, on_error="skip").num_rows == 11 * 50


def test_pandas_and_polars_take_it() -> None:
    table = citymote.to_arrow(batches(20))
    frame = table.to_pandas()
    assert isinstance(frame["time"].dtype, pd.DatetimeTZDtype)
    assert frame["value"].isna().sum() == table["value"].null_count
    grouped = pl.from_arrow(table).group_by("quantity").agg(pl.col("value").mean())
    assert len(grouped) == 10


def test_values_are_pythons_to_the_last_bit() -> None:
    frames = batches(40, gaps=0.0)
    table = citymote.to_arrow(frames)
    expected = np.array([reading.value for reading in citymote.readings(frames)])
    assert (table["value"].to_numpy().view(np.int64) == expected.view(np.int64)).all()


def test_dictionaries_are_shared_by_all_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "CHUNK_FRAMES", 10)
    table = citymote.to_arrow(mixed(1))
    names = {tuple(chunk.dictionary.to_pylist()) for chunk in table["node"].chunks}
    assert len(names) == 1
    assert pa.types.is_dictionary(table["quantity"].type)
