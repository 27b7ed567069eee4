"""How a rollout goes: stages, the share of failures that ends it, and when nodes may be offered anything.

Everything is text on the command line and in the database, and is read here once: `1,5%,25%,100%` are stages, `5%` or
`3` the failures that are too many, `mon-fri 02:00-04:00 Asia/Seoul` a maintenance window.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from citymote.errors import UsageError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"(?:(\S+)\s+)?(\d\d):(\d\d)-(\d\d):(\d\d)(?:\s+(\S+))?", re.ASCII)
_SPAN = re.compile(r"(\d+)\s*(s|min|h|d)", re.ASCII)
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Amount:
    """So many nodes, or such a share of them."""

    number: int
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> Amount:
        """`5` or `5%`."""
        digits = text.strip().removesuffix("%").strip()
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > 7:
            raise UsageError(f"{text!r} is no number of nodes", "", "Write 5 or 5%.")
        made = cls(int(digits), text.strip().endswith("%"))
        if made.percent and made.number > 100:
            raise UsageError(f"{text!r} is more than all nodes")
        return made

    def of(self, total: int) -> int:
        """How many of so many: rounded up, so that a canary is at least one node."""
        return min(total, math.ceil(total * self.number / 100) if self.percent else self.number)

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)


@dataclass(frozen=True)
class Window:
    """A time of day, on some days, in which nodes may be offered an update. It may go past midnight."""

    text: str
    days: frozenset[int]
    begin: int
    """Minutes after midnight."""
    end: int
    zone: str

    @classmethod
    def parse(cls, text: str) -> Window:
        """`02:00-04:00`, `mon-fri 22:00-05:00 Asia/Seoul`, `sat,sun 00:00-24:00`; UTC where no zone is named."""
        found = _WINDOW.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"{text!r} is no window", "", "Write 02:00-04:00 or mon-fri 22:00-05:00 Asia/Seoul.")
        days, *times, zone = found.groups()
        hours = [int(value) for value in times]
        begin, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
        if begin >= 1440 or end > 1440 or hours[1] > 59 or hours[3] > 59 or begin == end:
            raise UsageError(f"{text!r} is no window", "its times are not of a day")
        try:
            _zone(zone or "UTC")
        except (KeyError, ValueError, OSError):
            raise UsageError(f"{text!r} is no window", f"no time zone is called {zone}") from None
        return cls(text.strip(), _days(days, text), begin, end, zone or "UTC")

    def open(self, moment: datetime) -> bool:
        """Whether it is open at that moment. A night belongs to the day on which it begins."""
        local = moment.astimezone(_zone(self.zone))
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        yesterday = (local - timedelta(days=1)).weekday()
        return (day in self.days and minute >= self.begin) or (yesterday in self.days and minute < self.end)


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _days(text: str | None, whole: str) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last and last not in DAYS):
            raise UsageError(f"{whole!r} is no window", f"days are {', '.join(DAYS)}")
        a, b = DAYS.index(first), DAYS.index(last or first)
        found.update((a + k) % 7 for k in range((b - a) % 7 + 1))
    return frozenset(found)


def span(text: str) -> float:
    """Seconds of `90s`, `30min`, `6h`, `2d`, or of a bare number of seconds."""
    found = _SPAN.fullmatch(text.strip())
    if found:
        return int(found[1]) * _UNITS[found[2]]
    if text.strip().isascii() and text.strip().isdecimal():
        return int(text)
    raise UsageError(f"{text!r} is no span of time", "", "Write 90s, 30min, 6h or 2d.")


@dataclass(frozen=True)
class Plan:
    """See the module. `stages` are cumulative: 1, 5%, 100% offers to one node, then to 5 % of all, then to all."""

    stages: tuple[Amount, ...] = (Amount(1), Amount(10, True), Amount(50, True), Amount(100, True))
    abort_at: Amount = Amount(5, True)
    """Failures that end it: at so many, or above such a share of the nodes that were offered it."""
    enough: int = 90
    """Per cent of a stage's nodes that have to have ended before the next begins."""
    soak: float = 3600
    """Seconds between that moment and the next stage."""
    patience: float = 86400
    """Seconds after which a node that has not been heard since its offer holds up nobody."""
    parallel: int = 0
    """Nodes under way at a time; 0: no limit."""
    windows: tuple[Window, ...] = ()
    tries: int = 3
    """Failures of one node after which it is offered nothing more."""

    def __post_init__(self) -> None:
        if not self.stages or self.stages[-1] != Amount(100, True):
            raise UsageError("the last stage is not all nodes", "", "Let the stages end with 100%.")
        if not 1 <= self.enough <= 100:
            raise UsageError("enough of a stage is 1 to 100 per cent")

    def sizes(self, total: int) -> list[int]:
        """How many nodes have been offered it by the end of each stage; never fewer than in the one before."""
        found: list[int] = []
        for amount in self.stages:
            found.append(max(amount.of(total), found[-1] if found else 0))
        return found

    def too_many(self, failures: int, offered: int) -> bool:
        """Whether these failures among so many nodes end the rollout."""
        if self.abort_at.percent:
            return failures * 100 > self.abort_at.number * offered
        return failures >= max(1, self.abort_at.number)

    def open(self, now: float) -> bool:
        """Whether nodes may be offered something at this moment (Unix seconds)."""
        moment = datetime.fromtimestamp(now, UTC)
        return not self.windows or any(window.open(moment) for window in self.windows)

    def as_json(self) -> dict[str, Any]:
        """For the database."""
        return {
            "stages": [str(amount) for amount in self.stages], "abort_at": str(self.abort_at), "enough": self.enough,
            "soak": self.soak, "patience": self.patience, "parallel": self.parallel,
            "windows": [window.text for window in self.windows], "tries": self.tries,
        }  # fmt: skip

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Plan:
        """The same again."""
        return cls(
            tuple(Amount.parse(text) for text in tree["stages"]), Amount.parse(tree["abort_at"]), tree["enough"],
            tree["soak"], tree["patience"], tree["parallel"],
            tuple(Window.parse(text) for text in tree["windows"]), tree["tries"],
        )  # fmt: skip


def stages(text: str) -> tuple[Amount, ...]:
    """`1,5%,25%,100%`; the last is all nodes, whether it is written or not."""
    found = tuple(Amount.parse(part) for part in text.split(","))
    return found if found[-1] == Amount(100, True) else (*found, Amount(100, True))
