"""The lockstep scanner against the protocol's decoder: the same frames accepted, the same values, nothing more."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from tests.host.making import NODE, batch, columns_of, event, status

from citymote import scan_frames as scanner
from citymote import wire
from citymote.decode import row_times
from citymote.scan_frames import scan
from citymote_protocol.quantities import ABSENT

if TYPE_CHECKING:
    from pathlib import Path

LIST = ((3, 0), (4, 0), (3, 1), (999, 7), (9, 0))


def reference(frame: bytes) -> Any:
    """What the protocol's decoder makes of a frame; None where it is refused or no plain batch."""
    try:
        body = wire.decode(frame)
    except wire.FrameError:
        return None
    if not wire.is_batch(body) or body.packed or body.node is None:
        return None
    return body


def compare(frames: list[bytes]) -> int:
    """Hold the scanner's answer for every frame against the decoder's; returns how many were accepted."""
    heads, pieces, unsure = scan(frames, [None] * len(frames), [False] * len(frames))
    found: dict[int, tuple[Any, int]] = {}
    for piece in pieces:
        for place, index in enumerate(piece.frames.tolist()):
            assert index not in found, f"frame {index} came twice"
            found[index] = (piece, place)
    assert sorted([*found, *unsure]) == list(range(len(frames)))
    for index, frame in enumerate(frames):
        body = reference(frame)
        if body is None:
            assert index not in found, f"the scanner accepts what the decoder does not: {frame.hex()}"
            continue
        assert index in found, f"the scanner is unsure of a sound frame: {frame.hex()}"
        piece, place = found[index]
        assert piece.columns == tuple(body.columns), frame.hex()
        assert piece.times[place].tolist() == row_times(body), frame.hex()
        absent = piece.absent[place] if piece.absent is not None else None
        values = [
            [
                None if absent is not None and absent[row, column] else int(piece.values[place, row, column])
                for row in range(body.count)
            ]
            for column in range(len(body.columns))
        ]
        assert values == [list(column) for column in body.values], frame.hex()
        codes = wire.expand_quality(body.quality, len(body.columns), body.count)
        expected = [list(line) if line is not None else [0] * body.count for line in codes]
        marks = piece.quality[place].T.tolist() if piece.quality is not None else [[0] * body.count] * len(body.columns)
        assert marks == expected, frame.hex()
        head = (f"{heads.node[index]:012x}", heads.epoch[index], heads.seq[index], heads.clock[index])
        assert head == (bytes(body.node).hex(), body.epoch, body.seq, body.clock)
    return len(found)


