"""What the contract test needs to know of each driver: over which range its values must come back equal, and how it
is hurt.

One entry a driver file; `settings` are those with which the whole range is covered. `ranges` are integers at the
registry's resolution, `step` the chip's own resolution in them. `check` names what protects the bytes: crc (each
word), sum (each frame), none.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emul.wires import INTERVAL

from citymote import registry
from citymote.testing.emul.base import Part, Source
from citymote.testing.emul.catalogue import part


@dataclass(frozen=True)
class Case:
    driver: str
    ranges: Mapping[str, tuple[int, int]]
    check: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    step: int = 1
    steps: Mapping[str, int] = field(default_factory=dict[str, int])
    ident: str = ""
    unplugged_says: tuple[int | type[OSError], ...] = (OSError,)
    """What a driver says whose chip is not there: Fault codes, or OSError."""
    hourly: Mapping[str, str] = field(default_factory=dict[str, str])
    """Quantities that are summed up over an interval, and the source of their rate an hour."""
    nested: bool = False
    """Quantities are size classes: each at most the next."""
    near: int = 0
    """How far a value may come back from what went in: the chip's digits are no multiple of the registry's."""
    coarse: Mapping[str, int] = field(default_factory=dict[str, int])
    """Quantities whose step grows with the value: how many parts in a thousand they may come back off."""
    long: bool = False
    """A reading has so many bytes that random tests take fewer of them."""
    same: int = 0
    """So many quantities in a row are other statistics of as many before them, and have their values here."""

    def grid(self, name: str) -> int:
        """The chip's own resolution of a quantity, in the registry's integers."""
        return self.steps.get(name, self.step)

    @property
    def name(self) -> str:
        return self.ident or self.driver

    def module(self) -> Any:
        return importlib.import_module(f"node.drivers.{self.driver}")

    def cls(self) -> Any:
        return self.module().DRIVER

    def same_as(self, readings: list[Any], expected: list[Any]) -> bool:
        """Whether readings are what went in."""
        if not self.near and not self.coarse:
            return readings == expected
        coarse = {number(name): parts for name, parts in self.coarse.items()}
        return all(
            (q, c) == (other, code)
            and value is not None
            and abs(value - wanted) <= self.near + abs(wanted) * coarse.get(q, 0) / 1000
            for (q, value, c), (other, wanted, code) in zip(readings, expected, strict=True)
        )

    def part(self, values: Mapping[str, int | None]) -> Part:
        """The chip, measuring constant values given as registry integers."""
        sources = {name: constant(name, value) for name, value in values.items() if name not in self.hourly}
        for name, source in self.hourly.items():
            value = values[name]
            hourly = None if value is None else in_units(name, value) * 3_600_000 / INTERVAL
            sources[source] = always(hourly)
        return part(self.driver, sources, self.settings)

    def middle(self) -> dict[str, int]:
        return {n: (low + 2 * high) // 3 // self.grid(n) * self.grid(n) for n, (low, high) in self.ranges.items()}


def always(value: float | None) -> Source:
    return lambda now: value


def number(name: str) -> int:
    return registry.quantity(name).id


def in_units(name: str, value: int) -> float:
    return registry.quantity(name).value(value)


def constant(name: str, value: int | None) -> Source:
    unit = None if value is None else in_units(name, value)
    return lambda now: unit


_DUST = {"pm1": (0, 10000), "pm2_5": (0, 10000), "pm4": (0, 10000), "pm10": (0, 10000)}
_COUNTS = ("particles_0_5", "particles_1_0", "particles_2_5", "particles_4_0", "particles_10")
_ACCELERATION = {f"acceleration_{axis}{most}": (-1960, 1960) for most in ("", "_max") for axis in "xyz"}
_REPLAYED = {
    "pm2_5": (0, 15000),
    "temperature": (-500, 850),
    "laeq": (200, 1400),
    "acceleration_z": (-16000, 16000),
    "wind_gust_direction": (0, 359),
}

CASES = (
    Case(
        "bme688",
        {
            "temperature": (-400, 850),
            "humidity": (0, 1000),
            "pressure": (3000, 11000),
            "gas_resistance": (1500, 100_000_000),
        },
        "none",
        coarse={"gas_resistance": 2, "humidity": 2},
    ),
    Case(
        "bme688",
        {"temperature": (-400, 850), "humidity": (0, 1000), "pressure": (3000, 11000)},
        "none",
        {"heater_temperature": 0, "osrs_t": 16, "osrs_h": 16, "osrs_p": 16, "address": 0x77},
        ident="bme688-no_gas",
        coarse={"humidity": 2},  # the data sheet's integer formula and its double-precision one, hot and wet
    ),
    Case("veml7700", {"illuminance": (0, 139_000)}, "none", coarse={"illuminance": 2}, near=1),
    Case("veml7700", {"illuminance": (0, 5000)}, "none", {"window": 50}, ident="veml7700-window", near=1),
    Case("sgp40", {"voc_signal": (0, 65535)}, "crc"),
    Case("sgp40", {"voc_signal": (0, 65535)}, "crc", {"low_power": True}, ident="sgp40-low_power"),
    Case("sgp41", {"voc_signal": (0, 65535), "nox_signal": (0, 65535)}, "crc"),
    Case("bme280", {"temperature": (-400, 850), "humidity": (0, 1000), "pressure": (3000, 11000)}, "none"),
    Case(
        "bme280",
        {"temperature": (-400, 850), "humidity": (0, 1000), "pressure": (3000, 11000)},
        "none",
        {"address": 0x77, "osrs_t": 2, "osrs_h": 4, "osrs_p": 16},
        ident="bme280-oversampled",
    ),
    Case(
        "gnss",
        {"latitude": (-90_000_000, 90_000_000), "longitude": (-180_000_000, 180_000_000), "altitude": (-5000, 90_000)},
        "sum",
        unplugged_says=(8, 10),
    ),
    Case("rain_gauge", {"rain": (0, 400)}, "none", {"bucket": 100}, unplugged_says=(0,), hourly={"rain": "rain_rate"}),
    Case("motion", {"visitors": (0, 200)}, "none", unplugged_says=(0,), hourly={"visitors": "visitors"}),
    Case("electrochemical", {"no2": (-500, 5000)}, "none", {"we_electronic": 250, "ae_electronic": 245, "we_zero": -7}),
    Case(
        "electrochemical",
        {"nh3": (0, 20_000)},
        "none",
        {"gas": "nh3", "working": 3, "auxiliary": None, "sensitivity": 45, "address": 0x4B, "data_rate": 860},
        ident="electrochemical-nh3",
        near=1,
    ),
    Case("sensecap_one", {"wind_speed": (0, 600), "wind_direction": (0, 359)}, "crc", unplugged_says=(8,)),
    Case(
        "sensecap_one",
        {
            "wind_speed": (0, 600),
            "wind_direction": (0, 359),
            "temperature": (-400, 850),
            "humidity": (0, 1000),
            "pressure": (3000, 12500),
        },
        "crc",
        {"address": 10, "climate": True},
        ident="sensecap_one-climate",
        unplugged_says=(8,),
    ),
    Case("s8", {"co2": (1, 10000)}, "crc", unplugged_says=(8,)),
    Case("s8", {"co2": (1, 10000)}, "crc", {"abc_period": 0}, ident="s8-abc_period", unplugged_says=(8,)),
    Case(
        "ina219", {"supply_voltage": (0, 32000), "supply_current": (-3199, 3199)}, "none", steps={"supply_voltage": 4}
    ),
    Case(
        "ina219",
        {"battery_voltage": (0, 32000), "supply_current": (-5000, 5000)},
        "none",
        {"battery": True, "shunt_resistance": 10, "shunt_range": 80, "address": 0x45},
        ident="ina219-battery",
        steps={"battery_voltage": 4},
    ),
    Case("adc_supply", {"supply_voltage": (500, 4890)}, "none", near=2, unplugged_says=(8,)),
    Case(
        "adc_supply",
        {"battery_voltage": (2500, 14600)},
        "none",
        {"battery": True, "upper": 390000, "lower": 100000, "highest": 3100, "lowest": 2000},
        ident="adc_supply-battery",
        near=4,
        unplugged_says=(8,),
    ),
    Case("sht3x", {"temperature": (-400, 1250), "humidity": (0, 1000)}, "crc"),
    Case("ltr390", {"uv_index": (0, 200)}, "none"),
    Case(
        "ltr390",
        {"uv_index": (0, 200), "illuminance": (0, 150_000)},
        "none",
        {"ambient": True, "window_factor": 140},
        ident="ltr390-ambient",
    ),
    Case("lis3dh", _ACCELERATION, "none", same=3),
    Case("lis3dh", _ACCELERATION, "none", {"data_rate": 10, "address": 0x19}, ident="lis3dh-10Hz", same=3),
    Case(
        "lis3dh",
        _ACCELERATION | {f"vibration_{axis}{most}": (0, 0) for most in ("", "_max") for axis in "xyz"},
        "none",
        {"velocity": True, "data_rate": 200, "duration": 1000},
        ident="lis3dh-velocity",
        long=True,
        near=2,
        same=3,
    ),
    Case("scd4x", {"co2": (1, 40000), "temperature": (-100, 600), "humidity": (0, 1000)}, "crc"),
    Case(
        "scd4x",
        {"co2": (1, 40000), "temperature": (-100, 600), "humidity": (0, 1000)},
        "crc",
        {"low_power": True, "altitude": 38, "temperature_offset": 25, "automatic_self_calibration": False},
        ident="scd4x-low_power",
    ),
    Case("scd30", {"co2": (1, 40000), "temperature": (-400, 700), "humidity": (0, 1000)}, "crc"),
    Case(
        "sen5x",
        _DUST | {"humidity": (0, 1000), "temperature": (-100, 500), "voc_index": (1, 500), "nox_index": (1, 500)},
        "crc",
        {"temperature_offset": -40, "auto_cleaning_interval": 86400},
    ),
    Case(
        "sen5x",
        _DUST | {"humidity": (0, 1000), "temperature": (-100, 500), "voc_index": (1, 500)},
        "crc",
        {"product": "SEN54"},
        ident="sen5x-SEN54",
    ),
    Case("sen5x", _DUST, "crc", {"product": "SEN50"}, ident="sen5x-SEN50"),
    Case(
        "sen66",
        _DUST
        | {
            "humidity": (0, 1000),
            "temperature": (-100, 500),
            "voc_index": (1, 500),
            "nox_index": (1, 500),
            "co2": (0, 40000),
        },
        "crc",
        {"altitude": 38, "automatic_self_calibration": True},
    ),
    Case("sds011", {"pm2_5": (0, 9999), "pm10": (0, 9999)}, "sum", unplugged_says=(8,)),
    Case("sht4x", {"temperature": (-400, 1250), "humidity": (0, 1000)}, "crc"),
    Case(
        "sht4x",
        {"temperature": (-400, 1250), "humidity": (0, 1000)},
        "crc",
        {"repeatability": "low", "address": 0x45},
        ident="sht4x-low",
    ),
    Case("sps30", _DUST, "crc", nested=True),
    Case(
        "sps30",
        _DUST | dict.fromkeys(_COUNTS, (0, 300000)),
        "crc",
        {"number_concentration": True, "auto_cleaning_interval": 86400},
        ident="sps30-numbers",
    ),
    Case("sps30_uart", _DUST | dict.fromkeys(_COUNTS, (0, 300000)), "sum", unplugged_says=(8,)),
    Case("pms5003", {"pm1": (0, 10000), "pm2_5": (0, 10000), "pm10": (0, 10000)}, "sum", step=10, unplugged_says=(8,)),
    Case("bh1750", {"illuminance": (0, 54612)}, "none"),
    Case("wind_vane", {"wind_direction": (0, 359)}, "none", unplugged_says=(8,)),
    Case(
        "wind_vane",
        {"wind_direction": (0, 359)},
        "none",
        {"offset": 137, "minimum": 500, "maximum": 4500},
        ident="wind_vane-offset",
        unplugged_says=(8,),
    ),
    Case("anemometer", {"wind_speed": (0, 600)}, "none", {"calm_limit": 2}, unplugged_says=(15,)),
    Case(
        "replay",
        _REPLAYED,
        "crc",
        {"quantities": list(_REPLAYED)},
        unplugged_says=(8,),
    ),
)
