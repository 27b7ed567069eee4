"""Corrections on the host: beside the raw readings, with the node's own code, and absent where an input is."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from citymote import Reading, corrections
from citymote.corrections import Cell, corrected
from citymote.errors import UsageError

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def row(seq: int = 1, node: str = "0102030405aa", sensor: int = 0, **values: float | None) -> list[Reading]:
    units = {"pm2_5": "ug/m3", "humidity": "%RH", "temperature": "Cel", "pressure": "hPa"}
    return [
        Reading(
            node, seq, 1, NOON, "network", name, sensor, value, units.get(name, ""),
            "unchecked" if value is not None else "bad_checksum", True,
        )
        for name, value in values.items()
    ]  # fmt: skip


def added(
    readings: list[Reading], *names: str, site: Mapping[str, float] | Mapping[str, Mapping[str, float]] | None = None
) -> list[Reading]:
    found = list(corrected(readings, names, site))
    assert [r for r in found if r in readings] == readings, "what came in goes out, in its order"
    return [r for r in found if r not in readings]


def test_the_corrected_value_stands_beside_the_raw_one() -> None:
    (made,) = added(row(pm2_5=30.0, humidity=40.0), "pm2_5_epa")
    assert (made.quantity, made.value, made.unit, made.quality) == ("pm2_5_epa", 18.0, "ug/m3", "unchecked")
    assert (made.node, made.seq, made.time, made.sealed) == ("0102030405aa", 1, NOON, True)


def test_each_row_and_each_sensor_has_its_own() -> None:
    first = row(pm2_5=10.0, humidity=50.0) + row(sensor=1, pm2_5=30.0)
    second = row(seq=2, pm2_5=30.0) + row(seq=2, sensor=1, pm2_5=30.0, humidity=40.0)
    made = added(first + second, "pm2_5_epa")
    assert [(r.seq, r.sensor, r.value) for r in made] == [(1, 0, 6.7), (1, 1, 17.2), (2, 0, 18.0), (2, 1, 18.0)]


@pytest.mark.parametrize(
    ("values", "quality"),
    [
        (row(pm2_5=None, humidity=40.0), "bad_checksum"),
        (row(pm2_5=30.0, humidity=None), "bad_checksum"),
        (row(pm2_5=300.0, humidity=40.0), "out_of_range"),
    ],
)
def test_without_its_inputs_there_is_no_value(values: list[Reading], quality: str) -> None:
    (made,) = added(values, "pm2_5_epa")
    assert (made.value, made.quality) == (None, quality)


def test_the_gravest_quality_of_the_inputs_holds_for_the_result() -> None:
    dust, humidity = row(pm2_5=30.0, humidity=40.0)
    (made,) = added([dust, humidity._replace(quality="suspicious")], "pm2_5_epa")
    assert (made.value, made.quality) == (18.0, "suspicious")


def test_what_the_node_corrected_itself_is_not_computed_again() -> None:
    assert added(row(pm2_5=30.0, humidity=40.0, pm2_5_epa=18.0), "pm2_5_epa") == []


def test_sea_level_needs_a_height_from_the_node_or_from_the_caller() -> None:
    here = row(pressure=1001.3, temperature=14.4)
    assert added(here, "pressure_sea_level") == [], "nothing is said of what cannot be known"
    assert added(here, "pressure_sea_level", site={"altitude": 100.0})[0].value == pytest.approx(1013.3, abs=0.05)
    assert added(here, "pressure_sea_level", site={"0102030405aa": {"altitude": 100.0}})[0].value is not None
    assert added(here, "pressure_sea_level", site={"another": {"altitude": 100.0}}) == []
    reported = row(pressure=1001.3, temperature=14.4, altitude=0.0)
    assert added(reported, "pressure_sea_level", site={"altitude": 100.0})[0].value == 1001.3, "the node knows better"


def test_what_can_be_computed_names_its_formula() -> None:
    names = {entry.quantity: f"{entry.name}/{entry.version}" for entry in corrections.known()}
    assert names == {
        "pm2_5_epa": "epa-barkjohn/2021",
        "pm2_5_humidity": "kappa-koehler/1",
        "pm10_humidity": "kappa-koehler/1",
        "pressure_sea_level": "barometric/1",
    }


def test_one_value_by_itself() -> None:
    assert corrections.correct("pm2_5_epa", {"pm2_5": 30.0, "humidity": 40.0}) == 18.0
    assert corrections.correct("pm2_5_epa", {"pm2_5": 30.0, "humidity": None}) is None


def test_the_registry_and_the_code_name_the_same_corrections() -> None:
    from citymote.registry import quantity
    from citymote_protocol.corrections import CORRECTIONS

    for number, name, version, needed in CORRECTIONS:
        assert quantity(number).correction == f"{name}/{version}"
        assert quantity(number).of == quantity(needed[0]).name


@pytest.mark.parametrize("name", ["pm2_5", "pm2_5_corrected", "no such thing"])
def test_other_quantities_are_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        list(corrected([], [name]))
    assert "pm2_5_epa" in str(refused.value) + str(vars(refused.value))


@pytest.mark.parametrize("name", ["NO2-B43F", "OX-B431", "CO-B4", "SO2-B4", "H2S-B4", "NO-B4", "CO-A4", "H2S-A4"])
def test_the_host_reads_a_gas_cell_as_the_nodes_driver_does(name: str) -> None:
    """The same voltages through an emulated converter and the driver, and through `Cell`: equal to the ppb."""
    from tests.emul.conftest import FIRMWARE
    from tests.emul.wires import World

    from citymote.testing.emul.ads1115 import ADS1115

    assert FIRMWARE in sys.path, "drivers are importable"
    driver = importlib.import_module("node.drivers.electrochemical").DRIVER
    label = {"we_electronic": 295, "ae_electronic": 282, "we_zero": -12, "ae_zero": -4, "sensitivity": 308}
    cell = Cell(name, **label)
    gas = {"NO2": "no2", "OX": "o3", "CO": "co", "SO2": "so2", "H2S": "h2s", "NO": "no"}[name.partition("-")[0]]
    plan = random.Random(name)
    for _ in range(40):
        # multiples of a sixteenth of a mV, which the converter has exactly
        working, auxiliary = plan.randrange(4000, 14000) / 16, plan.randrange(3000, 6000) / 16
        celsius = plan.randrange(-350, 550) / 10
        chip = ADS1115({0: lambda now, v=working: v, 1: lambda now, v=auxiliary: v})
        table = World(driver, chip, {"gas": gas, "cell": name, **label})
        table.driver.know(3, round(celsius * 10))
        told = tuple(value for _, value, _ in table.reading())
        assert told == cell.concentration(working, auxiliary, celsius)
    assert cell.concentration(400.0, 290.0, None)[1] is None


@pytest.mark.parametrize("given", [{"name": "NO2-B4"}, {"name": "CO-B4", "algorithm": 3}, {"name": "H2S-A4"}])
def test_a_cell_without_factors_or_labels_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Cell(sensitivity=300, **given)
