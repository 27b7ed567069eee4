"""Files of frames: each kind is recognised by itself, and damage costs the record it hits."""

from __future__ import annotations

import io
import os
import random
import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.host.making import batches, write_capture

from citymote import capture
from citymote.capture import Damage, Message, read, record, skip_item, sniff
from citymote.errors import SourceError, UsageError


def messages(source: capture.Source) -> list[bytes]:
    items = list(read(source))
    assert all(isinstance(item, Message) for item in items), items
    return [item.data for item in items]


def split(source: capture.Source) -> tuple[list[bytes], list[Damage]]:
    items = list(read(source))
    return (
        [item.data for item in items if isinstance(item, Message)],
        [item for item in items if isinstance(item, Damage)],
    )


FRAMES = batches(12)


def capture_bytes(frames: list[bytes]) -> bytes:
    return capture.MAGIC + b"".join(record(frame, 1_700_000_000.25 + index) for index, frame in enumerate(frames))


def test_three_kinds_of_file_give_the_same_frames(tmp_path: Path) -> None:
    text = "# made by hand\n\n" + "\n".join(frame.hex() for frame in FRAMES) + "\n"
    assert messages(capture_bytes(FRAMES)) == FRAMES
    assert messages(b"".join(FRAMES)) == FRAMES
    assert messages(text.encode()) == FRAMES
    path = write_capture(tmp_path / "x.cmcap", FRAMES)
    assert messages(path) == messages(str(path)) == FRAMES
    with path.open("rb") as file:
        assert messages(file) == FRAMES
    assert messages(FRAMES) == messages(iter(FRAMES)) == FRAMES
    assert messages(io.BytesIO(capture_bytes(FRAMES))) == FRAMES


def test_what_a_file_says_of_itself() -> None:
    assert sniff(capture_bytes(FRAMES)) == "capture"
    assert sniff(b"".join(FRAMES)) == "sequence"
    assert sniff(b"\xef\xbb\xbf89 02\r\n") == "text"
    assert sniff(b"") == "text"


def test_time_of_reception_survives() -> None:
    items = list(read(capture_bytes(FRAMES[:2])))
    assert [item.received for item in items if isinstance(item, Message)] == [1_700_000_000.25, 1_700_000_001.25]


def test_hexadecimal_text_may_have_spaces_case_and_comments() -> None:
    frame = FRAMES[0].hex()
    spaced = " ".join(frame[i : i + 2] for i in range(0, len(frame), 2)).upper()
    assert messages(f"{spaced}  # a note\r\n\t{frame}\n".encode()) == [FRAMES[0]] * 2


@pytest.mark.parametrize("line", ["8", "zz", "0x89", "8_9_", "+8", "8 9 0", "-1"])
def test_a_line_that_is_no_frame_costs_that_line(line: str) -> None:
    good, bad = split(f"{FRAMES[0].hex()}\n{line}\n{FRAMES[1].hex()}\n".encode())
    assert good == FRAMES[:2]
    assert [item.code for item in bad] == ["text_line"]
    assert "line 2" in bad[0].where


