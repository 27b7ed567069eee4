"""Puts the application, the boot and the board's description on a board, and believes nothing it has not read back.

What is there already with the right hash is left alone, so that a deployment that was interrupted goes on where it was,
and a second run sends nothing. A half deployed board is a board without an application, never one with half of it: the
mark `whole` (SPEC 14.3.3) goes first and comes last, after every file has been read back on the board.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from citymote import __version__
from citymote.errors import CitymoteError

from . import build, slot
from .wire import CHUNK, BoardRaised, Wire

ARCHITECTURES: tuple[str, ...] = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa", "xtensawin",
    "rv32imc", "rv64imc",
)  # fmt: skip
"""What `sys.implementation._mpy` has above bit 10 (docs/reference/mpyfiles.rst)."""
APP = "/app"
_SEQUENCE = 0  # of the factory's application: every signed update is newer

# Functions for the board's side. `_at` mounts the first slot, formatted if it has to be, and forgets any boot record,
# so that the boot takes that slot. `_h` prints each file's hash, or nothing where it is not there.
_TOOLS = """
import deflate, io, json, os, sys
from binascii import a2b_base64, hexlify
from hashlib import sha256
def _at():
    import vfs
    from esp32 import Partition
    def find(label):
        return Partition.find(Partition.TYPE_DATA, label=label)[0]
    try:
        os.stat("/app/index")
    except OSError:
        try:
            vfs.umount("/app")
        except OSError:
            pass
        p = find("slot_a")
        try:
            fs = vfs.VfsLfs2(p, readsize=128, progsize=32)
        except OSError:
            vfs.VfsLfs2.mkfs(p, readsize=128, progsize=32)
            fs = vfs.VfsLfs2(p, readsize=128, progsize=32)
        vfs.mount(fs, "/app")
    b = find("boot")
    for n in (0, 1):
        e = bytearray(4096)
        b.readblocks(n, e)
        if e != b"\\xff" * 4096:
            b.ioctl(6, n)
def _h(names):
    b = bytearray(512)
    v = memoryview(b)
    for n in names:
        try:
            h = sha256()
            with open(n, "rb") as f:
                while True:
                    c = f.readinto(b)
                    if not c:
                        break
                    h.update(v[:c])
            print(hexlify(h.digest()).decode(), n)
        except OSError:
            pass
def _l(p):
    for e in os.ilistdir(p):
        n = p + "/" + e[0]
        if e[1] & 0x4000:
            _l(n)
        else:
            print(n)
def _rm(n):
    try:
        os.remove(n)
    except OSError:
        pass
def _o(n):
    global _f
    p = n.split("/")
    for i in range(2, len(p)):
        try:
            os.mkdir("/".join(p[:i]))
        except OSError:
            pass
    _f = open(n + ".new", "wb")
def _w(s):
    _f.write(deflate.DeflateIO(io.BytesIO(a2b_base64(s)), deflate.RAW, 10).read())
def _c(n):
    _f.close()
    _rm(n)
    os.rename(n + ".new", n)
    _h((n,))
"""


class DeployError(CitymoteError):
    """A board that cannot be given the application."""

    whose = "machine"


@dataclass(frozen=True)
class Runs:
    """What runs on a board, as it says itself."""

    platform: str
    version: tuple[int, int, int]
    architecture: str
    machine: str
    partitions: dict[str, tuple[int, int]]
    """Label -> offset and size; empty where the board has no table to ask for."""
    program: bytes
    """The first bytes of the program that runs, as they lie in flash; empty where that cannot be read."""

    @property
    def version_text(self) -> str:
        """As people write it."""
        return ".".join(map(str, self.version))


_WHO = """
import sys, json
from binascii import hexlify
i = sys.implementation
p = {}
r = b""
try:
    from esp32 import Partition
    for t in (0, 1):
        for x in Partition.find(t):
            y = x.info()
            p[y[4]] = (y[2], y[3])
    r = bytearray(256)
    Partition(Partition.RUNNING).readblocks(0, r, 0)
except (ImportError, OSError):
    pass
print(json.dumps({"v": list(i.version[:3]), "m": i._mpy, "h": i._machine, "s": sys.platform, "p": p,
    "r": hexlify(r).decode()}))
