"""The specification's text is enough to read every batch: a decoder written from it agrees with the vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.host import stranger

VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors"
CASES: list[dict[str, Any]] = [
    case
    for name in ("frames.json", "frames-other.json")
    for case in json.loads((VECTORS / name).read_text(encoding="utf-8"))["cases"]
    if case["frame"]["kind"] in ("batch", "packed")
]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_stranger_reads_the_same(case: dict[str, Any]) -> None:
    wanted = {key: value for key, value in case["frame"].items() if key != "options"}
    assert stranger.decode(bytes.fromhex(case["hex"])) == wanted
