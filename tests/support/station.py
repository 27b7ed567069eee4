"""A workshop for the end-to-end cases of `citymote flash`: a folder, a port, and the command as a person calls it.

The same cases run on a pseudo-terminal board (tests/e2e/test_flash.py, always) and on a real one (tests/hil, when
`--port` names it). What only a board that we made can do (lose its power, have its chips fail) is not here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from citymote import label
from citymote.factory import record


@dataclass
class Station:
    """One bench: where labels and log go, and which board is meant."""

    folder: Path
    board: str
    ports: list[str]
    options: list[str] = field(default_factory=list[str])
    """What the board needs beside: `--runtime IMAGE` on a real one."""

    def flash(self, *more: str, ports: list[str] | None = None) -> Run:
        """Run `citymote flash`; two minutes are enough for a board that has its runtime."""
        command = [sys.executable, "-m", "citymote", "flash", "--board", self.board, "--json"]
        for port in self.ports if ports is None else ports:
            command += ["--port", port]
        command += ["--labels", str(self.labels), "--log", str(self.log), "--operator", "kim", *self.options, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
        return Run(done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stdout, done.stderr)

    @property
    def labels(self) -> Path:
        return self.folder / "labels"

    @property
    def log(self) -> Path:
        return self.folder / "factory.jsonl"

    def lines(self) -> list[dict[str, Any]]:
        """The factory log."""
        return list(record.read(self.log)) if self.log.exists() else []


@dataclass
class Run:
    """How a run ended."""

    status: int
    boards: list[dict[str, Any]]
    stdout: str
    stderr: str

    def passed(self) -> dict[str, Any]:
        """The one board of a run in which everything went well."""
        assert self.status == 0, f"{self.stdout}\n{self.stderr}"
        (board,) = self.boards
        assert board["passed"], board
        return board

    def failed(self) -> dict[str, Any]:
        """The one board of a run in which it did not."""
        assert self.status == 1, f"{self.stdout}\n{self.stderr}"
        (board,) = self.boards
        assert not board["passed"], board
        return board


def a_board_becomes_a_node(station: Station) -> None:
    """Application, identity, self-test, label, record: all of it, and all about the same node."""
    board = station.flash("--unlocked", "--label-format", "png").passed()
    (read,) = label.load(Path(board["label"]))
    assert read.node == board["node"]
    assert read.short_code == board["short_code"]
    assert Path(board["label"]).name == f"{read.node}.png"
    begun, passed = station.lines()[-2:]
    assert (begun["event"], passed["event"]) == ("begun", "passed")
    assert begun["node"] == passed["node"] == read.node
    assert passed["operator"] == "kim"
    assert set(passed["versions"]) == {"citymote", "runtime", "architecture", "application"}
    assert passed["results"]["sensors"]
    assert passed["board"] == Path(station.board).name


def no_secret_leaves_but_on_the_label(station: Station) -> None:
    """The claim secret is in the label and nowhere else: not in the output, the log, or a file's name."""
    run = station.flash("--unlocked", "--label-format", "png")
    board = run.passed()
    (read,) = label.load(Path(board["label"]))
    everything = run.stdout + run.stderr + station.log.read_text()
    everything += " ".join(str(path) for path in station.folder.rglob("*"))
    assert read.secret.hex() not in everything
    assert read.text()[4:] not in everything


def a_second_run_finds_everything_done_and_the_same_node(station: Station) -> None:
    """What is on the board with the right hash is not sent again, and the identity stays."""
    first = station.flash("--unlocked", "--label-format", "png").passed()
    before = label.load(Path(first["label"]))
    second = station.flash("--unlocked", "--label-format", "png").passed()
    assert second["sent"] == 0
    assert second["node"] == first["node"]
    assert label.load(Path(second["label"])) == before


def a_board_beyond_its_limits_gets_no_label(station: Station, strict: str) -> None:
    """`strict` is the same board, held to a limit that it cannot meet."""
    wanted = Station(station.folder / "strict", strict, station.ports, station.options)
    wanted.folder.mkdir()
    board = wanted.flash("--unlocked").failed()
    assert board["step"] == "selftest"
    assert any("is expected" in fault for fault in board["faults"])
    assert board["label"] == ""
    assert list(wanted.labels.iterdir()) == []
    assert [line["event"] for line in wanted.lines()] == ["begun", "failed"]
    assert wanted.lines()[-1]["results"]["sensors"]


def strict(board: str, folder: Path) -> str:
    """A copy of a board's folder whose first limit no board meets."""
    from citymote import boards

    one = boards.describe(board)
    quantity = next(iter(one.selftest.limits))
    text = Path(one.path).read_text()
    head, _, tail = text.partition(f"\n{quantity} = [")
    path = folder / one.name / "board.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f"{head}\n{quantity} = [9000, 9001]{tail.partition(']')[2]}")
    return str(path.parent)
