"""The serial prompt: Ctrl-C reaches it or does not, as the lock says, at once and after a loss of power.

The node's own `console.py` with a real MicroPython on a pseudo-terminal, where it is told to shut and to open by files.
That the owner's command, and nobody else's, tells it to is in test_node_roads.py; that `citymote flash` shuts it, in
tests/e2e/test_flash.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.desk import until

from citymote import resources
from citymote.factory import wire
from citymote.testing.pty_board import PtyBoard

pytest.importorskip("mpremote")
pytestmark = pytest.mark.usefixtures("run_vm")
MAIN = """
import os, time, vfs
from esp32 import Partition
flash = Partition.find(Partition.TYPE_DATA, label="config")[0]
try:
    vfs.mount(vfs.VfsLfs2(flash, readsize=128, progsize=32), "/config")
except OSError:
    vfs.VfsLfs2.mkfs(flash, readsize=128, progsize=32)
    vfs.mount(vfs.VfsLfs2(flash, readsize=128, progsize=32), "/config")
from node import console
console.settle()
while True:
    for name, order in (("shut", console.shut), ("open", console.reopen)):
        try:
            os.stat(name)
        except OSError:
            continue
        order()
        os.remove(name)
    time.sleep_ms(20)
"""


@pytest.fixture
def board(tmp_path: Path, app_tree: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PtyBoard]:
    monkeypatch.setattr(wire, "_ANSWERS", 6.0)
    monkeypatch.setattr(wire, "_QUIET", 2.0)
    made = PtyBoard(tmp_path / "board", partitions=[("config", 1, 0x40, 0x10000, 16 << 12)])
    (made.root / "node").mkdir()
    for name in ("console", "files"):
        shutil.copy(app_tree / "node" / f"{name}.mpy", made.root / "node")
    shutil.copy(resources.firmware() / "boot.py", made.root)
    (made.root / "main.py").write_text(MAIN)
    with made:
        yield made


def told(board: PtyBoard, order: str) -> None:
    (board.root / order).touch()
    until(lambda: not (board.root / order).exists())


def reached(board: PtyBoard) -> bool:
    """Whether a cable and Ctrl-C come to the prompt."""
    try:
        with wire.connect(str(board.port)) as port:
            return port.ask("print(6 * 7)") == 42
    except wire.WireError as error:
        assert "no MicroPython answers" in str(error)
        return False


def power_cycle(board: PtyBoard) -> None:
    board.cut_power()
    board.start()


def test_once_shut_it_stays_shut_until_it_is_opened_and_then_stays_open(board: PtyBoard) -> None:
    told(board, "shut")
    assert not reached(board), "at once"
    power_cycle(board)
    assert not reached(board), "and after a loss of power"
    told(board, "open")
    power_cycle(board)
    assert reached(board)


def test_an_order_to_open_counts_at_once(board: PtyBoard) -> None:
    told(board, "shut")
    told(board, "open")
    assert reached(board)


def test_a_lock_without_its_marker_is_a_lock(board: PtyBoard) -> None:
    told(board, "shut")
    board.cut_power()
    (board.root / "locked").unlink()  # the power failed between the two
    board.start()
    until((board.root / "locked").exists)
    assert not reached(board)
