"""The report page: self-contained, gaps stay gaps, axes are round, and nothing a node says becomes markup."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from citymote.demo import report
from citymote.demo.report import Series
from citymote_protocol import quantities as q

START = datetime(2026, 5, 1, tzinfo=UTC)


def page(series: list[Series], quantity: int = q.PM2_5, title: str = "City") -> str:
    return report.page(title, "sub", {"lost": "0"}, set(), START, timedelta(minutes=2), {quantity: series})


def test_the_page_needs_nothing_from_elsewhere() -> None:
    text = page([Series("a", [1.0, 2.0])])
    assert not re.search(r"(src|href)=|url\(|<script|@import", text)


def test_the_page_is_well_formed_enough_to_parse_and_escapes_what_it_is_told() -> None:
    text = page([Series("<b>", [1.0, None, 2.0])], title="<script>alert(1)</script>")
    HTMLParser().feed(text)
    assert "<script" not in text


def test_an_absent_reading_breaks_the_line() -> None:
    text = page([Series("a", [1.0, 2.0, None, 3.0, 4.0])])
    (line,) = re.findall(r'class="n" d="([^"]*)"', text)
    assert line.count("M") == 2


def test_nothing_measured_is_said_and_not_drawn() -> None:
    assert "absent throughout" in page([Series("a", [None, None])])


def test_only_what_came_as_absent_is_counted_as_absent() -> None:
    # The first node was at work in the first half of the page, the second in the other.
    series = [Series("a", [1.0, None, None, None], absent=1), Series("b", [None, None, 2.0, 3.0])]
    ((_, _, readings, absent, *_),) = report.summary({q.PM2_5: series})
    assert (readings, absent) == (3, 1)


def test_directions_are_dots_because_359_and_1_are_neighbours() -> None:
    text = page([Series("a", [359.0, 1.0])], q.WIND_DIRECTION)
    assert 'class="d"' in text
    assert 'class="m"' not in text


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_are_round_and_cover_the_values(low: float, span: float) -> None:
    levels = report.ticks(low, low + span)
    hair = 1e-6 * max(1.0, abs(low), span)  # far less than a pixel
    assert levels[0] <= low + hair
    assert levels[-1] >= low + span - hair
    assert 2 <= len(levels) <= 8
