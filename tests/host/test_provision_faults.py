"""Provisioning whatever happens on the way: packets lost, a host killed, an adapter that vanishes, power that fails.

An installer stands on a ladder and tries once more: a second run must end what the first has begun, mint nothing twice
and leave no node half configured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.box import boxes, virtually

from citymote.fleet import Fleet, Stage
from citymote.testing.fake_air import FakeAir
from citymote.testing.fake_wire import Conditions


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Any]:
    return boxes(tmp_path)


def test_a_fifth_of_all_packets_lost_late_and_slow_nodes(make: Any) -> None:
    async def main() -> None:
        air = Conditions(latency=(0.015, 0.1), loss=0.2, connecting=1.0, seed=7)
        async with make(10, conditions=air, arithmetic=1.5) as city:
            report = await city.run()
            assert report.failed == []
            assert all(node.sessions.limiter is node.limiter for node in city.nodes)

    virtually(main)


@pytest.mark.parametrize("count", [12, pytest.param(50, marks=pytest.mark.slow)])
def test_many_nodes_wait_for_their_turn_and_not_for_each_others_trials(make: Any, count: int) -> None:
    async def main() -> None:
        air = Conditions(latency=(0.03, 0.03), connecting=0.6)
        async with make(count, conditions=air, arithmetic=1.5) as city:
            begun = asyncio.get_running_loop().time()
            report = await city.run()
            assert report.failed == []
            assert asyncio.get_running_loop().time() - begun < 12 + count * 6

    virtually(main)


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1, 2, 3, 5, 8, 12])
def test_the_host_is_killed_and_another_run_goes_on(make: Any, seconds: float) -> None:
    """Cancelled wherever it is, as a crash would: nothing is half done, and the second run ends it."""

    async def main() -> None:
        air = Conditions(latency=(0.02, 0.02), connecting=0.3)
        async with make(4, conditions=air) as city:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await city.run()
            assert all(node.busy is None for node in city.nodes), "every connection has ended"
            report = await city.run(uplink=lambda name: city.air.nodes[name].way("mqtt"))
            assert report.failed == []
            assert sorted(set(city.minting.minted)) == sorted(city.minting.minted), "minted once"
            assert city.fleet.verify() > 0

    virtually(main)


@pytest.mark.parametrize("seconds", [0.5, 1.5, 2.5, 4.0, 9.0])
def test_the_adapter_vanishes_and_comes_back(make: Any, seconds: float) -> None:
    async def main() -> None:
        air = Conditions(latency=(0.05, 0.05), connecting=0.5)
        async with make(3, conditions=air) as city:

            async def pull() -> None:
                await asyncio.sleep(seconds)
                city.air.vanish()
                await asyncio.sleep(6)
                city.air.restore()

            pulling = asyncio.create_task(pull())
            report = await city.run(attempts=5)
            assert report.failed == []
            await pulling

    virtually(main)


def test_a_host_that_dies_right_after_it_has_asked_for_the_trial_finds_it_begun(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = Fleet.update

    def dies(fleet: Fleet, node: str, **facts: Any) -> None:
        if facts.get("stage") == Stage.TRIED:
            raise RuntimeError("killed")
        noted(fleet, node, **facts)

    async def main() -> None:
        async with make() as city:
            monkeypatch.setattr(Fleet, "update", dies)
            with pytest.raises(ExceptionGroup):
                await city.run()
            monkeypatch.setattr(Fleet, "update", noted)
            await asyncio.sleep(30)
            assert city.nodes[0].state is None, "it works, and is silent in the air"
            report = await city.run(uplink=lambda name: city.air.nodes[name].way("mqtt"))
            assert (report.failed, report.outcomes[0].outcome) == ([], "provisioned")

    virtually(main)


def test_an_adapter_that_stays_away_is_the_reason(make: Any) -> None:
    async def main() -> None:
        async with make(2) as city:
            city.air.vanish()
            report = await city.run()
            assert all("the adapter is gone" in one.reason and one.attempts == 3 for one in report.failed)
            assert len(report.failed) == 2

    virtually(main)


def test_power_is_lost_on_nodes_while_they_are_provisioned(make: Any) -> None:
    async def main() -> None:
        import random

        chance = random.Random(11)
        air = Conditions(latency=(0.03, 0.03), connecting=0.3)
        async with make(6, conditions=air) as city:

            async def cuts() -> None:
                for _ in range(12):
                    await asyncio.sleep(chance.uniform(0.2, 1.5))
                    node = chance.choice(city.nodes)
                    if node.powered and node.state is not None:
                        node.power_cut()
                        asyncio.get_running_loop().call_later(1, node.start)

            cutting = asyncio.create_task(cuts())
            report = await city.run(attempts=6)
            await cutting
            assert report.failed == []

    virtually(main)


def test_two_hosts_at_once_provision_each_node_once(make: Any) -> None:
    async def main() -> None:
        air = Conditions(latency=(0.03, 0.03), connecting=0.3)
        async with make(4, conditions=air) as city:
            second = FakeAir(city.nodes)
            reports = await asyncio.gather(city.run(attempts=6), city.run(attempts=6, air=second))
            assert [len(report.failed) for report in reports] == [0, 0], [r.failed for r in reports]
            assert all(node.flash.proven for node in city.nodes)

    virtually(main)
