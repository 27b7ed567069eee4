"""The driver contract of firmware/node/drivers/README.md, for every driver, against its emulator.

Drivers run here in CPython; `test_drivers_vm.py` runs the same files in MicroPython.
"""

from __future__ import annotations

import ast
import importlib
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.emul.cases import CASES, Case, number
from tests.emul.wires import LocalI2C, Wire, World

from citymote import registry
from citymote.testing.emul.catalogue import CATALOGUE

FOLDER = Path(__file__).resolve().parents[2] / "firmware/node/drivers"
HELPERS = {
    "__init__",
    "ads1115",
    "bosch",
    "continuous",
    "fault",
    "fixed",
    "gas_index",
    "modbus",
    "sen",
    "sensirion",
    "sensirion_float",
    "sgp4x",
    "velocity",
}
FILES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in HELPERS)

by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
by_file = pytest.mark.parametrize("stem", FILES)


def fault_type() -> Any:
    return importlib.import_module("node.drivers.fault").Fault


def world(case: Case, values: dict[str, int | None] | None = None, wire: Wire | None = None) -> World:
    given_values: dict[str, int | None] = dict(case.middle())
    given_values.update(values or {})
    return World(case.cls(), case.part(given_values), dict(case.settings), wire)


# ---------------------------------------------------------------- the files


@by_file
def test_a_driver_has_an_emulator_and_a_case(stem: str) -> None:
    assert stem in CATALOGUE, f"{stem}.py has no emulator in citymote.testing.emul.catalogue"
    assert stem in {case.driver for case in CASES}, f"{stem}.py has no case in tests/emul/cases.py"
    bus = next(case for case in CASES if case.driver == stem).cls().BUS
    assert CATALOGUE[stem].bus == (bus if isinstance(bus, str) else bus[0])


@by_file
def test_a_driver_imports_only_what_the_contract_allows(stem: str) -> None:
    allowed = {"struct", "citymote_protocol.quantities", "citymote_protocol.cells", ".fault"}
    allowed |= {"." + helper for helper in HELPERS}
    for node in ast.walk(ast.parse((FOLDER / f"{stem}.py").read_text())):
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {"." * node.level + (node.module or "")}
        else:
            continue
        assert names <= allowed, f"{stem}.py imports {names - allowed}"


@by_file
def test_a_driver_neither_sleeps_nor_awaits_nor_uses_floats(stem: str) -> None:
    for node in ast.walk(ast.parse((FOLDER / f"{stem}.py").read_text())):
        assert not isinstance(node, ast.Await | ast.AsyncFunctionDef), f"{stem}.py:{node.lineno} is asynchronous"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"{stem}.py has a float"
        assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)), (
            f"{stem}.py:{node.lineno} divides to a float"
        )
        assert not (isinstance(node, ast.Attribute) and "sleep" in node.attr and node.attr != "_sleep"), (
            f"{stem}.py sleeps"
        )


@by_file
def test_a_driver_tells_its_datasheet_and_is_documented(stem: str) -> None:
    tree = ast.parse((FOLDER / f"{stem}.py").read_text())
    text = ast.get_docstring(tree) or ""
    assert len(text) > 150, f"{stem}.py does not say what it is for"
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert all(ast.get_docstring(node) for node in classes), f"{stem}.py has a class without its settings explained"


# ---------------------------------------------------------------- the ways of a sound chip


@by_name
def test_a_driver_says_what_it_measures(case: Case) -> None:
    driver = world(case).driver
    for quantity in driver.QUANTITIES:
        assert registry.quantity(quantity).id == quantity
    assert [number(name) for name in case.ranges] == list(driver.QUANTITIES)


