"""What there is to sense: quantities over time, from recorded rows or formulas, with things that go wrong on demand.

A row that ends at time T holds in (T - interval, T], which is what a node's sample of time T must bring back. Values
are in the registry's units, None is absent (the chip is not there). Times of rows are s2000; everything else is the
node's story time in milliseconds, which is 0 at `start_time`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from citymote import registry

from .emul.base import Source

Key = tuple[int, int]
"""A quantity's id and the sensor instance."""


@dataclass(frozen=True, slots=True)
class _Override:
    begin: int
    end: int
    source: Source


class World:
    """The air around one node. Methods that add to it return it, so that a scenario reads as one sentence.

    `lag` (ms) shifts what chips see: one that answers up to so long after the end of an interval still sees that
    interval. It stands for the time between a node's sample and the last byte of the slowest chip.
    """

    def __init__(self, start_time: int, *, lag: int = 0) -> None:
        self.start_time = start_time
        self.lag = lag
        self._sources: dict[Key, Source] = {}
        self._overrides: dict[Key, list[_Override]] = {}

    # -- what is there ------------------------------------------------------------------------------------------------

    def constant(self, quantity: int | str, value: float | None, *, instance: int = 0) -> Self:
        """One value for ever."""
        return self.function(quantity, _always(value), instance=instance)

    def function(self, quantity: int | str, source: Source, *, instance: int = 0) -> Self:
        """A formula: story time in ms -> value."""
        self._sources[_key(quantity, instance)] = source
        return self

    def series(
        self, quantity: int | str, rows: Sequence[tuple[int, float | None]], interval: int, *, instance: int = 0
    ) -> Self:
        """Rows of (end of interval in s2000, value), ascending, each holding for at most `interval` seconds."""
        ends = [(end - self.start_time) * 1000 for end, _ in rows]
        if any(a >= b for a, b in pairwise(ends)):
            raise ValueError("the rows of a series must ascend in time")
        values = [value for _, value in rows]
        width = interval * 1000

        def source(now: int) -> float | None:
            at = bisect_left(ends, now)
            return values[at] if at < len(ends) and now > ends[at] - width else None

        return self.function(quantity, source, instance=instance)

    def table(self, start: int, interval: int, rows: Sequence[Mapping[int, int | None]]) -> Self:
        """Rows of registry integers at `start`, `start + interval`, ... (s2000): what a data file was read into."""
        first, width = (start - self.start_time) * 1000, interval * 1000
        for quantity in sorted({q for row in rows for q in row}):
            scale = 10 ** registry.quantity(quantity).decimals
            values = [row.get(quantity) for row in rows]
            self.function(quantity, _column(first, width, values, scale))
        return self

    # -- what goes wrong ----------------------------------------------------------------------------------------------

    def override(
        self,
        quantity: int | str,
        begin: int,
        end: int,
        value: float | Callable[[int], float | None] | None,
        *,
        instance: int = 0,
    ) -> Self:
        """From `begin` up to `end` (story ms) something else holds: a spike, a drift, or None, a dead sensor.

        Later overrides cover earlier ones.
        """
        source: Source = value if callable(value) else _always(value)
        self._overrides.setdefault(_key(quantity, instance), []).append(_Override(begin, end, source))
        return self

    def dies(self, quantity: int | str, begin: int, end: int | None = None, *, instance: int = 0) -> Self:
        """The sensor of a quantity is gone from `begin` on, or until `end`."""
        return self.override(quantity, begin, 1 << 62 if end is None else end, None, instance=instance)

    # -- what chips and tests ask -------------------------------------------------------------------------------------

    def value(self, quantity: int | str, now: int, *, instance: int = 0) -> float | None:
        """What is there at story time `now`; None where nothing is known of a quantity."""
        key = _key(quantity, instance)
        now -= self.lag
        for over in reversed(self._overrides.get(key, ())):
            if over.begin <= now < over.end:
                return over.source(now)
        source = self._sources.get(key) or self._sources.get((key[0], 0))
        return source(now) if source else None

    def integer(self, quantity: int | str, now: int, *, instance: int = 0) -> int | None:
        """The same at the registry's resolution: what a reading must say."""
        value = self.value(quantity, now, instance=instance)
        return None if value is None else registry.quantity(quantity).integer(value)

    def source(self, quantity: int | str, *, instance: int = 0, quantised: bool = False) -> Source:
        """A Source for a chip. Quantised: the middle of the value's bin at the registry's resolution.

        A chip with a grid of its own then brings the reading back exactly, however its rounding falls.
        """
        entry = registry.quantity(quantity)
        if quantised:

            def centre(now: int) -> float | None:
                value = self.value(entry.id, now, instance=instance)
                return None if value is None else entry.value(entry.integer(value))

            return centre
        return lambda now: self.value(entry.id, now, instance=instance)

    def row(self, quantities: Sequence[int | str], *, instance: int = 0) -> Callable[[int], dict[int, int | None]]:
        """For the replay emulator: story time -> the current row of registry integers."""
        ids = [registry.quantity(q).id for q in quantities]
        return lambda now: {q: self.integer(q, now, instance=instance) for q in ids}

    def knows(self, quantity: int | str, *, instance: int = 0) -> bool:
        """Whether anything was ever said about a quantity."""
        key = _key(quantity, instance)
        return key in self._sources or (key[0], 0) in self._sources


def _key(quantity: int | str, instance: int) -> Key:
    return registry.quantity(quantity).id, instance


def _always(value: float | None) -> Source:
    return lambda now: value


def _column(first: int, width: int, values: Sequence[int | None], scale: int) -> Source:
    count = len(values)

    def source(now: int) -> float | None:
        at = -((first - now) // width)  # the row whose (end - width, end] holds now
        if not 0 <= at < count:
            return None
        value = values[at]
        return None if value is None else value / scale

    return source
