"""The emulated chips themselves: busy, booting, holding the clock, reporting errors, with old data, as datasheets say.

What each does with bytes is shown in `test_evidence_*` and `test_peers`; here is what a chip does when it is asked at
the wrong moment, and what a driver makes of it.
"""

from __future__ import annotations

import errno
import importlib
from typing import Any

import pytest
from tests.emul.wires import LocalI2C, World, driver

from citymote.testing.emul.base import I2CChip, Nak, Source
from citymote.testing.emul.bh1750 import BH1750
from citymote.testing.emul.ina219 import INA219
from citymote.testing.emul.lis3dh import LIS3DH
from citymote.testing.emul.ltr390 import LTR390
from citymote.testing.emul.pms5003 import PMS5003
from citymote.testing.emul.s8 import S8
from citymote.testing.emul.scd4x import SCD4x
from citymote.testing.emul.scd30 import SCD30
from citymote.testing.emul.sds011 import SDS011
from citymote.testing.emul.sen5x import SEN66, SEN5x
from citymote.testing.emul.sensirion import SensirionChip
from citymote.testing.emul.sht3x import SHT3x
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.emul.sps30 import SPS30
from citymote.testing.emul.sps30_uart import SPS30UART

DAY = 86_400_000


def always(value: float | None) -> Source:
    return lambda now: value


def air(kind: Any) -> Any:
    return kind(always(600.0), always(21.0), always(45.0))


def dust(kind: Any, count: int) -> Any:
    return kind(*(always(5.0) for _ in range(count)))


def refused(chip: I2CChip, now: int, command: str = "", count: int = 0) -> bool:
    try:
        if command:
            chip.write(now, bytes.fromhex(command))
        if count:
            chip.read(now, count)
    except Nak:
        return True
    return False


# ---------------------------------------------------------------- busy


@pytest.mark.parametrize(
    ("chip", "command", "count", "duration"),
    [
        (SHT4x(always(20.0), always(50.0)), "fd", 6, 9),
        (SHT4x(always(20.0), always(50.0)), "e0", 6, 2),
        (SHT3x(always(20.0), always(50.0)), "2400", 6, 16),
        (SHT3x(always(20.0), always(50.0)), "2416", 6, 5),
        (air(SCD30), "d100", 3, 3),
        (air(SCD4x), "3682", 9, 1),
        (dust(SEN5x, 8), "d014", 48, 20),
        (dust(SEN66, 9), "d014", 48, 20),
        (dust(SPS30, 3), "8004", 6, 0),
    ],
    ids=["sht4x-high", "sht4x-low", "sht3x-high", "sht3x-low", "scd30", "scd4x", "sen5x", "sen66", "sps30"],
)
def test_a_chip_acknowledges_neither_reads_nor_commands_while_it_works(
    chip: SensirionChip, command: str, count: int, duration: int
) -> None:
    chip.write(0, bytes.fromhex(command))
    for now in range(duration):
        assert refused(chip, now, count=count), f"asked after {now} of {duration} ms"
        assert refused(chip, now, command), f"told again after {now} of {duration} ms"
    assert len(chip.read(duration, count)) == count


def test_a_result_is_read_once_and_not_without_a_question() -> None:
    chip = SHT4x(always(20.0), always(50.0))
    assert refused(chip, 0, count=6), "nothing was asked"
    chip.write(0, b"\xfd")
    chip.read(9, 6)
    assert refused(chip, 10, count=6), "it is gone"


# ---------------------------------------------------------------- a clock that is held


def test_a_clock_held_longer_than_the_bus_waits_is_a_stuck_bus_and_passes() -> None:
    """SCD30, interface description 1.1: 30 ms in every transfer, 150 ms once a day."""
    table = World(driver("scd30"), air(SCD30))
    assert isinstance(table.bus, LocalI2C)
    table.bus.timeout = 20
    with pytest.raises(OSError) as told:
        table.reading()
    assert told.value.errno == errno.ETIMEDOUT
    table.bus.timeout = 100
    expected = table.reading()
    table.clock.now = DAY + 1000
    with pytest.raises(OSError):
        table.reading()
    assert table.reading() == expected, "the next transfer of the day is held for 30 ms only"


