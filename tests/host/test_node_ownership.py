"""`citymote.Node` and whose a node is: claims, delegations, a transfer and a recovery, in virtual time.

Each says what the host learns and what the node keeps, of the right owner, of another and of a stranger with a photo of
a label. What is asked of a node is in `test_node_client`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.fake import GOOD, ours, owned, running, talk, words

from citymote.answers import Refused, Role
from citymote.delegate import site
from citymote.node import Node, Reset, claim_with
from citymote.owner import OwnerStore
from citymote.session import NotTheNode, Session
from citymote.testing.clockwork import run as virtually
from citymote.testing.fake_node import FakeNode
from citymote_protocol import claim as _claim
from citymote_protocol.coap import BAD_REQUEST, CHANGED, FORBIDDEN, POST

claiming: Any = _claim


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
