"""Tables that the node carries in bytes say what the registry says."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from citymote import registry, resources

KINDS = {
    "mean": "MEAN",
    "vector_mean": "VECTOR",
    "leq": "LAST",
    "max": "MAX",
    "peak": "MAX",
    "at_max": "LAST",
    "percentile": "LAST",
    "sum": "SUM",
    "rms": "RMS",
    "min": "MIN",
    "last": "LAST",
    "state": "LAST",
}
# What the node says about itself is never gathered over an interval.
OWN = range(99, 124)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [*sys.path, str(resources.firmware())])
    return lambda name: importlib.import_module(f"node.{name}")


def known() -> list[registry.Quantity]:
    return [q for q in (registry.quantity(i) for i in range(1, 256)) if q.known]


def test_every_quantity_is_gathered_as_its_statistic_wants(node: Any) -> None:
    statistics = node("statistics")
    for quantity in known():
        if quantity.id not in OWN:
            wanted = getattr(statistics, KINDS[quantity.statistic])
            assert statistics.kind(quantity.id) == wanted, f"{quantity.name} is a {quantity.statistic}"


def test_an_extreme_is_of_the_quantity_that_the_registry_names(node: Any) -> None:
    statistics = node("statistics")
    for quantity in known():
        source = statistics.source(quantity.id)
        if source is not None:
            assert registry.quantity(source).name == quantity.of
            assert quantity.statistic in ("max", "min", "peak")


def test_the_nodes_ranges_are_the_registrys(node: Any) -> None:
    plausibility = node("plausibility")
    checked = 0
    for quantity in known():
        found = plausibility.limits(quantity.id)
        if found is not None:
            scale = 10**quantity.decimals
            assert found == (round(quantity.minimum * scale), round(quantity.maximum * scale)), quantity.name
            checked += 1
    assert checked >= 39


def test_everything_of_the_citys_sets_has_a_range(node: Any) -> None:
    plausibility = node("plausibility")
    for number, _, _, columns in registry.sets():
        for quantity in columns if number in (1, 2, 4, 5, 7) else ():
            assert plausibility.limits(quantity) is not None, registry.quantity(quantity).name


def test_a_status_frame_carries_what_its_table_says(node: Any) -> None:
    health = node("health")
    names = [registry.quantity(number).name for number in health._FIXED]
    assert names == [
        "heap_free",
        "heap_low_water",
        "uptime",
        "boot_count",
        "reset_cause",
        "signal_strength",
        "store_depth",
        "store_discarded",
        "store_used",
        "clock_state",
        "clock_drift",
        "link_failures",
        "task_restarts",
    ]
    assert registry.quantity(health._SENSOR_AGE).name == "sensor_age"
    assert registry.quantity(health._SENSOR_ERRORS).name == "sensor_errors"
