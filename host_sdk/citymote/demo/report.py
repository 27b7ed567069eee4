"""One self-contained HTML page of what a city's nodes measured: summary, one plot a quantity, and a table.

No script, no font, no picture from elsewhere: the page opens in ten years from a file share. Plots are SVG drawn here;
every node is a thin line, the median of the city a strong one, absent readings are gaps and never zero.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

from citymote import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 190, 46, 10, 8, 22
MAX_LINES = 60  # more nodes than this and thin lines are a grey carpet: a sample of them and the median say more
MAX_POINTS = 360  # a point every 1.3 pixels is all that the plot can show
_STYLE = """
:root{--ink:#1d2530;--soft:#5d6b7a;--line:#d9dfe6;--wash:#f6f8fa;--a:#0b7285;--b:#0b728530}
@media(prefers-color-scheme:dark){:root{--ink:#e8edf2;--soft:#9aa8b6;--line:#33404d;--wash:#1b232c;--a:#3bc9db;--b:#3bc9db40}
body{background:#12181f}} *{box-sizing:border-box}body{margin:0 auto;max-width:1140px;padding:28px 20px
60px;color:var(--ink); font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif} h1{font-size:26px;margin:0 0
2px;letter-spacing:-.01em}h2{font-size:15px;margin:0 0 4px;font-weight:600} p.sub{color:var(--soft);margin:0 0
20px}section.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(340px,1fr));gap:16px}
figure{margin:0;padding:12px 12px 6px;border:1px solid var(--line);border-radius:10px;background:var(--wash)} figure
small{color:var(--soft);font-weight:400}svg{width:100%;height:auto;display:block} svg text{font:11px
system-ui,sans-serif;fill:var(--soft)}svg .g{stroke:var(--line);stroke-width:1} svg
.n{fill:none;stroke:var(--b);stroke-width:1}
svg .d{stroke:var(--a);stroke-opacity:.35;stroke-width:2.5;stroke-linecap:round}
svg .m{fill:none;stroke:var(--a);stroke-width:2;stroke-linejoin:round}
dl{display:flex;flex-wrap:wrap;gap:10px;margin:0 0 22px}dl div{border:1px solid
var(--line);border-radius:10px;padding:8px 14px;background:var(--wash)}
dt{color:var(--soft);font-size:12px}dd{margin:0;font-size:20px;font-variant-numeric:tabular-nums}dd.bad{color:#c92a2a}
table{border-collapse:collapse;width:100%;margin-top:26px;font-variant-numeric:tabular-nums} th,td{padding:5px
10px;border-bottom:1px solid var(--line);text-align:right}th:first-child,td:first-child{text-align:left}
th{color:var(--soft);font-weight:500;font-size:13px}.wrap{overflow-x:auto}
"""


@dataclass(frozen=True, slots=True)
class Series:
    """One node's readings of one quantity: value or None for each of the page's instants.

    `absent` of the empty instants are readings that came as absent; at the others the node was not at work.
    """

    node: str
    values: Sequence[float | None]
    absent: int = 0


def page(
    title: str,
    subtitle: str,
    figures: dict[str, str],
    bad: set[str],
    start: datetime,
    step: timedelta,
    plots: dict[int, list[Series]],
) -> str:
    """The whole page.

    `figures` are the headline numbers in order, those in `bad` are shown as alarming; `plots` maps a quantity id to
    its series, all on the instants `start + i * step`.
    """
    tiles = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd{' class=bad' if name in bad else ''}>{html.escape(value)}</dd></div>"
        for name, value in figures.items()
    )
    charts = "".join(_figure(registry.quantity(number), series, start, step) for number, series in plots.items())
    rows = "".join(_row(row) for row in summary(plots))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
        f'<p class="sub">{html.escape(subtitle)}</p><dl>{tiles}</dl><section class="grid">{charts}</section>'
        '<div class="wrap"><table><thead><tr><th>quantity<th>unit<th>readings<th>absent'
        "<th>least<th>median<th>most</tr></thead>"
        f"<tbody>{rows}</tbody></table></div></html>\n"
    )


def _numbers(series: list[Series]) -> list[float]:
    return [value for one in series for value in one.values if value is not None]


def summary(plots: dict[int, list[Series]]) -> list[tuple[str, str, int, int, str, str, str]]:
    """For each quantity: name, unit, readings, absent, least, median, most (texts at its resolution)."""
    rows: list[tuple[str, str, int, int, str, str, str]] = []
    for number, series in plots.items():
        quantity = registry.quantity(number)
        found = _numbers(series)
        absent = sum(one.absent for one in series)
        numbers = (min(found), median(found), max(found)) if found else ()
        least, middle, most = [f"{value:.{quantity.decimals}f}" for value in numbers] or ["–"] * 3
        rows.append((quantity.name, _unit(quantity), len(found), absent, least, middle, most))
    return rows


def _row(row: tuple[str, str, int, int, str, str, str]) -> str:
    name, unit, readings, absent, *stats = row
    cells = [f"<code>{html.escape(name)}</code>", html.escape(unit), f"{readings:,}", f"{absent:,}", *stats]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _unit(quantity: registry.Quantity) -> str:
    return {"ug/m3": "µg/m³", "Cel": "°C", "%RH": "%", "deg": "°", "m/s2": "m/s²", "1": "", "/100": "%"}.get(
        quantity.unit, quantity.unit
    )


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round axis values that cover low to high: steps of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-9)
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= raw - 1e-12)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def _figure(quantity: registry.Quantity, series: list[Series], start: datetime, step: timedelta) -> str:
    unit = _unit(quantity)
    caption = f"<h2>{html.escape(quantity.title)} <small>{html.escape(unit)}</small></h2>"
    found = _numbers(series)
    if not found:
        return f"<figure>{caption}<p class=sub>absent throughout</p></figure>"
    levels = ticks(min(found), max(found))
    low, high = levels[0], levels[-1]
    count = max(len(one.values) for one in series)

    def x(index: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (index / max(1, count - 1))

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (value - low) / (high - low))

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(quantity.title)}">']
    for level in levels:
        at = y(level)
        parts.append(f'<path class="g" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{level:g}</text>')
    for index, text in _clock_marks(count, start, step):
        parts.append(f'<text x="{x(index):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{text}</text>')
    stride = max(1, -(-count // MAX_POINTS))
    every = max(1, -(-len(series) // MAX_LINES))
    if quantity.kind == "PlaneAngle":
        # 359 and 1 degree are neighbours: a line or a median across north would draw a wind that never blew.
        parts += [f'<path class="d" d="{_dots(one.values, stride, x, y)}"/>' for one in series[::every]]
    else:
        parts += [f'<path class="n" d="{_path(one.values, stride, x, y)}"/>' for one in series[::every]]
        middle = [_middle([one.values[index] for one in series if index < len(one.values)]) for index in range(count)]
        parts.append(f'<path class="m" d="{_path(middle, stride, x, y)}"/>')
    return f"<figure>{caption}{''.join(parts)}</svg></figure>"


def _middle(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return median(present) if present else None


def _path(values: Sequence[float | None], stride: int, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    out: list[str] = []
    pen = "M"
    for index in range(0, len(values), stride):
        value = values[index]
        if value is None:
            pen = "M"
            continue
        out.append(f"{pen}{x(index):.1f} {y(value):.1f}")
        pen = "L"
    # A lone point draws nothing: give it a hair's length.
    return "".join(out) + ("h.5" if out else "")


def _dots(values: Sequence[float | None], stride: int, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    return "".join(
        f"M{x(index):.1f} {y(value):.1f}h.1"
        for index in range(0, len(values), stride)
        if (value := values[index]) is not None
    )


def _clock_marks(count: int, start: datetime, step: timedelta) -> list[tuple[float, str]]:
    """Whole hours, or whole days, that fall inside the plot, about five of them: (index, text)."""
    span = step * max(1, count - 1)
    choices = (1, 2, 3, 6, 12, 24, 48, 96, 240, 480, 960, 2400, 8760)
    hours = next((choice for choice in choices if span <= timedelta(hours=5 * choice)), choices[-1])
    text = "%H:%M" if hours < 24 else "%d %b"
    origin = start.replace(hour=0, minute=0, second=0, microsecond=0)
    marks = [
        origin + timedelta(hours=hours) * turn
        for turn in range(int((start + span - origin) / timedelta(hours=hours)) + 1)
    ]
    # A mark at the very edge would lose half its text.
    return [
        (place, mark.strftime(text))
        for mark in marks
        if 0 <= (place := (mark - start) / step) <= 0.985 * max(1, count - 1)
    ]
