"""Our tables of commands, waiting times and status bits against those in the makers' own drivers and in others'.

Datasheets are not at hand when tests run; these packages are. A maker's driver that waits shorter than ours is no
fault; one that waits longer, or has another code, would be.
"""

from __future__ import annotations

import importlib
from typing import Any

import pytest

LIS3DH_RANGES = {2: 0b00, 4: 0b01, 8: 0b10, 16: 0b11}


def ours(name: str) -> Any:
    return importlib.import_module(f"node.drivers.{name}")


def maker(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed")


def transfers(package: str) -> dict[int, int]:
    """Command code -> longest time in ms that the maker's generated driver leaves it."""
    found: dict[int, int] = {}
    for thing in vars(maker(f"{package}.commands")).values():
        code, sent = getattr(thing, "CMD_ID", None), getattr(thing, "tx", None)
        if code is not None and sent is not None:
            busy = round((getattr(sent, "device_busy_delay", 0) or 0) * 1000)
            found[code] = max(found.get(code, 0), busy)
    return found


def commands(driver: Any) -> list[tuple[int, int]]:
    """(code, ms) of a chip that measures continuously, as its class says."""
    table = [*driver.PRELUDE, driver.IDENTITY, driver.READY, driver.VALUES, driver.STOP]
    return table + ([driver.STATUS] if driver.STATUS else [])


@pytest.mark.parametrize(
    ("name", "package"),
    [("scd30", "sensirion_i2c_scd30"), ("scd4x", "sensirion_i2c_scd4x"), ("sen66", "sensirion_i2c_sen66")],
)
def test_commands_and_times_are_the_makers(name: str, package: str) -> None:
    table = transfers(package)
    for code, duration in commands(ours(name).DRIVER):
        assert code in table, f"{name}: the maker has no command {code:04x}"
        assert duration >= table[code], f"{name}: {code:04x} takes {table[code]} ms, we leave it {duration}"


@pytest.mark.parametrize(
    ("name", "package", "settings"),
    [
        (
            "scd30",
            "sensirion_i2c_scd30",
            {"altitude": 1, "temperature_offset": 1, "automatic_self_calibration": True},
        ),
        ("scd4x", "sensirion_i2c_scd4x", {"temperature_offset": 1, "altitude": 1, "ambient_pressure": 1000}),
        ("sen66", "sensirion_i2c_sen66", {"altitude": 1, "ambient_pressure": 1000, "automatic_self_calibration": True}),
    ],
)
def test_settings_are_the_makers(name: str, package: str, settings: dict[str, int]) -> None:
    table = transfers(package)
    driver = ours(name).DRIVER(None, **settings)
    assert len(driver._settings) >= len(settings)
    for sent, duration in driver._settings:
        code = int.from_bytes(sent[:2], "big")
        assert code in table, f"{name}: the maker has no command {code:04x}"
        assert duration >= table[code]
    assert int.from_bytes(driver.START[:2], "big") in table


def test_sen5x_commands_and_times_are_the_makers() -> None:
    module = maker("sensirion_i2c_sen5x.commands.generated")
    table: dict[int, int] = {}
    for name in ("StopMeasurement", "GetProductName", "ReadDataReady", "ReadMeasuredValues", "ReadDeviceStatus"):
        command = getattr(module, f"Sen5xI2cCmd{name}")()
        code = int.from_bytes(bytes(command.tx_data[:2]), "big")
        table[code] = round(max(command.read_delay, command.post_processing_time) * 1000)
    for code, duration in commands(ours("sen5x").DRIVER):
        assert duration >= table[code], f"{code:04x}"
    assert ours("sen5x").DRIVER(None, temperature_offset=1)._settings[0][0][:2] == b"\x60\xb2"
    cleaning = module.Sen5xI2cCmdSetFanAutoCleaningInterval(86400)
    ((sent, duration),) = ours("sen5x").DRIVER(None, auto_cleaning_interval=86400)._settings
    assert sent == bytes(cleaning.tx_data)
    assert duration >= round(cleaning.post_processing_time * 1000)


def test_sps30_commands_and_times_are_the_makers() -> None:
    table = transfers("sensirion_i2c_sps30")
    module = ours("sps30")
    for name in ("START", "STOP", "READY_FLAG", "VALUES", "SLEEP", "WAKE", "CLEANING_INTERVAL", "PRODUCT_TYPE"):
        assert getattr(module, f"_{name}") in table, name
    assert {module._VERSION, module._STATUS} <= set(table)
    assert table[module._START] <= module._START_TIME
    assert table[module._STOP] <= module._STOP_TIME
    assert table[module._WAKE] <= module._WAKE_TIME


def test_sht4x_commands_and_times_are_the_makers() -> None:
    table = transfers("sensirion_i2c_sht4x")
    module = ours("sht4x")
    for code, duration in module._REPEATABILITY.values():
        # the datasheet's longest, rounded up; the maker rounds its 8.3 ms to 10
        assert code in table and table[code] - 1 <= duration <= table[code]
    for code, duration in module._HEATER.values():
        assert duration >= table[code]
    assert {0x89, 0x94} <= set(table)


def test_status_bits_of_the_sen5x() -> None:
    flags = maker("sensirion_i2c_sen5x").device
    status = importlib.import_module("sensirion_i2c_sen5x.response_types").Sen5xDeviceStatus
    assert flags
    named = {bit: status(1 << bit).flags for bit in range(32) if status(1 << bit).flags}
    assert named == {
        4: ["fan_error"],
        5: ["laser_error"],
        6: ["sht_error"],
        7: ["sgp_error"],
        19: ["fan_cleaning"],
        21: ["fan_speed_out_of_specs"],
    }
    driver = ours("sen5x").DRIVER(None)
    for bit, touched in ((4, 4), (5, 4), (6, 2), (7, 2), (21, 4)):
        assert rejected(driver, bit) == touched, f"bit {bit}"


def test_status_bits_of_the_sen66() -> None:
    fields = maker("sensirion_i2c_sen66.commands").DeviceStatus
    named = {name: getattr(fields, name).offset for name in vars(fields) if name.endswith(("_error", "_warning"))}
    assert named["fan_error"] == 4 and named["rht_error"] == 6 and named["gas_error"] == 7
    assert named["co2_2_error"] == 9 and named["pm_error"] == 11 and named["co2_1_error"] == 12
    assert named["fan_speed_warning"] == 21
    driver = ours("sen66").DRIVER(None)
    for bit, touched in ((4, 4), (11, 4), (6, 2), (7, 2), (9, 1), (12, 1), (21, 4)):
        assert rejected(driver, bit) == touched, f"bit {bit}"


def rejected(driver: Any, bit: int) -> int:
    """How many readings are not plain any more when the chip reports this bit."""
    status = (1 << bit).to_bytes(4, "big")
    driver._status[:] = status[:2] + b"\0" + status[2:] + b"\0"
    values = driver._convert(driver._values)
    driver._status[:] = bytes(6)
    return sum(was[2] != now[2] for was, now in zip(driver._convert(driver._values), values, strict=True))


# ---------------------------------------------------------------- chips whose makers have no Python driver: Adafruit's


def circuitpython(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    from tests.emul.peers import circuitpython as load
    from tests.emul.wires import Clock

    return load(name, Clock(), monkeypatch)


def test_lis3dh_registers_and_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    peer, module = circuitpython("adafruit_lis3dh", monkeypatch), ours("lis3dh")
    for mine, theirs in (
        ("WHO_AM_I", "WHOAMI"),
        ("CTRL_REG1", "CTRL1"),
        ("CTRL_REG4", "CTRL4"),
        ("OUT_X_L", "OUT_X_L"),
    ):
        assert getattr(module, f"_{mine}") == getattr(peer, f"_REG_{theirs}")
    for rate, bits in module._RATES.items():
        assert bits >> 4 == getattr(peer, f"DATARATE_{rate}_HZ")
    for full_scale, (bits, _) in module._RANGES.items():
        assert bits >> 4 == getattr(peer, f"RANGE_{full_scale}_G") == LIS3DH_RANGES[full_scale]


def test_ltr390_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    peer, module = circuitpython("adafruit_ltr390", monkeypatch), ours("ltr390")
    for mine, theirs in (
        ("MAIN_CTRL", "CTRL"),
        ("MEAS_RATE", "MEAS_RATE"),
        ("GAIN", "GAIN"),
        ("PART_ID", "PART_ID"),
        ("MAIN_STATUS", "STATUS"),
        ("ALS_DATA", "ALSDATA"),
        ("UVS_DATA", "UVSDATA"),
    ):
        assert getattr(module, f"_{mine}") == getattr(peer, f"_{theirs}"), mine
    assert module._ADDRESS == peer._DEFAULT_I2C_ADDR


def test_bh1750_opcodes(monkeypatch: pytest.MonkeyPatch) -> None:
    peer, module = circuitpython("adafruit_bh1750", monkeypatch), ours("bh1750")
    assert module._POWER_DOWN[0] == peer._BH1750_POWER_DOWN
    assert module._POWER_ON[0] == peer._BH1750_POWER_ON
