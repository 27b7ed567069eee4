"""Bands and the equaliser as the meter runs them: a street's spectrum comes back, and costs nothing where not asked.

The filters themselves are held against the standard in `test_sound_bands`; here they sit in the meter, between a
microphone with its own response and the readings.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.firmware.metered import FROZEN, LAEQ, LCEQ, LZEQ, NO_ANSWER, STUCK_BUS, intervals, run
from tests.support.node import scripted

from citymote.testing.emul.microphone import CHIPS, I2SMicrophone
from citymote.testing.street import band_levels

pytestmark = pytest.mark.usefixtures("run_vm")

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


def test_the_columns_are_the_registrys_set(tmp_path: Path) -> None:
    from citymote_protocol.quantities import quantity_set

    (found,) = run(scripted(tmp_path, "from node.sound.meter import Meter\nsay(Meter.QUANTITIES)"))
    assert tuple(found) == tuple(column[0] for column in quantity_set(5))
