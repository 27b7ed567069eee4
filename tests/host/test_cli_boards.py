"""`citymote boards` as docs/add-a-board.md has it: begin with a copy or from a chip, check, use by path and by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from citymote import boards
from citymote.cli import application

PRODUCTS = {
    "esp32-devkitc", "esp32-s3-devkitc", "esp32-c3-devkitm", "esp32-c6-devkitc", "lilygo-t-beam", "m5stack-atoms3",
    "xiao-esp32s3", "xiao-esp32c3", "olimex-esp32-poe", "airgradient-one", "airgradient-open-air", "virtual",
}  # fmt: skip


@pytest.fixture(autouse=True)
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder outside of the checkout, in which everything is typed."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str, status: int = 0) -> Result:
    done = CliRunner().invoke(application(), ["boards", *words])
    assert done.exit_code == status, done.output
    return done


def told(*words: str, status: int = 0) -> list[Any]:
    return [json.loads(line) for line in run(*words, "--json", status=status).stdout.splitlines()]


def test_the_boards_that_are_named_are_there() -> None:
    assert {one["board"] for one in told("list")} >= PRODUCTS


def test_a_board_begins_as_a_copy_is_checked_and_shown_by_its_path(workshop: Path) -> None:
    run("add", "pole-c3", "--like", "esp32-c3-devkitm", "--title", "Pole node, rev B")
    assert (workshop / "pole-c3" / "board.toml").is_file()
    (checked,) = told("check", "pole-c3/")
    assert (checked["board"], checked["sound"]) == ("pole-c3", True)
    (shown,) = told("show", "pole-c3/")
    (model,) = told("show", "esp32-c3-devkitm")
    assert shown["board"] == "pole-c3"
    assert shown["sensors"] == model["sensors"]


def test_a_board_begins_from_a_chip_and_says_what_is_missing() -> None:
    run("add", "pole-s3", "--chip", "esp32s3", "--flash", "8")
    (checked,) = told("check", "pole-s3/")
    assert checked["sound"]
    assert [(finding["level"], finding["key"]) for finding in checked["findings"]] == [("warning", "sources")]
    assert boards.describe(Path("pole-s3")).flash_size == 8 << 20


def test_a_folder_of_boards_is_known_by_name_where_the_variable_names_it(
    workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("add", "pole-c3", "--like", "esp32-c3-devkitm")
    (workshop / "elsewhere").mkdir()
    monkeypatch.chdir(workshop / "elsewhere")
    run("show", "pole-c3", status=1)
    monkeypatch.setenv(boards.PATH_VARIABLE, str(workshop))
    assert told("show", "pole-c3")[0]["board"] == "pole-c3"
    assert "pole-c3" in {one["board"] for one in told("list")}


def test_what_cannot_be_begun_says_why() -> None:
    assert "another board or from a chip" in " ".join(run("add", "mine", status=1).output.split())
    run("add", "mine", "--like", "virtual")
    assert "there already" in run("add", "mine", "--like", "virtual", status=1).output
    assert "esp32c3" in run("add", "other", "--chip", "esp8266", status=1).output


def test_a_pin_that_cannot_be_is_named_with_its_reason() -> None:
    run("add", "mine", "--like", "esp32-devkitc")
    path = Path("mine/board.toml")
    path.write_text(path.read_text().replace("sda = 21", "sda = 6"))
    said = run("check", "mine/", status=1).stderr
    assert "buses.i2c0.sda" in said
    assert "GPIO6" in said
    assert "flash" in said
