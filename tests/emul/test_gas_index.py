"""SGP40, SGP41 and the gas index: against the makers' own program and driver, and in the ways in which they fail."""

from __future__ import annotations

import importlib
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.emul.peers import BusIO, Transceiver, circuitpython, sleeper
from tests.emul.wires import Clock, Wire, World

from citymote.testing.emul.base import Source
from citymote.testing.emul.sensirion import without_crc, words
from citymote.testing.emul.sgp4x import SGP40, SGP41, SGP4x

Signal = Callable[[int], int]


def always(value: float | None) -> Source:
    return lambda now: value


def module(name: str) -> Any:
    return importlib.import_module(f"node.drivers.{name}")


def said(table: World) -> int | type[OSError]:
    try:
        return table.reading()[0][2]
    except module("fault").Fault as fault:
        return fault.code
    except OSError:
        return OSError


# ---------------------------------------------------------------- the algorithm


def air(base: float, swing: float, noise: float, events: tuple[tuple[int, int, float], ...], seed: int) -> Signal:
    """A day's swing, noise, and events (begin in s, length in s, ticks) that come and go within minutes."""
    plan = random.Random(seed)

    def signal(t: int) -> int:
        value = base + swing * math.sin(t / 13751) + plan.gauss(0, noise)
        for begin, length, height in events:
            if begin < t < begin + length:
                value += height * (1 - math.exp(-(t - begin) / 60))
            elif t >= begin + length:
                value += height * math.exp(-(t - begin - length) / 200)
        return int(value)

    return signal


VOC = air(30000, 800, 12, ((2000, 600, -3000), (9000, 1200, -6000), (20000, 300, -1500), (24000, 20000, -4000)), 1)
NOX = air(15500, 100, 6, ((3000, 600, 300), (15000, 1200, 2000), (30000, 7000, 700)), 2)


def noise(t: int) -> int:
    """Anything between nothing and everything, as from a broken chip."""
    return random.Random(t).randrange(65536)


def makers(nox: bool, interval: int) -> Any:
    if nox:
        return pytest.importorskip("sensirion_gas_index_algorithm.nox_algorithm").NoxAlgorithm()
    return pytest.importorskip("sensirion_gas_index_algorithm.voc_algorithm").VocAlgorithm(sampling_interval=interval)


@pytest.mark.parametrize(
    ("nox", "interval", "hours", "signal"),
    [(False, 1, 5, VOC), (False, 10, 16, VOC), (True, 1, 6, NOX), (False, 1, 1, noise), (True, 1, 1, noise)],
    ids=["voc-1s", "voc-10s", "nox-1s", "voc-noise", "nox-noise"],
)
def test_the_index_is_that_of_the_makers_program(nox: bool, interval: int, hours: int, signal: Signal) -> None:
    """Sensirion's own program in C and single-precision floats, by its Python package (sensirion-gas-index-algorithm
    3.2.2 on PyPI): second for second, off by at most 1 and in less than 1 of 100.
    """
    theirs, ours = makers(nox, interval), module("gas_index").GasIndex(nox, interval)
    count = hours * 3600 // interval
    different = 0
    for i in range(count):
        raw = signal(i * interval)
        expected, index = theirs.process(raw), ours.process(raw) or 0
        different += index != expected
        assert abs(index - expected) <= 1, f"second {i * interval}: {index}, expected {expected}"
    assert different * 100 < count
    if not nox and hours > 3:
        mean, deviation = ours.states()
        assert (mean >> 14, deviation >> 14) == tuple(theirs.get_states())


def after(index: Any, raw: int, seconds: int) -> int:
    """The index when the signal has been like this for so long."""
    return [index.process(raw) for _ in range(seconds)][-1]


def test_blackout_background_and_event() -> None:
    """As the makers describe it: nothing in 45 s, then towards 100; an event is above, cleaner air below."""
    index = module("gas_index").GasIndex(False, 1)
    assert [index.process(30000) for _ in range(46)] == [None] * 46
    assert after(index, 30000, 7000) == 100
    assert after(index, 29000, 60) > 250
    after(index, 30000, 3000)
    assert after(index, 30300, 60) < 80


def test_states_carry_over_a_short_interruption() -> None:
    """After three hours the learnt mean and spread can be taken on: no first learning afterwards. Theirs alike."""
    theirs, ours = makers(False, 10), module("gas_index").GasIndex(False, 10)
    assert ours.states() is None, "not before three hours of operation"
    for i in range(1300):
        theirs.process(VOC(i * 10))
        ours.process(VOC(i * 10))
    again, kept = makers(False, 10), ours.states()
    again.set_states(*theirs.get_states())
    ours = module("gas_index").GasIndex(False, 10)
    ours.restore(*kept)
    for i in range(1300, 1600):
        assert abs((ours.process(VOC(i * 10)) or 0) - again.process(VOC(i * 10))) <= 1