@pytest.mark.parametrize("seed", range(30))
def test_a_flipped_byte_costs_one_record(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(capture_bytes(FRAMES))
    place = rng.randrange(len(capture.MAGIC), len(data))
    data[place] ^= 1 << rng.randrange(8)
    good, bad = split(bytes(data))
    assert len(good) == len(FRAMES) - 1
    assert all(frame in FRAMES for frame in good)
    assert len(bad) == 1


@pytest.mark.parametrize("seed", range(20))
def test_lost_and_inserted_bytes_cost_the_records_they_touch(seed: int) -> None:
    rng = random.Random(100 + seed)
    data = capture_bytes(FRAMES)
    place = rng.randrange(len(capture.MAGIC), len(data) - 40)
    if seed % 2:
        changed, hit = data[:place] + data[place + rng.randrange(1, 30) :], 2
    else:
        changed, hit = data[:place] + rng.randbytes(rng.randrange(1, 60)) + data[place:], 1
    good, bad = split(changed)
    assert len(FRAMES) - hit <= len(good) <= len(FRAMES)
    assert all(frame in FRAMES for frame in good)
    assert bad


def test_every_truncation_keeps_the_records_before_it() -> None:
    data = capture_bytes(FRAMES[:3])
    ends = [len(capture_bytes(FRAMES[:n])) for n in range(4)]
    for size in range(len(capture.MAGIC), len(data) + 1):
        good, bad = split(data[:size])
        whole = sum(end <= size for end in ends) - 1
        assert good == FRAMES[:whole], size
        assert len(bad) == (0 if size in ends else 1), size
        assert all(item.code == "capture_torn" for item in bad)


def test_a_damaged_magic_costs_no_record() -> None:
    data = bytearray(capture_bytes(FRAMES))
    data[3] ^= 0xFF
    good, bad = split(bytes(data))
    assert good == FRAMES
    assert [item.code for item in bad] == ["capture_magic"]


def test_a_frame_that_contains_the_mark_is_one_frame() -> None:
    sly = b"\x89" + capture.MARK * 3 + record(b"inner")
    assert messages(capture_bytes([sly, FRAMES[0]])) == [sly, FRAMES[0]]


def test_writing_goes_on_behind_a_torn_record(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "x.cmcap", FRAMES[:2])
    path.write_bytes(path.read_bytes()[:-5])
    write_capture(path, FRAMES[2:4])
    good, bad = split(path)
    assert good == [FRAMES[0], *FRAMES[2:4]]
    assert len(bad) == 1


@pytest.mark.parametrize("size", range(len(capture.MAGIC)))
def test_writing_goes_on_behind_a_torn_magic(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.cmcap"
    path.write_bytes(capture.MAGIC[:size])
    write_capture(path, FRAMES[:2])
    assert messages(path) == FRAMES[:2]


@pytest.mark.parametrize(
    "content",
    [b"node,value\n1,2\n", b"x", b"\x89PNG\r\n\x1a\n", b"".join(FRAMES), FRAMES[0].hex().encode(), capture.MAGIC[1:]],
    ids=["csv", "one-byte", "png", "sequence", "text", "headless"],
)
def test_a_file_that_is_no_capture_is_refused_and_keeps_its_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"own\.csv.*no capture"):
        capture.CaptureWriter(path)
    assert path.read_bytes() == content


def test_a_disk_that_takes_no_magic_is_named() -> None:
    with pytest.raises(SourceError, match="cannot write /dev/full: No space"):
        capture.CaptureWriter("/dev/full")


def test_a_record_of_which_the_disk_takes_only_a_part_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.cmcap"
    frame, room = FRAMES[0], len(capture.MAGIC) + len(record(FRAMES[0], 1.0)) + 5
    with capture.CaptureWriter(path) as writer:
        writer.add(frame, 1.0)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with pytest.raises(SourceError, match=r"cannot write .*x\.cmcap"):
                writer.add(frame, 2.0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, ignored)
    good, bad = split(path)
    assert good == [frame]
    assert [item.code for item in bad] == ["capture_torn"]


def test_a_pipe_takes_a_capture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_capture(tmp_path / "pipe", FRAMES[:1])
        assert messages(os.read(reader, 1 << 16)) == FRAMES[:1]
    finally:
        os.close(reader)


def test_a_broken_sequence_says_what_is_lost_and_invents_nothing() -> None:
    data = FRAMES[0] + b"\xff" + FRAMES[1]
    good, bad = split(data)
    assert good == [FRAMES[0]]
    assert bad[0].data == b"\xff" + FRAMES[1]
    assert str(1 + len(FRAMES[1])) in bad[0].why


@pytest.mark.parametrize(
    "data", ["9bffffffffffffffff", "5bffffffffffffffff", "bb7fffffffffffffff", "9f00ff", "82", "19ff", "c0", "fc"]
)
def test_skipping_an_item_that_is_not_there_takes_no_memory(data: str) -> None:
    with pytest.raises(ValueError, match=r"cut off|begins no"):
        skip_item(bytes.fromhex(data), 0)


@given(st.binary(max_size=300))
def test_any_bytes_at_all_end_in_messages_or_damage(data: bytes) -> None:
    for item in read(data):
        assert item.data or isinstance(item, Damage)


@given(st.lists(st.binary(max_size=100), max_size=6), st.binary(max_size=30), st.integers(0, 400))
def test_records_are_found_around_any_rubbish(frames: list[bytes], rubbish: bytes, place: int) -> None:
    parts = [record(frame, 1.0) for frame in frames]
    parts.insert(place % (len(parts) + 1), rubbish)
    good, _ = split(capture.MAGIC + b"".join(parts))
    # Rubbish that happens to be a record is one, and then there is one more.
    assert [frame for frame in good if frame in frames][: len(frames)] == frames


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.cmcap"):
        list(read(tmp_path / "nothing.cmcap"))
    with pytest.raises(SourceError):
        list(read(tmp_path))


def test_text_files_and_lists_of_text_are_refused() -> None:
    with pytest.raises(UsageError, match="rb"):
        list(read(io.StringIO("00")))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="str, not bytes"):
        list(read(["00"]))  # type: ignore[list-item]


def test_a_message_over_the_limit_is_refused() -> None:
    assert len(record(bytes(capture.MAX_MESSAGE))) == capture.MAX_MESSAGE + capture.OVERHEAD
    with pytest.raises(UsageError, match="65536"):
        record(bytes(capture.MAX_MESSAGE + 1))


def test_the_document_gives_a_record_byte_by_byte() -> None:
    text = (Path(__file__).parents[2] / "protocol" / "spec" / "10-files.md").read_text(encoding="utf-8")
    example = bytes.fromhex("".join(text.split("```")[1].split()))
    frame = bytes.fromhex("890246010203040506011903e81a328b7400011878810318d7")
    assert example == capture.MAGIC + record(frame, 1_795_316_640.0)
    assert messages(example) == [frame]