@pytest.fixture(autouse=True)
def every_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scanner take shapes that one frame has alone, and any number of lists."""
    monkeypatch.setattr(scanner, "FEW", 1)
    monkeypatch.setattr(scanner, "LISTS", 10_000)


def varied(rng: random.Random) -> bytes:
    """One frame of any shape and any forms of columns."""
    columns = rng.choice((None, LIST, ((3, 0),)))
    count = rng.choice((1, 2, 3, 5, 8, 20, 60, 255))
    width = 10 if columns is None else len(columns)
    values = columns_of(rng, width, count, rng.choice((0.0, 0.0, 0.1, 0.9)))
    for column in values:
        if rng.random() < 0.3:
            # Seldom changing and stepped columns have forms of their own.
            scale = rng.choice((1, 10, 7))
            value = rng.randrange(-500, 500)
            for row in range(count):
                value = value + rng.randrange(-3, 4) if rng.random() < 0.15 else value
                column[row] = ABSENT if rng.random() < 0.03 else value * scale
    times = None
    start, interval = 800_000_000 + rng.randrange(10**6), rng.choice((30, 60, 3600))
    if rng.random() < 0.4:
        jitter = rng.choice((0.05, 0.9))
        times = [start]
        for _ in range(count - 1):
            times.append(times[-1] + interval + (rng.randrange(1, 90) if rng.random() < jitter else 0))
    quality: list[bytes | None] | None = None
    if rng.random() < 0.2:
        quality = [
            bytes(rng.choice((0, 0, 8, 3)) for _ in range(count)) if rng.random() < 0.4 else None for _ in range(width)
        ]
    return batch(
        rng.randrange(1 << 32),
        epoch=rng.choice((0, 23, 24, 70_000, (1 << 32) - 1)),
        count=count,
        time=start,
        interval=interval,
        columns=columns,
        values=values,
        times=times,
        quality=quality,
        clock=rng.randrange(5),
    )


def mutated(rng: random.Random, frame: bytes) -> bytes:
    data = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        place = rng.randrange(len(data))
        kind = rng.random()
        if kind < 0.5:
            data[place] = rng.randrange(256)
        elif kind < 0.65:
            data[place] ^= 1 << rng.randrange(8)
        elif kind < 0.75:
            data.insert(place, rng.randrange(256))
        elif kind < 0.85 and len(data) > 1:
            del data[place]
        elif kind < 0.95:
            data[place] = rng.choice(
                (0x18, 0x19, 0x1A, 0x1B, 0x38, 0x3A, 0xF6, 0xF7, 0x80, 0x9F, 0xFF, 0x5F, 0xD8, 0xF9)
            )
        else:
            del data[max(1, place) :]
    return bytes(data)


def test_golden_frames(vectors: Path) -> None:
    frames: list[bytes] = []
    for name in ("frames", "frames-other", "frames-bad", "frames-bad-2"):
        path = vectors / f"{name}.json"
        frames += [bytes.fromhex(case["hex"]) for case in json.loads(path.read_text())["cases"]]
    assert compare(frames) > 20


@pytest.mark.parametrize("seed", range(4))
def test_random_frames(seed: int) -> None:
    rng = random.Random(seed)
    frames = [varied(rng) for _ in range(150)]
    assert compare(frames) == len(frames)


@pytest.mark.parametrize("seed", range(6))
def test_mutated_frames(seed: int) -> None:
    rng = random.Random(1000 + seed)
    sound = [varied(rng) for _ in range(40)]
    compare([mutated(rng, rng.choice(sound)) for _ in range(1500)])


@pytest.mark.parametrize("seed", range(3))
def test_mutated_frames_of_one_shape_read_together(seed: int) -> None:
    rng = random.Random(2000 + seed)
    sound = [batch(seq, count=20, gaps=0.03) for seq in range(30)]
    frames = [mutated(rng, rng.choice(sound)) if rng.random() < 0.5 else rng.choice(sound) for _ in range(800)]
    assert compare(frames) > 300


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_many_mutated_frames(seed: int) -> None:
    rng = random.Random(5000 + seed)
    sound = [varied(rng) for _ in range(100)]
    compare([mutated(rng, rng.choice(sound)) for _ in range(5000)])


def test_every_truncation_and_trailing_byte() -> None:
    rng = random.Random(7)
    for _ in range(6):
        frame = varied(rng)[:400]
        compare([frame[:size] for size in range(len(frame) + 1)] + [frame + b"\x00", frame + frame])


def test_other_kinds_are_left_to_the_decoder() -> None:
    frames = [event(), status(), batch(0, packed=True), b"", b"\xd0", b"\x83"]
    _, pieces, unsure = scan(frames, [None] * 6, [False] * 6)
    assert pieces == []
    assert unsure == list(range(6))


def test_a_sealed_frame_must_name_its_own_node() -> None:
    named, other, unnamed = batch(0), batch(1, node=bytes(6)), batch(2, node=None)
    frames = [named, other, unnamed]
    heads, _, unsure = scan(frames, [NODE.hex()] * 3, [True] * 3)
    assert unsure == [1]
    assert f"{heads.node[2]:012x}" == NODE.hex()


def test_a_bare_frame_without_a_name_needs_one_from_the_link() -> None:
    _, _, unsure = scan([batch(0, node=None)] * 2, [None, NODE.hex()], [False] * 2)
    assert unsure == [0]


def test_a_declared_count_takes_no_memory() -> None:
    import tracemalloc

    huge = bytes.fromhex("9bffffffffffffffff") + bytes(40)
    wide = bytearray(batch(0, count=60))
    frames = [huge, bytes.fromhex("9affffffff"), bytes.fromhex("89025bffffffffffffffff"), bytes(wide)] * 50
    tracemalloc.start()
    compare(frames)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20