def test_exponential_and_root_against_the_library() -> None:
    gas_index = module("gas_index")
    plan = random.Random(4)
    for _ in range(2000):
        x = plan.randrange(19 << 20)
        assert gas_index.exponential(x) / 2**29 == pytest.approx(math.exp(-x / 2**20), abs=3e-6)
        square = plan.randrange(1, 1 << 30)
        assert gas_index.root(square) / 2**14 == pytest.approx(math.sqrt(square / 4), abs=2e-4)


# What MicroPython would allocate: the driver runs every second, for years.
COUNTED = """
import gc
from node.drivers.gas_index import GasIndex
def most(nox, interval, signal):
    index = GasIndex(nox, interval)
    most = 0
    for i in range(3500):
        raw = signal(i)
        if i % 50 == 0:
            gc.collect()
            gc.disable()
        before = gc.mem_alloc()
        index.process(raw)
        most = max(most, gc.mem_alloc() - before)
    gc.enable()
    return most
import random
random.seed(3)
print(most(False, 1, lambda i: 30000 + random.getrandbits(4)))
print(most(False, 10, lambda i: 30000 - i // 300 % 2 * 9000 + random.getrandbits(4)))
print(most(True, 1, lambda i: 15000 + i // 300 % 2 * 9000 + random.getrandbits(4)))
print(most(True, 10, lambda i: random.getrandbits(16)))
print(most(False, 1, lambda i: random.getrandbits(16)))
"""


def test_the_index_allocates_nothing(run_vm: Callable[..., Any], tmp_path: Path) -> None:
    script = tmp_path / "counted.py"
    script.write_text(COUNTED)
    assert run_vm(script).checked().stdout.split() == ["0"] * 5


# ---------------------------------------------------------------- the chips


def test_words_of_the_sgp40_data_sheet() -> None:
    """DS 3.1, example: 26 0F 80 00 A2 66 66 93 measures without compensation. Ticks for 50 %RH and 25 degrees are those
    words.
    """
    table = World(module("sgp40").DRIVER, SGP40(always(31000)))
    assert table.reading() == [(89, 31000, 0)]
    written = [data for kind, data in table.bus.log if kind == "write"]
    assert written[-1] == bytes.fromhex("260f8000a2666693")
    table.driver.know(4, 500)
    table.driver.know(3, 250)
    table.reading()
    assert [data for kind, data in table.bus.log if kind == "write"][-1] == bytes.fromhex("260f8000a2666693")


def test_what_the_air_is_like_goes_into_the_chip() -> None:
    """RH / 100 x 65535 and (T + 45) / 175 x 65535; unknown again, the data sheet's words come back."""
    chip = SGP41(always(31000), always(16000))
    table = World(module("sgp41").DRIVER, chip)
    assert table.driver.WANTS == (3, 4)
    table.driver.know(4, 815)
    table.driver.know(3, -123)
    table.reading()
    assert chip.compensation == (round(0.815 * 65535), round((-12.3 + 45) / 175 * 65535))
    table.driver.know(4, None)
    table.driver.know(3, None)
    table.reading()
    assert chip.compensation == (0x8000, 0x6666)
    for humidity, temperature in ((-30, -2000), (1200, 5000)):
        table.driver.know(4, humidity)
        table.driver.know(3, temperature)
        table.reading()
    assert chip.compensation == (65535, round(175 / 175 * 65535))


def test_the_nox_layer_is_conditioned_for_ten_seconds_and_not_longer() -> None:
    chip = SGP41(always(31000), always(16000))
    table = World(module("sgp41").DRIVER, chip)
    took = table.ready()
    assert list(table.driver.read()) == [(89, 31000, 0), (90, 16000, 0)]
    assert 10_000 <= took < 10_500 and not chip.overcooked
    assert table.ready() == 50, "once is enough"
    table.stop()
    assert not chip.heating
    assert table.ready() > 10_000, "the heater was off"


def test_low_power_heats_only_for_a_reading() -> None:
    chip = SGP40(always(31000))
    table = World(module("sgp40").DRIVER, chip, {"low_power": True})
    table.reading()
    for _ in range(3):
        table.clock.now += 10_000
        assert not chip.heating
        assert table.reading() == [(89, 31000, 0)]
    assert table.ready() == 170 + 30 + 2


@pytest.mark.parametrize(("name", "chip"), [("sgp40", SGP40(always(1))), ("sgp41", SGP41(always(1), always(1)))])
def test_a_failed_self_test_is_a_rejected_chip(name: str, chip: SGP4x) -> None:
    chip.broken = True
    assert said(World(module(name).DRIVER, chip)) == 1
    chip.power_up()
    chip.broken = False
    chip.serial = 0
    assert said(World(module(name).DRIVER, chip)) == 12


