"""Golden vectors stay what they were, and the sealed ones hold from the envelope to the frame (SPEC 5.7, 7.1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

import lock_vectors
from citymote import Decoder, FrameProblem
from citymote.conformance import clauses
from citymote.keys import CollectorKey, KeyFile, Opener
from citymote_protocol import cose, plain
from citymote_protocol.errors import FrameError

TOP = Path(__file__).resolve().parents[2]
VECTORS = TOP / "protocol" / "vectors"


def cases(name: str) -> list[dict[str, Any]]:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))["cases"]


# -- never edited in place ---------------------------------------------------------------------------------------------


def test_every_published_file_is_what_it_was_and_every_file_is_published() -> None:
    assert lock_vectors.check(VECTORS) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.json").write_text('{"cases": []}')
    assert lock_vectors.add(tmp_path) == ["a.json"]
    return tmp_path


def test_an_edited_file_is_refused(folder: Path) -> None:
    (folder / "a.json").write_text('{"cases": [1]}')
    with pytest.raises(lock_vectors.LockError, match=r"a\.json is published and was edited"):
        lock_vectors.add(folder)


def test_a_file_that_is_gone_is_refused(folder: Path) -> None:
    (folder / "a.json").unlink()
    with pytest.raises(lock_vectors.LockError, match=r"a\.json is published and gone"):
        lock_vectors.check(folder)


def test_a_new_file_gets_a_line_and_the_old_lines_stay(folder: Path) -> None:
    before = (folder / lock_vectors.LOCK).read_text()
    (folder / "b.json").write_text("{}")
    assert lock_vectors.check(folder) == ["b.json"]
    assert lock_vectors.add(folder) == ["b.json"]
    after = (folder / lock_vectors.LOCK).read_text()
    assert after.startswith(before)
    assert after.count("\n") == 2
    assert lock_vectors.add(folder) == []


# -- sealed ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    """A collector that knows the nodes of sealed-keys.json."""
    known = cases("sealed-keys.json")
    file = KeyFile.create(tmp_path_factory.mktemp("keys") / "city.keys")
    for case in known:
        key = CollectorKey(bytes.fromhex(case["collector_private"]))
        if key.public not in {collector.public for collector in file.collectors}:
            file.add_collector(key)
        if bytes.fromhex(case["node"]) not in file.nodes:
            file.add_node(bytes.fromhex(case["node_public"]))
    return Decoder(Opener(file))


@pytest.mark.parametrize("case", cases("sealed-whole.json"), ids=lambda case: case["name"].replace(" ", "_"))
def test_from_the_envelope_to_the_frame_or_to_its_code(decoder: Decoder, case: dict[str, Any]) -> None:
    message = bytes.fromhex(case["envelope"])
    if "error" in case:
        with pytest.raises(FrameProblem) as caught:
            list(decoder.frames([message]))
        assert caught.value.code == case["error"]
        return
    (frame,) = decoder.frames([message])
    assert frame.sealed
    assert frame.node == cases("sealed-keys.json")[case["key"]]["node"]
    assert cast("Any", plain).to_plain(frame.body) == case["frame"]


def test_every_code_of_envelopes_is_in_the_chapter_with_its_clause() -> None:
    chapter = (TOP / "protocol" / "spec" / "8-errors.md").read_text(encoding="utf-8")
    sealing = (TOP / "protocol" / "spec" / "5-sealing.md").read_text(encoding="utf-8")
    for case in cases("sealed-errors.json"):
        assert f"| {case['clause']} | `{case['code']}` |" in chapter, case["code"]
        assert f"\n{case['clause']} " in sealing or f"## {case['clause']} " in sealing, case["clause"]
        assert clauses.of_code(case["code"]) == case["clause"]


def test_every_code_of_envelopes_is_listed_once_and_has_a_bad_vector() -> None:
    said = [value for name, value in vars(cose).items() if name.isupper() and isinstance(value, str)]
    listed = [case["code"] for case in cases("sealed-errors.json")]
    assert sorted(listed) == sorted(said)
    refused = {
        case["error"] for name in ("sealed-bad.json", "sealed-whole.json") for case in cases(name) if "error" in case
    }
    # `iv` belongs to the reader of any COSE_Encrypt0: an envelope with an IV is refused for its label before.
    assert set(listed) - refused == {"iv"}
    frames = {case["code"] for case in cases("errors.json")}
    assert refused <= frames | set(listed)
    assert issubclass(cose.SealError, FrameError)
