"""The conformance kit against the node itself: a real VM in a test air, as a stranger with its label meets it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.claimable import Street, street
from tests.support.owner import sighted

from citymote.conformance.asking import Asker, Target
from citymote.conformance.live import at_broker, check_node
from citymote.conformance.messages import check_datagrams, check_strangers
from citymote.conformance.node import check_target
from citymote.conformance.report import Report
from citymote.conformance.sessions import Sessions
from citymote.keys import KeyFile
from citymote.transports.ble import BleTransport

pytestmark = pytest.mark.usefixtures("micropython32")


def test_strangers_sessions_and_wrong_claims(tmp_path: Path) -> None:
    report = Report("the node")

    async def ask(node: Street) -> None:
        sighting = await sighted(node.adapter, node.id)
        target = Target(node.id, lambda: BleTransport(sighting, radio=node.adapter), False, False, node.public)
        async with Asker(target, report) as asker:
            await check_strangers(asker)
            sessions = Sessions(asker)
            await sessions.sessions()
            assert sessions.unowned

    with street(tmp_path) as node:
        asyncio.run(ask(node))
    assert report.passed, report.text()
    assert len(report.cases) > 80
    assert "owner" not in node.stored()


def test_through_its_broker(tmp_path: Path) -> None:
    """A node at work, asked by a stranger who can publish to it; its frames are judged by the same command."""
    report = Report("the node")

    async def prepare(node: Street) -> None:
        await node.provision(interval=5, batch=1)

    async def ask(node: Street) -> None:
        target = at_broker(f"mqtt://127.0.0.1:{node.broker.port}", node.id, node.public)
        await check_datagrams(target, report)
        async with Asker(target, report) as asker:
            await check_strangers(asker)
            sessions = Sessions(asker)
            await sessions.sessions()
            assert sessions.unowned is False

    with street(tmp_path, pace=1) as node:  # a session without rights lives 20 s, for all that is asked in it
        asyncio.run(prepare(node))
        asyncio.run(ask(node))
        keys = KeyFile({bytes.fromhex(node.id): node.public}, [node.key], tmp_path / "city.keys")
        keys.save()
        judged = check_node(f"mqtt://127.0.0.1:{node.broker.port}", node.id, 2, 60, keys.path)
    assert report.passed, report.text()
    assert len(report.cases) > 80
    assert judged.passed, judged.text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_kit(tmp_path: Path) -> None:
    with street(tmp_path) as node:
        report = asyncio.run(check_target(f"ble:{node.id}", node.public, node.adapter))
    assert report.passed, report.text()
    assert len(report.cases) > 130
