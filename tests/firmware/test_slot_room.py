"""What a board is flashed with fits its slots, on real littlefs, with room for what the next releases add."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from citymote import boards
from citymote.factory import deploy, partitions
from citymote.factory.slot import blocks
from citymote.update.make import LARGEST_INDEX

SPARE = 2
"""Blocks that stay free: an update writes its mark, and its last directory, before it lets go of anything."""
NAMES = [name for name in boards.names() if name != "virtual"]

FILL = """
import os, sys, vfs

class Flash:
    def __init__(self, blocks):
        self.data = bytearray(4096 * blocks)

    def readblocks(self, block, buf, offset=0):
        at = block * 4096 + offset
        buf[:] = self.data[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        at = block * 4096 + offset
        self.data[at : at + len(buf)] = buf

    def ioctl(self, op, _):
        return {4: len(self.data) // 4096, 5: 4096}.get(op, 0)

def put(folder, path):
    for name, kind, *_ in os.ilistdir(folder):
        if kind == 0x4000:
            os.mkdir(path + "/" + name)
            put(folder + "/" + name, path + "/" + name)
        else:
            with open(folder + "/" + name, "rb") as source, open(path + "/" + name, "wb") as target:
                target.write(source.read())

flash = Flash(%d)
vfs.VfsLfs2.mkfs(flash, readsize=128, progsize=32)
vfs.mount(vfs.VfsLfs2(flash, readsize=128, progsize=32), "/slot")
put(%r, "/slot")
print(os.statvfs("/slot")[3])
"""


@pytest.mark.parametrize("name", NAMES)
def test_the_application_of_a_board_fits_its_slot(name: str, run_vm: Callable[..., Any], tmp_path: Path) -> None:
    description = boards.describe(name)
    board = boards.load(name)
    files = deploy.payload(boards.chip(board["chip"]).architecture, board).application
    assert len(files["index"]) <= LARGEST_INDEX, "a manifest has no room for its index"
    slot = next(part for part in partitions.layout(description.flash_size, board["flash"]) if part.label == "slot_a")
    for path, data in {**files, "whole": bytes(40)}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    filled = run_vm(FILL % (slot.size // partitions.SECTOR, str(tmp_path)), heap="8m").checked()
    free = int(filled.stdout)
    least = math.ceil(sum(map(len, files.values())) / partitions.SECTOR)
    assert free >= SPARE, (
        f"{len(files)} files of {least} blocks at least leave {free} of {slot.size // partitions.SECTOR}"
    )
    expected = blocks((path, len(data)) for path, data in files.items())
    assert slot.size // partitions.SECTOR - free <= expected <= slot.size // partitions.SECTOR, (
        "what a bundle's targets are made by"
    )
