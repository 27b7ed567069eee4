"""Several lines of one interval become one row, by what the registry says each quantity is a statistic of.

Sums are added, extremes kept, levels averaged by their energy and directions by their unit vectors, as the node does it
with its own readings. A percentile of a whole cannot be had from the percentiles of its parts: the last one stands, and
`lasts` says so. The same holds for the direction of a gust where no speed tells which was the strongest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from citymote import registry
from citymote_protocol import quantities as q

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST = 999_999_999  # nine digits, all that the replay driver reads and a node keeps; the wire ends a little above
CANCEL = 0.1  # unit vectors whose mean is shorter point nowhere


def integer(entry: registry.Quantity, value: float) -> int:
    """At the registry's resolution, north as 0 and never 360; ValueError for what no node can say."""
    if not math.isfinite(value) or abs(value) * 10**entry.decimals >= LARGEST + 0.5:
        raise ValueError("is out of any range")
    if entry.statistic == "rms" and value < 0:
        raise ValueError("is negative, which no root mean square is")
    number = entry.integer(value)
    if entry.unit != "deg":
        return number
    if abs(value) > 360:
        raise ValueError("is no direction of 0 to 360 degrees")
    return number % (360 * 10**entry.decimals)


def row(lines: Sequence[dict[int, float]], lasts: set[str]) -> dict[int, int]:
    """One row from an interval's lines, in the order of their times. What has no common value is absent from it."""
    out: dict[int, int] = {}
    for number in sorted({number for line in lines for number in line}):
        entry = registry.quantity(number)
        found = [line for line in lines if number in line]
        value = found[0][number] if len(found) == 1 else _merged(entry, found, lasts)
        if value is not None:
            out[number] = integer(entry, value)
    return out


def _merged(entry: registry.Quantity, lines: list[dict[int, float]], lasts: set[str]) -> float | None:
    values = [line[entry.id] for line in lines]
    match entry.statistic:
        case "mean":
            return sum(values) / len(values)
        case "vector_mean":
            return _direction(values)
        case "leq":
            # Relative to the loudest, so that no level is too large a power.
            top = max(values)
            return top + 10 * math.log10(sum(10 ** ((value - top) / 10) for value in values) / len(values))
        case "rms":
            return math.sqrt(sum(value * value for value in values) / len(values))
        case "sum":
            return sum(values)
        case "max" | "peak":
            return max(values)
        case "min":
            return min(values)
        case "at_max" if all(q.WIND_GUST_SPEED in line for line in lines):
            return max(lines, key=lambda line: line[q.WIND_GUST_SPEED])[entry.id]
        case "at_max" | "percentile":
            lasts.add(entry.name)
        case _:
            pass  # a state, or a last value as it is
    return values[-1]


def _direction(values: list[float]) -> float | None:
    x = sum(math.cos(math.radians(value)) for value in values) / len(values)
    y = sum(math.sin(math.radians(value)) for value in values) / len(values)
    return None if math.hypot(x, y) < CANCEL else math.degrees(math.atan2(y, x)) % 360
