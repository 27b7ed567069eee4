"""Holds what a board's self-test recorded against what its description asks of a good one. Pure: no board, no files.

The board measures (`firmware/node/selftest.py`), this judges, so that a limit can change without new firmware and a
record can be judged again. Every fault is a sentence that names the sensor, the value and the limit.
"""

from __future__ import annotations

from typing import Any, cast

from citymote import registry
from citymote.boards import Description
from citymote_protocol import quality

FLASH = {"/config": "settings", "/store": "readings"}
_CLOCK = (1900, 2600)
"""ms that two seconds of waiting may last by the board's uptime."""
_FREE = 4096
"""Bytes of heap that have to be left while all drivers are loaded."""


def faults(record: dict[str, Any], board: Description) -> list[str]:
    """Every reason why this board does not pass; none: it is good."""
    found = [*_sensors(record, board), *_machine(record, board)]
    fitted = {str(sensor["driver"]) for sensor in board.node["sensors"]}
    tested = {str(entry.get("driver")) for entry in _list(record, "sensors")}
    return found + [f"{driver} was not tested" for driver in sorted(fitted - tested)]


def _list(record: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", record.get(key) or [])


def _sensors(record: dict[str, Any], board: Description) -> list[str]:
    wrong: list[str] = []
    limited: set[str] = set()
    for entry in _list(record, "sensors"):
        name = f"sensor {entry.get('sensor')} ({entry.get('driver')})"
        if entry.get("driver") in board.selftest.optional:
            limited |= {one for one, _, _ in readings(entry)}
            continue
        if "error" in entry:
            wrong.append(f"{name}: {entry['error']}")
            continue
        found = readings(entry)
        if not found:
            wrong.append(f"{name}: no reading")
        for quantity, value, code in found:
            limited.add(quantity)
            if value is None:
                wrong.append(f"{name}: {quantity} is absent: {quality_name(code)}")
                continue
            low, high = board.selftest.limits.get(quantity, (float("-inf"), float("inf")))
            if not low <= value <= high:
                wrong.append(f"{name}: {quantity} is {value:g}, {low:g} to {high:g} is expected")
            elif code not in (quality.UNCHECKED, quality.ACCEPTED):
                wrong.append(f"{name}: {quantity} is {value:g} and {quality_name(code)}")
    return wrong + [
        f"no sensor reads {name}, which has limits" for name in board.selftest.limits if name not in limited
    ]


def readings(entry: dict[str, Any]) -> list[tuple[str, float | None, int]]:
    """(quantity, value in its unit, quality) of one sensor's entry."""
    found: list[tuple[str, float | None, int]] = []
    rows = cast("list[tuple[int, int | None, int]]", entry.get("readings") or [])
    for number, value, code in rows:
        quantity = registry.quantity(number)
        found.append((quantity.name, None if value is None else round(value * 10**-quantity.decimals, 6), code))
    return found


def quality_name(code: int) -> str:
    """A quality code's name."""
    return str(cast("Any", quality).name(code))


def _machine(record: dict[str, Any], board: Description) -> list[str]:
    wrong: list[str] = []
    for disk in _list(record, "flash"):
        name = f"the flash for {FLASH.get(str(disk.get('path')), disk.get('path'))}"
        if "error" in disk:
            wrong.append(f"{name}: {disk['error']}")
        elif not disk.get("kept"):
            wrong.append(f"{name} does not keep what is written")
    clock: dict[str, Any] = record.get("clock") or {}
    if not _CLOCK[0] <= (clock.get("uptime") or 0) <= _CLOCK[1]:
        wrong.append(f"the clock: two seconds lasted {clock.get('uptime')} ms")
    if clock.get("rtc") not in (2, 3):
        wrong.append(f"the clock that runs through resets went on by {clock.get('rtc')} s in two seconds")
    radio: dict[str, Any] = record.get("radio") or {"error": "was not tested"}
    if "error" in radio:
        wrong.append(f"the radio: {radio['error']}")
    elif not radio.get("random"):
        wrong.append("the random generator repeats itself")
    elif board.selftest.rssi is not None and "signals" in radio:
        best = max(cast("list[int]", radio["signals"]), default=None)
        if best is None or best < board.selftest.rssi:
            wrong.append(f"the radio hears {best} dBm at best, {board.selftest.rssi} is expected")
    _, free = cast("list[int]", record.get("heap") or [0, 0])
    if free < _FREE:
        wrong.append(f"{free} bytes of heap are left, {_FREE} are expected")
    return wrong
