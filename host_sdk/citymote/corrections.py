"""Corrected readings on the host, by the very file that nodes correct with (`citymote_protocol.corrections`).

For nodes that send raw readings alone: a humidity correction for particulate matter, say, computed from what a node
measured at the same instant. Everything is computed in the integers of the wire, so that host and node agree to the
digit. A reading that a node has already corrected is not corrected again, and raw readings always stay. What a gas
cell's voltages mean at a temperature (`Cell`) is computed from them and the cell's labels, by the node driver's code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, cast

from citymote.errors import UsageError
from citymote.reading import Reading
from citymote.registry import quantity
from citymote_protocol import cells as _cells
from citymote_protocol import corrections as _shared
from citymote_protocol import quality as _quality

_TABLE: tuple[tuple[int, str, str, tuple[int, ...]], ...] = cast("Any", _shared).CORRECTIONS
_correct: Callable[[int, Sequence[int | None]], int | None] = cast("Any", _shared).correct
_code: Callable[[str], int | None] = cast("Any", _quality).by_name
_word: Callable[[int], str] = cast("Any", _quality).name

_UNCHECKED, _REJECTED, _LIKELY_INVALID, _SUSPICIOUS, _ACCEPTED, _NO_ANSWER, _OUT_OF_RANGE = 0, 1, 2, 3, 4, 8, 11
_GRAVITY = (_ACCEPTED, _UNCHECKED, _SUSPICIOUS, _LIKELY_INVALID, _REJECTED)  # then the reasons

_factors: Callable[[str, int | None], tuple[int, tuple[int, ...]] | None] = cast("Any", _cells).factors
_plain: Callable[[int, int, int, int], int] = cast("Any", _cells).plain
_compensated: Callable[..., int | None] = cast("Any", _cells).compensated
_ppb: Callable[[int, int], int] = cast("Any", _cells).ppb
_UNIT: int = cast("Any", _cells).UNIT

Site = Mapping[str, float]
"""What a place knows of itself, by quantity name: `{"altitude": 38.0}`, in m."""


@dataclass(frozen=True, slots=True)
class Correction:
    """One correction that can be computed: the quantity it makes, its name and version, and what goes in."""

    quantity: str
    name: str
    version: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A four-electrode gas cell with what stands on its labels, for voltages that somebody kept: `cell-temperature/1`.

    `name` is the maker's (NO2-B43F, OX-B431 ...), `algorithm` 1 to 4 one of the two that the application note names for
    it, None the one that it suggests. `we_electronic`, `ae_electronic` are the board's offsets, `we_zero`, `ae_zero`
    the cell's own, in mV; `sensitivity` in uV for each ppb. UsageError for a cell or algorithm without factors.
    """

    name: str
    sensitivity: int
    we_electronic: int = 0
    ae_electronic: int = 0
    we_zero: int = 0
    ae_zero: int = 0
    algorithm: int | None = None

    def __post_init__(self) -> None:
        found = _factors(self.name, self.algorithm)
        if found is None:
            raise UsageError(f"no factors for cell {self.name} and algorithm {self.algorithm or 'of its own'}")
        if self.sensitivity < 1 or (found[0] == 2 and not self.ae_zero):
            raise UsageError(f"cell {self.name}", "sensitivity is 1 uV/ppb and more; algorithm 2 needs ae_zero")

    def concentration(self, working: float, auxiliary: float, temperature: float | None) -> tuple[int, int | None]:
        """(without regard to temperature, corrected) in ppb, from the electrodes' mV and the air's temperature in Cel.

        The second is None without a temperature, or where it lies outside the note's -30 to 50 degrees.
        """
        algorithm, table = _factors(self.name, self.algorithm) or (0, ())
        we = round((working - self.we_electronic) * _UNIT)
        ae = round((auxiliary - self.ae_electronic) * _UNIT)
        zeros = self.we_zero * _UNIT, self.ae_zero * _UNIT
        raw = _ppb(_plain(we, ae, *zeros), self.sensitivity)
        if temperature is None:
            return raw, None
        tenths = quantity("temperature").integer(temperature)
        signal = _compensated(algorithm, table, we, ae, *zeros, tenths)
        return raw, None if signal is None else _ppb(signal, self.sensitivity)


