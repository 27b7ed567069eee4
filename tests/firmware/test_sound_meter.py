"""The meter as the node runs it: over the bridge, with virtual time, against microphones of known level."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.firmware.collecting import START, Collector
from tests.support.node import said, scripted

import citymote
from citymote import registry
from citymote.broker import Broker
from citymote.testing.bridge import Wiring
from citymote.testing.emul.microphone import CHIPS, I2SMicrophone
from citymote.testing.street import band_levels
from citymote.testing.vm import VirtualNode

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("run_vm")
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


def test_levels_that_are_heard_come_back_equal(tmp_path: Path) -> None:
    levels: list[float | None] = [60.0, 43.9, 61.3, 40.1, 55.5]
    microphone = I2SMicrophone(stepped(levels, 10), heard="always")
    read = intervals(tmp_path, microphone, 5, 10)
    # The first interval lacks the half second that is discarded, and with it a part of the street's ten seconds.
    assert [row[LAEQ][0] for row in read[1:]] == [439, 613, 401, 555]
    assert read[0][LAEQ][0] == pytest.approx(600, abs=3)


def test_levels_behind_the_meter_come_back_equal(tmp_path: Path) -> None:
    levels: list[float | None] = [60.0, 43.9, 71.3, 35.1, 29.9, 64.5]
    microphone = I2SMicrophone(stepped(levels, 120), heard="never")
    assert [row[LAEQ][0] for row in intervals(tmp_path, microphone, 6, 120)] == [600, 439, 713, 351, 299, 645]


def test_an_hour_of_which_one_minute_is_heard_gives_its_level(tmp_path: Path) -> None:
    """S-DoT's interval: levels enter from both sides of the meter into one reading."""
    levels: list[float | None] = [43.9, 64.5, 48.1]
    microphone = I2SMicrophone(stepped(levels, 3600))
    assert [row[LAEQ] for row in intervals(tmp_path, microphone, 3, 3600)] == [(439, 0), (645, 0), (481, 0)]


@pytest.mark.parametrize("interval", [30, 60, 120])
def test_the_heard_minute_agrees_with_the_rest_at_any_usual_interval(tmp_path: Path, interval: int) -> None:
    steps = 1500 // interval
    levels: list[float | None] = [40.0 + (7 * k % 23) + k % 10 / 10 for k in range(steps)]
    microphone = I2SMicrophone(stepped(levels, interval), minute=20)
    read = intervals(tmp_path, microphone, steps, interval)
    wanted = [round(10 * (level or 0)) for level in levels]
    assert [row[LAEQ][0] for row in read] == wanted


def test_absent_comes_back_absent(tmp_path: Path) -> None:
    levels: list[float | None] = [50.0, None, 52.0, None, None, 49.0]
    for heard in ("never", "always"):
        (tmp_path / heard).mkdir()
        microphone = I2SMicrophone(stepped(levels, 20), heard=heard)
        read = [row[LAEQ] for row in intervals(tmp_path / heard, microphone, 6, 20)]
        assert [value is None for value, _ in read] == [False, True, False, True, True, False], heard
        assert {quality for value, quality in read if value is None} == {NO_ANSWER}


@pytest.mark.parametrize("chip", sorted(CHIPS))
@pytest.mark.parametrize("rate", [48000, 24000, 16000])
def test_every_microphone_at_every_rate(tmp_path: Path, chip: str, rate: int) -> None:
    microphone = I2SMicrophone(lambda now: 64.3, chip, rate, heard="always")
    first, second = intervals(tmp_path, microphone, 2, 10, {"microphone": chip, "rate": rate})
    assert second[LAEQ] == (643, 0)
    assert first[LAEQ][0] == pytest.approx(643, abs=3)


def test_both_widths_of_virtual_machine_give_the_same_readings(tmp_path: Path) -> None:
    seen = []
    for arch in (32, 64):
        (tmp_path / str(arch)).mkdir()
        microphone = I2SMicrophone(lambda now: 61.7, heard="always", self_noise=True)
        seen.append(intervals(tmp_path / str(arch), microphone, 2, 5, arch=arch, heap="200k"))
    assert seen[0] == seen[1]


