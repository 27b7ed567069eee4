"""Seconds from a node in a box to a configured one: for one node, and for fifty on one adapter.

The time is virtual: nodes in this process behind the real session layer, a radio's latency of 30 ms one way, 0.6 s for
a connection with its discovery, and 1.5 s of a small chip's arithmetic for each session. *Configured* is when a
node has taken its settings and is sent into its trial; *provisioned* when its first frame has arrived.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tests.support.uplink import feed

from citymote.fleet import Stage, open_fleet
from citymote.keys import KeyFile, Opener, generate_collector_key
from citymote.owner import OwnerStore
from citymote.plan import Plan
from citymote.provisioning import Arrivals, Progress, provision
from citymote.testing import clockwork
from citymote.testing.fake_air import FakeAir
from citymote.testing.fake_node import FakeNode
from citymote.testing.fake_uplink import FakeUplink
from citymote.testing.fake_wire import Conditions

FAMILY = "provision"
LATENCY, CONNECTING, ARITHMETIC = 0.03, 0.6, 1.5


async def _run(folder: Path, count: int, loss: float) -> tuple[float, float]:
    """Virtual seconds until the last node is configured, and until it is provisioned."""
    loop = asyncio.get_running_loop()
    conditions = Conditions(latency=(LATENCY, LATENCY), connecting=CONNECTING, loss=loss)
    uplink, collector = FakeUplink(), generate_collector_key()
    nodes = [FakeNode(uplink, conditions=conditions, arithmetic=ARITHMETIC) for _ in range(count)]
    store = OwnerStore.create(folder / "owner", ask=lambda new: "only for a bench", cost=2)
    keys = KeyFile(collectors=[collector])
    network = {"networks": [{"ssid": "city", "key": "correct horse"}]}
    settings = {"network": network, "broker_host": "broker.city", "collector_key": collector.public.hex()}
    configured: list[float] = []
    begun = loop.time()

    def news(one: Progress) -> None:
        if one.stage == Stage.TRIED and not one.outcome:
            configured.append(loop.time() - begun)

    with open_fleet(folder / "fleet", store) as fleet:
        for node in nodes:
            fleet.add(node.label)
        fleet.fill(keys)
        arrivals = Arrivals(Opener(keys))
        air = FakeAir(nodes)
        air.start()
        feeding = asyncio.create_task(feed(uplink, arrivals))
        report = await provision(
            fleet, store, air, Plan(settings, "bench"), [node.id for node in nodes], arrivals=arrivals, find=600,
            progress=news,
        )  # fmt: skip
        seconds = loop.time() - begun
        feeding.cancel()
        await air.stop()
    if report.failed:
        raise RuntimeError(f"not provisioned: {report.failed[0].reason}")
    return max(configured), seconds


def measure() -> dict[str, float]:
    """See the module."""
    metrics: dict[str, float] = {}
    for count, loss in ((1, 0.0), (50, 0.0), (1, 0.2)):
        with tempfile.TemporaryDirectory() as folder:
            configured, provisioned = clockwork.run(_run(Path(folder), count, loss))
        name = f"{count}" if not loss else f"{count}.lossy"
        metrics[f"provision.seconds.{name}"] = configured
        metrics[f"provision.seconds_to_first_frame.{name}"] = provisioned
    return metrics
