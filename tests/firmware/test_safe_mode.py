"""A confirmed application that fails again and again ends in safe mode, where an update still arrives."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.file_server import FileServer

from citymote.testing import runtime, slots
from citymote.testing.vm import VirtualNode

from .test_trial import other_version
from .test_update import B, Publisher, identify, slotted

pytestmark = pytest.mark.usefixtures("run_vm")
BROKEN = {"fit.py": "raise ValueError('nothing fits')\n"}


def broken(node: VirtualNode, folder: Path) -> None:
    """What runs there, and is confirmed, does not start any more."""
    slots.fill(runtime.micropython(32), other_version(folder, BROKEN), node.directory / "slot_a.img", 1)


def test_three_starts_that_fail_end_in_safe_mode_and_an_update_ends_it(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "www")
    with FileServer(publisher.folder) as server, slotted(tmp_path / "n", 3, None, server) as node:
        name = identify(node)
        node.kill()
        broken(node, tmp_path)
        publisher.publish(name, {"node/extra.py": "NEW = 1\n"})
        node.start(off=1000)
        node.wait(120, check=False)
    assert len(node.event_data("safe")) == 1
    assert slots.boot_record(node.directory) == slots.BootRecord(B, trial=False, starts=0, why=0, floor=2)
    assert node.endings[-1].report["rows"] > 60, "the whole node runs again"


def test_safe_mode_lasts_an_hour_and_then_the_whole_node_is_tried_again(tmp_path: Path) -> None:
    with slotted(tmp_path / "n", 3, None, None) as node:
        identify(node)
        node.kill()
        whole = (node.directory / "slot_a.img").read_bytes()
        broken(node, tmp_path)
        node.start(off=1000)
        node.run_until(hours=0.5)
        assert len(node.event_data("safe")) == 1
        node.kill()
        (node.directory / "slot_a.img").write_bytes(whole)  # as if what was wrong had gone
        node.start(off=1000)
        node.wait(120, check=False)
    assert len(node.event_data("safe")) == 2, "a restart alone does not end it"
    assert node.endings[-1].report["rows"] > 30


def test_what_the_runtime_itself_mounts_is_not_written_by_an_update(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path / "www")
    with FileServer(publisher.folder) as server, slotted(tmp_path / "n", 2, None, server) as node:
        publisher.publish(identify(node), {"node/extra.py": "NEW = 1\n"})
        folder = node.directory / slots.VFS
        before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
        node.wait(120, check=False)
        after = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    record = slots.boot_record(node.directory)
    assert record is not None
    assert record.slot == B
    assert after == before