def test_statistics_of_a_heard_street_and_of_one_behind_the_meter_agree(tmp_path: Path) -> None:
    read = []
    for heard in ("always", "never"):
        (tmp_path / heard).mkdir()
        microphone = I2SMicrophone(lambda now: 58.0, heard=heard)
        read.append(intervals(tmp_path / heard, microphone, 2, 30)[1])
    tolerances = {LAEQ: 0, LCEQ: 1, LZEQ: 1, LAF_MAX: 1, LAF_MIN: 1, LAS_MAX: 1, LC_PEAK: 6}
    for quantity, tolerance in tolerances.items():
        assert read[0][quantity][0] == pytest.approx(read[1][quantity][0], abs=tolerance), quantity
    for quantity in (L10, L50, L90):  # ten deciles stand for a distribution
        assert read[0][quantity][0] == pytest.approx(read[1][quantity][0], abs=15), quantity


def test_self_noise_adds_to_what_is_heard(tmp_path: Path) -> None:
    microphone = I2SMicrophone(lambda now: 20.0, heard="always", self_noise=True)
    value, quality = intervals(tmp_path, microphone, 2, 10)[1][LAEQ]
    assert value == pytest.approx(332, abs=2), "33 dB of an INMP441 and 20 dB of street"
    assert quality == SUSPICIOUS, "within 5 dB of the self-noise"


def test_calibration_is_added(tmp_path: Path) -> None:
    microphone = I2SMicrophone(lambda now: 60.0, heard="always")
    assert intervals(tmp_path, microphone, 2, 10, {"calibration": -123})[1][LAEQ][0] == 588


def test_overload_is_said_and_the_level_kept(tmp_path: Path) -> None:
    microphone = I2SMicrophone(lambda now: 112.0, heard="always")
    value, quality = intervals(tmp_path, microphone, 2, 10)[1][LAEQ]
    assert quality == SATURATED
    assert value == pytest.approx(1118, abs=5)


@pytest.mark.parametrize(
    ("fault", "code", "number"),
    [("silent", NO_ANSWER, 1), ("frozen", FROZEN, 2), ("stuck", STUCK_BUS, 3), ("swapped", WRONG_CHIP, 6)],
)
def test_broken_wires_are_recognised_and_told_apart(tmp_path: Path, fault: str, code: int, number: int) -> None:
    microphone = I2SMicrophone(lambda now: 60.0, heard="always")
    microphone.fault = fault
    node = scripted(tmp_path, READ.format(settings={}, count=2, interval=5), wiring=Wiring({"i2s0": microphone}))
    row = run(node)[1]
    assert row[0][0] == [LAEQ, None, code]
    assert row[2] == number


def test_a_microphone_whose_channel_is_set_right_is_heard_again(tmp_path: Path) -> None:
    microphone = I2SMicrophone(lambda now: 60.0, heard="always")
    microphone.fault = "swapped"
    node = scripted(tmp_path, READ.format(settings={}, count=4, interval=10), wiring=Wiring({"i2s0": microphone}))
    node.at(20_000, lambda: setattr(microphone, "fault", ""))
    values = [row[0][0][1:] for row in run(node)]
    assert values[1] == [None, WRONG_CHIP]
    assert values[3] == [600, 0]


def test_the_other_channel_is_looked_at_once_and_the_code_for_it_let_go(tmp_path: Path) -> None:
    code = """
    import sys
    from node.sound.meter import Meter, Port
    opened = []
    class Hal:
        uptime_ms = staticmethod(hal.uptime_ms)
        def i2s(self, name, rate, stereo=False):
            opened.append(stereo)
            return hal.i2s(name, rate, stereo)
    meter = Meter(Port(Hal(), "i2s0"))
    task = asyncio.create_task(meter.run())
    await asyncio.sleep_ms(20000)
    say(opened)
    say("node.sound.channels" in sys.modules)
    task.cancel()
    """
    microphone = I2SMicrophone(lambda now: None, heard="always")
    assert run(scripted(tmp_path, code, wiring=Wiring({"i2s0": microphone}))) == [[False, True, False], False]


def test_a_constant_offset_is_measured_around_and_said(tmp_path: Path) -> None:
    microphone = I2SMicrophone(lambda now: 60.0, heard="always")
    microphone.fault = "dc"
    assert intervals(tmp_path, microphone, 2, 10)[1][LAEQ] == (600, SUSPICIOUS)


def test_a_microphone_that_comes_back_is_heard_again(tmp_path: Path) -> None:
    microphone = I2SMicrophone(lambda now: 60.0, heard="always")
    wiring = Wiring({"i2s0": microphone})
    node = scripted(tmp_path, READ.format(settings={}, count=4, interval=10), wiring=wiring)
    node.at(10_000, lambda: wiring.fault("i2s0", 5))
    node.at(20_000, lambda: wiring.fault("i2s0", None))
    values = [row[0][0][1:] for row in run(node)]
    assert values[1] == [None, SHORT_READ] or values[1][1] == SUSPICIOUS
    assert values[3] == [600, 0]