"""


def who(wire: Wire) -> Runs:
    """Ask the board what runs on it."""
    said: dict[str, Any] = wire.ask(_WHO)
    kind = int(said["m"]) >> 10 & 15
    return Runs(
        said["s"],
        (said["v"][0], said["v"][1], said["v"][2]),
        ARCHITECTURES[kind] if kind < len(ARCHITECTURES) else "",
        said["h"],
        {label: (pair[0], pair[1]) for label, pair in said["p"].items()},
        bytes.fromhex(said["r"]),
    )


@dataclass(frozen=True)
class Payload:
    """All files of a deployment, by their path on the board."""

    root: Mapping[str, bytes]
    """On the filesystem that MicroPython mounts: the boot, board.json, settings.json."""
    application: Mapping[str, bytes]
    """In the slot, with its index."""

    @property
    def digest(self) -> str:
        """What the application is: the hash of its index."""
        return hashlib.sha256(self.application["index"]).hexdigest()


def payload(architecture: str, board: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> Payload:
    """What a board gets: the application for its architecture, its board.json and the factory's settings."""
    made = build.build_for(architecture, board)
    files = slot.contents(made, slot.Release(__version__, architecture))
    root = {name: made[name] for name in slot.BOOT}
    root["board.json"] = json.dumps(board, separators=(",", ":")).encode()
    if settings is not None:
        root["settings.json"] = json.dumps(settings, separators=(",", ":")).encode()
    return Payload(root, {file.name: file.data for file in files} | {"index": slot.index(files)})


def deploy(wire: Wire, what: Payload, progress: Callable[[int, int], None] | None = None) -> int:
    """Bring the board's files up to date; how many were sent. `progress` is told bytes sent and bytes to send."""
    wire.run(_TOOLS)
    try:
        wire.run("_at()")
    except BoardRaised as error:
        raise DeployError(
            f"{wire.port}: the board's flash is not divided as a node needs it", error.why, "Give --runtime IMAGE."
        ) from None
    wanted = {f"{APP}/{name}": data for name, data in what.application.items()} | dict(what.root)
    mark = _mark(what.application["index"])
    held = _hashes(wire, [*wanted, f"{APP}/whole"])
    missing = {name: data for name, data in wanted.items() if held.get(name) != hashlib.sha256(data).hexdigest()}
    there = wire.run(f"_l({APP!r})").split()
    extra = [name for name in there if name not in wanted and name != f"{APP}/whole"]
    if not missing and not extra and held.get(f"{APP}/whole") == hashlib.sha256(mark).hexdigest():
        return 0
    wire.run(f"_rm('{APP}/whole')")
    for name in extra:
        wire.run(f"_rm({name!r})")
    _room(wire, missing)
    sent, total = 0, sum(map(len, missing.values()))
    for name, data in sorted(missing.items(), key=lambda item: item[0] != "board.json"):
        _put(wire, name, data, lambda count, sent=sent: progress(sent + count, total) if progress else None)
        sent += len(data)
    held = _hashes(wire, list(wanted))
    for name, data in wanted.items():
        if held.get(name) != hashlib.sha256(data).hexdigest():
            raise DeployError(f"{wire.port}: {name} is not on the board as it was sent", "its flash may be worn out")
    _put(wire, f"{APP}/whole", mark)
    return len(missing)


def _mark(index: bytes) -> bytes:
    """What the installer would have written last: sequence, hash of the index, CRC-32 (SPEC 14.3.3)."""
    body = struct.pack("<I", _SEQUENCE) + hashlib.sha256(index).digest()
    return body + struct.pack("<I", zlib.crc32(body))


def _hashes(wire: Wire, names: list[str]) -> dict[str, str]:
    """Name -> SHA-256 of the files that are there, as the board reads them."""
    found: dict[str, str] = {}
    for begin in range(0, len(names), 16):
        for line in wire.run(f"_h({names[begin : begin + 16]!r})", timeout=60).splitlines():
            digest, _, name = line.strip().partition(" ")
            found[name] = digest
    return found


def _room(wire: Wire, files: Mapping[str, bytes]) -> None:
    block, free = wire.ask(f"s = os.statvfs({APP!r}); print(json.dumps([s[0], s[3]]))")
    needed = sum(-(-len(data) // block) for name, data in files.items() if name.startswith(APP))
    if needed > free:
        raise DeployError(
            f"{wire.port}: the application does not fit", f"it takes {needed} blocks of {block} bytes, {free} are free"
        )


def _put(wire: Wire, name: str, data: bytes, progress: Callable[[int], None] | None = None) -> None:
    """One file: written beside, renamed when whole, and its hash read back."""
    try:
        code = f"_o({name!r})\n"
        for begin in range(0, len(data), CHUNK):
            packed = base64.b64encode(slot.pack(data[begin : begin + CHUNK])).decode()
            code += f"_w('{packed}')\n"
            if begin + CHUNK < len(data):
                wire.run(code)
                code = ""
            if progress:
                progress(begin)
        said = wire.run(f"{code}_c({name!r})").split()
    except BoardRaised as error:
        raise DeployError(f"{wire.port}: {name} cannot be written", error.why) from None
    if said[:1] != [hashlib.sha256(data).hexdigest()]:
        raise DeployError(
            f"{wire.port}: {name} came back otherwise than it was sent", "", "Run the same command again."
        )
