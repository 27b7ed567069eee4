"""Values out of a board's or a chip's TOML file: each is what it has to be, or an error names file, key and reason.

Everything that reads those files reads through here, so that all of them speak of mistakes in one way.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from citymote.errors import CitymoteError

_RANGE = re.compile(r"(\d{1,2})-(\d{1,2})")
HIGHEST_PIN = 63


class BoardError(CitymoteError):
    """A board description that no node could work with."""


def read(path: Path) -> dict[str, Any]:
    """The tables of a file."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BoardError(f"{path} cannot be read", str(error)) from None


def known(table: dict[str, Any], keys: Iterable[str], where: str) -> None:
    """Refuse a key that means nothing: it would be a wish that nobody fulfils."""
    unknown = sorted(set(table) - set(keys))
    if unknown:
        raise BoardError(f"{where}: {unknown[0]!r} means nothing here", f"known are {', '.join(sorted(keys))}")


def text(table: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    """A text that says something."""
    value = table.get(key, default)
    if not isinstance(value, str) or (not value and default is None):
        raise BoardError(f"{where}: {key}", "a text is expected")
    return value


def choice(table: dict[str, Any], key: str, where: str, of: Iterable[str], default: str | None = None) -> str:
    """One of a few texts."""
    value, of = text(table, key, where, default), tuple(of)
    if value not in of:
        raise BoardError(f"{where}: {key} {value!r}", f"known are {', '.join(of)}")
    return value


def table(values: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    """A table, empty where there is none."""
    value = values.get(key, {})
    if not isinstance(value, dict):
        raise BoardError(f"{where}: {key}", "a table is expected")
    return cast("dict[str, Any]", value)


def texts(values: dict[str, Any], key: str, where: str) -> list[str]:
    """A list of texts, empty where there is none."""
    value = values.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in cast("list[Any]", value)):
        raise BoardError(f"{where}: {key}", "a list of texts is expected")
    return cast("list[str]", value)


def number(value: Any, what: str, low: int, high: int) -> int:
    """A whole number within limits."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BoardError(what, f"a number from {low} to {high} is expected")
    return value


def flag(values: dict[str, Any], key: str, where: str) -> bool:
    """True or false; false where nothing is said."""
    value = values.get(key, False)
    if not isinstance(value, bool):
        raise BoardError(f"{where}: {key}", "true or false is expected")
    return value


def pins(value: Any, what: str) -> tuple[int, ...]:
    """Pin numbers: 5, "6-11", or a list of those."""
    found: list[int] = []
    for item in cast("list[Any]", value) if isinstance(value, list) else [value]:
        match = _RANGE.fullmatch(item) if isinstance(item, str) else None
        if match:
            found += range(int(match[1]), int(match[2]) + 1)
        else:
            found.append(number(item, f"{what} (a pin, or a range such as '6-11')", 0, HIGHEST_PIN))
    return tuple(found)


def pin_key(key: str, where: str) -> int:
    """A pin as the name of an entry."""
    if not key.isdecimal():
        raise BoardError(f"{where}: {key!r}", "the number of a pin is expected")
    return number(int(key), f"{where}: {key}", 0, HIGHEST_PIN)