def test_a_missing_clock_is_a_short_read_and_before_that_warming_up(tmp_path: Path) -> None:
    code = """
    from node.sound.meter import Meter, Port
    class Dead:
        async def readinto(self, buf):
            await asyncio.sleep_ms(1 << 28)
        def deinit(self):
            pass
    class Hal:
        uptime_ms = staticmethod(hal.uptime_ms)
        def i2s(self, name, rate):
            return Dead()
    meter = Meter(Port(Hal(), "i2s0"))
    task = asyncio.create_task(meter.run())
    for wait in (400, 5000):
        await asyncio.sleep_ms(wait)
        say(meter.read()[0])
    task.cancel()
    """
    node = scripted(tmp_path, code)
    assert [row[1:] for row in run(node)] == [[None, WARMING_UP], [None, SHORT_READ]]


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


SECONDS = """
from node.sound.meter import Meter, Port
meter = Meter(Port(hal, "i2s0"), **{settings})
task = asyncio.create_task(meter.run())
handed = meter._interval.add_second
def add_second(engine, q, blocks, *rest):
    if blocks == 200:
        say(list(engine.second))
    handed(engine, q, blocks, *rest)
meter._interval.add_second = add_second
await asyncio.sleep_ms({wait})
task.cancel()
"""


def seconds(folder: Path, microphone: I2SMicrophone, wait: int = 5200, **settings: Any) -> list[list[int]]:
    """What each whole second came to, in 0.01 dB: LAeq LCeq LZeq LAFmax LAFmin LASmax LCpeak, and what else it says."""
    code = SECONDS.format(settings=settings, wait=wait)
    return run(scripted(folder, code, wiring=Wiring({"i2s0": microphone})))


def test_every_second_has_its_levels_and_marks(tmp_path: Path) -> None:
    """A tone of 94 dB and 1 kHz: A, C, Z, F and S agree, its peak is 3.01 dB above; no overload, under-range, loss."""
    microphone = I2SMicrophone(lambda now: 60.0, heard="always")
    microphone.calibrator = 94.0
    found = seconds(tmp_path, microphone)
    assert len(found) == 4, "the first half second is discarded"
    for second in found:
        assert second[:6] == pytest.approx([9400] * 6, abs=5)
        assert second[6] == pytest.approx(9701, abs=10)
        assert second[7:] == [0, 0, 0, 0]


def test_a_second_that_is_too_loud_or_too_quiet_is_marked(tmp_path: Path) -> None:
    for number, (level, marks) in enumerate(((121.0, [1, 0, 0, 0]), (25.0, [0, 1, 0, 0]))):
        (tmp_path / str(number)).mkdir()
        microphone = I2SMicrophone(lambda now: 60.0, heard="always", self_noise=level < 94)
        microphone.calibrator = level
        assert [second[7:] for second in seconds(tmp_path / str(number), microphone, 3200)] == [marks] * 2


def test_percentiles_name_their_base_in_the_registry() -> None:
    for name in ("l10", "l50", "l90"):
        assert registry.quantity(name).base == "LAF 125 ms"


def test_overload_and_loss_are_in_the_health_report(tmp_path: Path) -> None:
    """Since the report before: four seconds of 121 dB are in one of them, and in no other."""
    microphone = I2SMicrophone(lambda now: 60.0, heard="always")
    meter: dict[str, Any] = {"driver": "sound_meter", "bus": "i2s0"}
    settings: dict[str, Any] = {"interval": 10, "until": START + 60, "batch": 1, "status_interval": 1}
    with Broker() as broker, Collector(broker.port) as collector:
        settings |= {"broker_host": "127.0.0.1", "broker_port": broker.port, "unsealed": True}
        with VirtualNode(
            tmp_path, board={"board": "virtual", "sensors": [meter]}, settings=settings,
            wiring=Wiring({"i2s0": microphone}), start_time=START, heap="200k",
        ) as node:  # fmt: skip
            node.at(23_000, lambda: setattr(microphone, "calibrator", 121.0))
            node.at(27_000, lambda: setattr(microphone, "calibrator", None))
            node.start()
            readings = list(citymote.readings(collector.all_of(node.wait(60))))
    overloads = [r.value for r in readings if r.quantity == "sound_overload"]
    assert sum(value or 0 for value in overloads) == pytest.approx(4, abs=1)
    assert sum(bool(value) for value in overloads) == 1
    assert {r.value for r in readings if r.quantity == "sound_lost"} == {0}


