"""Calibrating a sound level meter: the node's judgement, the record on its flash, and what its readings and descriptor
say afterwards."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.collecting import START, Collector, stored
from tests.support.node import said, scripted
from typer.testing import CliRunner

import citymote
from citymote import boards
from citymote.broker import Broker
from citymote.calibration import CalibrationRefused, Request, Result, on_virtual, over_serial, result_of
from citymote.cli import application
from citymote.errors import UsageError
from citymote.testing.bridge import Wiring
from citymote.testing.emul.microphone import I2SMicrophone
from citymote.testing.vm import VirtualNode
from citymote_protocol.frame import decode

pytestmark = pytest.mark.usefixtures("run_vm")
DAY = date(2026, 11, 22)
OPERATOR, INSTRUMENT = "hk", "Type 4231, no. 31"
METER: dict[str, Any] = {
    "driver": "sound_meter",
    "bus": "i2s0",
    "settings": {"microphone": "inmp441", "quantities": ["laeq", "lceq", "laf_max"]},
}
BOARD: dict[str, Any] = {**boards.load("virtual"), "sensors": [METER], "corrections": []}


def request(level: float = 94.0, kind: str = "calibrator") -> Request:
    return Request(level, INSTRUMENT, OPERATOR, kind, day=DAY)


def under_a_calibrator(level: float = 94.0, **options: Any) -> I2SMicrophone:
    microphone = I2SMicrophone(lambda now: 60.0, heard="always", **options)
    microphone.calibrator = level
    return microphone


def calibrated(folder: Path, microphone: I2SMicrophone, wanted: Request | None = None) -> Result:
    return on_virtual(folder, BOARD, Wiring({"i2s0": microphone}), wanted or request())


# -- end to end -------------------------------------------------------------------------------------------------------


def test_a_microphone_that_is_off_reads_right_afterwards_and_the_descriptor_says_why(tmp_path: Path) -> None:
    """1.7 dB too sensitive: `citymote node calibrate-sound`, then the whole application, to frames at a broker."""
    folder = tmp_path / "node"
    command = [
        "node", "calibrate-sound", "--virtual", str(folder), "--error", "1.7", "--instrument", INSTRUMENT,
        "--operator", OPERATOR, "--json",
    ]  # fmt: skip
    # The node is what its directory says: make it one with nothing but a meter.
    VirtualNode(folder, board=BOARD)
    done = CliRunner().invoke(application(), command)
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["heard"] == pytest.approx(95.7, abs=0.02)
    assert answer["offset"] == pytest.approx(-1.7, abs=0.02)

    with Broker() as broker, Collector(broker.port) as collector:
        settings = {
            "interval": 30, "until": START + 120, "broker_host": "127.0.0.1", "broker_port": broker.port,
            "unsealed": True,
        }  # fmt: skip
        wiring = Wiring({"i2s0": under_a_calibrator(error=1.7)})
        with VirtualNode(folder, board=BOARD, settings=settings, wiring=wiring, start_time=START, heap="200k") as node:
            node.start()
            messages = collector.all_of(node.wait(60))
    laeq = [
        value
        for frame in stored(messages).values() if frame.kind == 0
        for column, values in zip(frame.columns, frame.values, strict=True) if column[0] == 9
        for value in values[1:]
    ]  # fmt: skip
    assert laeq and all(abs(value - 940) <= 1 for value in laeq)
    described = next(iter(citymote.descriptors(messages)))
    (sensor,) = described.sensors
    assert sensor.offset == pytest.approx(-1.7, abs=0.02)
    assert (sensor.instrument, sensor.operator) == (INSTRUMENT, OPERATOR)
    assert sensor.calibrated is not None
    assert sensor.sound_method.startswith("IEC 61672-1")
    assert sensor.model == "inmp441"


RUNNING = """
import sys
from citymote_protocol.descriptor import Descriptor
from node.sound.calibrate import Refused, calibrate
from node.sound.meter import Meter, Port
hal.mount()
class Thing:
    pass
meter = Meter(Port(hal, "i2s0"), quantities=["laeq", "lc_peak"])
task = asyncio.create_task(meter.run())
node = Thing()
node.hal = hal
node.settings = {{"sound": "on", "station": "", "place": ""}}
node.name = b"123456"
node.log = lambda *a: None
sensor = Thing()
sensor.name, sensor.index, sensor.driver, sensor.columns = "sound_meter", 0, meter, [(9, 0), (70, 0)]
node.sensors = [sensor]
node.sampler = Thing()
node.sampler.columns, node.sampler.correct = ((9, 0), (70, 0)), None
node.clock = Thing()
node.clock.known = False
node.store = Thing()
node.store.put = lambda make: say("frame", make(1, 1).hex())
meter.start()
await asyncio.sleep_ms(10000)
say("before", meter.read()[0])
try:
    say("result", await calibrate(node, 0, {request}))
