"""How a node stays its owner's, and comes to another: SPEC 16.8 to 16.10, and the strangers of docs/security.md."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.claimable import Street, street, transfer
from tests.support.owner import CRYPTO, Key, Refused, Session, sighted

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


async def claimed(fresh: Street) -> None:
    async with fresh.near(state=0) as session:
        await session.claim(fresh.secret, fresh.owner)


def test_a_factory_reset_leaves_nothing_of_the_owner_and_the_label_valid(fresh: Street) -> None:
    async def talk() -> None:
        async with fresh.near(state=0) as session:
            await session.claim(fresh.secret, fresh.owner)
            await session.config({"network": {"ssid": "city", "key": "correct horse"}})
            await session.ask(coap.POST, "reset", [2])
        other = Key()
        async with fresh.near(state=0) as session:
            assert await session.claim(fresh.secret, other) == [0]
            assert await session.ask(coap.GET, "config", query="pending") == {}

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
        await fresh.until("identity", lambda _: fresh.node.starts > 2)
        async with fresh.near(state=1) as session:
            assert await refused(session.access(fresh.owner, fresh.id)) == ("4.00", "signature")
            assert await session.access(new, fresh.id) == [3]
            assert await session.ask(coap.GET, "config", query="pending") == {}

    asyncio.run(talk())


def test_recovery_wants_a_hand_inside_and_the_label_takes_hours_and_the_owner_can_veto(tmp_path: Path) -> None:
    with street(tmp_path, speed=1) as fresh:

        async def body(session: Session, secret: bytes) -> bytes:
            owner = Key().public
            tag = claim.claim_tag(CRYPTO, claim.claim_key(CRYPTO, secret), claim.exported(session.keys), owner)
            return claim.write(owner, tag)

        async def talk() -> None:
            async with fresh.near(state=0) as session:
                assert await refused(session.ask(coap.POST, "recovery", b"\x00")) == ("4.03", "unowned")
                await session.claim(fresh.secret, fresh.owner)
            async with fresh.near(state=1) as session:
                assert await refused(session.ask(coap.POST, "recovery", b"\x00")) == ("4.03", "hands")
                fresh.button.level = 0
                assert await refused(session.ask(coap.POST, "recovery", await body(session, bytes(16)))) == (
                    "4.00",
                    "claim",
                )
                assert await session.ask(coap.POST, "recovery", await body(session, fresh.secret)) == [24]
                assert await session.ask(coap.POST, "recovery", await body(session, fresh.secret)) == [24]
                fresh.button.level = 1
                assert await refused(session.ask(coap.DELETE, "recovery")) == ("4.03", "")
            async with fresh.near() as session:
                await session.access(fresh.owner, fresh.id)
                assert (await session.info())[21] == 24
                await session.ask(coap.DELETE, "recovery")
                assert 21 not in await session.info()

        asyncio.run(talk())


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
    second = fresh.air.adapter("second")

    async def one(adapter: Any, owner: Key) -> str:
        for _ in range(20):
            try:
                async with fresh.near(adapter=adapter) as session:
                    await session.claim(fresh.secret, owner)
                    return "owner"
            except Refused as error:
                return error.word
            except (FrameError, Exception):  # noqa: BLE001 (one connection is served at a time: come back)
                await asyncio.sleep(0.3)
        return "nobody"

    async def talk() -> list[str]:
        return list(await asyncio.gather(one(fresh.adapter, fresh.owner), one(second, Key())))

    assert sorted(asyncio.run(talk())) == ["owned", "owner"]


def test_the_claim_survives_a_power_cut_at_every_operation_of_the_flash(tmp_path: Path) -> None:
    """Whole old or whole new: a node without an owner that can be claimed, or one that this owner can enter."""
    with street(tmp_path, start=False) as fresh:

        async def attempt() -> bool:
            try:
                async with asyncio.timeout(40), fresh.near(state=0) as session:
                    await session.claim(fresh.secret, fresh.owner)
                    return True
            except Exception:  # noqa: BLE001 (the node is dead: that is the point)
                return False

        for at in (1, 2, 3):
            with street(tmp_path / str(at), start=False) as cut:
                fresh = cut
                # the boot counter takes the first operations of a start; the claim those behind them
                cut.node.start()
                asyncio.run(one_sighting(cut))
                cut.node.kill()
                before = sum(wear.programmed for wear in cut.node.wear("config"))
                cut.node.cut_power("config", 12 + at, torn=bool(at & 1))
                cut.node.start()
                done = asyncio.run(attempt())
                cut.node.kill()
                assert sum(wear.programmed for wear in cut.node.wear("config")) >= before
                stored = cut.stored()
                if done:
                    assert bytes.fromhex(stored["owner"])[-33:] == cut.owner.public
                assert stored.get("owner", "") == "" or bytes.fromhex(stored["owner"])[-33:] == cut.owner.public
                cut.node.start()
                assert asyncio.run(claims(cut))


async def one_sighting(fresh: Street) -> None:
    await sighted(fresh.adapter, fresh.id)


async def claims(fresh: Street) -> bool:
    async with fresh.near() as session:
        return await session.claim(fresh.secret, fresh.owner) == [0]