class Heard(I2SMicrophone):
    """Remembers what it said."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.said: list[bytes] = []
        super().__init__(*arguments, **options)

    def samples(self, now: int, count: int) -> bytes:
        words = super().samples(now, count)
        self.said.append(words)
        return words


def test_no_audio_leaves_the_node_or_is_stored(tmp_path: Path) -> None:
    """Of all that was heard no four samples in a row are in a frame, on the flash, or in what the node prints."""
    microphone = Heard(lambda now: 90.0, heard="always")
    meter: dict[str, Any] = {"driver": "sound_meter", "bus": "i2s0", "settings": {"bands": "octave"}}
    board: dict[str, Any] = {"board": "virtual", "sensors": [meter]}
    with Broker() as broker, Collector(broker.port) as collector:
        settings = {
            "interval": 5, "until": START + 10, "broker_host": "127.0.0.1", "broker_port": broker.port,
            "unsealed": True, "batch": 1,
        }  # fmt: skip
        node = VirtualNode(
            tmp_path, board=board, settings=settings, wiring=Wiring({"i2s0": microphone}), start_time=START, heap="200k"
        )
        with node:
            node.start()
            messages = collector.all_of(node.wait(60))
        printed = node.output().encode()
    words = b"".join(microphone.said)
    assert len(words) > 4 * 48000 * 8
    spoken = {words[at : at + 16] for at in range(0, len(words) - 16, 4)}
    assert len(spoken) > 48000, "no two stretches of this sound are alike"
    kept = [image.read_bytes() for image in tmp_path.glob("*.img")]
    assert any(image[:16] != b"\xff" * 16 for image in kept) and messages
    for place in (*messages, *kept, printed):
        written = place.rstrip(b"\xff\x00")
        assert not any(written[at : at + 16] in spoken for at in range(len(written) - 15))


def test_no_quantity_is_reported_that_was_not_asked_for(tmp_path: Path) -> None:
    microphone = I2SMicrophone(lambda now: 60.0, heard="never")
    read = intervals(tmp_path, microphone, 1, 10, {"quantities": ["laeq", "l10"]})
    assert list(read[0]) == [LAEQ, L10]


@pytest.mark.parametrize(
    "settings", [{"rate": 44100}, {"microphone": "ear"}, {"calibration": 2001}, {"quantities": ["pm2_5"]}], ids=str
)
def test_a_setting_outside_its_limits_is_refused_by_name(tmp_path: Path, settings: dict[str, Any]) -> None:
    code = f"""
    from node.sound.meter import Meter, Port
    try:
        Meter(Port(hal, "i2s0"), **{settings})
    except ValueError as e:
        say(str(e))
    """
    (text,) = run(scripted(tmp_path, code))
    assert next(itertools.chain(settings)) in text


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


def test_a_bus_that_fails_while_nothing_is_rendered_is_absent_and_comes_back(tmp_path: Path) -> None:
    microphone = I2SMicrophone(lambda now: 60.0, heard="never")
    wiring = Wiring({"i2s0": microphone})
    node = scripted(tmp_path, READ.format(settings={}, count=5, interval=10), wiring=wiring)
    node.at(10_001, lambda: wiring.fault("i2s0", 5))
    node.at(30_001, lambda: wiring.fault("i2s0", None))
    values = [row[0][0][1:] for row in run(node)]
    assert values[0] == [600, 0]
    assert values[1] == values[2] == [None, NO_ANSWER]
    assert values[4] == [600, 0]


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


# -- bands ----------------------------------------------------------------------------------------------------------

LOWEST_BAND = {"octave": 128, "third": 144}


@pytest.mark.parametrize("heard", ["always", "never"])
@pytest.mark.parametrize(("kind", "rate"), [("third", 48000), ("octave", 48000), ("third", 16000), ("octave", 24000)])
def test_bands_of_a_street_come_back(tmp_path: Path, kind: str, rate: int, heard: str) -> None:
    """Through the microphone and from behind the meter: the levels of ideal bands, within what skirts let through."""
    microphone = I2SMicrophone(lambda now: 65.0, rate=rate, heard=heard, bands=kind)
    read = intervals(tmp_path, microphone, 2, 10, {"bands": kind, "rate": rate})[1]
    wanted = band_levels(microphone.sound.samples, rate, 3 if kind == "third" else 1)
    assert len(read) == 10 + len(wanted)
    for k, level in enumerate(reversed(wanted)):
        value, quality = read[LOWEST_BAND[kind] + k]
        assert quality == 0
        # A street's bands around 31.5 Hz have a steep neighbour.
        assert value == pytest.approx(650 + 10 * level, abs=1 if heard == "never" else 8 if k < 5 else 3), k


def test_bands_are_absent_with_everything_else(tmp_path: Path) -> None:
    microphone = I2SMicrophone(lambda now: 60.0, heard="always")
    microphone.fault = "stuck"
    read = intervals(tmp_path, microphone, 2, 10, {"bands": "octave"})[1]
    assert {read[q] for q in range(128, 137)} == {(None, STUCK_BUS)}


def test_a_meter_without_bands_has_nothing_of_them_on_its_heap(tmp_path: Path) -> None:
    """Loaded and made only when asked for; the figures of one who asks are in docs/sound.md."""
    code = """
    import gc
    import sys
    from node.sound.meter import Meter, Port
    meter = Meter(Port(hal, "i2s0"))
    say([name for name in sys.modules if "band" in name or "third" in name or "octave" in name or "equal" in name])
    gc.collect()
    before = gc.mem_alloc()
    other = Meter(Port(hal, "i2s0"), bands={kind!r})
    gc.collect()
    say(gc.mem_alloc() - before)
    """
    (tmp_path / "third").mkdir()
    (tmp_path / "octave").mkdir()
    loaded, third = run(scripted(tmp_path / "third", code.format(kind="third")))
    _, octave = run(scripted(tmp_path / "octave", code.format(kind="octave")))
    assert loaded == []
    # A second meter has buffers of 7.5 KB of its own.
    assert third - 7500 < 9000
    assert octave - 7500 < 7000


def test_bands_that_there_are_not_are_refused_by_name(tmp_path: Path) -> None:
    code = """
    from node.sound.meter import Meter, Port
    try:
        Meter(Port(hal, "i2s0"), bands="half")
    except ValueError as e:
        say(str(e))
    """
    assert run(scripted(tmp_path, code)) == ["bands: octave or third"]


# -- the microphone's own response ----------------------------------------------------------------------------------


@pytest.mark.parametrize("chip", sorted(CHIPS))
def test_an_equaliser_takes_the_published_response_out(tmp_path: Path, chip: str) -> None:
    """A microphone that loses low frequencies as its kind does: without the equaliser LZ is low, with it right."""
    read = []
    for number, on in enumerate((False, True)):
        (tmp_path / str(number)).mkdir()
        microphone = I2SMicrophone(lambda now: 70.0, chip, heard="always", response=True)
        read.append(intervals(tmp_path / str(number), microphone, 3, 10, {"microphone": chip, "equaliser": on})[2])
    flat = microphone.sound.statistics
    wanted_z, wanted_c = 700 + flat[2] / 100, 700 + flat[1] / 100
    assert read[1][LZEQ][0] == pytest.approx(wanted_z, abs=4)
    assert read[1][LCEQ][0] == pytest.approx(wanted_c, abs=2)
    assert read[1][LAEQ][0] == pytest.approx(700, abs=1)
    assert wanted_z - read[0][LZEQ][0] > 3 * abs(wanted_z - read[1][LZEQ][0])


def test_broken_wires_are_recognised_behind_an_equaliser(tmp_path: Path) -> None:
    for fault, code in (("stuck", STUCK_BUS), ("frozen", FROZEN), ("silent", NO_ANSWER)):
        (tmp_path / fault).mkdir()
        microphone = I2SMicrophone(lambda now: 60.0, heard="always")
        microphone.fault = fault
        assert intervals(tmp_path / fault, microphone, 2, 5, {"equaliser": True})[1][LAEQ] == (None, code)


def test_an_equaliser_for_an_unknown_microphone_is_refused(tmp_path: Path) -> None:
    code = """
    from node.sound.equaliser import Equaliser
    try:
        Equaliser("ear", 48000)
    except ValueError as e:
        say(str(e))
    """
    assert run(scripted(tmp_path, code)) == ["equaliser: nothing is published of ear"]


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


def test_the_columns_are_the_registrys_set(tmp_path: Path) -> None:
    from citymote_protocol.quantities import quantity_set

    (found,) = run(scripted(tmp_path, "from node.sound.meter import Meter\nsay(Meter.QUANTITIES)"))
    assert tuple(found) == tuple(column[0] for column in quantity_set(5))
