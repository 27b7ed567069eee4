"""Which emulator stands for which driver: what a virtual board is wired from.

`part("sht4x", sources, settings)` makes the chip that the driver of that name, with those settings from a board's
description, expects at the other end of its wire. Sources are given by quantity name. A quantity that the chip also
measures but nobody gave a source for is derived, where physics allows no less, or reads zero. What a driver sums up
over an interval (rain, visitors) has a rate an hour for its source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .adc_supply import Divider
from .ads1115 import ADS1115, Cell
from .anemometer import Anemometer
from .base import Part, Source
from .bh1750 import BH1750
from .bme280 import BME280
from .bme688 import BME688
from .contacts import Motion, RainGauge
from .gnss import GNSS
from .ina219 import INA219
from .lis3dh import LIS3DH
from .ltr390 import LTR390
from .pms5003 import PMS5003
from .replay import Replay
from .s8 import S8
from .scd4x import SCD4x
from .scd30 import SCD30
from .sds011 import SDS011
from .sen5x import SEN66, SEN5x
from .sensecap_one import SenseCAPOne
from .sgp4x import SGP40, SGP41
from .sht3x import SHT3x
from .sht4x import SHT4x
from .sps30 import SPS30
from .sps30_uart import SPS30UART
from .veml7700 import VEML7700
from .wind_vane import WindVane

Sources = Mapping[str, Source]
Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One driver's emulator: the kind of bus, the quantities it takes sources for, and how it is made."""

    driver: str
    bus: str
    quantities: tuple[str, ...]
    make: Callable[[Sources, Settings], Part]


def _zero(now: int) -> float | None:
    return 0.0


def _sea_level(now: int) -> float | None:
    return 1013.25


def _clean(now: int) -> float | None:
    return 30000.0


def _part_of(source: Source, share: float) -> Source:
    def partly(now: int) -> float | None:
        value = source(now)
        return None if value is None else value * share

    return partly


def _dust(sources: Sources) -> tuple[Source, Source, Source]:
    """PM1, PM2.5, PM10: the two that are missing follow from one that is there, in the order that sizes nest in."""
    pm10 = sources.get("pm10") or sources.get("pm2_5") or sources.get("pm1") or _zero
    pm2_5 = sources.get("pm2_5") or _part_of(pm10, 0.6)
    return sources.get("pm1") or _part_of(pm2_5, 0.7), pm2_5, pm10


def _only(settings: Settings, *names: str) -> dict[str, Any]:
    return {name: settings[name] for name in names if name in settings}


def _sps30(make: type[SPS30 | SPS30UART]) -> Callable[[Sources, Settings], Part]:
    def wired(sources: Sources, settings: Settings) -> Part:
        pm1, pm2_5, pm10 = _dust(sources)
        n = [sources.get(name, _zero) for name in _NUMBERS]
        return make(pm1, pm2_5, pm10, sources.get("pm4"), (n[0], n[1], n[2], n[3], n[4]))

    return wired


def _air(make: type[SCD30 | SCD4x]) -> Callable[[Sources, Settings], Part]:
    return lambda sources, settings: make(*(sources.get(name, _zero) for name in ("co2", "temperature", "humidity")))


def _dust_of_four(sources: Sources) -> tuple[Source, Source, Source, Source]:
    pm1, pm2_5, pm10 = _dust(sources)
    return pm1, pm2_5, sources.get("pm4") or pm10, pm10


def _sen5x(sources: Sources, settings: Settings) -> Part:
    rest = [sources.get(name, _zero) for name in ("humidity", "temperature", "voc_index", "nox_index")]
    return SEN5x(*_dust_of_four(sources), *rest, **_only(settings, "product"))


def _sen66(sources: Sources, settings: Settings) -> Part:
    rest = [sources.get(name, _zero) for name in ("humidity", "temperature", "voc_index", "nox_index", "co2")]
    return SEN66(*_dust_of_four(sources), *rest)


_HUM = 16  # Hz, of what shakes a pole here


