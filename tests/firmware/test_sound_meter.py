"""The meter as the node runs it: over the bridge, with virtual time, against microphones of known level.

Levels that are heard come back equal at every rate and interval, as do statistics, seconds and settings, and no audio
leaves the node. Faults are in `test_sound_faults`, load in `test_sound_load`, bands in `test_sound_spectrum`.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.collecting import START, Collector
from tests.firmware.metered import (
    L10,
    L50,
    L90,
    LAEQ,
    LAF_MAX,
    LAF_MIN,
    LAS_MAX,
    LC_PEAK,
    LCEQ,
    LZEQ,
    SATURATED,
    SUSPICIOUS,
    intervals,
    run,
    stepped,
)
from tests.support.node import scripted

import citymote
from citymote import registry
from citymote.broker import Broker
from citymote.testing.bridge import Wiring
from citymote.testing.emul.microphone import CHIPS, I2SMicrophone
from citymote.testing.vm import VirtualNode

pytestmark = pytest.mark.usefixtures("run_vm")


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


@pytest.mark.parametrize("chip", sorted(CHIPS))
@pytest.mark.parametrize("rate", [48000, 24000, 16000])
def test_every_microphone_at_every_rate(tmp_path: Path, chip: str, rate: int) -> None:
    microphone = I2SMicrophone(lambda now: 64.3, chip, rate, heard="always")
    first, second = intervals(tmp_path, microphone, 2, 10, {"microphone": chip, "rate": rate})
    assert second[LAEQ] == (643, 0)
    assert first[LAEQ][0] == pytest.approx(643, abs=3)


@pytest.mark.usefixtures("micropython32")
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
