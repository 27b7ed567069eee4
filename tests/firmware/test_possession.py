"""How a node stays its owner's, and comes to another: SPEC 16.8 to 16.10, and the strangers of docs/security.md."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.claimable import Street, street, transfer
from tests.support.owner import CRYPTO, Key, Refused, Session, over, sighted

from citymote.errors import CitymoteError
from citymote.nearby import Sighting
from citymote.transports.base import Channel
from citymote.transports.ble import BleTransport
from citymote_protocol import cbor, claim, coap
from citymote_protocol.edhoc import EdhocError
from citymote_protocol.errors import FrameError

pytestmark = pytest.mark.usefixtures("micropython32")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Street]:
    with street(tmp_path) as made:
        yield made


async def refused(work: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as found:
        await work
    return found.value.code, found.value.word


async def recover(session: Session, secret: bytes) -> Any:
    owner = Key().public
    tag = claim.claim_tag(CRYPTO, claim.claim_key(CRYPTO, secret), claim.exported(session.keys), owner)
    return await session.ask(coap.POST, "recovery", claim.write(owner, tag))


def test_a_factory_reset_leaves_nothing_of_the_owner_and_the_label_valid(fresh: Street) -> None:
    async def talk() -> None:
        async with fresh.near(state=0) as session:
            await session.claim(fresh.secret, fresh.owner)
            await session.config({"network": {"ssid": "city", "key": "correct horse"}})
            await session.ask(coap.POST, "reset", [2])
            assert await refused(session.claim(fresh.secret, Key())) == ("5.03", ""), "what is said to be kept stays"
        await fresh.until("identity", lambda _: fresh.node.starts > 1)
        other = Key()
        async with fresh.near(state=0) as session:
            assert await session.claim(fresh.secret, other) == [0]
            assert not await session.ask(coap.GET, "config", query="pending")

    asyncio.run(talk())
    fresh.node.kill()
    stored = fresh.stored()
    assert "pending" not in stored and "settings" not in stored
    assert bytes.fromhex(stored["identity.bin"])[36:69] == fresh.public


def test_a_transfer_needs_both_owners_and_wipes_what_the_old_one_had_set(fresh: Street) -> None:
    new = Key()

    async def talk() -> None:
        async with fresh.near(state=0) as session:
            await session.claim(fresh.secret, fresh.owner)
            await session.config({"broker_password": "the old owner's"})
            alien = fresh.owner.statement(transfer("000000000000", new, 0), "citymote transfer 1")
            assert await refused(session.ask(coap.PUT, "owner", alien)) == ("4.00", "audience")
            stale = fresh.owner.statement(transfer(fresh.id, new, 7), "citymote transfer 1")
            assert await refused(session.ask(coap.PUT, "owner", stale)) == ("4.00", "epoch")
        async with fresh.near(state=1) as session:
            confirmed = cbor.dumps([bytes.fromhex(fresh.id), claim.exported(session.keys)])
            body = new.statement(confirmed, "citymote confirm 1")
            assert await refused(session.ask(coap.POST, "owner", body)) == ("4.03", "offer")
            await session.access(fresh.owner, fresh.id)
            offer = fresh.owner.statement(transfer(fresh.id, new, 0), "citymote transfer 1")
            await session.ask(coap.PUT, "owner", offer)
        async with fresh.near(state=1) as session:
            elsewhere = new.statement(cbor.dumps([bytes.fromhex(fresh.id), bytes(32)]), "citymote confirm 1")
            assert await refused(session.ask(coap.POST, "owner", elsewhere)) == ("4.00", "claim")
            confirmed = cbor.dumps([bytes.fromhex(fresh.id), claim.exported(session.keys)])
            thief = Key().statement(confirmed, "citymote confirm 1")
            assert await refused(session.ask(coap.POST, "owner", thief)) == ("4.00", "signature")
            assert await session.ask(coap.POST, "owner", new.statement(confirmed, "citymote confirm 1")) == [0]
            assert (await session.info())[15] == 3
        await fresh.until("identity", lambda _: fresh.node.starts > 1)
        async with fresh.near(state=1) as session:
            assert await refused(session.access(fresh.owner, fresh.id)) == ("4.00", "signature")
            assert await session.access(new, fresh.id) == [3]
            assert not await session.ask(coap.GET, "config", query="pending")

    asyncio.run(talk())


def test_recovery_wants_a_hand_inside_and_the_label_takes_hours_and_the_owner_can_veto(tmp_path: Path) -> None:
    with street(tmp_path, start=False) as fresh:
        (fresh.node.directory / "settings.json").write_text('{"recovery_hours": 720}')
        fresh.node.start()

        async def talk() -> None:
            async with fresh.near(state=0) as session:
                assert await refused(session.ask(coap.POST, "recovery", b"\x00")) == ("4.03", "unowned")
                await session.claim(fresh.secret, fresh.owner)
            async with fresh.near(state=1) as session:
                assert await refused(session.ask(coap.POST, "recovery", b"\x00")) == ("4.03", "hands")
                fresh.button.level = 0
                assert await refused(recover(session, bytes(16))) == ("4.00", "claim")
                assert await recover(session, fresh.secret) == [720]
                assert await recover(session, fresh.secret) == [720]
                fresh.button.level = 1
                assert (await sighted(fresh.adapter, fresh.id, state=4)).detail == 255, "or more"
                assert await refused(session.ask(coap.DELETE, "recovery")) == ("4.03", "")
            async with fresh.near() as session:
                await session.access(fresh.owner, fresh.id)
                assert (await session.info())[21] == 720
                await session.ask(coap.DELETE, "recovery")
                assert 21 not in await session.info()
            await sighted(fresh.adapter, fresh.id, state=1)

        asyncio.run(talk())


def test_a_recovery_counts_while_there_is_power_and_leaves_a_node_without_an_owner(tmp_path: Path) -> None:
    hour = 3_600_000
    with street(tmp_path, start=False) as fresh:
        (fresh.node.directory / "settings.json").write_text('{"recovery_hours": 1}')
        fresh.node.start()

        async def begin() -> None:
            async with fresh.near(state=0) as session:
                await session.claim(fresh.secret, fresh.owner)
            fresh.button.level = 0
            async with fresh.near(state=1) as session:
                assert await recover(session, fresh.secret) == [1]
            fresh.button.level = 1

        async def look() -> int:
            async with fresh.near() as session:
                await session.access(fresh.owner, fresh.id)
                return (await session.info())[21]

        asyncio.run(begin())
        fresh.node.restart(off=5 * hour)
        assert asyncio.run(look()) == 1, "five hours without power are none"
        fresh.node.kill()
        fresh.air.speed = 1000
        begun = fresh.node.now
        fresh.node.events.clear()
        fresh.node.start()
        asyncio.run(fresh.until("service", lambda data: data["state"] == 0))
        assert fresh.node.endings[-1].now - begun >= hour - 60_000
        fresh.node.kill()
        assert "owner" not in fresh.stored()


def test_a_photo_of_another_label_opens_no_session(fresh: Street) -> None:
    """A relay in between cannot play the labelled node, and what it passes on is of no use to it."""
    photo = Key()  # the key on another node's label

    async def talk() -> None:
        sighting = await sighted(fresh.adapter, fresh.id)
        async with Channel(BleTransport(sighting, radio=fresh.adapter)) as channel:
            with pytest.raises(EdhocError, match="unknown"):
                await Session.begin(channel, photo.public)
        # A claim that was made for one session is of no use in another, whoever carries it there.
        async with fresh.near(state=0) as session:
            tag = claim.claim_tag(
                CRYPTO, claim.claim_key(CRYPTO, fresh.secret), claim.exported(session.keys), fresh.owner.public
            )
        async with fresh.near(state=0) as session:
            stolen = claim.write(fresh.owner.public, tag)
            assert await refused(session.ask(coap.POST, "claim", stolen)) == ("4.00", "claim")

    asyncio.run(talk())


def test_of_two_hosts_one_becomes_owner_and_the_other_is_told(fresh: Street) -> None:
    """Both want the same node: one connection is served at a time, and who comes later hears whose it is not."""
    later = fresh.air.adapter("later")
    turned_away = asyncio.Event()

    async def come_back(sighting: Sighting) -> str:
        while True:
            try:
                async with over(BleTransport(sighting, radio=later, timeout=1), fresh.public) as session:
                    return (await refused(session.claim(fresh.secret, Key())))[1]
            except (FrameError, CitymoteError):
                turned_away.set()

    async def talk() -> str:
        sighting = await sighted(later, fresh.id)
        async with fresh.near(state=0) as session:
            other = asyncio.create_task(come_back(sighting))
            await asyncio.wait_for(turned_away.wait(), 30)
            assert await session.claim(fresh.secret, fresh.owner) == [0]
        return await asyncio.wait_for(other, 60)

    assert asyncio.run(talk()) == "owned"
