"""Partition tables and images, held against Espressif's own parser and esptool; what is no runtime is refused early."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import images

from citymote import boards
from citymote.factory import image, partitions
from citymote.factory.esptool import Esptool, EsptoolError
from citymote.factory.partitions import MEGABYTE, Partition, TableError

SIZES = [4, 8, 16, 32]
CHIPS = boards.chips()


def esptool(*arguments: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "esptool", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "No module named" in done.stderr:
        pytest.skip("esptool is not installed")
    return done


# -- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_espressifs_own_parser_reads_our_table(size: int) -> None:
    theirs = pytest.importorskip("esp_idf_defs.partitions", reason="esp-idf-defs is not installed")
    parts = partitions.layout(size * MEGABYTE)
    read = theirs.PartitionTable.from_binary(partitions.binary(parts))
    read.verify()
    assert [(p.name, p.type, p.subtype, p.offset, p.size) for p in read] == [
        (p.label, p.type, p.subtype, p.offset, p.size) for p in parts
    ]
    # and writes it, byte for byte, from the same rows
    assert read.to_binary() == partitions.binary(parts)


@pytest.mark.parametrize("size", SIZES)
def test_code_settings_and_readings_lie_apart_and_fill_no_more_than_the_flash(size: int) -> None:
    parts = {part.label: part for part in partitions.layout(size * MEGABYTE)}
    assert {"vfs", "boot", "slot_a", "slot_b", "config", "store"} <= set(parts)
    assert parts["boot"].size == 2 * 4096
    assert parts["slot_a"].size == parts["slot_b"].size
    assert parts["store"].size >= 1000 * 1024  # ninety days of ten quantities at two minutes want 1 MB
    assert max(part.end for part in parts.values()) <= size * MEGABYTE
    assert ("ota_1" in parts) == (size >= 8)
    assert next(part for part in parts.values() if part.type == partitions.APP).offset == 0x10000


def test_the_board_may_say_how_large_settings_and_store_are() -> None:
    parts = {part.label: part for part in partitions.layout(8 * MEGABYTE, {"config": 32, "store": 100})}
    assert (parts["config"].size, parts["store"].size) == (32 * 4096, 100 * 4096)
    with pytest.raises(TableError, match="its flash has"):
        partitions.layout(4 * MEGABYTE, {"store": 300})
    with pytest.raises(TableError, match="4 MB are the least"):
        partitions.layout(2 * MEGABYTE)


@pytest.mark.parametrize("name", [name for name in boards.names() if name != "virtual"])
def test_every_board_has_room_for_its_partitions(name: str) -> None:
    one = boards.describe(name)
    assert partitions.layout(one.flash_size, one.node["flash"])


def test_a_table_is_read_back_and_a_damaged_one_refused() -> None:
    parts = partitions.layout(4 * MEGABYTE)
    data = partitions.binary(parts)
    assert partitions.parse(data) == parts
    for damaged, reason in (
        (data[:40] + b"\x01" + data[41:], "MD5"),
        (b"\xff" * len(data), "empty"),
        (b"\x00" * len(data), "begins with 0000"),
    ):
        with pytest.raises(TableError, match=reason):
            partitions.parse(damaged)


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_a_table_fail_otherwise(data: bytes) -> None:
    try:
        partitions.parse(data)
    except TableError:
        return


def test_partitions_that_cannot_be_are_refused() -> None:
    for parts, reason in (
        ((Partition("a", 1, 2, 0x9000, 0x2000), Partition("b", 1, 2, 0xA000, 0x1000)), "b begins inside a"),
        ((Partition("a" * 17, 1, 2, 0x9000, 0x1000),), "a name of 16 bytes"),
        ((Partition("a", 0, 0, 0x9000, 0x1000),), "multiples of 64 KB"),
    ):
        with pytest.raises(TableError, match=reason):
            partitions.binary(parts)


# -- the image --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", CHIPS)
def test_a_download_is_taken_apart(key: str, tmp_path: Path) -> None:
    chip = boards.chip(key)
    runtime = image.read(images.written(tmp_path, key), chip)
    assert runtime.version == "v1.27.0"
    assert runtime.program.data == images.program(chip, "v1.27.0", 60000)
    assert runtime.bootloader.chip == chip.image_id


@pytest.mark.parametrize(("key", "size"), [("esp32", 4), ("esp32c3", 4), ("esp32s3", 8), ("esp32c6", 16)])
def test_the_image_is_what_esptool_makes_of_the_same_parts(key: str, size: int, tmp_path: Path) -> None:
    chip = boards.chip(key)
    runtime = image.read(images.written(tmp_path, key), chip)
    parts = partitions.layout(size * MEGABYTE)
    for name, data in (
        ("bootloader", runtime.bootloader.data), ("table", partitions.binary(parts)), ("program", runtime.program.data),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(data)
    done = esptool(
        "--chip", key, "merge-bin", "--output", tmp_path / "theirs.bin", "--flash-size", f"{size}MB",
        "--flash-mode", "keep", "--flash-freq", "keep", hex(chip.bootloader), tmp_path / "bootloader",
        "0x8000", tmp_path / "table", "0x10000", tmp_path / "program",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    ours = image.whole(image.pieces(runtime, chip, size * MEGABYTE, parts))
    assert ours == (tmp_path / "theirs.bin").read_bytes()


@pytest.mark.parametrize("key", CHIPS)
def test_esptool_finds_bootloader_and_program_valid_and_for_the_chip(key: str, tmp_path: Path) -> None:
    chip = boards.chip(key)
    runtime = image.read(images.written(tmp_path, key), chip)
    for piece in image.pieces(runtime, chip, 8 * MEGABYTE, partitions.layout(8 * MEGABYTE)):
        if piece.name != "table":
            path = tmp_path / f"{piece.name}.bin"
            path.write_bytes(piece.data)
            said = esptool("image-info", path).stdout
            assert f"Detected image type: {chip.name.upper()}" in said, said
            assert "Checksum: " in said
            assert "(valid)" in said
            assert "(invalid" not in said


@pytest.mark.parametrize("key", CHIPS)
def test_where_the_bootloader_lies_is_where_esptool_has_it(key: str) -> None:
    # asked of the program, never imported here: its licence is another
    code = (
        f"from esptool.targets import CHIP_DEFS as c; r = c[{key!r}]; print(r.BOOTLOADER_FLASH_OFFSET, r.IMAGE_CHIP_ID)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip("esptool is not installed")
    assert [int(one) for one in done.stdout.split()] == [boards.chip(key).bootloader, boards.chip(key).image_id]


def test_what_is_no_runtime_for_this_chip_is_refused_with_the_reason(tmp_path: Path) -> None:
    chip = boards.chip("esp32c3")
    good = images.download(chip)
    whole = bytearray(good)
    whole[200] ^= 1
    program = bytearray(good)
    program[0x10000 + 300] ^= 1
    cases = {
        "": "is no runtime image",
        "text": "is no runtime image",
        "program alone": "holds a program without its bootloader",
        "short": "cut short",
        "bootloader": "bootloader is damaged: its checksum",
        "program": "program is damaged: its checksum",
        "other chip": "is for another chip: it is for ESP32-S3, the board has ESP32-C3",
        "old": "is MicroPython v1.25.0: 1.26 or later is needed",
    }
    files = {
        "": b"",
        "text": b"<html>404</html>",
        "program alone": images.program(chip),
        "short": good[:0x10100],
        "bootloader": bytes(whole),
        "program": bytes(program),
        "other chip": images.download(boards.chip("esp32s3")),
        "old": images.download(chip, "v1.25.0"),
    }
    for name, reason in cases.items():
        path = tmp_path / "runtime.bin"
        path.write_bytes(files[name])
        with pytest.raises(image.ImageError) as raised:
            image.read(path, chip)
        assert reason in str(raised.value), name
    with pytest.raises(image.ImageError, match="cannot be read"):
        image.read(tmp_path / "nowhere.bin", chip)


def test_a_program_that_does_not_fit_is_refused_before_a_board_is_touched(tmp_path: Path) -> None:
    chip = boards.chip("esp32c3")
    path = tmp_path / "large.bin"
    path.write_bytes(images.download(chip, size=0x1F0000))
    with pytest.raises(image.ImageError, match="does not fit"):
        image.pieces(image.read(path, chip), chip, 4 * MEGABYTE, partitions.layout(4 * MEGABYTE))


def test_a_program_without_a_hash_keeps_none(tmp_path: Path) -> None:
    chip = boards.chip("esp32")
    bare = image.Program(images.program(chip, hashed=False), 0, hashed=False)
    assert bare.for_flash(8 * MEGABYTE)[4:] == bare.data[4:]
    assert bare.for_flash(8 * MEGABYTE)[3] >> 4 == 3


def test_the_command_line_writes_an_image_without_a_board(tmp_path: Path) -> None:
    runtime = images.written(tmp_path, "esp32c3")
    command = [sys.executable, "-m", "citymote", "flash", "--board", "airgradient-one", "--runtime", runtime]
    done = subprocess.run(
        [*command, "--image", tmp_path / "out.bin", "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    data = (tmp_path / "out.bin").read_bytes()
    assert said["bytes"] == len(data)
    assert said["runtime"] == "v1.27.0"
    assert partitions.parse(data[0x8000:]) == partitions.layout(4 * MEGABYTE)
    assert [row["label"] for row in said["partitions"]] == [p.label for p in partitions.layout(4 * MEGABYTE)]
    wrong = [*command[:-1], images.written(tmp_path, "esp32s3"), "--image", tmp_path / "none.bin"]
    done = subprocess.run(wrong, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "is for ESP32-S3, the board has ESP32-C3" in done.stderr
    assert not (tmp_path / "none.bin").exists()


# -- esptool's words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "A fatal error occurred: This chip is ESP32-S3, not ESP32-C3. Wrong chip argument?",
            "another chip is there: it",
        ),
        (
            "Could not open /dev/x, the port is busy or doesn't exist.\n([Errno 2] could not open port)",
            "cannot be opened",
        ),
        ("Could not open /dev/x, the port is busy or doesn't exist.\n(Could not exclusively lock port)", "is busy"),
        (
            "Could not open /dev/x ... ([Errno 13] could not open port: [Errno 13] Permission denied)",
            "may not be opened",
        ),
        ("A fatal error occurred: Failed to connect to ESP32-C3: No serial data received.", "the chip does not answer"),
        ("A fatal error occurred: MD5 of file does not match data in flash!", "MD5 of file does not match"),
        ("/usr/bin/python: No module named esptool", "needs the package esptool"),
    ],
)
def test_what_esptool_says_becomes_a_sentence(said: str, reason: str, tmp_path: Path) -> None:
    script = tmp_path / "said.py"
    script.write_text(f"import sys; print({said!r}); sys.exit(2)")
    tool = Esptool("/dev/x", boards.chip("esp32c3"), command=(sys.executable, str(script)))
    with pytest.raises(Exception, match=reason):
        tool.flash_size()


def test_an_esptool_that_hangs_or_is_not_there_ends_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EsptoolError, match="cannot be started"):
        Esptool("/dev/x", boards.chip("esp32c3"), command=(str(tmp_path / "nothing"),)).erase()