def test_an_sgp40_in_the_place_of_an_sgp41_is_no_reading() -> None:
    assert said(World(module("sgp41").DRIVER, SGP40(always(31000)))) is OSError


def test_the_index_beside_the_signal() -> None:
    chip = SGP41(always(31000), always(16000))
    table = World(module("sgp41").DRIVER, chip, {"index": True, "sampling_interval": 10})
    assert table.driver.QUANTITIES == (89, 90, 56, 57)
    first = table.reading()
    assert first == [(89, 31000, 0), (90, 16000, 0), (56, None, 10), (57, None, 10)]
    for _ in range(400):
        table.clock.now += 10_000
        table.reading()
    assert table.reading() == [(89, 31000, 0), (90, 16000, 0), (56, 100, 0), (57, 1, 0)]
    table.unplug()
    assert said(table) is OSError
    table.plug(chip)
    chip.power_up(table.clock.now)
    assert table.reading()[2:] == [(56, 100, 0), (57, 1, 0)], "what it has learnt is not lost with the chip"


def test_noise_on_the_wire_with_the_index() -> None:
    """Bytes are flipped, dropped and repeated: a wrong value passes a word's CRC once in 256, and no index leaves its
    range.
    """
    wrong = damaged = 0
    for rate in (20, 150):
        for seed in range(10):
            wire = Wire(random.Random(rate * 1000 + seed), rate)
            chip = SGP41(always(31000), always(16000))
            table = World(module("sgp41").DRIVER, chip, {"index": True}, wire)
            for _ in range(60):
                before = wire.damaged
                try:
                    readings = table.reading()
                except (OSError, module("fault").Fault):
                    readings = []
                damaged += wire.damaged > before
                table.clock.now += 1000
                for quantity, value, _ in readings:
                    if quantity in (56, 57):
                        assert value is None or 1 <= value <= 500
                    else:
                        wrong += value not in (31000, 16000)
    assert damaged > 100 and wrong <= 2 + damaged // 100


def test_sensirions_driver_reads_the_sgp41(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), SGP41(always(31234), always(15678), serial=0x0000_1234_5678)
    commands = pytest.importorskip("sensirion_i2c_sgp4x.sgp41.commands")
    driver = pytest.importorskip("sensirion_i2c_driver")
    monkeypatch.setattr("time.sleep", sleeper(clock))
    connection = driver.I2cConnection(Transceiver(chip, clock))

    def run(command: Any) -> Any:
        return connection.execute(0x59, command)

    assert run(commands.Sgp41I2cCmdGetSerialNumber()) == [0, 0x1234, 0x5678]
    assert run(commands.Sgp41I2cCmdExecuteSelfTest()) & 0x0F == 0
    assert run(commands.Sgp41I2cCmdExecuteConditioning(0x8000, 0x6666)).ticks == 31234 - 3000, "a cold layer"
    clock.now += 10_000
    voc, nox = run(commands.Sgp41I2cCmdMeasureRawSignals(0x8000, 0x6666))
    assert (voc.ticks, nox.ticks) == (31234, 15678)
    run(commands.Sgp41I2cCmdTurnHeaterOff())
    assert not chip.heating


class WithFeatureSet(SGP40):
    """Adafruit asks for a "feature set" (20 2F) that the data sheet does not have, and resets by the general call."""

    def command(self, now: int, data: bytes) -> None:
        if data == b"\x20\x2f":
            self._answer = words((0x3220,))
            self._busy(now, 10)
        else:
            super().command(now, data)


def test_adafruits_driver_reads_the_sgp40(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, chip = Clock(), WithFeatureSet(always(30123))
    sensor = circuitpython("adafruit_sgp40", clock, monkeypatch).SGP40(BusIO(chip, clock))
    sensor.measure_raw(temperature=21.5, relative_humidity=63.0)
    clock.now += 1000
    assert sensor.measure_raw(temperature=21.5, relative_humidity=63.0) == 30123
    humidity, temperature = chip.compensation
    assert humidity == pytest.approx(0.63 * 65535, abs=2)
    assert temperature == pytest.approx((21.5 + 45) / 175 * 65535, abs=2)


def test_the_words_are_checked_on_their_way_in() -> None:
    """The chip refuses a wrong CRC in what it is told; the driver sees it as a chip that does not acknowledge."""
    assert without_crc(bytes.fromhex("8000a2666693")) == bytes.fromhex("80006666")
    chip = SGP40(always(31000))
    table = World(module("sgp40").DRIVER, chip)
    table.driver._command[4] ^= 1
    assert said(table) is OSError