except Refused as e:
    say("refused", str(e))
say("during", meter.read()[0])
hal.event("take off")
await asyncio.sleep_ms(20000)
meter.read()
await asyncio.sleep_ms(10000)
say("after", meter.read()[0])
say("loaded", "node.describe" in sys.modules)
task.cancel()
"""


def ask_running(folder: Path, microphone: I2SMicrophone, wanted: Request) -> dict[str, Any]:
    code = RUNNING.format(request=wanted.message())
    node = scripted(folder, code, wiring=Wiring({"i2s0": microphone}), board=BOARD, heap="200k")
    node.at(9_000, lambda: setattr(microphone, "calibrator", wanted.level))
    node.on_event(lambda event: setattr(microphone, "calibrator", None), "take off")
    with node:
        node.start()
        node.wait(60)
        return dict(said(node))


def test_a_node_that_runs_is_calibrated_at_once_and_describes_itself_anew(tmp_path: Path) -> None:
    """The seam that a protected session calls: `calibrate(node, number, request)`."""
    seen = ask_running(tmp_path, I2SMicrophone(lambda now: 60.0, heard="always", error=-0.8), request())
    assert seen["result"]["offset"] == pytest.approx(80, abs=2)
    sensor = decode(bytes.fromhex(seen["frame"])).sensors[0]
    assert sensor.offset == seen["result"]["offset"]
    assert (sensor.instrument, sensor.operator, sensor.calibrated) == (INSTRUMENT, OPERATOR, 9822)
    assert seen["after"][1] == pytest.approx(600, abs=3)
    assert seen["loaded"] is False


def test_no_reading_hears_the_calibrator(tmp_path: Path) -> None:
    """What was heard since the interval began is dropped, and so is what comes while the calibrator is taken off."""
    seen = ask_running(tmp_path, I2SMicrophone(lambda now: 60.0, heard="always"), request())
    assert seen["during"][1] is None
    assert seen["after"][1] == pytest.approx(600, abs=3)


def test_a_serial_board_is_calibrated_over_its_prompt(tmp_path: Path) -> None:
    """The same over a pseudo-terminal and MicroPython's raw REPL."""
    pty_board = pytest.importorskip("citymote.testing.pty_board")
    install = tmp_path / "board" / "flash"
    board = pty_board.PtyBoard(tmp_path / "board", wiring=Wiring({"i2s0": under_a_calibrator(error=1.7)}))
    from citymote.testing import runtime

    for path in runtime.application(board.architecture).iterdir():
        if path.suffix != ".py":
            (install / path.name).symlink_to(path)
    (install / "board.json").write_text(json.dumps(BOARD))
    with board:
        result = over_serial(str(board.port), request())
    assert result.offset == pytest.approx(-1.7, abs=0.02)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tone", [250.0, 800.0, 1250.0, 4000.0])
def test_a_tone_of_another_frequency_is_refused(tmp_path: Path, tone: float) -> None:
    microphone = under_a_calibrator()
    microphone.tone = tone
    with pytest.raises(CalibrationRefused, match="no steady tone of 1 kHz"):
        calibrated(tmp_path, microphone)


def test_the_street_is_not_taken_for_a_calibrator(tmp_path: Path) -> None:
    with pytest.raises(CalibrationRefused, match=r"not steady|no steady tone"):
        calibrated(tmp_path, I2SMicrophone(lambda now: 94.0, heard="always"))


def test_a_calibrator_that_is_taken_off_too_early_is_refused(tmp_path: Path) -> None:
    class Slipping(I2SMicrophone):
        def samples(self, now: int, count: int) -> bytes:
            self.calibrator = 94.0 if now < 8000 else 93.5
            return super().samples(now, count)

    with pytest.raises(CalibrationRefused, match="not steady"):
        calibrated(tmp_path, Slipping(lambda now: 60.0, heard="always"))


@pytest.mark.parametrize(
    ("fault", "text"), [("silent", "silent"), ("swapped", "silent|other channel"), ("frozen", "one word"), ("dc", "dc")]
)
def test_a_microphone_that_is_not_right_is_not_calibrated(tmp_path: Path, fault: str, text: str) -> None:
    microphone = under_a_calibrator()
    microphone.fault = fault
    with pytest.raises(CalibrationRefused, match=text):
        calibrated(tmp_path, microphone)


def test_an_offset_that_no_sound_microphone_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationRefused, match="blocked port"):
        calibrated(tmp_path, under_a_calibrator(error=-9.0))


def test_what_drives_the_microphone_into_its_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationRefused, match="too loud"):
        calibrated(tmp_path, under_a_calibrator(121.0), request(121.0))


def test_a_refusal_changes_nothing(tmp_path: Path) -> None:
    calibrated(tmp_path, under_a_calibrator(error=1.0))
    with pytest.raises(CalibrationRefused):
        calibrated(tmp_path, under_a_calibrator(error=-9.0))
    assert calibrated(tmp_path, under_a_calibrator(error=1.0)).before == pytest.approx(-1.0, abs=0.02)