def _shaken(sources: Sources, axis: str) -> Source:
    """Acceleration along an axis: gravity's part, and a hum whose velocity has the wanted RMS in mm/s."""
    rest = sources.get(f"acceleration_{axis}") or sources.get(f"acceleration_{axis}_max", _zero)
    speed = sources.get(f"vibration_{axis}", _zero)

    def shaken(now: int) -> float | None:
        still, moved = rest(now), speed(now)
        if still is None or moved is None:
            return None
        swing = moved * math.sqrt(2) / 1000 * 2 * math.pi * _HUM
        return still + swing * math.cos(2 * math.pi * _HUM * now / 1000) if moved else still

    return shaken


_DUST = ("pm1", "pm2_5", "pm4", "pm10")
_NUMBERS = ("particles_0_5", "particles_1_0", "particles_2_5", "particles_4_0", "particles_10")

_GASES = ("no2", "o3", "co", "so2", "h2s", "nh3", "no")


def _cell(sources: Sources, settings: Settings) -> Part:
    labelled = ("we_electronic", "ae_electronic", "we_zero", "ae_zero", "sensitivity", "no2_sensitivity")
    cell = Cell(sources.get(settings.get("gas", "no2"), _zero), no2=sources.get("no2"), **_only(settings, *labelled))
    inputs = {settings.get("working", 0): cell.working}
    if settings.get("auxiliary", 1) is not None:
        inputs[settings.get("auxiliary", 1)] = cell.auxiliary
    return ADS1115(inputs, **_only(settings, "address"))


