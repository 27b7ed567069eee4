"""Faults between a host and the running node: who dies in the middle, a bad air, floods, forged refusals."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from tests.support.claimable import Street, street
from tests.support.owner import CRYPTO, Key, Session, over, sighted

from citymote.errors import CitymoteError
from citymote.testing.air import Conditions
from citymote.transports.base import Disconnected
from citymote.transports.ble import BleTransport
from citymote_protocol import ccs, coap, coap_udp, keying, p256
from citymote_protocol.coap import Message
from citymote_protocol.edhoc_initiator import Initiator
from citymote_protocol.frame import decode
from citymote_protocol.handshake_client import handshake_steps
from citymote_protocol.oscore_client import Unprotected

pytestmark = pytest.mark.usefixtures("micropython32")


class Mortal(BleTransport):
    """A host that dies at its `at`-th message: before it is said, or before it is heard. Bare acknowledgements of the
    message layer do not count."""

    def __init__(self, *arguments: Any, at: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.steps = 0
        self.at = at

    async def _live(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            await self.close()
            raise Disconnected("the host has died")

    async def send(self, data: bytes) -> None:
        if len(data) > 1:
            await self._live()
        await super().send(data)

    async def receive(self) -> bytes:
        data = await super().receive()
        if data[1:2] == bytes((coap.UNAVAILABLE,)):  # the limiter's: the same first message comes again
            self.steps -= 1
        elif len(data) > 1:
            await self._live()
        return data


def test_a_host_that_dies_at_any_step_of_claim_and_configuration_keeps_nobody_waiting(tmp_path: Path) -> None:
    with street(tmp_path) as fresh:
        wish = {"station": "pole 7", "broker_host": "broker.city"}

        async def errand(transport: BleTransport) -> None:
            async with over(transport, fresh.public) as session:
                assert await session.claim(fresh.secret, fresh.owner) == [0]
                await session.config(wish)

        async def talk() -> tuple[int, float]:
            sighting = await sighted(fresh.adapter, fresh.id)
            longest = 0.0
            for at in range(1, 40):
                mortal = Mortal(sighting, radio=fresh.adapter, at=at)
                begun = time.monotonic()
                try:
                    await errand(mortal)
                except (Disconnected, CitymoteError):
                    longest = max(longest, time.monotonic() - begun)
                    continue
                return at, longest
            raise AssertionError("it never came to its end")

        deaths, longest = asyncio.run(talk())
        assert deaths - 1 == 8, "two of the handshake, claim and configuration, and their answers"
        assert longest < 15, "the next host is served after the limiter's few seconds, not after its deadline"
        assert not [line.text for line in fresh.node.logs if line.level == 0]
        fresh.node.kill()
        stored = fresh.stored()
        assert bytes.fromhex(stored["owner"])[-33:] == fresh.owner.public
        assert b"pole 7" in bytes.fromhex(stored["pending"])


def test_claim_and_configuration_in_an_air_that_loses_a_fifth_and_is_late(tmp_path: Path) -> None:
    with street(tmp_path, seed=7) as fresh:
        fresh.air.conditions = Conditions(latency=(0.015, 0.1), loss=0.2)

        async def talk() -> None:
            async with fresh.near(state=0) as session:
                assert await session.claim(fresh.secret, fresh.owner) == [0]
                await session.config({"broker_ca": bytes(range(256)) * 4, "station": "pole 7"})
                assert (await session.ask(coap.GET, "config", query="pending"))["station"] == "pole 7"
            async with fresh.near(state=1) as session:
                assert await session.access(fresh.owner, fresh.id) == [3]

        asyncio.run(talk())
        assert fresh.air.counts()["repeats"] > 10


class Flood:
    """Somebody with an account at the broker, who calls themselves what they like."""

    def __init__(self, fresh: Street) -> None:
        self._topic = f"citymote/{fresh.id}/rpc/"
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="flood")
        self._client.connect("127.0.0.1", fresh.broker.port)
        self._client.loop_start()
        self._mid = 0

    def send(self, name: str, message: Message) -> None:
        self._mid = self._mid + 1 & 0xFFFF
        self._client.publish(self._topic + name, coap_udp.encode(coap_udp.NON, self._mid, message), 0)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def first_message(fresh: Street) -> Message:
    """A right first message: what it costs the node is for the node to limit."""
    key = Key()
    kid = keying.node_id(CRYPTO.sha256, fresh.public)
    initiator: Any = Initiator(
        CRYPTO, key.private, ccs.write(b"host", key.public), None, p256.run(CRYPTO.key_pair_steps()), b"\x00"
    )
    message = next(handshake_steps(initiator, lambda it, _: ccs.write(kid, fresh.public)))
    message.token = secrets.token_bytes(2)
    return message


def stray() -> Message:
    """A protected request of a session that there never was."""
    option = bytes((0x09, 1)) + secrets.token_bytes(1)
    return Message(coap.POST, secrets.token_bytes(2), [(coap.OSCORE, option)], secrets.token_bytes(24))


async def patient(session: Session) -> dict[int, Any]:
    """As the SDK does: a node whose queue is full says so, and is asked again."""
    for _ in range(50):
        try:
            return await session.info()
        except Unprotected as error:
            assert error.answer == coap.UNAVAILABLE
    raise AssertionError("it is not answered any more")


@pytest.mark.parametrize("kind", ["first messages", "strays"])
def test_a_flood_costs_a_node_no_row_and_its_owner_no_answer(tmp_path: Path, kind: str) -> None:
    """A node at work, a row each second: rows stay whole, in time and in order, and the owner's session goes on."""
    with street(tmp_path) as fresh:

        async def talk() -> None:
            await fresh.provision(unsealed=True, collector_key=None, interval=1, batch=10)
            async with fresh.far() as session:
                await session.access(fresh.owner, fresh.id)
                flood = Flood(fresh)
                message = first_message(fresh)
                begun, number = fresh.node.now, 0
                while number < 400 or fresh.node.now - begun <= 8_000:
                    flood.send(f"f{number % 23}", message if kind == "first messages" else stray())
                    await asyncio.sleep(0.005)
                    if number % 100 == 50:
                        assert (await patient(session))[15] == 3
                    number += 1
                flood.close()
            await rows(fresh, begun, fresh.node.now)

        async def rows(fresh: Street, begun: int, ended: int) -> None:
            first, last = (fresh.node.start_time + at // 1000 for at in (begun, ended))
            async with asyncio.timeout(60):
                while True:
                    frames = {bytes(each): decode(each) for each in fresh.collector.messages}
                    found = {
                        frame.time_of(r): [column[r] for column in frame.values]
                        for frame in frames.values() if frame.kind == 0 for r in range(frame.count)
                    }  # fmt: skip
                    if found and max(found) > last:
                        break
                    await asyncio.sleep(0.2)
            assert [at for at in range(first + 1, last + 1) if found.get(at) != [215, 444]] == []

        asyncio.run(talk())
        assert not [line.text for line in fresh.node.logs if line.level == 0]
