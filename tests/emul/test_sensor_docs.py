"""docs/sensors.md says what the tables say, and every driver is in them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from tests.emul.cases import CASES

import make_sensor_docs
from citymote import registry

FOLDER = Path(__file__).resolve().parents[2] / "firmware/node/drivers"

GASES = ("no2", "o3", "co", "so2", "h2s", "nh3", "no")
CHOSEN = {"electrochemical": {*GASES, *(f"{gas}_corrected" for gas in GASES if gas != "nh3")}}
"""What one driver measures by its settings alone, with the same code (tests/emul/test_evidence_gases.py)."""


def test_the_page_is_current() -> None:
    assert make_sensor_docs.PAGE.read_text(encoding="utf-8") == make_sensor_docs.page(), (
        "run python tools/make_sensor_docs.py and commit docs/sensors.md"
    )


def test_every_driver_is_in_it() -> None:
    assert set(make_sensor_docs.facts()) == {case.driver for case in CASES}


@pytest.mark.parametrize("name", sorted({case.driver for case in CASES} - {"replay"}))
def test_it_names_what_the_driver_measures(name: str) -> None:
    rows = make_sensor_docs.facts()[name]["measures"]
    said: set[str] = set()
    for row in rows:
        said |= {row["quantity"]} if isinstance(row["quantity"], str) else set(row["quantity"])
    measured = {quantity for case in CASES if case.driver == name for quantity in case.ranges}
    # what is computed from a history has no case: its values do not come back from one reading
    computed = CHOSEN.get(name, set[str]()) | {
        registry.quantity(q).name
        for q in getattr(importlib.import_module(f"node.drivers.{name}").DRIVER, "INDICES", ())
    }
    assert said == measured | computed
    for quantity in said:
        assert registry.quantity(quantity).id
    baud = getattr(importlib.import_module(f"node.drivers.{name}").DRIVER, "BAUDRATE", None)
    assert baud is None or f"{baud} baud" in make_sensor_docs.facts()[name]["interface"]


def test_it_says_how_visitors_are_counted_and_how_they_are_not() -> None:
    note = make_sensor_docs.facts()["motion"]["note"]
    assert "Method:" in note and "Error:" in note
    assert "is not built, on purpose" in note
    assert note.strip() in make_sensor_docs.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(make_sensor_docs.facts()))
def test_it_says_what_was_confirmed_and_where_it_is_wired(name: str) -> None:
    page = make_sensor_docs.PAGE.read_text(encoding="utf-8")
    section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert "- Confirmed: " in section, f"{name} has no `confirmed` in sensors.toml"
    assert "- On " in section
