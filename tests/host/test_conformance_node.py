"""`conformance node` asks a live node, and catches each of the mistakes that an implementer makes, by clause."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.host.talking_node import FAULTS, TalkingNode

from citymote.conformance.asking import Target
from citymote.conformance.node import check, find_target, judge_packet
from citymote.conformance.report import Report
from citymote.errors import UsageError
from citymote.keys import node_id
from citymote.label import Label
from citymote.testing import clockwork
from citymote.testing.fake_node import FakeNode
from citymote.transports.ble import Packet
from citymote_protocol.coap_gatt import SERVICE


async def no_pause(seconds: float) -> None:
    """The node of these tests runs out of patience at once."""


def judge(node: TalkingNode, label: bool = True) -> Report:
    report = Report("the node")
    target = find_target(f"udp:127.0.0.1:{node.port}", node.public if label else None)
    asyncio.run(check(replace(target, patience=1.5, pause=no_pause), report))
    return report


@pytest.mark.parametrize("owned", [False, True], ids=["from the factory", "with an owner"])
def test_our_own_node_conforms(owned: bool) -> None:
    with TalkingNode(owned=owned) as node:
        report = judge(node)
    assert report.passed, report.text()
    assert len(report.cases) > 150
    assert node.owned == owned, "it was claimed by a test"
    assert not node.faults


def test_without_a_label_first_messages_are_tried() -> None:
    with TalkingNode() as node:
        report = judge(node, label=False)
    assert report.passed, report.text()
    assert len(report.cases) > 90
    assert "label" in report.notes[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_node_is_caught(fault: str) -> None:
    clause, _ = FAULTS[fault]
    with TalkingNode(fault) as node:
        report = judge(node)
    broken = {case.clause for case in report.failures}
    assert clause in broken, f"{fault!r} was blamed on {broken or 'nobody'}"


def test_the_fake_node_for_programs_conforms_but_for_the_updates_that_it_does_not_take() -> None:
    """In virtual time, over BLE: here a node's own limit on handshakes holds, and the kit waits as it is told to."""
    report = Report("the fake node")

    async def ask() -> None:
        node = FakeNode()
        node.start()
        target = Target(node.id, lambda: node.connect("ble"), False, False, node.label.public)
        await check(target, report)
        await node.stop()
        assert node.faults == []

    clockwork.run(ask())
    assert [case.name for case in report.failures] == ["update without a role"]
    assert len(report.cases) > 130


@pytest.mark.parametrize("name", ["", "udp:", "udp:here:0", "udp:here:port", "carrier-pigeon:7", "serial:"])
def test_what_names_no_node_is_said(name: str) -> None:
    with pytest.raises(UsageError, match="udp:HOST"):
        find_target(name)


def test_from_the_command_line_with_a_label(tmp_path: Path) -> None:
    with TalkingNode() as node:
        label = tmp_path / "label.txt"
        label.write_text(Label(node.public, bytes(16)).text() + "\n")
        target = f"udp:127.0.0.1:{node.port}"
        command = [sys.executable, "-m", "citymote", "conformance", "node", target, "--label", str(label), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["subject"] == f"node {target}"
    assert said["cases"] > 150
    assert not said["failures"]


# -- what a node says in the air ---------------------------------------------------------------------------------------

PUBLIC = bytes.fromhex("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")  # the generator of P-256
ID = node_id(PUBLIC)


def packet(data: bytes = b"\x10" + ID, **changed: object) -> Packet:
    right = {"services": (SERVICE,), "service_data": {SERVICE: data}, "name": None, "makers": ()}
    return Packet("C1:7E:00:00:00:01", **{**right, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data", [b"\x10" + ID, b"\x11" + ID, b"\x12" + ID + b"\x05", b"\x14" + ID + b"\x18", b"\x15" + ID]
)
def test_an_advertisement_of_every_state_conforms(data: bytes) -> None:
    report = Report("a packet")
    assert judge_packet(packet(data), report, PUBLIC) == data[0] & 15
    assert report.passed, report.text()


@pytest.mark.parametrize(
    "faulty",
    [
        packet(services=()),
        packet(service_data={}),
        packet(name="City sensor"),
        packet(makers=(0x02E5,)),
        packet(services=(SERVICE, "0000180f-0000-1000-8000-00805f9b34fb")),
        packet(b"\x20" + ID),
        packet(b"\x10" + ID[:5]),
        packet(b"\x10" + ID + b"\x00"),
        packet(b"\x10" + ID + b"\x03"),
        packet(b"\x12" + ID),
        packet(b"\x17" + ID),
        packet(b"\x10" + bytes(6)),
    ],
)
def test_a_faulty_advertisement_is_caught(faulty: Packet) -> None:
    report = Report("a packet")
    judge_packet(faulty, report, PUBLIC)
    assert {case.clause for case in report.failures} <= {"15.4", "5.2"}
    assert report.failures