@by_name
def test_values_come_back_at_the_registrys_resolution(case: Case) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(st.data())
    def check(data: st.DataObject) -> None:
        values = {
            name: data.draw(st.integers(low // case.grid(name), high // case.grid(name))) * case.grid(name)
            for name, (low, high) in case.ranges.items()
        }
        names = list(values)
        for first, last in zip(names[: case.same], names[case.same : 2 * case.same], strict=True):
            values[last] = values[first]
        expected = [(number(name), value, 0) for name, value in values.items()]
        found = world(case, dict(values)).reading()
        assert case.same_as(found, expected), f"{found} is not {expected}"

    check()


@by_name
def test_the_ends_of_the_range_come_back(case: Case) -> None:
    for end in (0, 1):
        values = {name: ends[end] // case.grid(name) * case.grid(name) for name, ends in case.ranges.items()}
        assert case.same_as(world(case, dict(values)).reading(), [(number(n), v, 0) for n, v in values.items()])


@by_name
def test_ten_readings_follow_each_other(case: Case) -> None:
    table = world(case)
    first = table.reading()
    for _ in range(9):
        if not case.hourly:  # what accumulates goes on without a gap
            table.clock.now += 120_000
        assert table.reading() == first


@by_name
def test_start_costs_nothing_twice(case: Case) -> None:
    table = world(case)
    table.ready()
    assert table.driver.start() == 0, "a chip that is ready makes nobody wait"
    assert len(table.driver.read()) == len(case.ranges)


@by_name
def test_read_before_ready_is_refused(case: Case) -> None:
    table = world(case)
    with pytest.raises(fault_type()) as told:
        table.driver.read()
    assert told.value.code == 10, "expected WARMING_UP"
    assert len(table.reading()) == len(case.ranges), "and the driver still works"


@by_name
def test_a_second_read_without_a_start_is_refused(case: Case) -> None:
    table = world(case)
    table.reading()
    with pytest.raises(fault_type()):
        table.driver.read()


@by_name
def test_stop_in_any_state_and_start_again(case: Case) -> None:
    table = world(case)
    table.stop()
    expected = table.reading()
    table.stop()
    table.stop()
    table.clock.now += 60_000
    assert table.reading() == expected
    table.clock.now += 1000
    table.driver.start()
    table.stop()
    table.clock.now += 60_000
    assert table.reading() == expected


@by_name
def test_a_node_that_restarts_finds_a_running_chip(case: Case) -> None:
    """Its supply stayed on: a new driver object meets the chip in whatever state the old one left it."""
    for steps in range(6):
        table = world(case)
        for _ in range(steps):
            wait = table.driver.start()
            if not wait:
                break
            table.clock.now += wait
        again = World(case.cls(), None, dict(case.settings))
        again.clock.now = table.clock.now + 300
        again.plug(table.part)  # pyright: ignore[reportArgumentType]
        assert len(again.reading()) == len(case.ranges), f"after {steps} steps of the old driver"


# ---------------------------------------------------------------- when things go wrong


def said(table: World) -> int | type[OSError]:
    """What one reading of a broken chip ends in: a Fault's code, OSError, or the first quality."""
    try:
        return table.reading()[0][2]
    except fault_type() as fault:
        return fault.code
    except OSError:
        return OSError


@by_name
def test_a_chip_that_is_not_there(case: Case) -> None:
    table = world(case)
    table.unplug()
    results = [said(table) for _ in range(4)]
    assert results[-1] in case.unplugged_says, f"expected one of {case.unplugged_says}, got {results}"


@by_name
def test_a_source_that_is_absent_is_no_value(case: Case) -> None:
    table = world(case, dict.fromkeys(case.ranges))
    results = [said(table) for _ in range(4)]
    if case.driver == "replay":
        assert table.reading() == [(number(name), None, 8) for name in case.ranges]
    else:
        assert results[-1] in case.unplugged_says, f"expected one of {case.unplugged_says}, got {results}"


@by_name
def test_a_wire_pulled_between_start_and_read_gives_no_made_up_value(case: Case) -> None:
    table = world(case)
    table.ready()
    table.unplug()
    try:
        readings = list(table.driver.read())
    except (OSError, fault_type()):
        return
    if case.cls().BUS == "counter":
        assert readings[0][2] == 11 or readings[0][1] == 0  # a cut wire counts no further: see its docstring
        return
    # UART and BH1750 drivers hold the whole answer since start(); it was measured after the question
    assert case.same_as([(q, v, 0) for q, v, _ in readings], [(number(n), v, 0) for n, v in case.middle().items()])


@by_name
def test_a_chip_pulled_and_plugged_again_comes_back(case: Case) -> None:
    table = world(case)
    expected = table.reading()
    table.unplug()
    for _ in range(5):
        said(table)
        table.clock.now += 10_000
    chip = case.part(dict(case.middle()))
    chip.power_up(table.clock.now)
    table.plug(chip)
    results: list[Any] = []
    for _ in range(3):
        table.clock.now += 0 if case.hourly else 10_000
        try:
            results.append(table.reading())
        except (OSError, fault_type()) as wrong:
            results.append(repr(wrong))
    assert results[-1] == expected


@by_name
def test_a_broken_bus_raises_oserror_and_heals(case: Case) -> None:
    table = world(case)
    expected = table.reading()
    table.wire.broken = 5
    with pytest.raises(OSError):
        table.reading()
    with pytest.raises(OSError):
        table.reading()
    table.wire.broken = None
    table.clock.now += 10_000
    if case.hourly:
        (_, value, _), (_, one, _) = table.reading()[0], expected[0]
        assert value is not None and one is not None and value > 2 * one, "what fell meanwhile is not lost"
    assert table.reading() == expected


class _Constant:
    """A bus on which every transfer is acknowledged and every byte is the same: stuck low, released, or a wrong
    chip.
    """

    def __init__(self, byte: int) -> None:
        self.byte = byte

    def writeto(self, address: int, buf: bytes) -> int:
        return len(buf)

    writeto_mem = writeto

    def readfrom_into(self, address: int, buf: bytearray) -> None:
        buf[:] = bytes([self.byte]) * len(buf)

    def readfrom_mem_into(self, address: int, memaddr: int, buf: bytearray) -> None:
        self.readfrom_into(address, buf)

    def write(self, buf: bytes) -> int:
        return len(buf)

    def any(self) -> int:
        return 256

    def readinto(self, buf: bytearray, nbytes: int | None = None) -> int:
        buf[:] = bytes([self.byte]) * len(buf)
        return len(buf)

    def read_uv(self) -> int:
        return self.byte * 20_000

    def value(self) -> int:
        return self.byte


@pytest.mark.parametrize("byte", [0x00, 0xFF, 0x42])
@by_name
def test_a_bus_full_of_one_byte_is_no_reading(case: Case, byte: int) -> None:
    driver = case.cls()(_Constant(byte), **case.settings)
    for _ in range(3):
        try:
            for _ in range(getattr(driver, "STEPS", 32)):
                if not driver.start():
                    break
            else:
                pytest.fail("start() never came to an end")
            readings = list(driver.read())
        except (OSError, fault_type()):
            continue
        if case.check == "none":
            continue  # nothing in its bytes could tell; each such driver's docstring says so
        pytest.fail(f"{readings} out of a bus of 0x{byte:02x}")


@by_name
def test_noise_never_breaks_a_driver_and_never_passes_a_checksum(case: Case) -> None:
    """Bytes are flipped, dropped, repeated and replaced, at three rates.

    Nothing but OSError and Fault may come out. With a checksum, a value may come back that the chip did not give only
    as often as the checksum lets through: an 8-bit CRC (or sum) at most one damaged word in 256; over all runs here
    that is held with room for chance.
    """
    wrong = read = damaged = 0
    for rate in (5, 50, 400):
        for seed in range(4 if case.long else 25):
            wire = Wire(random.Random(rate * 1000 + seed), rate)
            table = world(case, wire=wire)
            expected = {number(n): v for n, v in case.middle().items()}
            for _ in range(6):
                before = wire.damaged
                try:
                    readings = table.reading()
                except (OSError, fault_type()):
                    readings = []
                table.clock.now += 1000
                if wire.damaged > before:
                    damaged += 1
                for quantity, value, quality in readings:
                    assert isinstance(quality, int) and 0 <= quality <= 23
                    assert value is None or (isinstance(value, int) and abs(value) < 1 << 30)
                    read += 1
                    if value is not None and value != expected[quantity] and quality == 0:
                        wrong += 1
    assert damaged > 20, "the wire was never bad"
    if case.check != "none":
        assert wrong <= 2 + damaged * len(case.ranges) // 128, f"{wrong} wrong values of {read} passed the checksum"


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.check == "crc" and case.cls().BUS == "i2c"], ids=lambda c: c.name
)
def test_one_flipped_bit_in_a_reply_is_always_found(case: Case) -> None:
    """CRC-8 finds every single-bit error: each bit of the values' reply in turn."""
    table = world(case)
    expected = {q: v for q, v, _ in table.reading()}
    assert isinstance(table.bus, LocalI2C)
    original = table.bus.readfrom_into
    for bit in range(8 * 60):
        table.ready()

        def flipped(address: int, buf: bytearray, bit: int = bit) -> None:
            original(address, buf)
            if bit < 8 * len(buf):
                buf[bit // 8] ^= 1 << bit % 8

        table.bus.readfrom_into = flipped
        try:
            readings = list(table.driver.read())
        except (OSError, fault_type()):
            readings = []
        table.bus.readfrom_into = original
        for quantity, value, _ in readings:
            assert value is None or value == expected[quantity], f"bit {bit} changed quantity {quantity}"
        table.clock.now += 60_000


@by_file
def test_a_setting_outside_its_limits_is_refused(stem: str) -> None:
    case = next(case for case in CASES if case.driver == stem)
    code = case.cls().__init__.__code__
    names = code.co_varnames[2 : code.co_argcount]
    for name in names:
        for value in (-(1 << 30), 1 << 30, "nonsense"):
            with pytest.raises((ValueError, TypeError)):
                case.cls()(_Constant(0), **{**case.settings, name: value})


def test_fault_codes_are_the_registrys() -> None:
    fault = importlib.import_module("node.drivers.fault")
    quality = importlib.import_module("citymote_protocol.quality")
    names = [name for name in vars(fault) if name.isupper() and name != "OK"]
    assert len(names) == 12
    for name in names:
        assert getattr(fault, name) == getattr(quality, name), name
    assert fault.OK == quality.UNCHECKED
