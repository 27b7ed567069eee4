"""How a CSV file's columns become quantities: a small TOML file, the same for our three built-in sources and for
anybody's own.

    encoding = "utf-8-sig"         # default; any Python codec
    delimiter = ","                # default
    node = "serial"                # column that names the node; left out: the whole file is one node
    interval = 120                 # seconds that divide a day; left out: as the file's median step
    absent = ["", "null"]          # texts that mean: nothing was measured; large and small letters are the same
    base = "sdot"                  # optional: start from a built-in mapping and change it

    [time]
    columns = ["date", "hour"]     # joined by a blank
    format = "%Y.%m.%d %H"         # or "iso" (default), or "unix" (seconds), or "unix_ms"
    zone = "+09:00"                # for times that carry none

    [columns]                      # header = quantity, or a table with factor, offset and texts that mean absent
    "PM2.5" = "pm2_5"
    "vib (g)" = { quantity = "acceleration_x", factor = 9.80665, offset = 0.0, absent = ["-1"] }

    [dead]                         # a node whose whole column equals this value has no such sensor: absent
    wind_speed = 0

Every key and its type is checked; an unknown one is an error that names it, because a silently ignored key is a
silently wrong value. A column that the file does not have is an error, too, but for the columns of a built-in mapping:
another export of the same make may lack one.
"""

from __future__ import annotations

import csv
import io
import math
import re
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

from citymote import registry
from citymote.errors import UsageError

from . import merging

BUILT_IN = Path(__file__).parent / "mappings"
KEYS = {"title", "encoding", "delimiter", "node", "interval", "absent", "base", "detect", "time", "columns", "dead"}
COLUMN_KEYS = {"quantity", "factor", "offset", "absent"}
TIME_KEYS = {"columns", "format", "zone"}
EPOCH_2000 = datetime(2000, 1, 1, tzinfo=UTC)
# The wire's times are 32 bits of seconds since 2000. A node starts up to two days before its first row, and works on a
# little after its last.
DAY = 86400
EARLIEST = 2 * DAY
LATEST = round((datetime(2136, 1, 1, tzinfo=UTC) - EPOCH_2000).total_seconds())


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
    own: bool = False
    """Its columns are the user's, and the file must have each."""

    def time(self, texts: list[str]) -> int:
        """Seconds since 2000 for the time columns' texts; ValueError or OverflowError if they are no time."""
        text = " ".join(part.strip() for part in texts)
        if self.time_format in ("unix", "unix_ms"):
            return round(float(text) / (1000 if self.time_format == "unix_ms" else 1)) - int(EPOCH_2000.timestamp())
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
    table = _read(path)
    own = path.parent != BUILT_IN and "columns" in table
    if "base" in table:
        base = table.pop("base")
        if base not in built_in():
            raise UsageError(f"mapping {path}", f"base {base!r} is not built in", f"Built in: {', '.join(built_in())}.")
        table = {**_read(BUILT_IN / f"{base}.toml"), **table}
    return _checked(path.stem, str(path), table, own)


def day_part(seconds: int) -> int:
    """The longest interval up to `seconds` that divides a day, as a node's has to."""
    return next(part for part in range(seconds, 0, -1) if DAY % part == 0)


def number(text: str) -> float:
    """A cell's number; ValueError for anything else, such as what only Python takes for one."""
    try:
        if "_" in text or not text.isascii():
            raise ValueError
        return float(text)
    except ValueError:
        raise ValueError("is no number") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"no mapping {path}", "it is neither a file nor a built-in", f"Built in: {', '.join(built_in())}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"mapping {path} cannot be read", str(error)) from None


class _Table:
    """One table of a mapping file; what is asked of it has the right type or is an error that says where."""

    def __init__(self, where: str, table: dict[str, Any], known: set[str] | None = None) -> None:
        self.where = where
        self.table = table
        unknown = sorted(set(table) - known) if known is not None else []
        if unknown:
            raise self.wrong(f"unknown key {unknown[0]!r}", f"Known: {', '.join(sorted(known or ()))}.")

    def wrong(self, why: str, mend: str = "") -> UsageError:
        return UsageError(f"mapping {self.where}", why, mend)

    def inner(self, key: str, known: set[str] | None = None) -> _Table:
        found = self.table.get(key, {})
        if not isinstance(found, dict):
            raise self.wrong(f"{key} is no table")
        return _Table(f"{self.where}, [{key}]", cast("dict[str, Any]", found), known)

    def text(self, key: str, default: str) -> str:
        found = self.table.get(key, default)
        if not isinstance(found, str):
            raise self.wrong(f"{key} is no text")
        return found

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        found = self.table.get(key, default)
        if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in cast("list[Any]", found)):
            raise self.wrong(f"{key} is no list of texts", f'Write it so: {key} = ["one", "two"].')
        return tuple(cast("list[str]", found))

    def absent(self, default: tuple[str, ...] = ()) -> frozenset[str]:
        return frozenset(text.strip().lower() for text in self.texts("absent", default))

    def number(self, key: str, default: float) -> float:
        found = self.table.get(key, default)
        try:
            value = math.nan if isinstance(found, bool) else float(found)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if isinstance(found, str) or not math.isfinite(value):
            raise self.wrong(f"{key} is no number")
        return value

    def quantity(self, name: object) -> registry.Quantity:
        try:
            return registry.quantity(str(name))
        except KeyError:
            names = "The registry's names are in protocol/spec/2-quantities.md."
            raise self.wrong(f"unknown quantity {name!r}", names) from None


