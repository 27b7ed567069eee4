"""What goes into a slot: the application's files out of a precompiled tree, and their index (SPEC 14.2).

The same for the factory, which fills the first slot, for an update's bundle, and for the virtual node.
"""

from __future__ import annotations

import hashlib
import json
import uuid
import zlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from citymote_protocol import file_index

from .partitions import SECTOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

VENDOR_ID = uuid.uuid5(uuid.NAMESPACE_DNS, "citymote").bytes
"""RFC 9562 version 5 over the project's name, as SUIT asks for. A maker with a fork of its own takes another."""
BOOT = ("boot.py", "main.py", "slots.mpy")
"""The boot's files: on a filesystem of their own, written in the factory, never updated."""
IMAGE_PART = 16384
"""Bytes of a runtime's image that are fetched at once: at most so much is fetched again after a reset."""
WINDOW_BITS = 10
"""The deflate window that a node has room for: 1 KB."""
_INLINE = 512  # bytes of a file that lies in its directory
_ENTRY = 36
_PAIR = 900  # bytes of entries that a pair of a directory's blocks holds when it has just been divided


@dataclass(frozen=True)
class File:
    """One file of an application: `packed` is its raw deflate stream where that is smaller, else empty."""

    name: str
    data: bytes
    packed: bytes
    digest: bytes


@dataclass(frozen=True)
class Release:
    """What an application says of itself, in its file release.json: a node asks before it starts it."""

    version: str
    architecture: str
    runtime: str = "1.25"
    boards: tuple[str, ...] = ()
    vendor: bytes = VENDOR_ID

    def json(self) -> bytes:
        """The file's bytes, the same for the same release."""
        facts = {
            "version": self.version,
            "architecture": self.architecture,
            "runtime": self.runtime,
            "boards": sorted(self.boards),
            "vendor": self.vendor.hex(),
            "class": class_id(self.architecture, self.vendor).hex(),
        }
        return json.dumps(facts, separators=(",", ":"), sort_keys=True).encode()


def class_id(architecture: str, vendor: bytes = VENDOR_ID) -> bytes:
    """The class of nodes that run this architecture's `.mpy` files: all that decides whether an application can run."""
    return uuid.uuid5(uuid.UUID(bytes=vendor), f"application {architecture}").bytes


def files(tree: Path, release: Release) -> list[File]:
    """The application's files in a tree of `build.build`, sorted by name: without the boot's, with release.json."""
    held: dict[str, bytes] = {}
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            held[name] = path.read_bytes()
    return contents(held, release)


def contents(of: Mapping[str, bytes], release: Release) -> list[File]:
    """The same of files that are at hand, by their names."""
    found = [file(name, data) for name, data in of.items() if name not in BOOT]
    return sorted([file("release.json", release.json()), *found], key=lambda file: file.name)


def blocks(of: Iterable[tuple[str, int]]) -> int:
    """Blocks of flash that files of these names and sizes take at most, and their index's, on a node's littlefs.

    Each file has blocks of its own; a small one lies in its directory, which is a pair of blocks that becomes two when
    it is half full. A test holds this against real littlefs.
    """
    whole = 0
    directories: defaultdict[str, int] = defaultdict(int)
    for name, size in of:
        folder, _, last = name.rpartition("/")
        inside = size <= _INLINE
        whole += 0 if inside else -(-size // (SECTOR - 16))
        directories[folder] += len(last) + _ENTRY + (size if inside else 0)
    for folder in [folder for folder in directories if folder]:
        directories[folder.rpartition("/")[0]] += len(folder) + _ENTRY
    pairs = [max(1, -(-size // _PAIR)) for size in directories.values()]
    # where a directory is divided depends on the order in which its files come: one pair more for the largest
    return whole + 2 * (sum(pairs) + (max(pairs, default=1) > 1))


def file(name: str, data: bytes) -> File:
    """A file with what a node needs to fetch it."""
    packed = pack(data)
    return File(name, data, packed if len(packed) < len(data) else b"", hashlib.sha256(data).digest())


def pack(data: bytes) -> bytes:
    """Its raw deflate stream, for the window that a node has."""
    maker = zlib.compressobj(9, zlib.DEFLATED, -WINDOW_BITS, 9)
    return maker.compress(data) + maker.flush()


def runtime_class(build: str, vendor: bytes = VENDOR_ID) -> bytes:
    """The class of nodes that run this build of MicroPython, e.g. ESP32_GENERIC_C3, and can take an image of it."""
    return uuid.uuid5(uuid.UUID(bytes=vendor), f"runtime {build}").bytes


def image_parts(data: bytes) -> list[File]:
    """A runtime's image in the parts that a node fetches (SPEC 14.13)."""
    parts = [data[at : at + IMAGE_PART] for at in range(0, len(data), IMAGE_PART)]
    return [File(f"image/{number:03d}", part, b"", hashlib.sha256(part).digest()) for number, part in enumerate(parts)]


def index(of: list[File]) -> bytes:
    """The file index of these files (SPEC 14.2)."""
    entry = cast(
        "Callable[[str, int, int, bytes], bytes]", cast("Any", file_index).entry
    )  # shared with the node: no types there
    return b"".join(entry(file.name, len(file.data), len(file.packed), file.digest) for file in of)
