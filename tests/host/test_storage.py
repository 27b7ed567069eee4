"""Stores: once is once, other bytes are a conflict, a kill in the middle leaves whole frames only."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.host.making import NODE, batch, batches, event, status

from citymote import Decoder, Store, open_store, readings
from citymote.errors import RefusedFrame, StoreError, UsageError
from citymote.storage import Query

TOP = Path(__file__).resolve().parents[2]
KINDS = ("sqlite", "parquet")


def place(kind: str, folder: Path) -> str:
    return str(folder / "s.db") if kind == "sqlite" else f"parquet:{folder / 'store'}"


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path):
    with open_store(place(request.param, tmp_path)) as opened:
        yield opened


def frames_of(data: list[bytes]):
    return list(Decoder().frames(data))


MIXED = [*batches(6), event(6), status(7), batch(8, columns=((3, 1), (60_000, 0))), batch(0, node=bytes(6))]


def test_what_goes_in_comes_out(store: Store) -> None:
    assert store.add(frames_of(MIXED)) == ["stored"] * len(MIXED)
    assert set(store.iter_readings()) == set(readings(MIXED))
    assert len(list(store.iter_readings())) == len(list(readings(MIXED)))
    assert sorted(frame.data for frame in store.iter_frames()) == sorted(MIXED)


def test_counts(store: Store) -> None:
    store.add(frames_of(MIXED))
    counts = store.counts()
    expected = list(readings(MIXED))
    assert (counts.nodes, counts.frames, counts.readings) == (2, len(MIXED), len(expected))
    assert counts.absent == sum(reading.value is None for reading in expected)


def test_received_twice_is_stored_once(store: Store) -> None:
    assert store.add(frames_of([batch(0), batch(0)])) == ["stored", "duplicate"]
    assert store.add(frames_of([batch(0), batch(1)])) == ["duplicate", "stored"]
    counts = store.counts()
    assert (counts.frames, counts.duplicates, counts.conflicts) == (2, 2, 0)
    assert len(list(store.iter_readings())) == 100


def test_the_same_key_with_other_bytes_is_kept_aside(store: Store) -> None:
    other = batch(0, seed=77)
    assert store.add(frames_of([batch(0), other, other])) == ["stored", "conflict", "conflict"]
    (conflict,) = store.conflicts()
    assert (conflict.node, conflict.epoch, conflict.seq, conflict.data) == (NODE.hex(), 1, 0, other)
    assert [frame.data for frame in store.iter_frames()] == [batch(0)]
    assert store.counts().conflicts == 1


def test_a_new_store_epoch_is_a_new_series(store: Store) -> None:
    assert store.add(frames_of([batch(0), batch(0, epoch=2, seed=5)])) == ["stored", "stored"]


def test_two_nodes_do_not_meet(store: Store) -> None:
    assert store.add(frames_of([batch(0), batch(0, node=bytes(6))])) == ["stored", "stored"]


def test_messages_without_readings_are_kept_with_their_reason(store: Store) -> None:
    problem = RefusedFrame("citymote/x/frames", "truncated", "cut short", node="aabbccddeeff")
    store.add([], [(problem, b"\x89", 12.5)])
    (kept,) = store.aside()
    assert kept[:6] == (12.5, "citymote/x/frames", "aabbccddeeff", "truncated", "cut short", b"\x89")
    assert store.counts().aside_by_code == {"truncated": 1}


def test_what_was_kept_aside_and_is_stored_now_is_not_aside_any_more(store: Store) -> None:
    def problem(code: str) -> RefusedFrame:
        return RefusedFrame("citymote/x/frames", code, "why")

    store.add([], [(problem("unknown_node"), bytes((each,)), None) for each in range(4)])
    store.add([], [(problem("truncated"), b"\x99", None)])
    first, second = store.aside(codes=("unknown_node",), most=2)
    assert store.add(frames_of([batch(0)]), [(problem("topic"), second.data, None)], [first.mark, second.mark]) == [
        "stored"
    ]
    assert [kept.data for kept in store.aside(second.mark, ("unknown_node",))] == [b"\x02", b"\x03"]
    assert store.counts().aside_by_code == {"topic": 1, "truncated": 1, "unknown_node": 2}


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_there_after_opening_again(kind: str, tmp_path: Path) -> None:
    with open_store(place(kind, tmp_path)) as store:
        store.add(frames_of(MIXED))
        before = store.counts()
    with open_store(place(kind, tmp_path), create=False) as store:
        assert store.counts() == before
        assert store.add(frames_of(MIXED[:2])) == ["duplicate"] * 2


def test_queries_narrow(store: Store) -> None:
    store.add(frames_of(MIXED))
    everything = list(readings(MIXED))
    middle = sorted({reading.time for reading in everything})[len(everything) // 100]
    for query in (
        Query(nodes=(NODE.hex(),)),
        Query(quantities=("pm2_5", "heap_free")),
        Query(quantities=("quantity_60000",)),
        Query(since=middle),
        Query(until=middle),
        Query(since=middle, until=middle + timedelta(seconds=240)),
        Query(since=middle + timedelta(milliseconds=1)),
        Query(nodes=("ffffffffffff",)),
        Query(nodes=(NODE.hex(),), quantities=("temperature",), since=middle),
    ):
        expected = {reading for reading in everything if query.wants(reading)}
        assert set(store.iter_readings(query)) == expected, query
        assert {reading for _, some in store.iter_selected(query) for reading in some} == expected, query


def test_a_failing_transaction_leaves_nothing(store: Store) -> None:
    def frames():
        yield from frames_of(batches(3))
        raise OSError("the network is gone")

    with pytest.raises(OSError, match="gone"):
        store.add(frames())
    assert store.counts().frames == 0
    assert store.add(frames_of(batches(3))) == ["stored"] * 3


def test_any_tool_can_read_the_sqlite_file(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        store.add(frames_of(MIXED))
    with closing(sqlite3.connect(tmp_path / "s.db")) as db:
        found = db.execute(
            "SELECT node, seq, epoch, time, time_quality, quantity, sensor, value, unit, quality, sealed FROM readings"
        ).fetchall()
    from citymote.reading import time_text

    assert set(found) == {(*r[:3], time_text(r.time), *r[4:]) for r in readings(MIXED)}


def test_readings_cost_few_bytes(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        store.add(frames_of(batches(400, count=10)))
    assert (tmp_path / "s.db").stat().st_size / 40_000 < 30


def test_engines_can_read_the_parquet_files(tmp_path: Path) -> None:
    with open_store(f"parquet:{tmp_path / 'store'}") as store:
        store.add(frames_of(MIXED))
        store.add(frames_of(batches(500, epoch=2)))
    table = pl.read_parquet(tmp_path / "store" / "readings" / "**" / "*.parquet")
    expected = list(readings([*MIXED, *batches(500, epoch=2)]))
    assert len(table) == len(expected)
    assert table["value"].null_count() == sum(reading.value is None for reading in expected)
    days = {folder.name for folder in (tmp_path / "store" / "readings").iterdir()}
    assert days == {f"day={reading.time:%Y-%m-%d}" for reading in expected}


def test_parquet_files_written_again_after_a_kill_double_nothing(tmp_path: Path) -> None:
    from citymote.storage.parquet import ParquetStore

    folder = tmp_path / "store"
    store = ParquetStore(folder)
    store.add(frames_of(batches(5)))
    write = store._write

    def killed(first: int, frames: list[object]) -> None:
        write(first, frames)  # type: ignore[arg-type]
        raise OSError("killed between the files and the mark")

    store._write = killed  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="safe in the ledger"):
        store.flush()
    store._write = write  # type: ignore[method-assign]
    store.add(frames_of(batches(9)))
    store.close()
    table = pl.read_parquet(folder / "readings" / "**" / "*.parquet")
    assert len(table) == 9 * 50
    assert table.select("epoch", "seq").unique().height == 9


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_in_the_middle_leaves_whole_frames(kind: str, tmp_path: Path) -> None:
    code = textwrap.dedent(
        f"""
        from tests.host.making import batch
        from citymote import Decoder, open_store
        with open_store({place(kind, tmp_path)!r}) as store:
            seq = 0
            while True:
                store.add(Decoder().frames([batch(seq + i) for i in range(7)]))
                seq += 7
                print(seq, flush=True)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=TOP)
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            if int(line) >= 70:
                break
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with open_store(place(kind, tmp_path), create=False) as store:
        counts = store.counts()
        assert counts.frames >= 70
        assert counts.frames % 7 == 0, "a transaction was torn"
        assert counts.readings == counts.frames * 50
        assert len(list(store.iter_readings())) == counts.readings


