"""A rollout to a city: 10,000 simulated nodes, in stages, from the first offer to the last confirmation.

Nodes ask the folder at random times of simulated hours and tell real event frames, which go through a real store; all
of the host's work is the real one, with its database and its files. What is measured is the seconds of this machine.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.bench.measuring import note
from tests.support.rollouts import City, bundle

from citymote.update.plan import Plan, stages

FAMILY = "update"
NODES = 10_000


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        city = City(Path(name), NODES, interval=1800)
        plan = Plan(stages=stages("5,5%,25%,100%"), soak=600)
        city.begin(bundle("1.4.2", 2), plan=plan)
        began = time.perf_counter()
        city.go(24 * 60, lambda: city.rollout().status != "running", every=5)
        spent = time.perf_counter() - began
        if city.counts() != {"confirmed": NODES}:
            raise AssertionError(f"the rollout ended with {city.counts()}")
        hours = (city.now - city.rollout().created) / 3600
        note(f"{NODES:,} nodes in {hours:.1f} simulated hours, {city.fleet.asked:,} questions")
        began = time.perf_counter()
        found = sum(1 for _ in city.desk.status("version=1.4.2", now=city.now))
        asked = time.perf_counter() - began
        if found != NODES:
            raise AssertionError(f"{found} nodes are at the new version")
        city.desk.close()
        city.store.close()
    return {"update.rollout_seconds.10000": spent, "update.status_seconds.10000": asked}