def known() -> tuple[Correction, ...]:
    """Every correction of the shared table; the first input is the raw quantity that is corrected."""
    return tuple(
        Correction(quantity(made).name, name, version, tuple(quantity(need).name for need in inputs))
        for made, name, version, inputs in _TABLE
    )


def correct(name: str, inputs: Mapping[str, float | None], site: Site | None = None) -> float | None:
    """One corrected value, in the registry's units: `correct("pm2_5_epa", {"pm2_5": 12.3, "humidity": 44.0})`.

    None where an input is absent or outside what the formula stands for; UsageError for a correction nobody knows.
    """
    made = _entry(name)
    given = {**(site or {}), **inputs}
    integers = [None if given.get(need) is None else quantity(need).integer(given[need] or 0.0) for need in made.inputs]
    found = _correct(quantity(name).id, integers)
    return None if found is None else quantity(name).value(found)


def corrected(
    readings: Iterable[Reading], wanted: Iterable[str], site: Site | Mapping[str, Site] | None = None
) -> Iterator[Reading]:
    """The readings, and behind each row of a node the corrected ones that can be computed from it.

    A row is what one frame says of one instant. Inputs are taken of the same sensor instance, else of the lowest that
    has the quantity, else from `site` (such as `{"altitude": 38.0}`, or one such for each node's name). An absent input
    makes an absent reading with the input's quality; otherwise it bears the worst quality of its inputs.
    """
    made = [_entry(name) for name in wanted]
    for _, group in groupby(readings, key=_row):
        row = list(group)
        yield from row
        here = _site(site, row[0].node)
        at = {(reading.quantity, reading.sensor): reading for reading in row}
        for correction in made:
            for reading in row:
                if reading.quantity != correction.inputs[0] or (correction.quantity, reading.sensor) in at:
                    continue
                result = _one(correction, reading, at, here)
                if result is not None:
                    yield result


def _row(reading: Reading) -> tuple[str, int, int, datetime]:
    return reading.node, reading.epoch, reading.seq, reading.time


def _site(site: Site | Mapping[str, Site] | None, node: str) -> Site:
    given: Mapping[str, Any] = site or {}
    mine = given.get(node)
    if mine is not None:
        return cast("Site", mine)
    return {name: value for name, value in given.items() if not isinstance(value, Mapping)}


def _entry(name: str) -> Correction:
    for correction in known():
        if correction.quantity == name:
            return correction
    raise UsageError(
        f"{name} is not a correction", f"known are {', '.join(correction.quantity for correction in known())}"
    )


def _one(correction: Correction, raw: Reading, at: Mapping[tuple[str, int], Reading], site: Site) -> Reading | None:
    integers: list[int | None] = []
    code = _ACCEPTED
    absent: int | None = None
    for need in correction.inputs:
        entry = quantity(need)
        found = at.get((need, raw.sensor))
        if found is None:
            others = sorted(sensor for name, sensor in at if name == need)
            found = at[need, others[0]] if others else None
        if found is None:
            if need not in site:
                return None  # this node does not measure what the correction needs: nothing is said
            integers.append(entry.integer(site[need]))
            continue
        said = _code(found.quality) or _UNCHECKED
        if found.value is None:
            integers.append(None)
            absent = (said or _NO_ANSWER) if absent is None else absent
        else:
            integers.append(entry.integer(found.value))
            code = max(code, said, key=_gravity)
    entry = quantity(correction.quantity)
    value = _correct(entry.id, integers)
    if value is None:
        code = _OUT_OF_RANGE if absent is None else absent
    return raw._replace(
        quantity=correction.quantity,
        value=None if value is None else entry.value(value),
        unit=entry.unit,
        quality=_word(code),
    )


def _gravity(code: int) -> int:
    return _GRAVITY.index(code) if code in _GRAVITY else code
