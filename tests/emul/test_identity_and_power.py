"""Another chip at the same address is no reading, and a chip that can be switched off is, by every driver.

Both lists are complete: a driver that is in neither of a list's halves fails.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from tests.emul.cases import CASES, Case
from tests.emul.wires import World

WRONG_CHIP = 12
DRIVERS = sorted({case.driver for case in CASES})


def other(name: str, value: Any) -> Callable[[Any], None]:
    def put(chip: Any) -> None:
        assert getattr(chip, name) != value, "the emulator has such a member, and it changes"
        setattr(chip, name, value)

    return put


def memory(number: int, value: int) -> Callable[[Any], None]:
    return lambda chip: chip._memory.update({number: value})


# What another chip would say at this address: an identity that is not the driver's.
IDENTITIES: dict[str, Callable[[Any], None]] = {
    "bme280": memory(0xD0, 0x58),  # a BMP280
    "bme688": memory(0xF0, 0x00),  # a BME680
    "lis3dh": other("who_am_i", 0x32),  # a LIS331
    "ltr390": other("part_id", 0x92),  # an LTR-303
    "scd30": other("firmware", (0, 0)),
    "scd4x": other("serial", 0),
    "sen5x": other("name", "SEN66"),
    "sen66": other("name", "SEN55"),
    "sgp40": other("serial", 0),
    "sgp41": other("serial", 0),
    "sht3x": other("serial", 0),
    "sht4x": other("serial", 0),
    "sps30": other("product", "00080001"),
    "sps30_uart": other("product", "00080001"),
    "veml7700": other("identification", 0xC482),
}
# Register chips without an identification: what was written must read back. See `Forgetful`.
READ_BACK = ("ina219", "electrochemical")
# Nothing to ask for: the checksum of another protocol is wrong, the line silent, or a wire has no identity.
NAMELESS = (
    "adc_supply", "anemometer", "bh1750", "gnss", "motion", "pms5003", "rain_gauge", "replay", "s8", "sds011",
    "sensecap_one", "wind_vane",
)  # fmt: skip

# How it is seen that the chip is off, or at rest, after stop().
POWER: dict[str, Callable[[Any, int], bool]] = {
    "bh1750": lambda chip, now: not chip._on,
    "ina219": lambda chip, now: chip._configuration & 7 in (0, 4),  # SBOS448G, table 6: power-down, ADC off
    "lis3dh": lambda chip, now: chip._registers[0x20] >> 4 == 0,  # DS 8.8: power-down mode
    "ltr390": lambda chip, now: not register(chip, now, 0x00) & 2,  # standby
    "pms5003": lambda chip, now: chip._asleep,
    "scd30": lambda chip, now: not chip.measuring,
    "scd4x": lambda chip, now: chip._asleep,
    "sds011": lambda chip, now: chip._asleep,
    "sen5x": lambda chip, now: not chip.measuring,
    "sen66": lambda chip, now: not chip.measuring,
    "sgp40": lambda chip, now: not chip.heating,
    "sgp41": lambda chip, now: not chip.heating,
    "sps30": lambda chip, now: chip._mode == 2,
    "sps30_uart": lambda chip, now: chip._mode == 2,
    "veml7700": lambda chip, now: not chip.on,
}
RESTS_BY_ITSELF = ("bme280", "bme688", "electrochemical", "sht3x", "sht4x")  # single measurements, asleep in between
ALWAYS_ON = ("adc_supply", "anemometer", "gnss", "motion", "rain_gauge", "replay", "s8", "sensecap_one", "wind_vane")


def register(chip: Any, now: int, number: int) -> int:
    chip.write(now, bytes((number,)))
    return chip.read(now, 1)[0]


def table_of(driver: str) -> World:
    case: Case = next(case for case in CASES if case.driver == driver)
    return World(case.cls(), case.part(dict(case.middle())), dict(case.settings))


def fault_type() -> Any:
    return importlib.import_module("node.drivers.fault").Fault


def test_no_driver_is_left_out() -> None:
    assert sorted([*IDENTITIES, *READ_BACK, *NAMELESS]) == DRIVERS
    assert sorted([*POWER, *RESTS_BY_ITSELF, *ALWAYS_ON]) == DRIVERS


@pytest.mark.parametrize("driver", sorted(IDENTITIES))
def test_another_chip_at_the_address_is_the_wrong_chip(driver: str) -> None:
    table = table_of(driver)
    table.reading()
    table.stop()
    IDENTITIES[driver](table.part)
    for _ in range(2):
        table.clock.now += 10_000
        with pytest.raises(fault_type()) as told:
            table.reading()
        assert told.value.code == WRONG_CHIP


@pytest.mark.parametrize("driver", READ_BACK)
def test_a_chip_that_does_not_keep_its_configuration_is_the_wrong_chip(driver: str) -> None:
    """A memory, or any register chip that happens to answer at this address with something of its own."""
    table = table_of(driver)
    assert table.part is not None
    table.part.read = lambda now, count: b"\x12\x34\x56\x78"[:count]  # type: ignore[method-assign]
    with pytest.raises(fault_type()) as told:
        table.reading()
    assert told.value.code == WRONG_CHIP


@pytest.mark.parametrize("driver", sorted(POWER))
def test_a_chip_that_can_be_switched_off_is_off_after_stop(driver: str) -> None:
    table = table_of(driver)
    expected = table.reading()
    assert driver in ("bh1750", "ina219", "ltr390", "veml7700") or not POWER[driver](table.part, table.clock.now)
    table.stop()
    table.clock.now += 1000
    assert POWER[driver](table.part, table.clock.now)
    table.clock.now += 60_000
    assert table.reading() == expected, "and it comes on again"
