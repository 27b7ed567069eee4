"""What the meter says when its microphone does not: which wire is broken, and that it hears again when it is mended.

A meter on a pole is not looked at: a broken one must not be a quiet street. Each fault of the wiring has its own code
and number, and none of them outlasts its cause.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.firmware.metered import (
    FROZEN,
    LAEQ,
    NO_ANSWER,
    READ,
    SHORT_READ,
    STUCK_BUS,
    SUSPICIOUS,
    WARMING_UP,
    WRONG_CHIP,
    intervals,
    run,
    stepped,
)
from tests.support.node import scripted

from citymote.testing.bridge import Wiring
from citymote.testing.emul.microphone import I2SMicrophone

pytestmark = pytest.mark.usefixtures("run_vm")


def test_absent_comes_back_absent(tmp_path: Path) -> None:
    levels: list[float | None] = [50.0, None, 52.0, None, None, 49.0]
    for heard in ("never", "always"):
        (tmp_path / heard).mkdir()
        microphone = I2SMicrophone(stepped(levels, 20), heard=heard)
        read = [row[LAEQ] for row in intervals(tmp_path / heard, microphone, 6, 20)]
        assert [value is None for value, _ in read] == [False, True, False, True, True, False], heard
        assert {quality for value, quality in read if value is None} == {NO_ANSWER}


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
