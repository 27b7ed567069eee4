"""`citymote.Node` against a node in this process, in virtual time: sessions that hold, rights, resources, refusals."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.fake import running

from citymote.calibration import Request, Result
from citymote.delegate import OwnerKey, site
from citymote.errors import UsageError
from citymote.label import Label
from citymote.node import Node, Refused, Reset, Role, Trial, claim_with
from citymote.owner import OwnerStore
from citymote.session import ContextLost, NodeBusy, NotTheNode, Session, SessionError
from citymote.testing.clockwork import run as virtually
from citymote.testing.fake_node import FakeNode
from citymote.testing.fake_uplink import NO_TIME, WRONG_KEY, FakeUplink
from citymote.testing.fake_wire import Conditions
from citymote.transports.base import Disconnected, NoAnswer, Unreachable
from citymote_protocol import claim as _claim
from citymote_protocol.coap import BAD_REQUEST, CHANGED, FORBIDDEN, POST, Message

claiming: Any = _claim

GOOD = {
    "network": {"networks": [{"ssid": "city", "key": "correct horse"}]},
    "broker_host": "broker.city",
    "interval": 60,
}


def words(new: bool) -> str:
    return "correct horse battery"


@pytest.fixture
def store(tmp_path: Any) -> OwnerStore:
    return OwnerStore.create(tmp_path / "owner", ask=words, cost=2)


@pytest.fixture
def installer(tmp_path: Any) -> OwnerStore:
    return OwnerStore.create(tmp_path / "installer", ask=words, cost=2, signing=False)


@asynccontextmanager
async def owned(store: OwnerStore, **options: Any) -> AsyncGenerator[FakeNode, None]:
    async with running(**options) as node:
        node.flash.owner = store.owner_public
        node.say(1)
        yield node


def talk(node: FakeNode, store: OwnerStore, over: str = "ble", **more: Any) -> Node:
    return Node(node.way(over), node.label.public, store, **more)


def ours(node: FakeNode, store: OwnerStore, **more: Any) -> Node:
    return talk(node, store, claim=claim_with(node.label.secret), **more)


# -- whose it is ------------------------------------------------------------------------------------------------------


def test_a_node_is_claimed_with_its_label_and_then_opens_to_the_owners_key(store: OwnerStore) -> None:
    async def main() -> None:
        async with running() as fake:
            async with ours(fake, store) as node:
                assert node.role == Role.OWNER
                assert fake.flash.owner == store.owner_public
            async with talk(fake, store) as node:
                info = await node.info()
                assert (info.node, info.public, info.role) == (fake.id, fake.label.public, Role.OWNER)
                assert (info.configured, info.pending, info.trial, info.time) == (False, False, None, None)

    virtually(main())


def test_claiming_again_succeeds_and_claiming_anothers_says_so(store: OwnerStore, tmp_path: Any) -> None:
    other = OwnerStore.create(tmp_path / "other", ask=words, cost=2)

    async def main() -> None:
        async with running() as fake:
            for _ in range(2):
                async with ours(fake, store):
                    pass
            with pytest.raises(Refused, match="another owner") as told:
                async with ours(fake, other):
                    pass
            assert (told.value.answer, told.value.code) == ("4.03", "owned")
            with pytest.raises(Refused, match="its owner has not signed it"):
                async with talk(fake, other):
                    pass
            assert fake.flash.owner == store.owner_public

    virtually(main())


def test_the_wrong_secret_leaves_nothing_behind(store: OwnerStore) -> None:
    async def main() -> None:
        async with running() as fake:
            with pytest.raises(Refused, match="not that of its label"):
                async with talk(fake, store, claim=claim_with(bytes(16))):
                    pass
            assert fake.flash.owner is None
            async with talk(fake, store) as node:
                assert (node.owned, node.role) == (False, Role.NONE)
                with pytest.raises(Refused, match=r"it has no owner\. Claim it"):
                    await node.info()

    virtually(main())


def test_the_third_wrong_claim_ends_its_session_and_no_other(store: OwnerStore) -> None:
    async def main() -> None:
        async with running() as fake:
            fake.online = True
            for _ in range(2):  # what one session has got wrong is not counted against the next
                async with Session(fake.way("udp"), fake.label.public, store.host) as session:
                    wrong = claiming.write(store.owner_public, bytes(32))
                    for count in (1, 2):
                        answer = await session.request(POST, "claim", wrong)
                        assert (answer.code, answer.payload[:5]) == (BAD_REQUEST, b"claim"), count
                    assert session.handshakes == 1
                    await session.request(POST, "claim", wrong)
                    await session.request(POST, "claim", wrong)
                    assert session.handshakes == 2, "the session had ended, and was renewed"
                await asyncio.sleep(60)
            assert fake.flash.owner is None

    virtually(main())


def test_a_claim_whose_answer_was_lost_may_come_again_in_the_session_that_it_opened(store: OwnerStore) -> None:
    async def main() -> None:
        async with running() as fake, ours(fake, store) as node:
            again = await node.session.request(POST, "claim", claiming.write(store.owner_public, bytes(32)))
            assert again.code == CHANGED
            other = await node.session.request(POST, "claim", claiming.write(b"\x02" + bytes(32), bytes(32)))
            assert (other.code, other.payload) == (FORBIDDEN, b"admitted")

    virtually(main())


def test_a_node_with_another_key_learns_nothing_of_us(store: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store) as fake:
            stranger = FakeNode().label
            with pytest.raises(NotTheNode, match=f"it says it is {fake.id}"):
                async with Node(fake.way(), stranger.public, store):
                    pass
            assert fake.peers == {}, "no message_3 was sent"

    virtually(main())


def test_a_photo_of_another_label_and_a_relay_do_not_make_another_node_of_it(store: OwnerStore) -> None:
    """A node that claims to have the id of the label, and has not its key."""

    async def main() -> None:
        victim = FakeNode()
        liar = FakeNode(label=victim.label, private=FakeNode().private)
        liar.start()
        with pytest.raises(NotTheNode, match="does not hold the key on the label"):
            async with ours(liar, store):
                pass
        assert (liar.peers, liar.flash.owner) == ({}, None)
        await liar.stop()

    virtually(main())


def test_an_installer_may_what_was_delegated_and_no_more(store: OwnerStore, installer: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store) as fake:
            with pytest.raises(Exception, match="none that was handed over names it"):
                async with talk(fake, installer):
                    pass
            installer.accept(store.delegate(installer.host.public, "installer", [fake.id], days=1))
            async with talk(fake, installer) as node:
                assert node.role == Role.INSTALLER
                await node.configure({"interval": 60})
                with pytest.raises(Refused) as told:
                    await node.configure({"collector_key": "02" * 33})
                assert (told.value.code, told.value.sentence) == ("owner", "collector_key")
                with pytest.raises(Refused, match="role of this session is not enough"):
                    await node.reset(Reset.FACTORY)
            store.raise_epoch()
            async with talk(fake, store) as node:
                await node.raise_epoch(store.epoch)
            with pytest.raises(Refused, match="has been revoked"):
                async with talk(fake, installer):
                    pass

    virtually(main())


def test_a_delegation_for_a_site_opens_nodes_of_that_site(store: OwnerStore, installer: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store) as fake:
            fake.flash.forced["site"] = "harbour"
            installer.accept(store.delegate(installer.host.public, "reader", [site("harbour")], days=1))
            async with talk(fake, installer, site="harbour") as node:
                assert node.role == Role.READER

    virtually(main())


def test_only_time_that_the_owner_signed_lets_delegations_expire(store: OwnerStore, installer: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store) as fake:
            grant = store.delegate(installer.host.public, "installer", [fake.id], days=1)
            installer.accept(grant)
            later = datetime(2030, 1, 1, tzinfo=UTC)
            async with talk(fake, installer) as node:
                await node.set_time(later)
            async with talk(fake, installer) as node:
                pass
            async with talk(fake, store) as node:
                await node.set_time(later, signer=store.signer())
            with pytest.raises(Refused, match="has expired"):
                async with talk(fake, installer):
                    pass

    virtually(main())


def test_a_transfer_offered_by_the_old_owner_is_taken_by_the_new_one(store: OwnerStore, tmp_path: Any) -> None:
    buyer = OwnerStore.create(tmp_path / "buyer", ask=words, cost=2)

    async def main() -> None:
        async with owned(store) as fake:
            fake.flash.forced, fake.flash.proven = dict(GOOD), False
            async with talk(fake, buyer, stranger=True) as node:
                with pytest.raises(Refused, match="nobody has offered it"):
                    await node.take_over(buyer.signer())
            async with talk(fake, store) as node:
                await node.transfer(store.signer(), buyer.owner_public, epoch=store.epoch)
            async with talk(fake, store, stranger=True) as node:
                with pytest.raises(Refused):
                    await node.take_over(store.signer())
            async with talk(fake, buyer, stranger=True) as node:
                await node.take_over(buyer.signer())
            await asyncio.sleep(10)
            assert (fake.flash.owner, fake.flash.forced) == (buyer.owner_public, {})
            async with talk(fake, buyer) as node:
                assert node.role == Role.OWNER

    virtually(main())


def test_recovery_needs_hands_and_the_label_and_can_be_vetoed(store: OwnerStore, tmp_path: Any) -> None:
    finder = OwnerStore.create(tmp_path / "finder", ask=words, cost=2)

    async def main() -> None:
        async with owned(store) as fake:
            async with talk(fake, finder, stranger=True) as node:
                with pytest.raises(Refused, match="nobody holds the button"):
                    await node.recover(fake.label.secret, finder.owner_public)
                fake.button = True
                with pytest.raises(Refused, match="not that of its label"):
                    await node.recover(bytes(16), finder.owner_public)
                assert await node.recover(fake.label.secret, finder.owner_public) == 24
            assert fake.state == 4
            async with talk(fake, store) as node:
                assert (await node.info()).recovery_hours == 24
                await node.veto()
            assert fake.flash.recovery is None

    virtually(main())


# -- resources --------------------------------------------------------------------------------------------------------


def test_a_configuration_waits_until_a_trial_has_proved_it(store: OwnerStore) -> None:
    async def main() -> None:
        uplink = FakeUplink()
        async with owned(store, uplink=uplink) as fake:
            async with talk(fake, store) as node:
                await node.configure(GOOD)
                assert await node.config() == {}
                waiting = await node.config(pending=True)
                assert waiting == {"network": True, "broker_host": "broker.city", "interval": 60}
                assert await node.trial(1) == Trial(1, None, 0)
            await uplink.next(0)
            assert fake.state is None, "silent once it works"
            async with talk(fake, store, "mqtt") as node:
                info = await node.info()
                assert (info.configured, info.pending, info.trial) == (True, False, Trial(1, 0, 6))
                assert (await node.config())["interval"] == 60
                assert await node.trial(1) == Trial(1, 0, 6), "the same number asks what came of it"

    virtually(main())


def test_a_failed_trial_comes_back_with_its_reason_and_is_corrected(store: OwnerStore) -> None:
    async def main() -> None:
        uplink = FakeUplink(ca="ff00")
        async with owned(store, uplink=uplink) as fake:
            wrong = {"network": {"networks": [{"ssid": "city", "key": "correct house"}]}}
            async with talk(fake, store, patience=300) as node:
                await node.configure(GOOD | wrong | {"broker_ca": "ff00"})
                await node.trial(1, 60)
                await asyncio.sleep(1)
                told = await node.trial(1)
                assert (told.detail, fake.state, fake.detail) == (WRONG_KEY, 2, WRONG_KEY)
                assert node.session.handshakes == 2, "the node has restarted, the session was renewed by itself"
                await node.configure({"network": GOOD["network"]})
                await node.trial(2, 60)
                await asyncio.sleep(1)
                assert (await node.trial(2)).detail == NO_TIME
                await node.set_time()
                await node.trial(3, 60)
            await uplink.next(0)

    virtually(main())


def test_a_long_configuration_goes_in_patches_and_blocks(store: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store, conditions=Conditions(mtu=64)) as fake, talk(fake, store) as node:
            long = {"broker_ca": "ab" * 1800, "broker_cert": "cd" * 1800, "broker_key": "ef" * 1000}
            await node.configure(GOOD | long)
            assert fake.flash.pending == GOOD | long
            await node.configure({"interval": None}, fresh=True)
            assert fake.flash.pending == {"interval": None}

    virtually(main())


def test_a_setting_that_may_not_be_is_named_and_nothing_is_taken(store: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store) as fake, talk(fake, store) as node:
            with pytest.raises(Refused) as told:
                await node.configure({"broker_host": "x", "interval": 7})
            assert (told.value.answer, told.value.code) == ("4.00", "setting")
            assert "interval" in str(told.value)
            assert fake.flash.pending == {}
            with pytest.raises(Refused, match="names no uplink"):
                await node.trial(1)

    virtually(main())


def test_live_readings_until_the_caller_stops(store: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store) as fake, talk(fake, store) as node:
            with pytest.raises(Refused, match="has not measured yet"):
                await node.latest()
            fake.resources.measure()
            values: list[Any] = []
            async for readings in node.live():
                values.append(readings[0].value)
                assert (readings[0].node, readings[0].quantity) == (fake.id, "visitors")
                if len(values) == 4:
                    break
                fake.resources.measure()
            assert len(set(values)) == 4
            assert await node.latest()

    virtually(main())


def test_live_readings_go_on_after_the_connection_was_lost(store: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store) as fake, talk(fake, store) as node:
            fake.resources.measure()
            seen = 0
            async for _ in node.live():
                seen += 1
                if seen == 5:
                    break
                if seen == 2:
                    assert fake.busy is not None
                    fake.busy.lose()
                fake.resources.measure()

    virtually(main())


def test_what_else_it_is_told(store: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store) as fake, talk(fake, store) as node:
            await node.identify(20)
            assert fake.blinking == 20
            assert "started" in await node.log()
            told = await node.calibrate(Request(94, "Type 4231", "hk"))
            assert told == Result("inmp441", heard=93.58, level=94, before=-0.3, offset=0.42)
            with pytest.raises(Refused, match="1 sound level meters"):
                await node.calibrate(Request(94, "Type 4231", "hk", meter=1))
            with pytest.raises(Refused, match="it is not steady"):
                await node.calibrate(Request(60, "Type 4231", "hk", kind="reference"))
            with pytest.raises(UsageError):
                await node.identify(121)
            with pytest.raises(UsageError):
                await node.reset(Reset.ENTER_SERVICE)
            await node.reset(Reset.ENTER_SERVICE, minutes=5)
            await node.reset(Reset.FACTORY)
            await asyncio.sleep(10)
            assert fake.flash.owner is None
            assert fake.state == 0

    virtually(main())


# -- sessions that hold -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["ble", "udp", "mqtt"])
def test_the_same_over_every_link_with_a_fifth_lost_and_late(store: OwnerStore, over: str) -> None:
    async def main() -> None:
        air = Conditions(latency=(0.015, 0.1), loss=0.2, seed=3)
        async with owned(store, conditions=air, arithmetic=1.5) as fake:
            fake.online = True
            async with talk(fake, store, over) as node:
                for interval in (60, 120, 300):
                    await node.configure({"interval": interval, "broker_ca": "ab" * 500})
                assert fake.flash.pending["interval"] == 300
                assert node.session.handshakes == 1

    virtually(main())


def test_power_lost_between_two_requests_needs_nobody(store: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store) as fake, talk(fake, store) as node:
            for cut in range(4):
                assert (await node.info()).boots == fake.boots
                fake.power_cut()
                await asyncio.sleep(1)
                fake.start()
                assert node.session.handshakes == cut + 1
            assert (await node.info()).boots == 5

    virtually(main())


@pytest.mark.parametrize("packet", range(1, 21))
def test_power_lost_at_every_packet_of_claim_and_configuration(store: OwnerStore, packet: int) -> None:
    """Whatever was on the way: the same calls again come to the same end."""

    async def main() -> None:
        count = 0

        def cut(up: bool, data: bytes) -> bytes:
            nonlocal count
            count += 1
            if count == packet:
                fake.power_cut()
                asyncio.get_running_loop().call_later(2, fake.start)
            return data

        async with running(conditions=Conditions(change=cut)) as fake:
            async with ours(fake, store) as node:
                await node.set_time(signer=store.signer())
                await node.configure(GOOD, fresh=True)
                await node.identify(5)
            assert (fake.flash.owner, fake.flash.pending) == (store.owner_public, GOOD)
            assert count >= packet

    virtually(main())


def test_forged_errors_bring_about_few_handshakes(store: OwnerStore) -> None:
    """Whoever can answer in the node's place makes a host run EDHOC five times at once, then gives up (13.7.3)."""
    from citymote_protocol.coap_udp import ACK, decode, encode

    async def main() -> None:
        def forge(up: bool, data: bytes) -> bytes:
            kind, mid, message = decode(data)
            if not up and forging and message is not None and message.option(9) is not None:
                lie = Message(0x81, message.token, [], b"Security context not found")
                return bytes(encode(kind, mid, lie))
            return data

        forging = False
        async with owned(store, conditions=Conditions(change=forge)) as fake:
            fake.online = True
            node = Node(fake.way("udp"), fake.label.public, store, patience=1000)
            async with node:
                forging = True
                with pytest.raises((ContextLost, SessionError, NoAnswer)):
                    await asyncio.wait_for(node.info(), 5000)
                assert node.session.handshakes <= 6
                forging = False
        assert ACK == 2

    virtually(main())


