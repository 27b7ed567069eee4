"""A box of nodes from the factory, in the air of an installer: what provisioning needs at both ends, in virtual time.

An owner's store, a registry that knows the labels, nodes, an uplink that they reach, and a broker's operator who mints
credentials. A test says how many nodes there are, what their air does, and what goes wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.fake import words
from tests.support.uplink import feed

from citymote.credentials import Credentials
from citymote.fleet import Fleet, open_fleet
from citymote.keys import CollectorKey, KeyFile, Opener, generate_collector_key
from citymote.owner import OwnerStore
from citymote.plan import Plan
from citymote.provisioning import Arrivals, Report, provision
from citymote.testing import clockwork
from citymote.testing.fake_air import FakeAir
from citymote.testing.fake_node import FakeNode
from citymote.testing.fake_uplink import FakeUplink
from citymote.testing.fake_wire import Conditions

NETWORK = {"networks": [{"ssid": "city", "key": "correct horse"}]}
WRONG = {"networks": [{"ssid": "city", "key": "correct house"}]}


class Minting(Credentials):
    """A broker's operator, who counts."""

    def __init__(self, uplink: FakeUplink) -> None:
        self.uplink = uplink
        uplink.users = {}
        self.minted: list[str] = []

    async def mint(self, node: str) -> dict[str, str]:
        self.minted.append(node)
        password = f"p{len(self.minted)} of {node}"
        assert self.uplink.users is not None
        self.uplink.users[node] = password
        return {"broker_user": node, "broker_password": password}

    async def revoke(self, node: str) -> None:
        assert self.uplink.users is not None
        self.uplink.users.pop(node, None)


@dataclass
class City:
    """Everything of one test."""

    store: OwnerStore
    fleet: Fleet
    uplink: FakeUplink
    nodes: list[FakeNode]
    air: FakeAir
    plan: Plan
    arrivals: Arrivals
    minting: Minting

    async def run(self, **options: Any) -> Report:
        nodes = options.pop("nodes", [node.id for node in self.nodes])
        given: dict[str, Any] = {"arrivals": self.arrivals, "credentials": self.minting, "find": 30} | options
        plan = given.pop("plan", self.plan)
        return await provision(self.fleet, self.store, given.pop("air", self.air), plan, nodes, **given)


def boxes(folder: Path) -> Callable[..., Any]:
    """`async with boxes(folder)(count=1, conditions=None, **options of a node) as city`: such a box, at work."""
    store = OwnerStore.create(folder / "owner", ask=words, cost=2)
    collector: CollectorKey = generate_collector_key()

    @asynccontextmanager
    async def city(
        count: int = 1, *, conditions: Conditions | None = None, **options: Any
    ) -> AsyncGenerator[City, None]:
        uplink = FakeUplink()
        nodes = [FakeNode(uplink, conditions=conditions, **options) for _ in range(count)]
        settings = {"network": NETWORK, "broker_host": "broker.city", "collector_key": collector.public.hex()}
        keys = KeyFile(collectors=[collector])
        with open_fleet(folder / "city.fleet", store) as fleet:
            for node in nodes:
                fleet.add(node.label)
            fleet.fill(keys)
            arrivals = Arrivals(Opener(keys))
            air = FakeAir(nodes)
            plan = Plan(settings, "harbour", trial_seconds=60)
            made = City(store, fleet, uplink, nodes, air, plan, arrivals, Minting(uplink))
            pump = asyncio.create_task(feed(uplink, arrivals))
            air.start()
            try:
                yield made
                assert [node.faults for node in nodes if node.faults] == []
            finally:
                pump.cancel()
                await air.stop()

    return city


def virtually(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    clockwork.run(main())