def test_two_programs_may_write_at_once(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as first, open_store(tmp_path / "s.db") as second:
        assert first.add(frames_of([batch(0)])) == ["stored"]
        assert second.add(frames_of([batch(0), batch(1)])) == ["duplicate", "stored"]
        assert first.add(frames_of([batch(1)])) == ["duplicate"]


def test_a_place_that_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        open_store(tmp_path / "none.db", create=False)
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        db.execute("CREATE TABLE something (x)")
    with pytest.raises(StoreError, match="something else"):
        open_store(tmp_path / "other.db")
    (tmp_path / "text.db").write_text("not a database, and long enough to be read as one" * 40)
    with pytest.raises(StoreError, match="cannot open"):
        open_store(tmp_path / "text.db")
    with pytest.raises(UsageError, match="postgres"):
        open_store("postgres://host/db")


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path / "s.db").close()
    with closing(sqlite3.connect(tmp_path / "s.db")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="its version is 99"):
        open_store(tmp_path / "s.db")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="cannot open"):
        open_store(tmp_path / "file" / "s.db")
    with pytest.raises(StoreError, match="cannot open"):
        open_store(f"parquet:{tmp_path / 'file'}")


def test_an_unknown_quantity_in_a_query_is_said() -> None:
    with pytest.raises(UsageError, match="pm25"):
        Query(quantities=("pm25",))