def test_the_timeout_of_our_buses_is_long_enough_for_every_chip() -> None:
    table = World(driver("scd30"), air(SCD30))
    expected = table.reading()
    for day in range(1, 4):
        table.clock.now = day * DAY + 1000
        assert table.reading() == expected


def test_sht3x_holds_the_clock_where_the_command_asks_for_it() -> None:
    """SHT3x, section 4.3: 2C06 with clock stretching, 2400 without."""
    chip = SHT3x(always(20.0), always(50.0))
    chip.write(0, b"\x2c\x06")
    assert chip.stretch(0) == 16
    held = chip.read(0, 6)
    other = SHT3x(always(20.0), always(50.0))
    other.write(0, b"\x24\x00")
    assert other.stretch(0) == 0
    assert refused(other, 0, count=6)
    assert other.read(16, 6) == held


# ---------------------------------------------------------------- power-up


@pytest.mark.parametrize(
    ("name", "chip", "boot"), [("scd30", air(SCD30), 2000), ("scd4x", air(SCD4x), 1000)], ids=["scd30", "scd4x"]
)
def test_a_chip_that_boots_is_not_there_and_its_driver_waits(name: str, chip: Any, boot: int) -> None:
    chip.power_up(1000)
    assert refused(chip, 1000, "d100")
    assert refused(chip, 999 + boot, "d100")
    chip.power_up(1000)
    table = World(driver(name), chip)
    table.clock.now = 1000
    assert [code for _, _, code in table.reading()] == [0, 0, 0]


def test_power_up_states_are_the_datasheets() -> None:
    bright = BH1750(always(100.0))
    assert bright.read(500, 2) == b"\x00\x00", "technical note, page 2: powered down, no data"
    ina = INA219(always(12.0), always(100.0))
    ina.write(0, b"\x00")
    assert ina.read(0, 2) == b"\x39\x9f", "SBOS448G, 8.6.2.1: reset value 399F"
    light = LTR390(always(1.0), always(1.0))
    for register, value in ((0x00, 0x00), (0x04, 0x22), (0x05, 0x01), (0x06, 0xB2)):
        light.write(0, bytes([register]))
        assert light.read(0, 1)[0] == value, f"register {register:02x}"
    motion = LIS3DH(always(1.0), always(1.0), always(1.0))
    for register, value in ((0x0F, 0x33), (0x20, 0x07), (0x23, 0x00), (0x24, 0x00), (0x2E, 0x00)):
        motion.write(0, bytes([register]))
        assert motion.read(0, 1)[0] == value, f"register {register:02x}"
    climate = SHT3x(always(20.0), always(50.0))
    climate.write(0, b"\xf3\x2d")
    assert climate.read(0, 2) == b"\x80\x10", "section 4.11: alert pending, reset detected"
    carbon = air(SCD4x)
    carbon.write(0, b"\x23\x13")
    assert carbon.read(1, 2) == b"\x00\x01", "self-calibration is on from the factory"


def test_what_survives_a_power_cut_does_and_the_rest_does_not() -> None:
    carbon = air(SCD30)
    carbon.write(0, bytes.fromhex("46000004") + bytes([crc(0x00, 0x04)]))
    carbon.write(10, bytes.fromhex("51020064") + bytes([crc(0x00, 0x64)]))
    carbon.write(20, bytes.fromhex("00100000") + bytes([crc(0, 0)]))
    carbon.power_up(100_000)
    assert carbon.settings[0x4600] == 4 and carbon.settings[0x5102] == 100
    assert carbon.measuring, "interface description 1.4.1: it goes on measuring"
    other = air(SCD4x)
    other.write(0, bytes.fromhex("24270064") + bytes([crc(0x00, 0x64)]))
    assert other.settings[0x2427] == 100
    other.power_up(100_000)
    assert other.settings[0x2427] == 0, "data sheet 3.6: settings are lost unless persisted"
    assert not other.measuring


def crc(high: int, low: int) -> int:
    from citymote.testing.emul.sensirion import crc8

    return crc8(bytes([high, low]))


# ---------------------------------------------------------------- error registers


