"""The grammar in citymote.cddl against all vectors, judged by zcbor in a folder of its own (build/peers/zcbor).

A grammar cannot say everything (sums, lengths that depend on a count, canonical heads): the bad vectors that it has to
refuse are those of the codes in STRUCTURAL.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).resolve().parents[2]
CHECK = Path(__file__).with_name("zcbor_check.py")
STRUCTURAL = {"clock", "columns", "float", "kind", "missing", "node", "range"}
STRUCTURAL |= {"sealed", "simple", "tag", "text", "truncated", "type", "version"}
# Words of the grammar that a grammar cannot hold: a step of 1 looks like a value; options and the last column are in
# one place of the array.
BEYOND = {"step of 1", "options that are no map"}
# Of envelopes: what a parser of CBOR or a key has to find out, and the values inside a byte string.
ENVELOPES_BEYOND = {"authentication", "duplicate_key", "indefinite", "not_shortest", "trailing", "unknown_node"}
NUMBERS_BEYOND = {"Partial IV with a leading zero", "Partial IV of 2^23"}

Judge = Callable[[list[str]], list[bool]]


@pytest.fixture(scope="module")
def judge() -> Judge:
    home = TOP / "build" / "peers" / "zcbor"
    if not home.is_dir():
        pytest.skip(f"zcbor is not at {home}: make setup could not install it")

    def check(items: list[str], rule: str = "frame") -> list[bool]:
        done = subprocess.run(
            [sys.executable, str(CHECK), str(TOP / "protocol" / "citymote.cddl"), rule],
            env={"PYTHONPATH": str(home)},
            input="".join(item + "\n" for item in items),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        answers = [line == "yes" for line in done.stdout.split()]
        assert len(answers) == len(items)
        return answers

    return check


def _cases(name: str) -> list[dict[str, Any]]:
    return json.loads((TOP / "protocol" / "vectors" / name).read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("name", ["frames.json", "frames-other.json", "frames-calibration.json"])
def test_the_grammar_allows_every_readable_frame(judge: Judge, name: str) -> None:
    cases = _cases(name)
    refused = [case["name"] for case, yes in zip(cases, judge([case["hex"] for case in cases]), strict=True) if not yes]
    assert refused == []


def test_the_grammar_refuses_what_is_structurally_bad(judge: Judge) -> None:
    cases = [case for case in _cases("frames-bad.json") if case["error"] in STRUCTURAL and case["name"] not in BEYOND]
    assert {case["error"] for case in cases} == STRUCTURAL
    allowed = [
        case["name"] for case, yes in zip(cases, judge([case["hex"] or "ff" for case in cases]), strict=True) if yes
    ]
    assert allowed == []


@pytest.mark.parametrize("rule", ["envelope", "message"])
@pytest.mark.parametrize("name", ["sealed-frames.json", "sealed-whole.json"])
def test_the_grammar_allows_every_envelope(judge: Judge, name: str, rule: str) -> None:
    cases = _cases(name)
    answers = judge([case["envelope"] for case in cases], rule)
    assert [case["name"] for case, yes in zip(cases, answers, strict=True) if not yes] == []


def test_the_grammar_refuses_bad_envelopes(judge: Judge) -> None:
    cases = [case for case in _cases("sealed-bad.json") if "envelope" in case]
    cases = [c for c in cases if c["error"] not in ENVELOPES_BEYOND and c["name"] not in NUMBERS_BEYOND]
    answers = judge([case["envelope"] or "ff" for case in cases], "message")
    assert [case["name"] for case, yes in zip(cases, answers, strict=True) if yes] == []
    assert len(cases) > 30


def test_no_frame_is_an_envelope_and_no_envelope_a_frame(judge: Judge) -> None:
    frames, sealed = _cases("frames.json"), _cases("sealed-frames.json")
    assert not any(judge([case["hex"] for case in frames], "envelope"))
    assert not any(judge([case["envelope"] for case in sealed], "frame"))


def test_every_error_code_is_in_the_chapter_with_its_clause() -> None:
    chapter = (TOP / "protocol" / "spec" / "8-errors.md").read_text(encoding="utf-8")
    spec = "".join(path.read_text(encoding="utf-8") for path in (TOP / "protocol" / "spec").glob("*.md"))
    for case in _cases("errors.json"):
        assert f"| {case['clause']} | `{case['code']}` |" in chapter, case["code"]
        assert f"| {case['clause']} |" in spec.replace(chapter, "") or f"clause {case['clause']}," in spec, case[
            "clause"
        ]


def test_every_limit_of_the_code_is_in_the_chapter() -> None:
    from citymote_protocol import limits

    chapter = (TOP / "protocol" / "spec" / "9-limits.md").read_text(encoding="utf-8")
    for name, value in vars(limits).items():
        if name.startswith(("MAX_", "MIN_")):
            assert f"| `{name}` | {value}" in chapter, name


def test_published_vectors_are_what_the_code_gives() -> None:
    done = subprocess.run(
        [sys.executable, str(TOP / "tools" / "make_vectors.py")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "written" not in done.stdout