def _checked(name: str, where: str, raw: dict[str, Any], own: bool) -> Mapping:
    top = _Table(where, raw, KEYS)
    time = top.inner("time", TIME_KEYS)
    time_columns = time.texts("columns")
    if not time_columns:
        raise top.wrong("no [time] with columns")
    named = top.inner("columns")
    if not named.table:
        raise top.wrong("no [columns]")
    columns = {header: _column(named, header) for header in named.table}
    filled = [column.quantity.name for column in columns.values()]
    for quantity in filled:
        if filled.count(quantity) > 1:
            raise named.wrong(f"two columns fill {quantity}")
    interval = top.table.get("interval")
    if interval is not None and (type(interval) is not int or not 1 <= interval <= 86400):
        raise top.wrong("interval is 1 to 86400 seconds")
    if interval is not None and DAY % interval:
        mend = f"The next shorter one that does is {day_part(interval)}."
        raise top.wrong(f"interval {interval} does not divide a day, so that rows would not keep to the clock", mend)
    return Mapping(
        name=name,
        title=top.text("title", name),
        columns=columns,
        time_columns=time_columns,
        time_format=_time_format(time),
        zone=_zone(time),
        encoding=_encoding(top),
        delimiter=_delimiter(top),
        node=top.text("node", "") or None,
        interval=interval,
        absent=top.absent(("",)),
        detect=top.texts("detect"),
        dead=_dead(top.inner("dead")),
        own=own,
    )


def _column(named: _Table, header: str) -> Column:
    spec = named.table[header]
    if isinstance(spec, str):
        return Column(named.quantity(spec))
    if not isinstance(spec, dict) or "quantity" not in spec:
        raise named.wrong(f"column {header!r} names no quantity")
    spec = cast("dict[str, Any]", spec)
    table = _Table(f"{named.where}, column {header!r}", spec, COLUMN_KEYS)
    factor = table.number("factor", 1.0)
    if not factor:
        raise table.wrong("factor 0 makes every value the same")
    return Column(table.quantity(spec["quantity"]), factor, table.number("offset", 0.0), table.absent())


def _dead(table: _Table) -> dict[int, int]:
    dead: dict[int, int] = {}
    for name in table.table:
        entry = table.quantity(name)
        try:
            dead[entry.id] = merging.integer(entry, table.number(name, 0.0))
        except ValueError as error:
            raise table.wrong(f"{name} {error}") from None
    return dead


def _encoding(top: _Table) -> str:
    name = top.text("encoding", "utf-8-sig")
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=name)
    except (LookupError, ValueError) as error:
        raise top.wrong(f"encoding {name!r}", str(error)) from None
    return name


def _delimiter(top: _Table) -> str:
    text = top.text("delimiter", ",")
    try:
        csv.reader((), delimiter=text)
    except (TypeError, ValueError):
        text = ""
    if text in ("", '"', "\r", "\n"):
        raise top.wrong("delimiter is not one character that can stand between cells")
    return text


def _time_format(time: _Table) -> str:
    text = time.text("format", "iso")
    if text in ("iso", "unix", "unix_ms"):
        return text
    try:
        datetime.strptime(EPOCH_2000.strftime(text), text)  # noqa: DTZ007 - only whether it can be read
    except (ValueError, re.error) as error:
        raise time.wrong(f"format {text!r} is no time format", str(error)) from None
    return text


def _zone(time: _Table) -> timezone:
    text = time.text("zone", "+00:00")
    found = re.fullmatch(r"([+-])([01]?\d|2[0-3]):([0-5]\d)", text)
    if not found:
        raise time.wrong(f"zone {text!r} is not like +09:00")
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-offset if found[1] == "-" else offset)
