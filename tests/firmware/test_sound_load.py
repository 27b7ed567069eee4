"""The meter on a chip that has other work, too: no sample is lost while it is fast enough, and lost ones are counted.

The driver's queue holds 170 ms of sound, and the heap is a chip's. The streams here are a queue and a CPU that is
shared, both in virtual time; what the arithmetic costs on a chip is estimated from counted instructions.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.firmware.metered import run
from tests.support.node import scripted

pytestmark = pytest.mark.usefixtures("run_vm")

STALLED = """
from node.sound.meter import Meter, Port
stall = [0]
lost = [0]
class Stream:
    # A driver's queue of 8192 words: what comes while nobody reads is kept up to that, the rest is lost.
    def __init__(self):
        self.taken = hal.uptime_ms() * 48
    async def readinto(self, buf):
        if stall[0]:  # the node is busy elsewhere before it comes to read
            now = stall[0]
            stall[0] = 0
            await asyncio.sleep_ms(now)
        words = len(buf) // 4
        while hal.uptime_ms() * 48 - self.taken < words:
            await asyncio.sleep_ms(1)
        late = hal.uptime_ms() * 48 - self.taken - 8192
        if late > 0:
            self.taken += late
            lost[0] += late
        self.taken += words
        for k in range(0, len(buf), 4):
            buf[k + 2] = k * 7 & 255
            buf[k + 3] = (k >> 3) & 1
        return len(buf)
    def deinit(self):
        pass
class Hal:
    uptime_ms = staticmethod(hal.uptime_ms)
    def i2s(self, name, rate):
        return Stream()
meter = Meter(Port(Hal(), "i2s0"))
task = asyncio.create_task(meter.run())
for pause in (0, 20, 150, {pause}, 0):
    stall[0] = pause
    await asyncio.sleep_ms(5000)
    meter.read()
    say(meter.last_lost, lost[0])
    lost[0] = 0
say(meter.lost, 0)
task.cancel()
"""


def test_pauses_shorter_than_the_queue_lose_nothing_and_longer_ones_are_counted(tmp_path: Path) -> None:
    *counted, (told, _) = run(scripted(tmp_path, STALLED.format(pause=600)))
    assert told == sum(c for c, _ in counted), "what the health report says"
    assert [c for c, _ in counted[:3]] == [0, 0, 0]
    assert counted[3][1] > 10_000, "the test's own queue must have run over"
    assert sum(c for c, _ in counted) == pytest.approx(sum(lost for _, lost in counted), abs=8192)
    assert counted[4][0] == 0


def test_the_meter_runs_in_the_heap_of_a_chip_without_growing(tmp_path: Path) -> None:
    """What a minute of sound leaves on the heap between two collections is the event loop's, not the meter's."""
    code = """
    import gc
    from array import array
    from node.sound.engine import Engine
    from node.sound.interval import Interval
    meter = Engine(Interval())
    buf = bytearray(3840)
    for k in range(3840):
        buf[k] = k * k >> 3 & 255
    for k in range(60):
        meter.feed(buf, 960)
    gc.collect()
    before = gc.mem_alloc()
    gc.disable()
    for k in range(49):
        meter.feed(buf, 960)
    say(gc.mem_alloc() - before)
    """
    (grown,) = run(scripted(tmp_path, code))
    assert grown <= 0


C3 = """
# One CPU: whoever computes holds it. Costs are a C3's at 160 MHz, estimated from counted instructions (docs/sound.md).
from node.sound.meter import Meter, Port
cpu = asyncio.Lock()
lost = [0]
class Stream:
    # As hal/esp32.py: what is there is returned at once, else others may run. 8192 words wait in the driver's queue.
    def __init__(self):
        self.taken = hal.uptime_ms() * 48
        self.mine = False
        self.owed = 0
    def there(self):
        over = hal.uptime_ms() * 48 - self.taken - 8192
        if over > 0:
            self.taken += over
            lost[0] += over
        return hal.uptime_ms() * 48 - self.taken
    async def readinto(self, buf):
        if self.mine:
            self.owed += {work} * len(buf)  # for 960 samples, and the code around them
            await asyncio.sleep_ms(self.owed // 3840)
            self.owed %= 3840
        words = len(buf) // 4
        if self.there() < words:
            if self.mine:
                cpu.release()
            while self.there() < words:
                await asyncio.sleep_ms(max(1, (words - self.there()) // 48))
            await cpu.acquire()
            self.mine = True
        self.there()
        self.taken += words
        for k in range(0, len(buf), 4):
            buf[k + 2] = k * 7 & 255
            buf[k + 3] = (k >> 3) & 1
        return len(buf)
    def deinit(self):
        pass
class Hal:
    uptime_ms = staticmethod(hal.uptime_ms)
    def i2s(self, name, rate):
        return Stream()
async def hog(every, ms):
    while True:
        await asyncio.sleep_ms(every)
        async with cpu:
            await asyncio.sleep_ms(ms)
async def arithmetic(total):
    while total > 0:
        async with cpu:
            await asyncio.sleep_ms({slice})
        total -= {slice}
        await asyncio.sleep_ms(0)
meter = Meter(Port(Hal(), "i2s0"))
tasks = [asyncio.create_task(t) for t in (meter.run(), hog(1000, 60), hog(250, 12))]  # sound; collections; a radio
await asyncio.sleep_ms(3000)
began = hal.uptime_ms()
await arithmetic(1800)  # a protected session: four multiplications on the curve
say(hal.uptime_ms() - began)
await asyncio.sleep_ms(3000)
meter.read()
say(meter.last_lost, lost[0])
for task in tasks:
    task.cancel()
"""


@pytest.mark.parametrize(("what", "work"), [("levels", 3), ("levels and octave bands", 5)])
def test_a_c3_that_is_busy_with_a_session_a_radio_and_collections_loses_no_sample(
    tmp_path: Path, what: str, work: int
) -> None:
    """`work`: ms that 960 samples take, of 223 instructions, with octave bands of 553 (counted; 1.3 cycles each)."""
    took, (counted, lost) = run(scripted(tmp_path, C3.format(slice=20, work=work)))
    assert took < 3500, f"with {what} the arithmetic gets on, too"
    assert (counted, lost) == (0, 0)


def test_arithmetic_that_does_not_yield_loses_samples_and_they_are_counted(tmp_path: Path) -> None:
    _, (counted, lost) = run(scripted(tmp_path, C3.format(slice=450, work=3)))
    assert lost > 10_000
    assert counted == pytest.approx(lost, abs=8192)


def test_a_chip_that_is_too_slow_for_what_it_is_asked_still_does_everything_else(tmp_path: Path) -> None:
    """The queue is never empty: the meter reads for ever, and lets others run all the same."""
    code = """
    from node.sound.meter import Meter, Port
    class Stream:
        async def readinto(self, buf):
            for k in range(0, len(buf), 4):
                buf[k + 2] = k * 7 & 255
            return len(buf)  # there is always more: nothing is waited for
        def deinit(self):
            pass
    class Hal:
        uptime_ms = staticmethod(hal.uptime_ms)
        def i2s(self, name, rate):
            return Stream()
    meter = Meter(Port(Hal(), "i2s0"))
    task = asyncio.create_task(meter.run())
    turns = 0
    for k in range(5):
        await asyncio.sleep_ms(0)
        turns += 1
    task.cancel()
    say(turns)
    """
    assert run(scripted(tmp_path, code)) == [5]
