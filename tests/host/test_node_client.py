"""`citymote.Node` against a node in this process, in virtual time: what it is asked and told, and what it refuses.

Configurations and their trials, live readings, and the rest of the resources. Whose a node is, is in
`test_node_ownership`, and sessions over bad links are in `test_node_session`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.fake import GOOD, owned, talk

from citymote.answers import Refused, Trial
from citymote.calibration import Request, Result
from citymote.errors import UsageError
from citymote.node import Reset
from citymote.owner import OwnerStore
from citymote.testing.clockwork import run as virtually
from citymote.testing.fake_uplink import NO_TIME, WRONG_KEY, FakeUplink
from citymote.testing.fake_wire import Conditions


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
