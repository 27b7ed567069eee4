"""ADS1115 and electrochemical cells against published readings, formulas and a driver by others, and when they fail."""

from __future__ import annotations

import importlib
import random
from typing import Any

import pytest
from tests.emul.peers import BusIO, circuitpython
from tests.emul.wires import Clock, World

from citymote.testing.emul.ads1115 import ADS1115, Cell
from citymote.testing.emul.base import Source

LABEL = {"we_electronic": 295, "ae_electronic": 282, "we_zero": -12, "ae_zero": -4, "sensitivity": 308}


def always(value: float | None) -> Source:
    return lambda now: value


def module(name: str) -> Any:
    return importlib.import_module(f"node.drivers.{name}")


def code_of(table: World) -> int:
    with pytest.raises(module("fault").Fault) as told:
        table.reading()
    return told.value.code


def cell(working: float, auxiliary: float, **settings: Any) -> World:
    """A driver with these millivolts on its two inputs."""
    chip = ADS1115({0: always(working), 1: always(auxiliary)})
    return World(module("electrochemical").DRIVER, chip, settings)


def told(table: World, celsius: float | None) -> list[tuple[int, int | None, int]]:
    table.driver.know(3, None if celsius is None else round(celsius * 10))
    return table.reading()


# ---------------------------------------------------------------- the application note


def test_a_published_reading_of_a_carbon_monoxide_cell() -> None:
    """South Coast Science, scs_core, tests/gas/a4_datum_test.py: a CO-A4 at 21.5 degrees with 286.129 and 254.441 mV,
    labelled WEe 249, AEe 253, WE0 62, AE0 -1 mV and 0.239 mV/ppb: corrected signal 38.556 mV, and with their field
    baseline of 80 ppb 241.3 ppb. So 161.3 ppb by the application note alone.
    """
    label = {"we_electronic": 249, "ae_electronic": 253, "we_zero": 62, "ae_zero": -1, "sensitivity": 239}
    plain, corrected = told(cell(286.129, 254.441, gas="co", cell="CO-A4", **label), 21.5)
    assert corrected == (51, 161, 0)
    assert plain == (48, round((286.129 - 249 - 62 - (254.441 - 253 + 1)) / 0.239), 0)


def exact(algorithm: int, factor: float, working: float, auxiliary: float) -> float:
    """AAN 803, algorithms 1 to 4, in mV."""
    we, ae = working - LABEL["we_electronic"], auxiliary - LABEL["ae_electronic"]
    zero_we, zero_ae = LABEL["we_zero"], LABEL["ae_zero"]
    return {
        1: we - factor * ae,
        2: we - factor * (zero_we / zero_ae) * ae,
        3: we - (zero_we - zero_ae) - factor * ae,
        4: we - zero_we - factor,
    }[algorithm]


# AAN 803-04 and -05, tables 2 and 3, as transcribed by Smart Citizen (fablabbcn/smartcitizen-data, params.py) and, in
# part, by zilverband/be-gas-converter and others: algorithm that is suggested, factors at -30 to 50 degrees.
SUGGESTED: dict[str, tuple[int, tuple[float, ...]]] = {
    "CO-A4": (1, (1.0, 1.0, 1.0, 1.0, -0.2, -0.9, -1.5, -1.5, -1.5)),
    "CO-B4": (1, (0.7, 0.7, 0.7, 0.7, 1.0, 3.0, 3.5, 4.0, 4.5)),
    "H2S-A4": (2, (-1.5, -1.5, -1.5, -0.5, 0.5, 1.0, 0.8, 0.5, 0.3)),
    "H2S-B4": (1, (-0.6, -0.6, 0.1, 0.8, -0.7, -2.5, -2.5, -2.2, -1.8)),
    "NO-A4": (3, (0.7, 0.7, 0.7, 0.7, 0.8, 1.0, 1.2, 1.4, 1.6)),
    "NO-B4": (2, (1.8, 1.8, 1.4, 1.1, 1.1, 1.0, 0.9, 0.9, 0.8)),
    "NO2-A43F": (1, (0.8, 0.8, 1.0, 1.2, 1.6, 1.8, 1.9, 2.5, 3.6)),
    "NO2-B43F": (1, (1.3, 1.3, 1.3, 1.3, 1.0, 0.6, 0.4, 0.2, -1.5)),
    "OX-A431": (3, (0.1, 0.1, 0.2, 0.3, 0.7, 1.0, 1.7, 3.0, 4.0)),
    "OX-B431": (1, (0.9, 0.9, 1.0, 1.3, 1.5, 1.7, 2.0, 2.5, 3.7)),
    "SO2-A4": (4, (0, 0, 0, 0, 0, 0, 5, 25, 45)),
    "SO2-B4": (4, (-4, -4, -4, -4, -4, 0, 20, 140, 450)),
}
# and what it has as the alternative
ALTERNATIVE: dict[str, tuple[int, tuple[float, ...]]] = {
    "CO-A4": (4, (13, 12, 16, 11, 4, 0, -15, -18, -36)),
    "CO-B4": (2, (0.2, 0.2, 0.2, 0.2, 0.3, 1.0, 1.2, 1.3, 1.5)),
    "H2S-A4": (1, (3.0, 3.0, 3.0, 1.0, -1.0, -2.0, -1.5, -1.0, -0.5)),
    "H2S-B4": (2, (0.2, 0.2, 0.0, -0.3, 0.3, 1.0, 1.0, 0.9, 0.7)),
    "NO-A4": (4, (-25, -25, -25, -25, -16, 0, 56, 200, 615)),
    "NO-B4": (3, (0.8, 0.8, 0.8, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)),
    "NO2-A43F": (3, (0.2, 0.2, 0.2, 0.2, 0.7, 1.0, 1.3, 2.1, 3.5)),
    "NO2-B43F": (3, (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.4, -0.1, -4.0)),
    "OX-A431": (1, (1.0, 1.2, 1.2, 1.6, 1.7, 2.0, 2.1, 3.4, 4.6)),
    "OX-B431": (3, (0.5, 0.5, 0.5, 0.6, 0.6, 1.0, 2.8, 5.0, 5.3)),
    "SO2-A4": (1, (1.3, 1.3, 1.3, 1.2, 0.9, 0.4, 0.4, 0.4, 0.4)),
    "SO2-B4": (1, (1.6, 1.6, 1.6, 1.6, 1.6, 1.6, 1.9, 3.0, 5.8)),
}
GAS = {"CO": "co", "H2S": "h2s", "NO": "no", "NO2": "no2", "OX": "o3", "SO2": "so2"}


