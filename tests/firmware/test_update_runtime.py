"""A runtime's image is updated where the board has two places for one; where it has one, the node says so.

The virtual chip's partitions behave as the chip's do: an image that was told to start starts once, and is gone with the
next reset unless it has been called good. One that crashes before it comes to anything has 0xBD as its second byte.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
from tests.support.file_server import FileServer

from citymote.factory import slot
from citymote.testing import slots
from citymote.testing.vm import VirtualNode
from citymote.update.manifest import envelope

from .test_update import CONFIRMED, FAILED, ROLLED_BACK, TRIAL, VERIFIED, A, Publisher, identify, slotted, states

pytestmark = pytest.mark.usefixtures("run_vm")
BUILD = "standard"  # of the unix port's build that the virtual node runs
NO_PLACE = 11
SIZE = 100_000


def image(seed: int, second: int = 2) -> bytes:
    return bytes((0xE9, second)) + random.Random(seed).randbytes(SIZE - 2)


def two_places(node: VirtualNode) -> None:
    for name, seed in (("ota_0", 1), ("ota_1", 0)):
        data = image(seed) if seed else b""
        (node.directory / f"{name}.img").write_bytes(data.ljust(40 * 4096, b"\xff"))


def publish(publisher: Publisher, node: str, data: bytes, sequence: int = 5) -> None:
    parts = slot.image_parts(data)
    for part in parts:
        (publisher.folder / "files" / part.digest.hex()).write_bytes(part.data)
    signed = envelope(slot.index(parts), sequence, slot.runtime_class(BUILD), [publisher.signer])
    (publisher.folder / "nodes" / f"{node}.suit").write_bytes(signed)


def updated(tmp_path: Path, data: bytes, places: int = 2, cut: int = 0) -> tuple[VirtualNode, FileServer]:
    publisher = Publisher(tmp_path / "www")
    with FileServer(publisher.folder) as server, slotted(tmp_path / "n", 3, None, server) as node:
        name = identify(node)
        if places == 2:
            two_places(node)
        publish(publisher, name, data)
        if cut:
            server.cut = server.sent + cut
        node.wait(120, check=False)
    return node, server


def chosen(node: VirtualNode) -> tuple[str, str]:
    found = json.loads((node.directory / "otadata.json").read_text())
    return found["running"], found["state"]


def test_a_runtime_is_written_started_once_and_called_good(tmp_path: Path) -> None:
    new = image(2)
    node, server = updated(tmp_path, new)
    assert (node.directory / "ota_1.img").read_bytes()[:SIZE] == new
    assert chosen(node) == ("ota_1", "valid")
    assert states(node)[-3:] == [VERIFIED, TRIAL, CONFIRMED]
    assert slots.boot_record(node.directory) == slots.BootRecord(A, trial=False, starts=0, why=0, floor=5)
    asked = [path for path, _ in server.requests if path.startswith("/files/")]
    assert len(asked) == len(set(asked)) == -(-SIZE // slot.IMAGE_PART), "each part once"


def test_a_runtime_that_crashes_is_gone_with_the_next_reset(tmp_path: Path) -> None:
    node, _ = updated(tmp_path, image(3, 0xBD))
    assert chosen(node) == ("ota_0", "valid")
    assert states(node)[-1] == ROLLED_BACK
    record = slots.boot_record(node.directory)
    assert record is None or record.floor == 0
    assert states(node).count(VERIFIED) == 1, "it is not taken again"


def test_parts_that_are_there_are_not_fetched_again(tmp_path: Path) -> None:
    node, server = updated(tmp_path, image(1)[: slot.IMAGE_PART] + image(4)[slot.IMAGE_PART :], cut=40_000)
    assert chosen(node) == ("ota_1", "valid")
    asked = [path for path, _ in server.requests if path.startswith("/files/")]
    assert len(set(asked)) == -(-SIZE // slot.IMAGE_PART)
    assert len(asked) == len(set(asked)) + 1, "one part was cut short, and asked for once more"


def test_a_board_with_one_place_says_that_it_cannot_and_why(tmp_path: Path) -> None:
    node, _ = updated(tmp_path, image(2), places=1)
    failed = [event for event in node.event_data("update") if event["state"] == FAILED]
    assert {event["reason"] for event in failed} == {NO_PLACE}
    assert any("one place for a runtime" in line.text and "USB" in line.text for line in node.logs)


def test_the_class_of_runtimes_is_the_same_on_node_and_host() -> None:
    import uuid

    made = bytearray(hashlib.sha1(slot.VENDOR_ID + f"runtime {BUILD}".encode(), usedforsecurity=False).digest()[:16])
    made[6], made[8] = made[6] & 0x0F | 0x50, made[8] & 0x3F | 0x80
    assert uuid.UUID(bytes=bytes(made)) == uuid.UUID(bytes=slot.runtime_class(BUILD))
