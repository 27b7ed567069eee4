"""Emulated flash under the real littlefs: it survives a killed process, wears, and loses power at any operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.node import said, scripted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.vm import Result

pytestmark = pytest.mark.usefixtures("run_vm")


def test_what_was_written_is_there_after_a_kill_and_the_file_being_written_is_old_or_new(tmp_path: Path) -> None:
    code = """
    import os
    say(hal.mount())
    say(sorted(os.listdir("/store")), sorted(os.listdir("/config")))
    with open("/config/kept", "wb") as f:
        f.write(b"x" * 1000)
    with open("/store/open", "wb") as f:
        f.write(b"y" * 1000)
        say("written, not closed")
    """
    with scripted(tmp_path, code) as node:
        node.on_event(lambda event: node.kill() if event.data == ["written, not closed"] else None)
        node.start()
        assert node.wait(20, check=False).code == -9
        node.start()
        node.wait(20, check=False)
        assert said(node)[0] == ["config", "store"]
        assert said(node)[1] == ([], [])
        assert said(node)[3] == []
        stored, kept = said(node)[4]
        assert kept == ["kept"]
        assert stored in ([], ["open"])


def test_only_a_blank_flash_is_formatted_and_a_broken_store_costs_no_more_than_itself(tmp_path: Path) -> None:
    code = """
    say(hal.mount())
    with open("/store/x", "wb") as f:
        f.write(b"x")
    """
    with scripted(tmp_path, code) as node:
        node.start()
        node.wait(20)
        with (node.directory / "store.img").open("r+b") as image:
            image.write(b"\\x55" * 8192)
        node.start()
        node.wait(20)
        with (node.directory / "config.img").open("r+b") as image:
            image.write(b"\\x55" * 8192)
        node.start()
        assert node.wait(20, check=False).code == 1
        assert "OSError" in node.output()
        assert said(node) == [["config", "store"], ["store"]]


def test_wear_is_counted_for_each_block(tmp_path: Path) -> None:
    code = """
    hal.mount()
    for i in range(200):
        with open("/store/a", "wb") as f:
            f.write(bytes(2000))
    """
    with scripted(tmp_path, code, board={"board": "t", "sensors": [], "flash": {"store": 32, "config": 8}}) as node:
        node.start()
        node.wait(20)
        store, config = node.wear("store"), node.wear("config")
    assert (len(store), len(config)) == (32, 8)
    assert 200 <= sum(block.erased for block in store) <= 250
    assert sum(block.programmed for block in store) >= 200 * 2000
    assert max(block.erased for block in store) <= 30, "littlefs spreads 200 erasures over 32 blocks"
    assert sum(block.erased for block in config) == 2


def test_without_counting_there_is_no_wear_to_read_and_no_other_difference(tmp_path: Path) -> None:
    code = """
    say(hal.mount())
    with open("/store/a", "wb") as f:
        f.write(bytes(2000))
    """
    with scripted(tmp_path, code, wear=False) as node:
        node.start()
        node.wait(20)
        assert not any(block.erased or block.programmed for block in node.wear("store"))
        assert said(node) == [["config", "store"]]


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
def test_power_fails_at_the_chosen_operation_of_the_running_node(tmp_path: Path, torn: bool) -> None:
    code = """
    import os
    hal.mount()
    names = sorted(os.listdir("/store"))
    if "a" in names:
        with open("/store/a") as f:
            say(f.read())
    for i in range(100):
        with open("/store/new", "w") as f:
            f.write("%03d" % i)
        os.rename("/store/new", "/store/a")
        hal.event("renamed", i)
    """
    with scripted(tmp_path, code) as node:
        node.cut_power("store", at=60, torn=torn)
        node.start()
        ending = node.wait(20, check=False)
        assert (ending.code, ending.reason) == (-9, "power cut")
        last = node.event_data("renamed")[-1]
        assert 0 < last < 99
        node.start()
        assert node.wait(20).code == 0
        assert said(node)[0] in (f"{last:03}", f"{last + 1:03}")


def test_every_operation_of_a_replacement_leaves_old_or_new_content(run_vm: Callable[..., Result]) -> None:
    done = run_vm(
        """
import os, vfs
from node.hal.unix_flash import PowerCut, RamFlash

def replace(text):
    with open("/f/new", "w") as f:
        f.write(text)
    os.rename("/f/new", "/f/a")

def content():
    with open("/f/a") as f:
        return f.read()

def mounted(flash):
    vfs.mount(vfs.VfsLfs2(flash, readsize=128, progsize=32), "/f")

old, new = "old" * 300, "new" * 300
results = []
flash = RamFlash(8)
for torn in (False, True):
    k = 0
    while True:
        k += 1
        vfs.VfsLfs2.mkfs(flash, readsize=128, progsize=32)
        mounted(flash)
        replace(old)
        vfs.umount("/f")
        flash = flash.revive(cut_at=k, torn=torn)
        mounted(flash)
        try:
            replace(new)
            cut = False
        except PowerCut:
            cut = True
        flash = flash.revive()
        vfs.umount("/f")
        mounted(flash)
        found = content()
        vfs.umount("/f")
        assert found in (old, new), k
        results.append(found == new)
        if not cut:
            assert found == new
            break
    print(torn, k)
print(results.count(True), results.count(False))
"""
    ).checked()
    # MicroPython prints what its garbage collector fails to close on a dead flash
    whole, torn, counts = [line for line in done.stdout.splitlines() if not line.startswith("OSError")]
    assert int(whole.split()[1]) > 5
    assert whole.split()[1] == torn.split()[1]
    assert all(int(n) >= 2 for n in counts.split()), "cuts before and after the rename's commit were both seen"


def test_flash_refuses_what_flash_cannot_do(run_vm: Callable[..., Result]) -> None:
    done = run_vm(
        """
from node.hal.unix_flash import RamFlash
flash = RamFlash(2)
flash.writeblocks(0, b"\\x0f", 5)
flash.writeblocks(0, b"\\x0e", 5)
try:
    flash.writeblocks(0, b"\\x10", 5)
except RuntimeError as e:
    print(e)
flash.ioctl(6, 0)
flash.writeblocks(0, b"\\x10", 5)
buf = bytearray(1)
flash.readblocks(0, buf, 5)
print(buf[0])
"""
    ).checked()
    assert done.stdout.splitlines() == ["flash: byte 5 of block 0 programmed twice without an erasure", "16"]


def test_files_of_one_sample_cost_no_erasure(tmp_path: Path) -> None:
    code = """
    hal.mount()
    for i in range(100):
        with open("/store/cursor", "wb") as f:
            f.write(bytes(120))
    say(1)
    """
    with scripted(tmp_path, code) as node:
        node.start()
        node.wait(20)
        assert sum(block.erased for block in node.wear("store")) < 40