# -- against a reference meter ----------------------------------------------------------------------------------------


def test_against_a_reference_meter_any_steady_sound_will_do(tmp_path: Path) -> None:
    class Fan(I2SMicrophone):
        """Steady broadband noise of 70 dB(A)."""

        def _words(self, now: int, count: int) -> bytes:
            import numpy as np

            from citymote.testing.emul.microphone import _white

            generator = np.random.default_rng(now)
            level = 10 ** ((70 - 94 + self.chip.sensitivity + self.error) / 20) / np.sqrt(2 * _white(self.rate))
            return self._shifted(np.rint(level * generator.standard_normal(count) * self._full).astype(np.int32))

    microphone = Fan(lambda now: 70.0, heard="always", error=-2.3)
    result = calibrated(tmp_path, microphone, request(70.0, "reference"))
    assert result.offset == pytest.approx(2.3, abs=0.05)


def test_a_reference_too_near_the_microphones_own_noise_is_refused(tmp_path: Path) -> None:
    microphone = under_a_calibrator(45.0)
    with pytest.raises(CalibrationRefused, match="too quiet"):
        calibrated(tmp_path, microphone, request(45.0, "reference"))


# -- the record -------------------------------------------------------------------------------------------------------


KEEP = """
from node.sound import calibration
hal.mount()
say(calibration.stored("i2s0", "inmp441"))
record = {"version": 1, "microphone": "inmp441", "offset": OFFSET, "day": 9822, "instrument": "i" * 60, "operator": "o"}
calibration.keep("i2s0", record)
"""


@pytest.mark.parametrize("torn", [False, True])
def test_a_power_cut_leaves_the_old_calibration_or_the_new_one(tmp_path: Path, torn: bool) -> None:
    """Cut at every operation on the flash while the second record is written over the first."""
    seen = set()
    for at in range(1, 40):
        folder = tmp_path / str(at)
        folder.mkdir()
        with scripted(folder, KEEP.replace("OFFSET", "-170")) as node:
            node.start()
            node.wait(30)
            (folder / "script" / "main.py").write_text(
                (folder / "script" / "main.py").read_text().replace("-170", "55")
            )
            node.cut_power("config", at, torn=torn)
            node.start()
            whole = node.wait(30, check=False).code == 0
            node.start()
            node.wait(30)
            found = said(node)
        assert found[-1]["offset"] in (-170, 55)
        seen.add(found[-1]["offset"])
        if whole:
            break
    else:
        pytest.fail("the writing never came to its end")
    assert seen == {-170, 55}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"version": 2}', b'{"version": 1, "microphone": "sph0645", "offset": 5}',
     b'{"version": 1, "microphone": "inmp441", "offset": "5"}',
     b'{"version": 1, "microphone": "inmp441", "offset": 9999}',
     b"[1]"],
    ids=str,
)  # fmt: skip
def test_what_is_no_record_of_this_microphone_is_no_calibration(tmp_path: Path, content: bytes) -> None:
    code = f"""
    from node import files
    from node.sound.meter import Meter, Port
    hal.mount()
    files.save("/config/sound-i2s0", {content!r})
    say(Meter(Port(hal, "i2s0"), calibration=123).engine.calibration)
    """
    with scripted(tmp_path, code) as node:
        node.start()
        node.wait(30)
        assert said(node) == [123]


def test_a_calibration_can_be_taken_back(tmp_path: Path) -> None:
    calibrated(tmp_path / "node", under_a_calibrator(error=1.0))
    code = """
    from node.sound import calibration
    hal.mount()
    calibration.forget("i2s0")
    say(calibration.stored("i2s0", "inmp441"))
    """
    with scripted(tmp_path, code) as node:
        node.start()
        node.wait(30)
        assert said(node) == [None]
    assert calibrated(tmp_path / "node", under_a_calibrator(error=1.0)).before == 0


# -- the host's side --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"level": 10.0}, {"operator": ""}, {"instrument": "x" * 65}, {"kind": "ear"}],
    ids=str,
)
def test_a_request_that_cannot_be_meant_is_refused_before_the_node_is_asked(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Request(**{"level": 94.0, "instrument": INSTRUMENT, "operator": OPERATOR, **change})


@pytest.mark.parametrize("answer", [None, [], {}, {"heard": "x"}, {"refused": "no tone"}], ids=str)
def test_an_answer_that_is_none_is_a_refusal(answer: object) -> None:
    with pytest.raises(CalibrationRefused):
        result_of(answer)


def test_the_command_wants_one_node() -> None:
    command = ["node", "calibrate-sound", "--instrument", "i", "--operator", "o"]
    done = CliRunner().invoke(application(), command)
    assert done.exit_code == 1
    assert "--port" in done.stderr
