"""The runtime image that the user gives, and what becomes of it: pieces to write, or one image of the whole flash.

MicroPython's downloads are bootloader, partition table and program in one file that begins where the chip's bootloader
lies; its table gives way to ours (`partitions`), and the bootloader is told how large the flash is. What can be wrong
with such a file is found here, before a board is touched: another chip's image, no image at all, a program that does
not fit. Format: ESP-IDF Programming Guide, Application Image Format.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from citymote import boards
from citymote.errors import CitymoteError

from . import partitions
from .partitions import APPLICATION_AT, MEGABYTE, TABLE_AT, Partition

OLDEST = (1, 26)
"""The MicroPython that a board needs: machine.Counter, and what it does with its flash's size."""

_HEADER = struct.Struct("<BBBBIB3sHBHH4sB")
_MAGIC = 0xE9
_DESCRIPTION = 0xABCD5432
_SIZES = {1: 0, 2: 1, 4: 2, 8: 3, 16: 4, 32: 5}
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


class ImageError(CitymoteError):
    """A runtime image that this board cannot be given."""


@dataclass(frozen=True)
class Program:
    """One ESP image (a bootloader, or MicroPython): its bytes, its chip, and where it carries its own hash."""

    data: bytes
    chip: int
    hashed: bool

    def for_flash(self, size: int) -> bytes:
        """The same with the flash's size in its header, and its hash put right."""
        head = bytearray(self.data[:24])
        head[3] = _SIZES[size // MEGABYTE] << 4 | head[3] & 15
        data = bytes(head) + self.data[24:]
        if not self.hashed:
            return data
        return data[:-32] + hashlib.sha256(data[:-32]).digest()


@dataclass(frozen=True)
class Runtime:
    """What a file of MicroPython for a chip holds."""

    path: Path
    bootloader: Program
    program: Program
    version: str
    """As the program's own description says it, such as "v1.26.0"; empty where it says nothing."""
    idf: str = ""
    """The ESP-IDF that it was built with, from the same place."""

    @property
    def fingerprint(self) -> bytes:
        """The bytes of the program by which a board's can be compared without reading all of it."""
        return self.program.data[:256]


@dataclass(frozen=True)
class Piece:
    """Bytes and where in flash they go."""

    name: str
    offset: int
    data: bytes


def read(path: Path, chip: boards.Chip) -> Runtime:
    """The runtime of a file for that chip; ImageError says what is wrong with it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"the runtime {path} cannot be read", error.strerror or str(error)) from None
    then = f"Take the image of MicroPython {OLDEST[0]}.{OLDEST[1]} or later that its makers offer for {chip.name}."
    if not data or data[0] != _MAGIC:
        raise ImageError(f"{path} is no runtime image", "it does not begin as one", then)
    bootloader = _program(data, 0, f"{path}: its bootloader", then)
    if bootloader.chip != chip.image_id:
        names = {one.image_id: one.name for one in map(boards.chip, boards.chips())}
        other = names.get(bootloader.chip, f"chip number {bootloader.chip}")
        raise ImageError(f"{path} is for another chip", f"it is for {other}, the board has {chip.name}", then)
    table, program = TABLE_AT - chip.bootloader, APPLICATION_AT - chip.bootloader
    if len(bootloader.data) > table or len(data) <= program:
        why = "it holds a program without its bootloader and table" if len(data) <= program else "it is another form"
        raise ImageError(f"{path} is no whole runtime image", why, then)
    try:
        partitions.parse(data[table : table + partitions.TABLE_SIZE])
    except partitions.TableError as error:
        raise ImageError(f"{path} is no whole runtime image", str(error), then) from None
    main = _program(data, program, f"{path}: its program", then)
    if main.chip != chip.image_id:
        raise ImageError(f"{path} is damaged", "bootloader and program are for different chips", then)
    version = _described(main.data, 48)
    match = _VERSION.match(version)
    if match and (int(match[1]), int(match[2])) < OLDEST:
        raise ImageError(f"{path} is MicroPython {version}", f"{OLDEST[0]}.{OLDEST[1]} or later is needed", then)
    return Runtime(path, bootloader, main, version, _described(main.data, 144))


def _program(data: bytes, at: int, what: str, then: str) -> Program:
    """One image out of a file: its header, its segments, its checksum, its hash."""
    try:
        magic, segments, *_, chip, _, _, _, _, hashed = _HEADER.unpack_from(data, at)
        if magic != _MAGIC or not 1 <= segments <= 16:
            raise ImageError(f"{what} is not there", f"{magic:02x} is no image's first byte", then)
        end, checksum = at + _HEADER.size, 0xEF
        for _ in range(segments):
            size = struct.unpack_from("<I", data, end + 4)[0]
            for byte in data[end + 8 : end + 8 + size]:
                checksum ^= byte
            end += 8 + size
        end += 16 - (end - at) % 16  # filled up to 16 bytes, the last of which is the checksum
        if data[end - 1] != checksum:
            raise ImageError(f"{what} is damaged", "its checksum is wrong", then)
    except (struct.error, IndexError):
        raise ImageError(f"{what} is cut short", "", then) from None
    if hashed:
        if hashlib.sha256(data[at:end]).digest() != data[end : end + 32]:
            raise ImageError(f"{what} is damaged", "its hash is wrong", then)
        end += 32
    return Program(data[at:end], chip, bool(hashed))


def _described(program: bytes, at: int) -> str:
    """A text of the description that ESP-IDF puts at the beginning of the first segment (esp_app_desc_t)."""
    if len(program) < at + 32 or struct.unpack_from("<I", program, 32)[0] != _DESCRIPTION:
        return ""
    return program[at : at + 32].split(b"\0")[0].decode(errors="replace")


def pieces(runtime: Runtime, chip: boards.Chip, flash_size: int, parts: tuple[Partition, ...]) -> list[Piece]:
    """What is written to a board, in order: the table last, so that a board with it has all the rest."""
    home = next(part for part in parts if part.type == partitions.APP)
    if len(runtime.program.data) > home.size:
        has = len(runtime.program.data)
        raise ImageError(f"{runtime.path} does not fit", f"its program has {has} bytes, the board's place {home.size}")
    return [
        Piece("bootloader", chip.bootloader, runtime.bootloader.for_flash(flash_size)),
        Piece("program", home.offset, runtime.program.data),
        Piece("table", TABLE_AT, partitions.binary(parts)),
    ]


def whole(of: list[Piece], flash_size: int | None = None) -> bytes:
    """One image from the flash's first byte on; filled up to the flash's end where its size is given."""
    out = bytearray()
    for piece in sorted(of, key=lambda piece: piece.offset):
        out += b"\xff" * (piece.offset - len(out)) + piece.data
    if flash_size is not None:
        out += b"\xff" * (flash_size - len(out))
    return bytes(out)