def test_messages_altered_on_the_way_are_never_taken_for_the_nodes(store: OwnerStore) -> None:
    async def main() -> None:
        import random

        chance = random.Random(5)

        def flip(up: bool, data: bytes) -> bytes:
            if flipping and chance.random() < 0.3 and len(data) > 8:
                at = chance.randrange(4, len(data))
                return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]
            return data

        flipping = False
        async with owned(store, conditions=Conditions(change=flip)) as fake:
            fake.online = True
            node = Node(fake.way("udp"), fake.label.public, store, patience=300)
            async with node:
                flipping = True
                for _ in range(10):
                    try:
                        info = await node.info()
                    except (SessionError, NoAnswer, Disconnected):
                        continue
                    assert (info.node, info.role) == (fake.id, Role.OWNER)

    virtually(main())


def test_a_node_that_is_busy_is_waited_for(store: OwnerStore, installer: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store) as fake:
            fake.online = True
            async with talk(fake, store, "udp"):
                begun = asyncio.get_running_loop().time()
                async with talk(fake, store, "udp"):
                    assert asyncio.get_running_loop().time() - begun >= 1
                with pytest.raises(NodeBusy, match="asks to wait"):
                    for _ in range(30):
                        async with talk(fake, store, "udp", patience=0.5):
                            pass

    virtually(main())


