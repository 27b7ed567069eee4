"""What a plan of a rollout says: windows, stages and spans of time mean what is written, or are refused.

A window that is read wrong restarts nodes in the middle of a measurement, a stage that is read wrong takes the whole
city at once: so each form is shown with what it means, and what is no such form is an error that says so.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from citymote.errors import UsageError
from citymote.update.plan import Amount, Plan, Window, span, stages


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "moment", "is_open"),
    [
        ("02:00-04:00", "2026-11-28T02:00", True),
        ("02:00-04:00", "2026-11-28T03:59", True),
        ("02:00-04:00", "2026-11-28T04:00", False),
        ("22:00-05:00", "2026-11-28T23:00", True),
        ("22:00-05:00", "2026-11-28T04:59", True),
        ("22:00-05:00", "2026-11-28T12:00", False),
        ("fri 22:00-05:00", "2026-11-28T04:00", True),  # Saturday's early hours are Friday's night
        ("sat 22:00-05:00", "2026-11-28T04:00", False),
        ("mon-fri 02:00-04:00", "2026-11-28T03:00", False),
        ("fri-mon 02:00-04:00", "2026-11-28T03:00", True),
        ("sat,sun 00:00-24:00", "2026-11-28T23:59", True),
        ("02:00-04:00 Asia/Seoul", "2026-11-27T17:30", True),
        ("02:00-04:00 Asia/Seoul", "2026-11-28T02:30", False),
    ],
)
def test_windows_are_open_when_they_say(window: str, moment: str, is_open: bool) -> None:
    assert Window.parse(window).open(at(moment)) is is_open


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2-4",
        "25:00-26:00",
        "02:00-02:00",
        "02:60-03:00",
        "day 02:00-04:00",
        "02:00-04:00 Seoul/Asia",
        "mon-x 02:00-04:00",
    ],
)
def test_what_is_no_window_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="is no window"):
        Window.parse(text)


def test_stages_are_numbers_and_shares_and_end_with_all() -> None:
    assert Plan(stages=stages("1,5%,50%")).sizes(1000) == [1, 50, 500, 1000]
    assert Plan(stages=stages("10,1%")).sizes(100) == [10, 10, 100], "a stage never takes back"
    assert Plan(stages=stages("1%")).sizes(3) == [1, 3]
    for wrong in ("x", "1,200%", "1,,2", "-1"):
        with pytest.raises(UsageError):
            stages(wrong)


def test_a_plan_comes_back_from_the_database_as_it_was() -> None:
    plan = Plan(stages("3,20%"), Amount.parse("7"), 80, 60, 120, 5, (Window.parse("sat 22:00-05:00 Asia/Seoul"),), 2)
    assert Plan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30min", 1800), ("6h", 21600), ("2d", 172800), ("45", 45)])
def test_spans_of_time(text: str, seconds: float) -> None:
    assert span(text) == seconds
    with pytest.raises(UsageError):
        span(text + " ago")
