"""How a CSV file's columns become quantities: a small TOML file, the same for our three built-in sources and for
anybody's own.

    encoding = "utf-8-sig"         # default; any Python codec
    delimiter = ","                # default
    node = "serial"                # column that names the node; left out: the whole file is one node
    interval = 120                 # seconds; left out: the median step of the file
    absent = ["", "null"]          # texts that mean: nothing was measured
    base = "sdot"                  # optional: start from a built-in mapping and change it

    [time]
    columns = ["date", "hour"]     # joined by a blank
    format = "%Y.%m.%d %H"         # or "iso", or "unix"
    zone = "+09:00"                # for times that carry none

    [columns]                      # header = quantity, or a table with factor, offset and texts that mean absent
    "PM2.5" = "pm2_5"
    "vib (g)" = { quantity = "acceleration_x", factor = 9.80665, offset = 0.0, absent = ["-1"] }

    [dead]                         # a node whose whole column equals this value has no such sensor: absent
    wind_speed = 0

Every key is checked; an unknown one is an error that names it, because a silently ignored key is a silently wrong
value.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

from citymote import registry
from citymote.errors import UsageError

BUILT_IN = Path(__file__).parent / "mappings"
_KEYS = {"title", "encoding", "delimiter", "node", "interval", "absent", "base", "detect", "time", "columns", "dead"}
EPOCH_2000 = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Column:
    """One CSV column: the quantity it fills, and value = text * factor + offset in the registry's unit."""

    quantity: registry.Quantity
    factor: float = 1.0
    offset: float = 0.0
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Mapping:
    """A checked mapping file."""

    name: str
    title: str
    columns: dict[str, Column]
    time_columns: tuple[str, ...]
    time_format: str
    zone: timezone
    encoding: str = "utf-8-sig"
    delimiter: str = ","
    node: str | None = None
    interval: int | None = None
    absent: frozenset[str] = frozenset({""})
    detect: tuple[str, ...] = ()
    dead: dict[int, int] = field(default_factory=dict[int, int])

    def time(self, texts: list[str]) -> int:
        """Seconds since 2000 for the time columns' texts; ValueError if they are no time."""
        text = " ".join(part.strip() for part in texts)
        if self.time_format == "unix":
            return round(float(text)) - int(EPOCH_2000.timestamp())
        if self.time_format == "iso":
            moment = datetime.fromisoformat(text)
        else:
            moment = datetime.strptime(text, self.time_format)  # noqa: DTZ007 - the zone follows
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self.zone)
        return round((moment - EPOCH_2000).total_seconds())


def built_in() -> list[str]:
    """Names of the mappings that come with citymote."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def load(name: str | Path) -> Mapping:
    """Read a built-in mapping by name, or a mapping file by path. UsageError names the file, the key and the mend."""
    path = BUILT_IN / f"{name}.toml" if isinstance(name, str) and name in built_in() else Path(name)
    return _checked(path.stem, str(path), _read(path))


def _read(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"no mapping {path}", "it is neither a file nor a built-in", f"Built in: {', '.join(built_in())}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"mapping {path} cannot be read", str(error)) from None
    if "base" in table:
        base = str(table.pop("base"))
        if base not in built_in():
            raise UsageError(f"mapping {path}", f"base {base!r} is not built in", f"Built in: {', '.join(built_in())}.")
        table = {**_read(BUILT_IN / f"{base}.toml"), **table}
    return table


def _checked(name: str, where: str, table: dict[str, Any]) -> Mapping:
    def fail(why: str, mend: str = "") -> UsageError:
        return UsageError(f"mapping {where}", why, mend)

    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise fail(f"unknown key {unknown[0]!r}", f"Known: {', '.join(sorted(_KEYS))}.")
    time = table.get("time")
    if not isinstance(time, dict) or not cast("dict[str, Any]", time).get("columns"):
        raise fail("no [time] with columns")
    time = cast("dict[str, Any]", time)
    raw = table.get("columns")
    if not isinstance(raw, dict) or not raw:
        raise fail("no [columns]")
    columns = {header: _column(fail, header, spec) for header, spec in cast("dict[str, Any]", raw).items()}
    filled = [column.quantity.name for column in columns.values()]
    for quantity in filled:
        if filled.count(quantity) > 1:
            raise fail(f"two columns fill {quantity}")
    dead: dict[int, int] = {}
    for quantity, value in cast("dict[str, Any]", table.get("dead", {})).items():
        entry = _quantity(fail, quantity)
        if not isinstance(value, int | float):
            raise fail(f"dead value of {quantity} is no number")
        dead[entry.id] = entry.integer(value)
    interval = table.get("interval")
    if interval is not None and (not isinstance(interval, int) or not 1 <= interval <= 86400):
        raise fail("interval is 1 to 86400 seconds")
    return Mapping(
        name=name,
        title=str(table.get("title", name)),
        columns=columns,
        time_columns=tuple(str(column) for column in time["columns"]),
        time_format=str(time.get("format", "iso")),
        zone=_zone(fail, str(time.get("zone", "+00:00"))),
        encoding=str(table.get("encoding", "utf-8-sig")),
        delimiter=str(table.get("delimiter", ",")),
        node=table.get("node"),
        interval=interval,
        absent=frozenset(str(text) for text in table.get("absent", [""])),
        detect=tuple(str(header) for header in table.get("detect", [])),
        dead=dead,
    )


def _quantity(fail: Any, name: object) -> registry.Quantity:
    try:
        return registry.quantity(str(name))
    except KeyError:
        raise fail(f"unknown quantity {name!r}", "The registry's names are in protocol/spec/2-quantities.md.") from None


def _column(fail: Any, header: str, spec: Any) -> Column:
    if isinstance(spec, str):
        return Column(_quantity(fail, spec))
    if not isinstance(spec, dict) or "quantity" not in spec:
        raise fail(f"column {header!r} names no quantity")
    table = cast("dict[str, Any]", spec)
    unknown = sorted(set(table) - {"quantity", "factor", "offset", "absent"})
    if unknown:
        raise fail(f"column {header!r}: unknown key {unknown[0]!r}")
    texts = frozenset(str(text) for text in table.get("absent", []))
    return Column(
        _quantity(fail, table["quantity"]), float(table.get("factor", 1.0)), float(table.get("offset", 0.0)), texts
    )


def _zone(fail: Any, text: str) -> timezone:
    try:
        sign = {"+": 1, "-": -1}[text[0]]
        hours, minutes = text[1:].split(":")
        return timezone(sign * timedelta(hours=int(hours), minutes=int(minutes)))
    except (KeyError, IndexError, ValueError):
        raise fail(f"zone {text!r} is not like +09:00") from None
