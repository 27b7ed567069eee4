"""Images in ESP-IDF's form, for tests: small programs that are whole in every respect that a flasher can check."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from citymote import boards
from citymote.factory import partitions


def program(chip: boards.Chip, version: str = "v1.27.0", size: int = 5000, hashed: bool = True, seed: int = 1) -> bytes:
    """One image: header, two segments, checksum, hash; described as a program of MicroPython's."""
    description = struct.pack("<III4x32s32s16s16s32s32s80x", 0xABCD5432, 0, 0, *(
        text.encode() for text in (version, "micropython", "12:00:00", "Jan  1 2026", "v5.5.1", "")
    ))  # fmt: skip
    body = bytes((seed * 37 + n * 11) & 255 for n in range(size // 4 * 4))
    segments = [(0x3C000020, description + body), (0x42000020, body[:400])]
    data = struct.pack(
        "<BBBBIB3sHBHH4sB",
        0xE9,
        len(segments),
        2,
        0x2F,
        0x42000020,
        0xEE,
        bytes(3),
        chip.image_id,
        0,
        0,
        99,
        bytes(4),
        hashed,
    )
    checksum = 0xEF
    for address, content in segments:
        data += struct.pack("<II", address, len(content)) + content
        for byte in content:
            checksum ^= byte
    data += bytes(15 - len(data) % 16) + bytes([checksum])
    return data + hashlib.sha256(data).digest() if hashed else data


def download(chip: boards.Chip, version: str = "v1.27.0", size: int = 60000) -> bytes:
    """What MicroPython offers for download: bootloader, its own table, program, from the bootloader's place on."""
    table = partitions.binary((
        partitions.Partition("nvs", 1, 2, 0x9000, 0x6000),
        partitions.Partition("phy_init", 1, 1, 0xF000, 0x1000),
        partitions.Partition("factory", 0, 0, 0x10000, 0x1F0000),
    ))  # fmt: skip
    out = bytearray()
    for at, data in (
        (chip.bootloader, program(chip, "", 9000, seed=2)),
        (0x8000, table),
        (0x10000, program(chip, version, size)),
    ):
        out += b"\xff" * (at - chip.bootloader - len(out)) + data
    return bytes(out)


def written(folder: Path, chip: str, version: str = "v1.27.0") -> Path:
    """Such a file."""
    path = folder / f"{chip}.bin"
    path.write_bytes(download(boards.chip(chip), version))
    return path
