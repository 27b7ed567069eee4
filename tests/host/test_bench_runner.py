"""The runner of the benches: what it finds, what it leaves out, when it fails, and what its tables show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bench

GOOD = "FAMILY = 'one'\ndef measure():\n    return {'one.size.citymote': 2, 'one.size.json': 30.0}\n"
OTHER = "def measure():\n    return {'other.seconds': 1.5}\n"
LACKS = "class Missing(Exception): pass\ndef measure():\n    raise Missing('no data at hand')\n"
NO_PACKAGE = "import no_such_package_of_anybody\n"
BROKEN = "def measure():\n    raise ValueError('a decoder is wrong')\n"
NO_NUMBER = "def measure():\n    return {'strange.rate': float('nan')}\n"
TWICE = "def measure():\n    return {'other.seconds': 2.5}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    return tmp_path


def ran(folder: Path, only: str | None = None, **files: str) -> tuple[int, dict[str, float]]:
    for name, text in files.items():
        (folder / f"bench_{name}.py").write_text(text)
    out = folder / "out" / "bench.json"
    code = bench.run(only, out)
    return code, json.loads(out.read_text()) if out.exists() else {}


def test_all_metrics_go_into_one_flat_object(folder: Path) -> None:
    assert ran(folder, a=GOOD, other=OTHER) == (
        0,
        {"one.size.citymote": 2, "one.size.json": 30.0, "other.seconds": 1.5},
    )


def test_one_family_can_be_run_alone(folder: Path) -> None:
    assert ran(folder, "other", a=GOOD, other=OTHER) == (0, {"other.seconds": 1.5})


def test_a_bench_may_be_of_two_families(folder: Path) -> None:
    both = "FAMILY = 'one two'\ndef measure():\n    return {'both.seconds': 2.5}\n"
    for only in ("one", "two"):
        assert ran(folder, only, both=both, other=OTHER) == (0, {"both.seconds": 2.5})


def test_all_that_provisioning_costs_is_one_family() -> None:
    assert [path.stem for path in bench.benches("provision")] == ["bench_provision", "bench_session"]


def test_an_unknown_family_names_those_that_there_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(folder, "nothing", a=GOOD, other=OTHER)[0] == 1
    assert "one, other" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "said"), [(LACKS, "no data at hand"), (NO_PACKAGE, "no_such_package_of_anybody")])
def test_what_is_missing_is_said_in_one_line_and_left_out(
    folder: Path, capfd: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert ran(folder, lacks=text, other=OTHER) == (0, {"other.seconds": 1.5})
    lines = [line for line in capfd.readouterr().out.splitlines() if "left out" in line]
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize("text", [BROKEN, NO_NUMBER])
def test_a_bench_that_fails_fails_the_run_and_no_other_bench(folder: Path, text: str) -> None:
    assert ran(folder, broken=text, other=OTHER) == (1, {"other.seconds": 1.5})


def test_one_metric_is_measured_in_one_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(folder, other=OTHER, twice=TWICE) == (1, {"other.seconds": 1.5})
    assert "measured elsewhere already: other.seconds" in capsys.readouterr().out


def test_a_run_leaves_nothing_of_an_earlier_run_in_the_file(folder: Path) -> None:
    ran(folder, a=GOOD, other=OTHER)
    assert ran(folder, "one")[1].keys() == {"one.size.citymote", "one.size.json"}


def test_peers_stand_beside_ours_with_their_ratio() -> None:
    text = bench.tables({"w.batch1.cbor": 2.0, "w.batch1.json": 30.0, "w.batch10.cbor": 1.0, "w.batch10.json": 17.0})
    lines = [line.split() for line in text.splitlines()]
    assert lines == [
        ["w", "batch1", "batch10"],
        ["cbor", "2", "1"],
        ["json", "30", "(15.00", "x)", "17", "(17.00", "x)"],
    ]


def test_contenders_may_stand_before_the_case() -> None:
    text = bench.tables({"w.cbor.batch60": 2.0, "w.json.batch60": 30.0})
    assert [line.split() for line in text.splitlines()] == [
        ["w", "batch60"],
        ["cbor", "2"],
        ["json", "30", "(15.00", "x)"],
    ]


def test_what_has_no_contender_is_listed_by_its_name() -> None:
    metrics = {"w.cbor.batch60": 2.0, "w.json.batch60": 3.0, "w.json.batch1": 4.0, "a.b.c": 5.0, "alone": 6.0}
    listed = bench.tables(metrics).partition("\n\n")[2]
    assert [line.split() for line in listed.splitlines()] == [["w.json.batch1", "4"], ["a.b.c", "5"], ["alone", "6"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234567, "1,234,567"), (0.51149, "0.5115"), (12.3456, "12.35"), (0.00012345, "0.0001234")],
)
def test_numbers_have_four_digits(value: float, text: str) -> None:
    assert bench.number(value) == text
