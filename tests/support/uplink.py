"""The last piece of a way that tests and benchmarks share: from a fake uplink to who waits for first frames."""

from __future__ import annotations

from citymote.provisioning import Arrivals
from citymote.testing.fake_uplink import FakeUplink


async def feed(uplink: FakeUplink, arrivals: Arrivals) -> None:
    """Hand each frame on as it comes, until cancelled."""
    seen = 0
    while True:
        count = await uplink.next(seen)
        for frame in uplink.frames[seen:count]:
            await arrivals.feed(frame.payload)
        seen = count
