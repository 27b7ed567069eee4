"""The specification holds together: every reference leads somewhere, every chapter is listed, examples are true."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from citymote import Decoder

PROTOCOL = Path(__file__).resolve().parents[2] / "protocol"
CHAPTERS = {path.name: path.read_text(encoding="utf-8") for path in (PROTOCOL / "spec").glob("*.md")}
INDEX = (PROTOCOL / "SPEC.md").read_text(encoding="utf-8")

DEFINED = (
    r"^#+ (\d+(?:\.\d+)*)\b",  # headings
    r"^\| (\d+\.\d+\.\d+) \|",  # clauses in tables
    r"^(\d+\.\d+\.\d+) ",  # clauses as paragraphs
    r"clause (\d+\.\d+\.\d+),",  # clauses in a sentence
    r"\*\*Table (\d+\.\d+)",
)
# Code, other documents' sections, version numbers and quantities with a unit are no references.
NO_REFERENCE = (
    r"```.*?```|`[^`]*`|(?:RFC|SEC|SP|IEC) [\d-]+, [\d.]+|[\d.]+ (?:hours|m|mm|V)[ .]|(?:[Vv]ersion|MicroPython) [\d.]+"
)


def references(text: str) -> set[str]:
    plain = re.sub(NO_REFERENCE, "", text, flags=re.DOTALL)
    return set(re.findall(r"(?<![\d.,\-/])(\d{1,2}\.\d{1,2}(?:\.\d{1,2})?)(?![\d.]*\d)", plain))


@cache
def defined() -> set[str]:
    """Every section and clause that there is."""
    written = "\n".join(CHAPTERS.values())
    return {found for pattern in DEFINED for found in re.findall(pattern, written, re.MULTILINE)}


def test_every_reference_leads_to_a_clause() -> None:
    prose = {name: text for name, text in CHAPTERS.items() if name != "2-quantities.md"}  # a table of numbers
    lost = {name: sorted(references(text) - defined()) for name, text in prose.items()}
    assert {name: found for name, found in lost.items() if found} == {}
    assert len(defined()) > 80


def test_every_chapter_is_listed_under_its_number_and_its_name() -> None:
    listed = re.findall(r"\[(\d+) ([^\]]+)\]\(spec/([^)]+)\)", INDEX)
    numbers = [int(number) for number, _, _ in listed]
    assert numbers == sorted(set(numbers))
    assert {file for _, _, file in listed} == set(CHAPTERS)
    for number, _, file in listed:
        assert file.startswith(f"{number}-")
        assert CHAPTERS[file].startswith(f"# {number} ")


def test_every_file_that_the_index_names_is_there() -> None:
    named = set(re.findall(r"^\| `([^`]+)` \|", INDEX, re.MULTILINE))
    assert named
    assert [name for name in named if not list(PROTOCOL.glob(name))] == []


def test_the_frame_that_the_index_reads_aloud_says_what_it_says() -> None:
    block = INDEX.split("```")[1]
    data = "".join(re.match(r"((?:[0-9a-f]{2,} ?)+)", line.strip())[1] for line in block.strip().splitlines())  # type: ignore[index]
    (frame,) = Decoder().frames([bytes.fromhex(data)])
    found = [(reading.quantity, reading.value, reading.time.isoformat()) for reading in frame.readings()]
    assert (frame.node, frame.epoch, frame.seq) == ("010203040506", 1, 1000)
    assert [(what, value) for what, value, _ in found] == [("temperature", value) for value in (21.5, 21.6, 21.5)]
    assert found[0][2] == "2026-11-14T19:33:20+00:00"
