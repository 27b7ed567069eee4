"""A sound level meter alone in a virtual node, a microphone on its bus, and what it read: for the tests of the meter.

Time is virtual, so that hours of sound take seconds. The microphone is the emulator, sample by sample where the meter
hears it, and behind the meter where a test is about what comes of levels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.node import said, scripted

from citymote.testing.bridge import Wiring
from citymote.testing.emul.microphone import I2SMicrophone
from citymote.testing.vm import VirtualNode

LAEQ, LAF_MAX, L10, L90, LCEQ, LZEQ, LAF_MIN, LAS_MAX, LC_PEAK, L50 = 9, 18, 19, 20, 66, 67, 68, 69, 70, 71
NO_ANSWER, WARMING_UP, WRONG_CHIP, SHORT_READ, STUCK_BUS, FROZEN, SATURATED, SUSPICIOUS = 8, 10, 12, 13, 14, 15, 16, 3

READ = """
from node.sound.meter import Meter, Port
meter = Meter(Port(hal, "i2s0"), **{settings})
task = asyncio.create_task(meter.run())
for k in range({count}):
    meter.start()
    await asyncio.sleep_ms({interval} * 1000)
    say(meter.read(), meter.last_lost, meter.last_fault)
task.cancel()
"""

Reading = dict[int, tuple[int | None, int]]


def intervals(
    folder: Path,
    microphone: I2SMicrophone,
    count: int,
    interval: int,
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> list[Reading]:
    """What `read()` said at the end of each interval: quantity -> (integer, quality)."""
    code = READ.format(settings=settings or {}, count=count, interval=interval)
    node = scripted(folder, code, wiring=Wiring({"i2s0": microphone}), **options)
    return [{q: (value, quality) for q, value, quality in row[0]} for row in run(node)]


def run(node: VirtualNode) -> list[Any]:
    with node:
        node.start()
        node.wait(60)
        return said(node)


def stepped(levels: list[float | None], interval: int) -> Callable[[int], float | None]:
    """Row k holds after k intervals and up to the (k + 1)th, its end included: a reading is dated by its end."""

    def source(now: int) -> float | None:
        k = max(0, (now - 1) // (1000 * interval))
        return levels[k] if k < len(levels) else None

    return source
