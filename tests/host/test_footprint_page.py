"""What docs/footprint.md says is what tests hold: the heap of whole nodes, and what the application takes on flash.

The page is written by `make size`, which takes minutes. It may lag behind by little; here is how little. Whether the
nodes live in their heaps is test_whole.py's.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.firmware.test_whole import LIMITS, UPDATING
from tests.support import whole

import size_report
from citymote.factory import build, selection

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "footprint.md").read_text("utf-8")
LITTLE = 0.03
"""By which part the application may have grown or shrunk since the page was written."""


def heap(title: str) -> int:
    (found,) = re.findall(rf"^\| {re.escape(title)} \| (\d+) \|$", PAGE, re.MULTILINE)
    return int(found)


@pytest.mark.parametrize("name", LIMITS)
def test_a_node_of_the_page_takes_no_more_than_it_is_held_to(name: str) -> None:
    assert heap(whole.kinds()[name].title) <= LIMITS[name]


def test_a_node_that_updates_itself_does_not_either() -> None:
    assert heap(f"{whole.kinds()['owned'].title}, updating itself") <= UPDATING


def test_the_page_on_limits_says_the_same_of_them() -> None:
    text = " ".join((TOP / "docs" / "limits.md").read_text("utf-8").split())
    (sdot, one, two, sound) = re.findall(
        r"lives in it: (\d+) KB; with one driver it takes (\d+) KB, with two (\d+), .*?sound level meter (\d+)", text
    )[0]
    (owned,) = re.findall(r"(\d+) for all of S-DoT; and a TLS", text)
    told = {"sdot": sdot, "one": one, "two": two, "sound": sound, "owned": owned}
    for name, said in told.items():
        assert abs(int(said) - heap(whole.kinds()[name].title)) <= 1, name


def test_all_files_take_what_the_page_says() -> None:
    (said,) = re.findall(r"^All files together: (\d+) bytes of flash", PAGE, re.MULTILINE)
    sources = {name: path.read_bytes() for name, path in build.linked_sources().items()}
    given = {selection.module_of(name) for name in selection.select(sources, size_report.CHIP_ARCH)}
    made = size_report.modules(build.build(size_report.CHIP_ARCH))
    assert sum(made[name].stat().st_size for name in given & made.keys()) == pytest.approx(int(said), rel=LITTLE)
