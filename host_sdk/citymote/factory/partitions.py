"""How a board's flash is divided, and the table that says so in ESP-IDF's binary form.

Code and readings have filesystems of their own, so that a worn or torn store never stops a node from starting, and
the application lies twice (SPEC, chapter 14). The runtime begins where MicroPython's own images put it, so that a stock
image can be taken as it is; where the flash has 8 MB or more it has two places, for updates of the runtime itself.
Format: ESP-IDF Programming Guide, Partition Tables: entries of 32 bytes, then one with the MD5 of those before it.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from citymote.errors import CitymoteError

TABLE_AT = 0x8000
TABLE_SIZE = 0xC00
"""Room for the table: 3 KB, the rest of its sector is for a signature."""
APPLICATION_AT = 0x10000
SECTOR = 0x1000
MEGABYTE = 1 << 20

APP, DATA = 0, 1
FACTORY, OTA_0, OTA_1 = 0x00, 0x10, 0x11
OTADATA, PHY, NVS, UNDEFINED, FAT, LITTLEFS = 0x00, 0x01, 0x02, 0x06, 0x81, 0x83

_ENTRY = struct.Struct("<2sBBII16sI")
_MAGIC = b"\xaa\x50"
_MD5 = b"\xeb\xeb" + b"\xff" * 14
_END = b"\xff" * 32
_LARGEST_STORE = 4 * MEGABYTE  # littlefs looks at every block when it starts; more would make a node wait


class TableError(CitymoteError):
    """A partition table that cannot be made, or is none."""


@dataclass(frozen=True)
class Partition:
    """One stretch of flash."""

    label: str
    type: int
    subtype: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.size


def layout(flash_size: int, blocks: dict[str, int] | None = None) -> tuple[Partition, ...]:
    """The partitions of a board with so much flash. `blocks`: what the board says of `config` and `store`."""
    said = blocks or {}
    if flash_size < 4 * MEGABYTE:
        raise TableError(f"{flash_size >> 20} MB of flash do not hold a node", "4 MB are the least")
    twice = flash_size >= 8 * MEGABYTE
    parts: list[tuple[str, int, int, int]] = []
    if twice:
        parts += [("nvs", DATA, NVS, 0x4000), ("otadata", DATA, OTADATA, 0x2000), ("phy_init", DATA, PHY, 0x1000)]
        parts += [("ota_0", APP, OTA_0, 0x270000), ("ota_1", APP, OTA_1, 0x270000)]
    else:
        parts += [("nvs", DATA, NVS, 0x6000), ("phy_init", DATA, PHY, 0x1000), ("factory", APP, FACTORY, 0x1F0000)]
    slot = (512 if twice else 456) << 10
    parts += [
        ("vfs", DATA, FAT, 64 << 10),  # what MicroPython itself mounts: boot.py, main.py, the board's description
        ("boot", DATA, UNDEFINED, 2 * SECTOR),
        ("slot_a", DATA, LITTLEFS, slot),
        ("slot_b", DATA, LITTLEFS, slot),
        ("config", DATA, LITTLEFS, said.get("config", 16) * SECTOR),
    ]
    made: list[Partition] = []
    at = 0x9000
    for label, kind, subtype, size in parts:
        made.append(Partition(label, kind, subtype, at, size))
        at += size
    left = min(flash_size - at, _LARGEST_STORE)
    store = said["store"] * SECTOR if "store" in said else left
    if store > left or store <= 0:
        least = at + store
        raise TableError(f"the board's partitions take {least} bytes", f"its flash has {flash_size}")
    return (*made, Partition("store", DATA, LITTLEFS, at, store))


def binary(parts: tuple[Partition, ...]) -> bytes:
    """The table as it lies in flash at 0x8000: entries, MD5, filled up."""
    for before, part in zip((None, *parts), parts, strict=False):
        if before is not None and part.offset < before.end:
            raise TableError(f"partition {part.label} begins inside {before.label}")
        if len(part.label.encode()) > 16 or part.offset % SECTOR or part.size % SECTOR:
            raise TableError(f"partition {part.label}: a name of 16 bytes and whole sectors are expected")
        if part.type == APP and part.offset % 0x10000:
            raise TableError(f"partition {part.label}: programs begin at multiples of 64 KB")
    data = b"".join(_ENTRY.pack(_MAGIC, p.type, p.subtype, p.offset, p.size, p.label.encode(), 0) for p in parts)
    data += _MD5 + hashlib.md5(data, usedforsecurity=False).digest()
    return data.ljust(TABLE_SIZE, b"\xff")


def parse(data: bytes) -> tuple[Partition, ...]:
    """The partitions of a binary table; TableError where it is damaged or none."""
    parts: list[Partition] = []
    for at in range(0, min(len(data), TABLE_SIZE) - 31, 32):
        entry = data[at : at + 32]
        if entry == _END:
            break
        if entry[:16] == _MD5:
            if entry[16:] != hashlib.md5(data[:at], usedforsecurity=False).digest():
                raise TableError("the partition table is damaged", "its MD5 is another")
            return tuple(parts)
        magic, kind, subtype, offset, size, label, _ = _ENTRY.unpack(entry)
        if magic != _MAGIC:
            raise TableError("this is no partition table", f"an entry begins with {magic.hex()}")
        parts.append(Partition(label.rstrip(b"\0").decode(errors="replace"), kind, subtype, offset, size))
    if not parts:
        raise TableError("this is no partition table", "it is empty")
    return tuple(parts)
