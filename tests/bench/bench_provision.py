"""Seconds from a node in a box to a configured one: for one node, and for fifty on one adapter.

The time is virtual: nodes in this process behind the real session layer, a radio's latency of 30 ms one way, 0.6 s for
a connection with its discovery, and 1.5 s of a small chip's arithmetic for each session. *Configured* is when a
node has taken its settings and is sent into its trial; *provisioned* when its first frame has arrived. From claim to
configured is from the first claim that succeeds to the last node whose settings are taken. What one handshake costs, on
the wire and on the node, is in bench_session.py, which `ONLY=provision` runs as well.

`provision.node.*` is of the node's own firmware instead, over Bumble's link layer with the same latency: the smallest
heap in which the whole of it is claimed and configured beside nothing but BLE, and the seconds from power on. A chip's
arithmetic is not in these: here this machine does it.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tests.bench.measuring import note
from tests.support import claiming
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


async def run_to_the_end(folder: Path, count: int, loss: float) -> dict[str, list[float]]:
    """Virtual seconds from the beginning until each node has come to each stage, in the order in which they did."""
    loop = asyncio.get_running_loop()
    conditions = Conditions(latency=(LATENCY, LATENCY), connecting=CONNECTING, loss=loss)
    uplink, collector = FakeUplink(), generate_collector_key()
    nodes = [FakeNode(uplink, conditions=conditions, arithmetic=ARITHMETIC) for _ in range(count)]
    store = OwnerStore.create(folder / "owner", ask=lambda new: "only for a bench", cost=2)
    keys = KeyFile(collectors=[collector])
    network = {"networks": [{"ssid": "city", "key": "correct horse"}]}
    settings = {"network": network, "broker_host": "broker.city", "collector_key": collector.public.hex()}
    reached: dict[str, list[float]] = {stage: [] for stage in Stage}
    begun = loop.time()

    def news(one: Progress) -> None:
        if not one.outcome:
            reached[one.stage].append(loop.time() - begun)

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
        feeding.cancel()
        await air.stop()
    if report.failed:
        raise RuntimeError(f"not provisioned: {report.failed[0].reason}")
    return reached


def measure() -> dict[str, float]:
    """See the module."""
    metrics: dict[str, float] = {}
    for count, loss in ((1, 0.0), (50, 0.0), (1, 0.2)):
        with tempfile.TemporaryDirectory() as folder:
            reached = clockwork.run(run_to_the_end(Path(folder), count, loss))
        name = f"{count}" if not loss else f"{count}.lossy"
        metrics[f"provision.seconds.{name}"] = reached[Stage.TRIED][-1]
        metrics[f"provision.seconds_to_first_frame.{name}"] = reached[Stage.PROVISIONED][-1]
        claimed, configured = reached[Stage.CLAIMED], reached[Stage.CONFIGURED]
        metrics[f"provision.seconds_claim_to_configured.{name}"] = configured[-1] - claimed[0]
        if count == 1 and not loss:
            for stage in (Stage.CLAIMED, Stage.DELEGATED, Stage.CONFIGURED):
                metrics[f"provision.seconds_until_{stage}.1"] = reached[stage][-1]
    return metrics | node()


def node() -> dict[str, float]:
    """Of the node's own firmware."""
    heap = claiming.smallest()
    took = claiming.claimed(heap + 8)
    if took is None:
        note("the real node: claimed in one heap and not in a larger one; its seconds are left out")
        return {"provision.node.heap_bytes": heap * 1024}
    return {
        "provision.node.heap_bytes": heap * 1024,
        "provision.node.seconds_until_claimed": took[0],
        "provision.node.seconds_claim_to_configured": took[1] - took[0],
    }
