"""The registry of quantities for host code: units, ranges, statistics, and what other standards call the same thing.

The data is generated from protocol/quantities.toml into `_registry_data`; this module gives it types and look-ups. The
node's smaller table is `citymote_protocol.quantities`. Quantities that this version does not know are handled by rule
(SPEC, frames): they decode, their value is the bare integer, and their name is "quantity_<id>".
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from . import _registry_data as data

VERSION: int = data.VERSION


@dataclass(frozen=True, slots=True)
class Quantity:
    """One entry of the registry.

    `unit` is a SenML symbol where one exists, `ucum` the same unit in UCUM. A reading's value is `integer * 10 **
    -decimals` in that unit. `statistic` is taken over the reporting interval; `correction` is "name/version" for
    corrected quantities and empty for raw ones; `of` names the quantity a correction or an extreme belongs to, `base`
    what a sound level is taken of. `oma`, `fiware`, `kind` and `qudt` name the nearest OMA LwM2M resource, FIWARE
    attribute, QUDT quantity kind and QUDT unit.
    """

    id: int
    name: str
    title: str
    unit: str
    ucum: str
    qudt: str
    kind: str
    decimals: int
    minimum: float
    maximum: float
    statistic: str
    state: str
    method: str
    correction: str = ""
    of: str = ""
    base: str = ""
    family: str = ""
    oma: str = ""
    fiware: str = ""

    @property
    def senml(self) -> tuple[str, float]:
        """The SenML unit and the factor from this quantity's unit to it."""
        return data.SENML.get(self.id, (self.unit, 1.0))

    @property
    def known(self) -> bool:
        """False for the stand-in of an id that this registry version does not have."""
        return self.title != ""

    def value(self, integer: int) -> float:
        """The reading in `unit`; exact decimal digits survive because the division is by a power of ten."""
        return integer / 10**self.decimals if self.decimals else float(integer)

    def integer(self, value: float) -> int:
        """The nearest integer at this quantity's resolution, halves away from zero."""
        scaled = abs(value) * 10**self.decimals
        # A value such as 0.15 is stored a hair below its decimal self: nudge before taking the floor.
        nearest = int(scaled + 0.5 + 1e-9)
        return nearest if value >= 0 else -nearest


@cache
def _tables() -> tuple[dict[int, Quantity], dict[str, Quantity]]:
    entries = [Quantity(*cast("tuple[Any, ...]", row)) for row in data.QUANTITIES]
    return {entry.id: entry for entry in entries}, {entry.name: entry for entry in entries}


def quantity(key: int | str) -> Quantity:
    """Look a quantity up by id or name.

    An unknown id gives a stand-in named "quantity_<id>" without unit or decimals, so that a newer node's readings are
    kept. KeyError for an unknown name.
    """
    by_id, by_name = _tables()
    if isinstance(key, str):
        return by_name[key]
    found = by_id.get(key)
    if found is None:
        found = Quantity(key, f"quantity_{key}", "", "", "", "", "", 0, -(2.0**31), 2.0**31, "", "", "")
    return found


def quantities() -> tuple[Quantity, ...]:
    """Every registered quantity, by id."""
    return tuple(_tables()[0].values())


def sets() -> tuple[tuple[int, str, str, tuple[int, ...]], ...]:
    """Every registered set: (id, name, title, quantity ids)."""
    return data.SETS