@pytest.mark.parametrize(
    ("name", "chip", "bit", "codes"),
    [
        ("sen5x", dust(SEN5x, 8), 4, [1, 1, 1, 1, 0, 0, 0, 0]),
        ("sen5x", dust(SEN5x, 8), 6, [0, 0, 0, 0, 1, 1, 0, 0]),
        ("sen5x", dust(SEN5x, 8), 7, [0, 0, 0, 0, 0, 0, 1, 1]),
        ("sen5x", dust(SEN5x, 8), 21, [3, 3, 3, 3, 0, 0, 0, 0]),
        ("sen66", dust(SEN66, 9), 12, [0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("sen66", dust(SEN66, 9), 11, [1, 1, 1, 1, 0, 0, 0, 0, 0]),
        ("sps30", dust(SPS30, 3), 4, [1, 1, 1, 1]),
        ("sps30", dust(SPS30, 3), 5, [1, 1, 1, 1]),
        ("sps30", dust(SPS30, 3), 21, [3, 3, 3, 3]),
    ],
    ids=lambda value: str(value) if isinstance(value, str | int) else "",
)
def test_a_part_that_reports_its_failure_gives_no_value(name: str, chip: Any, bit: int, codes: list[int]) -> None:
    table = World(driver(name), chip)
    table.reading()
    chip.status = 1 << bit
    table.clock.now += 2000
    readings = table.reading()
    assert [code for _, _, code in readings] == codes
    assert all((value is None) == (code == 1) for _, value, code in readings)


def test_the_uart_sps30_reports_its_failure_too() -> None:
    chip = SPS30UART(always(5.0), always(6.0), always(7.0))
    table = World(driver("sps30_uart"), chip)
    table.reading()
    chip.status = 1 << 4
    table.clock.now += 2000
    assert {code for _, _, code in table.reading()} == {1}


@pytest.mark.parametrize("bit", [0, 1, 2, 3, 4, 6])
def test_the_s8_reports_its_errors(bit: int) -> None:
    chip = S8(always(600.0))
    table = World(driver("s8"), chip)
    assert table.reading() == [(15, 600, 0)]
    chip.status = 1 << bit
    assert table.reading() == [(15, None, 1)]
    chip.status = 1 << 5
    assert table.reading() == [(15, 600, 11)], "out of range: kept and marked"


def test_the_pms5003_reports_an_error_byte() -> None:
    chip = PMS5003(always(5.0), always(6.0), always(7.0))
    table = World(driver("pms5003"), chip)
    chip.error = 0x20
    assert [code for _, _, code in table.reading()] == [2, 2, 2]


# ---------------------------------------------------------------- old data


@pytest.mark.parametrize(
    ("name", "chip"),
    [
        ("scd30", air(SCD30)),
        ("scd4x", air(SCD4x)),
        ("sen5x", dust(SEN5x, 8)),
        ("sen66", dust(SEN66, 9)),
        ("sps30", dust(SPS30, 3)),
        ("ltr390", LTR390(always(1.0), always(1.0))),
        ("ina219", INA219(always(12.0), always(100.0))),
    ],
    ids=["scd30", "scd4x", "sen5x", "sen66", "sps30", "ltr390", "ina219"],
)
def test_a_chip_that_stops_measuring_but_answers_is_frozen_not_repeated(name: str, chip: Any) -> None:
    fault: Any = importlib.import_module("node.drivers.fault").Fault
    table = World(driver(name), chip)
    table.reading()
    chip.hang = True
    table.clock.now += 5000
    for _ in range(2):
        try:
            table.reading()
        except fault as told:
            assert told.code == 15, f"frozen, not {told}"
            break
    else:
        pytest.fail("the last value was told again")
    chip.hang = False
    table.clock.now += 5000
    assert table.reading()


@pytest.mark.parametrize(
    ("name", "chip"),
    [("pms5003", PMS5003(always(5.0), always(6.0), always(7.0))), ("sds011", SDS011(always(5.0), always(7.0)))],
    ids=["pms5003", "sds011"],
)
def test_what_a_streaming_chip_said_before_the_question_is_not_an_answer(name: str, chip: Any) -> None:
    """Both stream by themselves after power-up: 256 bytes of old frames wait in the node's receive buffer."""
    table = World(driver(name), chip)
    chip.power_up(0)
    table.clock.now = 3_600_000
    first = table.reading()
    chip._sources = tuple(always(50.0) for _ in chip._sources)
    table.clock.now += 60_000
    again = table.reading()
    assert [value for _, value, _ in again] != [value for _, value, _ in first]
    assert {value for _, value, _ in again} == {500}
