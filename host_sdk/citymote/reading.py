"""What a developer gets: one typed reading, with unit, time and quality.

A `Reading` is a NamedTuple, because a day of a city makes tens of millions of them and a tuple is the cheapest
immutable record that Python has. The text forms of clock states come from here, those of quality codes from the
shared table, so that JSON lines, tables and stores say the same words.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

EPOCH_2000 = 946_684_800  # 2000-01-01T00:00:00Z in Unix seconds; the wire counts from there
_Y2000 = datetime(2000, 1, 1, tzinfo=UTC)

TIME_QUALITIES = ("never", "ble", "network", "satellite", "estimated")


class Reading(NamedTuple):
    """One value of one quantity, measured by one sensor of one node, at the end of its interval."""

    node: str
    seq: int
    epoch: int
    time: datetime
    time_quality: str
    quantity: str
    sensor: int
    value: float | None
    unit: str
    quality: str
    sealed: bool


def time_quality_name(clock: int) -> str:
    """Text of a clock state of the wire."""
    if 0 <= clock < len(TIME_QUALITIES):
        return TIME_QUALITIES[clock]
    return f"clock_{clock}"


def moment(seconds: int) -> datetime:
    """The wire's seconds since 2000 as an aware datetime in UTC."""
    return _Y2000 + timedelta(seconds=seconds)


def s2000(time: datetime) -> int:
    """An aware datetime as the wire's seconds since 2000, rounded down."""
    return int((time - _Y2000).total_seconds() // 1)


def time_text(time: datetime) -> str:
    """ISO 8601 with Z, to the second: `2026-11-22T03:04:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def as_dict(reading: Reading) -> dict[str, object]:
    """The members of the JSON line, in its order. The store epoch is an affair of storage and stays out of it."""
    return {
        "node": reading.node,
        "seq": reading.seq,
        "time": time_text(reading.time),
        "time_quality": reading.time_quality,
        "quantity": reading.quantity,
        "sensor": reading.sensor,
        "value": reading.value,
        "unit": reading.unit,
        "quality": reading.quality,
        "sealed": reading.sealed,
    }


def as_json(reading: Reading) -> str:
    """One JSON line, without the newline, exactly as the command line prints it."""
    return json.dumps(as_dict(reading), ensure_ascii=False, allow_nan=False)