_ENTRIES = (
    Entry("electrochemical", "i2c", _GASES, _cell),
    Entry(
        "sensecap_one",
        "uart",
        ("wind_speed", "wind_direction", "temperature", "humidity", "pressure"),
        lambda sources, settings: SenseCAPOne(
            sources.get("wind_speed", _zero),
            sources.get("wind_direction", _zero),
            *((sources.get("temperature", _zero), sources.get("humidity", _zero), sources.get("pressure", _sea_level)))
            if settings.get("climate")
            else (),
            **_only(settings, "address"),
        ),
    ),
    Entry(
        "veml7700",
        "i2c",
        ("illuminance",),
        lambda sources, settings: VEML7700(
            _part_of(sources.get("illuminance", _zero), settings.get("window", 100) / 100)
        ),
    ),
    Entry(
        "bme688",
        "i2c",
        ("temperature", "humidity", "pressure", "gas_resistance"),
        lambda sources, settings: BME688(
            sources.get("temperature", _zero),
            sources.get("humidity", _zero),
            sources.get("pressure", _sea_level),
            sources.get("gas_resistance", _clean),
            **_only(settings, "address"),
        ),
    ),
    Entry("sgp40", "i2c", ("voc_signal",), lambda sources, settings: SGP40(sources.get("voc_signal", _clean))),
    Entry(
        "sgp41",
        "i2c",
        ("voc_signal", "nox_signal"),
        lambda sources, settings: SGP41(sources.get("voc_signal", _clean), sources.get("nox_signal", _clean)),
    ),
    Entry(
        "bme280",
        "i2c",
        ("temperature", "humidity", "pressure"),
        lambda sources, settings: BME280(
            sources.get("temperature", _zero),
            sources.get("humidity", _zero),
            sources.get("pressure", _sea_level),
            **_only(settings, "address"),
        ),
    ),
    Entry(
        "gnss",
        "uart",
        ("latitude", "longitude", "altitude"),
        lambda sources, settings: GNSS(*(sources.get(name, _zero) for name in ("latitude", "longitude", "altitude"))),
    ),
    Entry(
        "motion",
        "counter",
        ("visitors",),
        lambda sources, settings: Motion(_part_of(sources.get("visitors", _zero), 100 / settings.get("factor", 100))),
    ),
    Entry(
        "rain_gauge",
        "counter",
        ("rain_rate",),
        lambda sources, settings: RainGauge(sources.get("rain_rate", _zero), **_only(settings, "bucket")),
    ),
    Entry(
        "ina219",
        "i2c",
        ("supply_voltage", "battery_voltage", "supply_current"),
        lambda sources, settings: INA219(
            sources.get("battery_voltage") or sources.get("supply_voltage", _zero),
            sources.get("supply_current", _zero),
            **_only(settings, "address", "shunt_resistance"),
        ),
    ),
    Entry(
        "adc_supply",
        "adc",
        ("supply_voltage", "battery_voltage"),
        lambda sources, settings: Divider(
            sources.get("battery_voltage") or sources.get("supply_voltage", _zero),
            **_only(settings, "upper", "lower", "highest"),
        ),
    ),
    Entry("s8", "uart", ("co2",), lambda sources, settings: S8(sources.get("co2", _zero))),
    Entry(
        "lis3dh",
        "i2c",
        tuple(
            f"{what}_{axis}{most}" for what in ("acceleration", "vibration") for most in ("", "_max") for axis in "xyz"
        ),
        lambda sources, settings: LIS3DH(*(_shaken(sources, axis) for axis in "xyz"), **_only(settings, "address")),
    ),
    Entry(
        "ltr390",
        "i2c",
        ("uv_index", "illuminance"),
        lambda sources, settings: LTR390(
            _part_of(sources.get("uv_index", _zero), 100 / settings.get("window_factor", 100)),
            _part_of(sources.get("illuminance", _zero), 100 / settings.get("window_factor", 100)),
        ),
    ),
    Entry(
        "sht3x",
        "i2c",
        ("temperature", "humidity"),
        lambda sources, settings: SHT3x(
            sources.get("temperature", _zero), sources.get("humidity", _zero), **_only(settings, "address")
        ),
    ),
    Entry("scd30", "i2c", ("co2", "temperature", "humidity"), _air(SCD30)),
    Entry("scd4x", "i2c", ("co2", "temperature", "humidity"), _air(SCD4x)),
    Entry("sen5x", "i2c", (*_DUST, "humidity", "temperature", "voc_index", "nox_index"), _sen5x),
    Entry("sen66", "i2c", (*_DUST, "humidity", "temperature", "voc_index", "nox_index", "co2"), _sen66),
    Entry(
        "sds011",
        "uart",
        ("pm2_5", "pm10"),
        lambda sources, settings: SDS011(*_dust(sources)[1:]),
    ),
    Entry(
        "anemometer",
        "counter",
        ("wind_speed",),
        lambda sources, settings: Anemometer(sources.get("wind_speed", _zero), **_only(settings, "slope", "offset")),
    ),
    Entry(
        "bh1750",
        "i2c",
        ("illuminance",),
        lambda sources, settings: BH1750(
            _part_of(sources.get("illuminance", _zero), settings.get("window", 100) / 100), **_only(settings, "address")
        ),
    ),
    Entry("pms5003", "uart", ("pm1", "pm2_5", "pm10"), lambda sources, settings: PMS5003(*_dust(sources))),
    Entry("replay", "uart", (), lambda sources, settings: Replay.from_sources(sources)),
    Entry(
        "sht4x",
        "i2c",
        ("temperature", "humidity"),
        lambda sources, settings: SHT4x(
            sources.get("temperature", _zero), sources.get("humidity", _zero), **_only(settings, "address")
        ),
    ),
    Entry("sps30", "i2c", ("pm1", "pm2_5", "pm4", "pm10", *_NUMBERS), _sps30(SPS30)),
    Entry("sps30_uart", "uart", ("pm1", "pm2_5", "pm4", "pm10", *_NUMBERS), _sps30(SPS30UART)),
    Entry(
        "wind_vane",
        "adc",
        ("wind_direction",),
        lambda sources, settings: WindVane(
            _turned(sources.get("wind_direction", _zero), settings.get("offset", 0)),
            **_only(settings, "kind", "minimum", "maximum", "supply", "pull_up"),
        ),
    ),
)


def _turned(source: Source, offset: int) -> Source:
    """What the vane itself sees when its zero points to `offset` degrees."""

    def turned(now: int) -> float | None:
        value = source(now)
        return None if value is None else (value - offset) % 360

    return turned


CATALOGUE: Mapping[str, Entry] = {entry.driver: entry for entry in _ENTRIES}


def part(driver: str, sources: Sources, settings: Settings | None = None) -> Part:
    """The emulated chip for a driver; KeyError names a driver that has none."""
    return CATALOGUE[driver].make(sources, settings or {})
