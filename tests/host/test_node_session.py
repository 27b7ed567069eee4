"""Sessions that hold: `citymote.Node` over links that lose, delay and forge, and nodes that lose their power.

The caller sees an answer or one clear error in bounded time; that a session was renewed is not the caller's business.
"""

from __future__ import annotations

import asyncio
import os

import pytest
from tests.support.fake import GOOD, ours, owned, running, talk

from citymote.answers import Refused, Role
from citymote.delegate import OwnerKey
from citymote.label import Label
from citymote.node import Node
from citymote.owner import OwnerStore
from citymote.session import ContextLost, NodeBusy, Session, SessionError
from citymote.testing.clockwork import run as virtually
from citymote.testing.fake_wire import Conditions
from citymote.transports.base import Disconnected, NoAnswer, Unreachable
from citymote_protocol.coap import Message


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


def test_virtual_time_is_virtual() -> None:
    async def main() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    assert virtually(main()) == 86_400
    assert isinstance(OwnerKey.from_private(os.urandom(32)), OwnerKey)
    assert Label
