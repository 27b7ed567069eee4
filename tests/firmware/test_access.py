"""SPEC 16 on the running node, over a virtual air and a real broker: claim, roles, configuration, trial, roads."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.certificates import certificate
from tests.support.claimable import START, Street, settings_of, street
from tests.support.owner import CRYPTO, Key, Refused, sighted

from citymote_protocol import cbor, claim, coap, echo
from citymote_protocol.delegation import UNIX_2000
from citymote_protocol.errors import FrameError
from citymote_protocol.frame import decode

pytestmark = pytest.mark.usefixtures("micropython32")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Street]:
    with street(tmp_path) as made:
        yield made


async def so_far(true: Callable[[], bool]) -> None:
    """Wait until that is so."""
    while True:
        if true():
            return
        await asyncio.sleep(0.02)


async def refused(work: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as found:
        await work
    return found.value.code, found.value.word


def test_a_node_without_an_owner_answers_the_claim_alone_and_keeps_nothing_of_a_wrong_one(fresh: Street) -> None:
    async def talk() -> None:
        async with fresh.near(state=0) as session:
            for code, path in (
                (coap.GET, "info"), (coap.GET, "config"), (coap.GET, "access"), (coap.IPATCH, "config"),
                (coap.POST, "config/trial"), (coap.GET, "log"), (coap.POST, "reset"), (coap.POST, "recovery"),
                (coap.POST, "owner"), (coap.PUT, "time"), (coap.POST, "identify"),
            ):  # fmt: skip
                assert await refused(session.ask(code, path)) == ("4.03", "unowned"), path
            assert await refused(session.claim(bytes(16), fresh.owner)) == ("4.00", "claim")
            assert await refused(session.ask(coap.POST, "claim", b"\x80")) == ("4.00", "range")
            short = claim.write(bytes(33), bytes(32))
            assert await refused(session.ask(coap.POST, "claim", short)) == ("4.00", "owner_key")
            with pytest.raises(FrameError):  # three wrong ones end the session
                await session.claim(fresh.secret, fresh.owner)

    asyncio.run(talk())
    fresh.node.kill()
    assert "owner" not in fresh.stored()


def test_a_claim_makes_an_owner_once_and_for_all(fresh: Street) -> None:
    async def talk() -> None:
        async with fresh.near(state=0) as session:
            assert await session.claim(fresh.secret, fresh.owner) == [0]
            assert await session.claim(fresh.secret, fresh.owner) == [0], "the answer was lost"
            assert await refused(session.claim(fresh.secret, Key())) == ("4.03", "admitted")
            info = await session.info()
            assert (info[0].hex(), info[15], info[16], info[19]) == (fresh.id, 3, 0, False)
        async with fresh.near(state=1) as session:
            assert await refused(session.claim(fresh.secret, Key())) == ("4.03", "owned")
            assert await session.claim(fresh.secret, fresh.owner) == [0], "by the same owner it succeeds again"

    asyncio.run(talk())
    fresh.node.kill()
    assert bytes.fromhex(fresh.stored()["owner"])[-33:] == fresh.owner.public
    fresh.node.start()

    async def again() -> None:
        async with fresh.near(state=1) as session:
            assert await refused(session.info()) == ("4.03", "")

    asyncio.run(again())


def test_roles_are_what_the_owner_has_signed(fresh: Street) -> None:
    async def talk() -> None:
        async with fresh.near(state=0) as session:
            await session.claim(fresh.secret, fresh.owner)
        key = Key()
        async with fresh.near(key, state=1) as session:
            assert await refused(session.info()) == ("4.03", "")
            stranger = Key()
            assert await refused(session.access(stranger, fresh.id)) == ("4.00", "signature")
            assert await refused(session.access(fresh.owner, "000000000000")) == ("4.00", "audience")
            assert await session.access(fresh.owner, fresh.id, "reader") == [1]
            assert (await session.info())[15] == 1
            assert await refused(session.ask(coap.GET, "config")) == ("4.03", "")
            assert await refused(session.ask(coap.GET, "log")) == ("4.03", "")
            assert await session.access(fresh.owner, fresh.id, "installer") == [2]
            assert (await session.ask(coap.GET, "config"))["interval"] == 120
            assert await refused(session.ask(coap.PUT, "epoch", 1)) == ("4.03", "")
            assert await refused(session.ask(coap.POST, "reset", [2])) == ("4.03", "")
            assert await refused(session.config({"site": "harbour"})) == ("4.03", "owner")
            nonce = await session.ask(coap.GET, "access")
            assert await session.access(fresh.owner, fresh.id, "owner", nonce=nonce) == [3]
            assert await refused(session.access(fresh.owner, fresh.id, "owner", nonce=b"x" * 16)) == ("4.00", "nonce")
            await session.ask(coap.PUT, "epoch", 4)
            assert await refused(session.ask(coap.PUT, "epoch", 3)) == ("4.09", "epoch")
        async with fresh.near(Key(), state=1) as session:
            assert await refused(session.access(fresh.owner, fresh.id, epoch=3)) == ("4.00", "epoch")
            assert await session.access(fresh.owner, fresh.id, epoch=4) == [3]

    asyncio.run(talk())


def test_calendar_limits_count_against_time_that_the_owner_has_signed_alone(fresh: Street) -> None:
    past = START - 1000

    async def talk() -> None:
        async with fresh.near(state=0) as session:
            await session.claim(fresh.secret, fresh.owner)
        async with fresh.near(state=1) as session:
            limits = {"exp": past + UNIX_2000}
            await session.access(fresh.owner, fresh.id, "installer", **limits)
            await session.ask(coap.PUT, "time", [START, None])
            assert await session.access(fresh.owner, fresh.id, "installer", **limits) == [2], (
                "an installer's time is no limit"
            )
            stranger = Key().statement(cbor.dumps(START), "citymote time 1")
            assert await refused(session.ask(coap.PUT, "time", [START, stranger])) == ("4.00", "signature")
            signed = fresh.owner.statement(cbor.dumps(START), "citymote time 1")
            await session.ask(coap.PUT, "time", [START, signed])
            assert await refused(session.access(fresh.owner, fresh.id, "installer", **limits)) == ("4.00", "expired")
            older = fresh.owner.statement(cbor.dumps(past - 1000), "citymote time 1")
            await session.ask(coap.PUT, "time", [START, older])
            assert await refused(session.access(fresh.owner, fresh.id, "installer", **limits)) == ("4.00", "expired")
            assert await refused(session.ask(coap.PUT, "time", [1000, None])) == ("4.00", "time")

    asyncio.run(talk())


def test_a_pending_configuration_is_checked_whole_and_changes_nothing_that_is_in_force(fresh: Street) -> None:
    async def talk() -> None:
        async with fresh.near(state=0) as session:
            await session.claim(fresh.secret, fresh.owner)
            await session.config({"interval": 60, "station": "pole 7"})
            assert await refused(session.config({"batch": 7, "interval": 7})) == ("4.00", "setting")
            assert await refused(session.config({"nonsense": 7})) == ("4.00", "setting")
            await session.config({"broker_password": "secret thing", "broker_ca": b"\x30" * 300, "station": None})
            pending = await session.ask(coap.GET, "config", query="pending")
            assert pending.pop("broker_ca") == CRYPTO.sha256(("30" * 300).encode()).digest()
            assert pending == {"interval": 60, "broker_password": True, "station": None}
            assert (await session.ask(coap.GET, "config"))["interval"] == 120
            await session.config({"batch": 9}, query="fresh")
            assert await session.ask(coap.GET, "config", query="pending") == {"batch": 9}
            assert (await session.info())[20] is True
            assert await refused(session.trial(1)) == ("4.09", "incomplete")
            assert await refused(session.trial(1, 10)) == ("4.00", "range")
            assert await refused(session.config({"broker_ca": "x" * 4090})) == ("4.13", "")

    asyncio.run(talk())


CORRECTIONS = [
    ("a wrong password", {"network": {"networks": [{"ssid": "city", "key": "wrong horse"}]}}, 2),
    ("no such network", {"network": {"networks": [{"ssid": "nowhere", "key": "correct horse"}]}}, 1),
    ("no address", {"network": {"ssid": "deaf", "key": ""}}, 3),
    ("an unknown name", {"broker_host": "broker.invalid"}, 4),
    ("a silent broker", {"broker_port": 1}, 5),
    ("a bad certificate before the time is known", {"broker_tls": True}, 8),
]


@pytest.mark.parametrize(("what", "wrong", "detail"), CORRECTIONS, ids=[what for what, _, _ in CORRECTIONS])
def test_each_failure_of_the_uplink_comes_back_as_itself_and_is_corrected_in_the_air(
    fresh: Street, what: str, wrong: dict[str, Any], detail: int
) -> None:
    fresh.wifi.keys["deaf"] = ""
    fresh.wifi.without_address.add("deaf")
    if "broker_tls" in wrong:
        wrong = tls(fresh)
        fresh.node.network_time = False
        fresh.node.chip = None  # TLS does not fit beside the fixed heap that these nodes have

    async def talk() -> None:
        async with fresh.near(state=0) as session:
            await session.claim(fresh.secret, fresh.owner)
            await session.config({**fresh.uplink, **wrong})
            assert await session.trial(7, 60) == [7, 255, 0]
        assert await fresh.until("tried") == {"number": 7, "detail": detail}
        sighting = await sighted(fresh.adapter, fresh.id, state=2)
        assert sighting.detail == detail
        async with fresh.near(state=2) as session:
            await session.access(fresh.owner, fresh.id)
            info = await session.info()
            assert (info[9], info[10]) == (2, detail)
            assert info[18] == [7, detail, 60] and info[19] is False
            assert await session.trial(7, 60) == [7, detail, 60], "the same number begins nothing"
            await session.config({**dict.fromkeys(wrong), **fresh.uplink})
            await session.trial(8, 60)
        assert await fresh.until("tried") == {"number": 8, "detail": 0}

    asyncio.run(talk())
    fresh.node.kill()
    stored = fresh.stored()
    assert "pending" not in stored
    assert settings_of(stored)["broker_host"] == "127.0.0.1"


def tls(street: Street) -> dict[str, Any]:
    """A broker with a certificate, and one that has not signed for it."""
    theirs, ours = certificate(street.folder, "broker"), certificate(street.folder, "another")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(street.folder / "broker.pem", street.folder / "broker.key")
    listening = socket.create_server(("127.0.0.1", 0))
    assert theirs[0] != ours[0]

    def serve() -> None:
        while True:
            try:
                peer, _ = listening.accept()
                with context.wrap_socket(peer, server_side=True):
                    pass
            except OSError:
                if listening.fileno() < 0:
                    return

    threading.Thread(target=serve, daemon=True).start()
    return {
        "broker_tls": True,
        "broker_port": listening.getsockname()[1],
        "broker_ca": ours[0].public_bytes(Encoding.DER),
    }


def test_once_proven_the_radio_is_silent_and_requests_go_through_the_broker(fresh: Street) -> None:
    async def talk() -> None:
        await fresh.provision(station="pole 7")
        async with fresh.far() as session:
            assert await refused(session.info()) == ("4.03", "")
            await session.access(fresh.owner, fresh.id)
            info = await session.info()
            assert (info[11], info[18][:2], info[19], info[20]) == ("pole 7", [1, 0], True, False)
            assert 9 not in info, "the radio is silent"
            assert "trial 1 has succeeded" in (await session.ask(coap.GET, "log")).decode()
            assert fresh.key.public.hex() == (await session.ask(coap.GET, "config"))["collector_key"]
            await session.ask(coap.POST, "identify", 2)
            transport: Any = session.channel.transport
            executed = len(fresh.node.event_data("identify"))
            transport.again(transport.sent[-1])
            await session.info()
            assert len(fresh.node.event_data("identify")) == executed == 1, "twice delivered, once executed"
            echo = len(transport.sent)
            await session.ask(coap.POST, "reset", [4])
            assert len(transport.sent) - echo == 2, "what must be fresh is asked for an Echo"
            await session.ask(coap.POST, "reset", [3])

    asyncio.run(talk())
    assert not fresh.node.ledger.holds("ble")


def test_what_the_broker_holds_back_is_not_done_later_where_that_matters(fresh: Street) -> None:
    async def talk() -> None:
        await fresh.provision()
        async with fresh.far() as session:
            await session.access(fresh.owner, fresh.id)
            transport: Any = session.channel.transport
            asked = len(transport.sent)
            transport.passes = asked + 1  # the first message asks for an Echo, the second brings it
            restart = asyncio.create_task(session.ask(coap.POST, "reset", [0]))
            await so_far(lambda: len(transport.sent) > asked + 1)
            restart.cancel()
            held, since, starts = transport.sent[asked + 1], fresh.node.now, fresh.node.starts
            await so_far(lambda: fresh.node.now > since + (echo.LIFE + 1) * 1000)
            transport.passes = None
            transport.again(held)
            await session.info()
            info = await session.info()
            assert (info[15], fresh.node.starts) == (3, starts), "the session lives, nothing has restarted"
            await session.ask(coap.POST, "reset", [0])
        await so_far(lambda: fresh.node.starts > starts)

    asyncio.run(talk())


def test_live_rows_are_observed_through_the_broker(tmp_path: Path) -> None:
    with street(tmp_path) as fresh:

        async def talk() -> None:
            await fresh.provision(interval=1)
            async with fresh.far() as session:
                await session.access(fresh.owner, fresh.id, "reader")
                while True:
                    answer = await session.raw(coap.GET, "live")
                    if answer.code == coap.CONTENT:
                        break
                    assert answer.code == coap.UNAVAILABLE
                frame = decode(bytes(answer.payload))
                assert (frame.node.hex(), frame.epoch, frame.seq) == (fresh.id, 0, 0)
                assert list(frame.values) == [215, 444]

        asyncio.run(talk())
