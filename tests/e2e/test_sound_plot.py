"""Street sound of known level, from the emulated microphone to the plot of the demo's page, within 0.2 dB.

Two hours of levels that nobody would guess go in as a data file. At the pole stands the sound level meter: one minute
of each hour is rendered as sound and heard word by word, the rest of the levels enter behind the microphone. What comes
out is read off the curve on the page, by the axis that the page has.
"""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.e2e.city import demo

from citymote import open_store, registry

START = datetime(2026, 5, 1, tzinfo=UTC)
ROWS = 60
LEVELS = [48.0 + (37 * k % 191) / 10 for k in range(ROWS)]
MAPPING = '[time]\ncolumns = ["time"]\n[columns]\nnoise = "laeq"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, run_vm: object) -> Path:
    out = tmp_path_factory.mktemp("street")
    lines = [f"{(START + timedelta(minutes=2 * k)).isoformat()},pole,{level:.1f}" for k, level in enumerate(LEVELS)]
    (out / "street.csv").write_text("time,where,noise\n" + "\n".join(lines) + "\n")
    (out / "street.toml").write_text(MAPPING)
    demo(out / "demo", "--data", out / "street.csv", "--mapping", out / "street.toml", "--claim", 0).good()
    return out / "demo"


def plotted(page: str) -> list[float]:
    """The curve of LAeq, read by the labels of its own axis."""
    title = html.escape(registry.quantity("laeq").title)
    figures = [figure for figure in page.split("<figure>")[1:] if f"<h2>{title} " in figure]
    assert len(figures) == 1, "one figure of LAeq was expected"
    lines = re.findall(r'<path class="g" d="M[\d.]+ ([\d.]+)H', figures[0])
    labels = re.findall(r'text-anchor="end">([-\d.]+)</text>', figures[0])
    low, high = float(labels[0]), float(labels[-1])
    at_low, at_high = float(lines[0]), float(lines[-1])
    curve = re.search(r'<path class="n" d="([^"]*)"', figures[0])
    assert curve is not None
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", curve[1])]
    return [low + (at_low - y) / (at_low - at_high) * (high - low) for y in heights]


def test_the_plot_shows_the_levels_of_the_street(folder: Path) -> None:
    found = plotted((folder / "report.html").read_text("utf-8"))
    assert len(found) == ROWS
    assert found == pytest.approx(LEVELS, abs=0.2)


def test_the_store_holds_them_at_the_registrys_resolution(folder: Path) -> None:
    with open_store(folder / "readings.db") as store:
        readings = [r for r in store.iter_readings() if r.quantity == "laeq"]
    assert [r.value for r in sorted(readings, key=lambda r: r.time)] == pytest.approx(LEVELS, abs=0.05)
    assert all(r.unit == "dB" for r in readings)


def test_the_other_levels_come_with_them(folder: Path) -> None:
    """Maximum above, percentiles in order, for each row."""
    with open_store(folder / "readings.db") as store:
        rows: dict[object, dict[str, float]] = {}
        for r in store.iter_readings():
            if r.value is not None and r.quantity in ("laeq", "laf_max", "l10", "l90"):
                rows.setdefault(r.time, {})[r.quantity] = float(r.value)
    assert len(rows) == ROWS
    for row in rows.values():
        assert row["l90"] < row["laeq"] < row["laf_max"]
        assert row["l90"] <= row["l10"] <= row["laf_max"]