def test_a_session_does_not_outlive_its_patience(store: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store) as fake:
            loop = asyncio.get_running_loop()
            fake.say(None)
            begun = loop.time()
            with pytest.raises(Unreachable):
                async with talk(fake, store, patience=10):
                    pass
            assert loop.time() - begun <= 10
            fake.say(1)
            async with talk(fake, store, patience=10) as node:
                fake.say(None)
                with pytest.raises(Unreachable):
                    await node.info()
            with pytest.raises(Disconnected):
                await node.info()

    virtually(main())


def test_requests_overlap_on_one_session(store: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store, conditions=Conditions(latency=(0.05, 0.05))) as fake, talk(fake, store) as node:
            infos = await asyncio.gather(*(node.info() for _ in range(3)))
            assert len(infos) == 3
            assert node.session.handshakes == 1

    virtually(main())


def test_cancelling_a_call_leaves_the_session_usable(store: OwnerStore) -> None:
    async def main() -> None:
        async with owned(store, conditions=Conditions(latency=(0.2, 0.2))) as fake, talk(fake, store) as node:
            for wait in (0.01, 0.1, 0.3, 0.5):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(wait):
                        while True:
                            await node.info()
            assert (await node.info()).node == fake.id

    virtually(main())


def test_nothing_secret_is_in_what_is_said(store: OwnerStore) -> None:
    async def main() -> None:
        async with running() as fake, ours(fake, store) as node:
            said = repr(node) + repr(node.session) + repr(fake.label) + str(Session)
            assert fake.label.secret.hex() not in said
            with pytest.raises(Refused) as told:
                await node.configure({"broker_passwort": "very secret indeed"})
            assert "very secret" not in str(told.value)

    virtually(main())


def test_the_tag_may_be_made_elsewhere(store: OwnerStore) -> None:
    """An installer's computer need not know the label's secret: who has it computes the tag."""
    asked: list[tuple[bytes, bytes]] = []

    async def main() -> None:
        async with running() as fake:
            here: Callable[..., Any] = claim_with(fake.label.secret)

            async def server(exported: bytes, owner: bytes) -> bytes:
                asked.append((exported, owner))
                return await here(exported, owner)

            async with talk(fake, store, claim=server):
                assert fake.flash.owner == store.owner_public

    virtually(main())
    assert [(len(e), len(o)) for e, o in asked] == [(32, 33)]


def test_virtual_time_is_virtual() -> None:
    async def main() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    assert virtually(main()) == 86_400
    assert isinstance(OwnerKey.from_private(os.urandom(32)), OwnerKey)
    assert Label