@pytest.mark.parametrize("name", sorted(SUGGESTED))
def test_every_cell_by_both_its_algorithms(name: str) -> None:
    """The formulas in floating point, at the table's temperatures and between them; within a ppb of rounding and of
    the converter's digits times the factor.
    """
    plan = random.Random(name)
    for chosen, (algorithm, factors) in ((None, SUGGESTED[name]), (ALTERNATIVE[name][0], ALTERNATIVE[name])):
        for celsius in (-30.0, -17.3, 0.0, 9.9, 20.0, 31.4, 49.9, 50.0):
            working, auxiliary = plan.uniform(250, 900), plan.uniform(240, 330)
            settings = {"gas": GAS[name.partition("-")[0]], "cell": name, "algorithm": chosen, **LABEL}
            table = cell(working, auxiliary, **settings)
            at = min(int((celsius + 30) // 10), 7)
            share = (celsius + 30) / 10 - at
            factor = factors[at] * (1 - share) + factors[at + 1] * share
            value = told(table, celsius)[1][1]
            assert value is not None
            wanted = exact(algorithm, factor, working, auxiliary) / LABEL["sensitivity"] * 1000
            assert abs(value - wanted) <= 1.2, f"{name}, algorithm {algorithm}, {celsius} degrees"


def test_without_a_temperature_or_beyond_the_table_there_is_no_corrected_value() -> None:
    table = cell(400.0, 290.0, cell="NO2-B43F", **LABEL)
    assert told(table, None)[1] == (49, None, 8)
    assert told(table, -30.1)[1] == (49, None, 11)
    assert told(table, 50.1)[1] == (49, None, 11)
    assert told(table, 20.0)[1][2] == 0
    assert told(table, None)[1] == (49, None, 8), "an old temperature is not used"
    assert told(table, None)[0][1] is not None, "the plain reading needs none"


def test_ozone_is_what_is_left_of_an_ozone_cell_without_the_nitrogen_dioxide() -> None:
    """AN, "Compensation on the OX-A431 or OX-B431 sensor": its sensitivity to NO2 times the NO2 is subtracted."""
    label: dict[str, Any] = {"sensitivity": 390, "no2_sensitivity": 360, "we_electronic": 230, "ae_electronic": 230}
    ozone = Cell(always(40.0), no2=always(25.0), **label)
    chip = ADS1115({0: ozone.working, 1: ozone.auxiliary})
    table = World(module("electrochemical").DRIVER, chip, {"gas": "o3", "cell": "OX-B431", **label})
    assert table.driver.WANTS == (3, 43, 49)
    table.driver.know(3, 200)
    assert table.reading() == [(44, None, 8), (50, None, 8)], "without the NO2 it is not ozone"
    table.driver.know(43, 25)
    table.driver.know(49, 20)
    plain, corrected = table.reading()
    assert plain == (44, 40, 0)
    assert corrected == (50, round(40 + 5 * 360 / 390), 0), "each with its own NO2"
    table.driver.know(43, None)
    assert table.reading()[0] == (44, None, 8)


def test_what_labels_cannot_be() -> None:
    driver = module("electrochemical").DRIVER
    for settings in (
        {"cell": "NO2-B4"},
        {"cell": "NO2-B43F", "algorithm": 4},
        {"algorithm": 1},
        {"cell": "H2S-A4"},  # algorithm 2 divides by AE0
        {"cell": "NO2-B43F", "auxiliary": None},
        {"working": 2, "auxiliary": 2},
        {"gas": "nh3", "cell": "NH3-B1"},
    ):
        with pytest.raises(ValueError):
            driver(None, **settings)
    assert driver(None, gas="so2", cell="SO2-B4", auxiliary=None).QUANTITIES == (45, 52), "algorithm 4 needs none"


# ---------------------------------------------------------------- ADS1115


@pytest.mark.parametrize("full_scale", [6144, 4096, 2048, 1024, 512, 256])
@pytest.mark.parametrize("channel", [0, 3])
def test_registers_as_the_data_sheet_has_them(full_scale: int, channel: int) -> None:
    """SBAS444D, 9.6.3: OS, MUX 100 to 111 for the inputs against ground, PGA 000 to 101, single-shot, DR, comparator
    off; after power-up 8583; 9.5.4: two's complement, full scale at 8000.
    """
    chip = ADS1115({channel: always(full_scale / 4)})
    table = World(module("electrochemical").DRIVER, chip)
    assert chip.read(0, 2) == b"\x00\x00"
    chip.write(0, b"\x01")
    assert chip.read(0, 2) == b"\x85\x83"
    converter = module("ads1115").ADS1115(table.bus, 0x48, full_scale, 128)
    wait = converter.convert(channel)
    code = (6144, 4096, 2048, 1024, 512, 256).index(full_scale)
    assert table.bus.log[-1][1] == bytes((0x01, 0xC1 | channel << 4 | code << 1, 0x83))
    assert not converter.done()
    table.clock.now += wait
    assert converter.done()
    assert converter.voltage() == full_scale * 16000 // 4


def test_the_slowest_oscillator_is_waited_for_and_the_fastest_harms_not() -> None:
    for slowness in (0.9, 1.0, 1.1):
        for rate in (8, 64, 860):
            chip = ADS1115({0: always(300.0), 1: always(0.0)}, slowness=slowness)
            table = World(module("electrochemical").DRIVER, chip, {"data_rate": rate})
            assert table.reading() == [(43, 1000, 0)]


def test_two_cells_on_one_converter_take_turns() -> None:
    """Their drivers know nothing of each other, and the node runs them at the same time."""
    chip = ADS1115({0: always(300.0), 1: always(0.0), 2: always(600.0), 3: always(0.0)})
    table = World(module("electrochemical").DRIVER, chip)
    first = table.driver
    second = module("electrochemical").DRIVER(table.bus, working=2, auxiliary=3)
    for _ in range(3):
        table.clock.now += 60_000
        due = {first: table.clock.now, second: table.clock.now}
        while due:
            driver = min(due, key=lambda one: due[one])
            table.clock.now = max(table.clock.now, due[driver])
            wait = driver.start()
            if wait:
                due[driver] = table.clock.now + wait
            else:
                del due[driver]
        assert list(first.read()) == [(43, 1000, 0)]
        assert list(second.read()) == [(43, 2000, 0)]


def test_a_cell_that_was_given_up_does_not_hold_the_converter_for_ever() -> None:
    table = World(module("electrochemical").DRIVER, ADS1115({0: always(300.0), 1: always(0.0)}))
    table.driver.start()
    table.driver = module("electrochemical").DRIVER(table.bus)
    assert table.ready() < 2000
    assert list(table.driver.read()) == [(43, 1000, 0)]


def test_saturation_is_no_value() -> None:
    assert cell(2048.0, 0.0).reading() == [(43, None, 16)]
    assert cell(300.0, 5000.0, cell="NO2-B43F").reading() == [(43, None, 16), (49, None, 16)]
    assert cell(-3000.0, 0.0).reading() == [(43, None, 16)]
    assert cell(2048.0, 0.0, full_scale=4096).reading() == [(43, round(2048 / 0.3), 0)]


def test_a_converter_that_hangs_or_loses_its_settings() -> None:
    chip = ADS1115({0: always(300.0), 1: always(0.0)})
    table = World(module("electrochemical").DRIVER, chip)
    chip.hang = True
    assert code_of(table) == 15
    chip.hang = False
    table.clock.now += 1000
    table.clock.now += table.driver.start()
    chip.power_up(table.clock.now)
    assert code_of(table) == 12
    assert table.reading() == [(43, 1000, 0)]


class Slow(BusIO):
    """Every question takes a millisecond, so that polling comes to an end."""

    def __init__(self, chip: ADS1115, clock: Clock) -> None:
        super().__init__(chip, clock)
        self._ticks = clock

    def writeto(self, address: int, buf: Any, *, start: int = 0, end: int | None = None) -> None:
        self._ticks.now += 1
        super().writeto(address, buf, start=start, end=end)


def test_adafruits_driver_reads_the_ads1115(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), ADS1115({0: always(1234.5), 2: always(-20.0)})
    sensor = circuitpython("adafruit_ads1x15.ads1115", clock, monkeypatch).ADS1115(Slow(chip, clock), gain=1)
    for mux, volts in ((0, 1.2345), (4, 1.2345), (6, -0.02), (3, -0.02), (5, 0.0)):
        assert sensor.read(mux) * 4.096 / 32768 == pytest.approx(volts, abs=2e-4)
