"""The flash of a virtual node with slots, as it leaves the factory: the boot on its own, the application in slot a.

A virtual node without them runs its application out of a folder, which is quicker and all that most tests need. With
them it starts as a board does: the boot reads the record, mounts a slot, and the node runs out of real littlefs, so
updates, trials and power cuts between them are the real ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
import struct
import subprocess
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from citymote import resources
from citymote.errors import CitymoteError
from citymote.factory import slot
from citymote.factory.build import APPLICATION_LEVEL, build, build_for, compile_tree, default_output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from citymote.testing.runtime import MicroPython

BLOCK = 4096
BLOCKS = {"slot_a": 200, "slot_b": 200, "boot": 2}
"""4 KB blocks of each partition. Slots are larger than on a board: the virtual hardware lies in them too."""
VFS = "vfs"
ENTRY = ("-m", "go")
# asyncio first: deep inside the other imports, flash that is Python takes more of the C stack than a chip's.
_GO = "import asyncio\nimport esp32\nesp32.bootloader()\nimport boot\nimport main\n"
_FILL = """
import sys
sys.path.insert(0, sys.argv[1])
import os, vfs
from node.hal.unix_flash import FileFlash
from node.update.installer import Installer, digest_of
flash = FileFlash(sys.argv[2], 0, False, False)
vfs.VfsLfs2.mkfs(flash, readsize=128, progsize=32)
vfs.mount(vfs.VfsLfs2(flash, readsize=128, progsize=32), "/next")
made = Installer("/next", "/nowhere")
with open(sys.argv[3], "rb") as f:
    made.begin(f, os.stat(sys.argv[3])[6], digest_of(sys.argv[3]))
while True:
    for _ in made.prepare():
        pass
    if made.wanted is None:
        break
    with open(sys.argv[4] + "/" + made.wanted[3].hex(), "rb") as f:
        made.write(f.read())
    for _ in made.settle():
        pass
for _ in made.finish(int(sys.argv[5])):
    pass
vfs.umount("/next")
"""


def boot_tree(architecture: str) -> Path:
    """The boot's files, and what stands for the chip beside them, precompiled."""
    firmware = resources.firmware()
    target = default_output() / f"boot-{architecture}"
    sources = {
        "boot.py": firmware / "boot.py",
        "main.py": firmware / "main.py",
        "slots.py": firmware / "slots.py",
        "esp32.py": firmware / "node" / "hal" / "unix_partition.py",
        "unix_flash.py": firmware / "node" / "hal" / "unix_flash.py",
    }
    compile_tree(sources, target, arch=architecture, level=APPLICATION_LEVEL)
    return target


def application(machine: MicroPython, board: Mapping[str, Any]) -> Path:
    """The application as such a board is given it: linked, what it needs and no more."""
    files = build_for(machine.architecture, board)
    for name in (*slot.BOOT, "node/selftest.mpy"):  # the boot lies elsewhere, the self-test is the factory's alone
        files.pop(name, None)
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(f"{name} {len(data)}\n".encode() + data)
    target = default_output() / f"slot-{machine.architecture}-{digest.hexdigest()[:8]}"
    if not target.exists():
        scratch = Path(tempfile.mkdtemp(prefix=".slot-", dir=default_output()))
        for name, data in files.items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_bytes(data)
        scratch.chmod(0o755)
        with contextlib.suppress(OSError):  # somebody else has just made the same
            scratch.rename(target)
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def release(machine: MicroPython, version: str = "1.0.0") -> slot.Release:
    """What the virtual node's application says of itself."""
    return slot.Release(version, machine.architecture)


def fill(machine: MicroPython, tree: Path, image: Path, sequence: int = 1) -> None:
    """Write the application in `tree` into a slot's image, with the node's own installer on real littlefs."""
    files = slot.files(tree, release(machine))
    index = slot.index(files)
    tools = build(machine.architecture, plain=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for file in files:
            (folder / file.digest.hex()).write_bytes(file.packed or file.data)
        (folder / "index").write_bytes(index)
        (folder / "fill.py").write_text(_FILL)
        made = folder / "slot.img"
        with made.open("wb") as out:
            out.truncate(BLOCKS["slot_a"] * BLOCK)
        arguments = (tools, made, folder / "index", folder, str(sequence))
        done = subprocess.run(
            [machine.path, "-X", "heapsize=4m", folder / "fill.py", *arguments],
            env={"MICROPYPATH": ".frozen", "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode:
            raise CitymoteError(
                "a slot could not be filled", f"exit {done.returncode}: {(done.stdout + done.stderr).strip()[-500:]}"
            )
        shutil.copyfile(made, image)


def factory_image(machine: MicroPython, tree: Path) -> Path:
    """The image of a slot with that application; made once for each content."""
    index = slot.index(slot.files(tree, release(machine)))
    key = hashlib.sha256(index + machine.architecture.encode()).hexdigest()[:16]
    image = default_output() / f"slot-{key}.img"
    if not image.exists():
        scratch = image.with_suffix(f".{secrets.token_hex(4)}.new")
        fill(machine, tree, scratch)
        scratch.replace(image)
    return image


def prepare(machine: MicroPython, tree: Path, directory: Path) -> None:
    """Give a virtual node's folder the boot and the flash of the factory, unless it has had them."""
    vfs = directory / VFS
    if vfs.exists():
        return  # nobody writes there again
    scratch = directory / f".{VFS}.new"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(boot_tree(machine.architecture), scratch, ignore=shutil.ignore_patterns(".*"))
    (scratch / "go.py").write_text(_GO)
    shutil.copyfile(factory_image(machine, tree), directory / "slot_a.img")
    for name in ("slot_b", "boot"):
        with (directory / f"{name}.img").open("wb") as file:
            for _ in range(BLOCKS[name]):
                file.write(b"\xff" * BLOCK)
    scratch.rename(vfs)


@dataclass(frozen=True)
class BootRecord:
    """What the boot record of a node's folder says (SPEC 14.3)."""

    slot: int
    trial: bool
    starts: int
    why: int
    floor: int


_ENTRY = struct.Struct("<IBBBBI16s")


def boot_record(directory: Path) -> BootRecord | None:
    """The newest whole entry, or None."""
    data = (directory / "boot.img").read_bytes()
    best: tuple[int, BootRecord] | None = None
    for at in range(0, len(data), 32):
        entry = data[at : at + 32]
        if zlib.crc32(entry[:28]) != int.from_bytes(entry[28:], "little"):
            continue
        turn, slot_, state, starts, why, floor, _ = _ENTRY.unpack(entry[:28])
        if best is None or turn > best[0]:
            best = turn, BootRecord(slot_, bool(state), starts, why, floor)
    return best[1] if best else None


def switch(directory: Path, slot_: int) -> None:
    """Put a slot on trial, as the node does when it has installed a new application there."""
    data = bytearray((directory / "boot.img").read_bytes())
    was = boot_record(directory)
    turn = max(
        (int.from_bytes(data[at : at + 4], "little") for at in range(0, BLOCK, 32) if data[at] != 0xFF), default=0
    )
    entry = _ENTRY.pack(turn + 1, slot_, 1, 0, 0, was.floor if was else 0, bytes(16))
    entry += zlib.crc32(entry).to_bytes(4, "little")
    at = next(at for at in range(0, BLOCK, 32) if set(data[at : at + 32]) == {0xFF})
    data[at : at + 32] = entry
    (directory / "boot.img").write_bytes(data)
