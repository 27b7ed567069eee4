"""What a user names for a result gets it: a pipe or device stays one, a link stays one, and a file is whole."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.host.making import batches, write_capture
from typer.testing import CliRunner

from citymote import readings
from citymote.cli import application
from citymote.output_files import written
from citymote.reading import as_json


@contextmanager
def listening(pipe: Path) -> Generator[int, None, None]:
    """A pipe that somebody reads, so that nobody waits in opening it."""
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield reader
    finally:
        os.close(reader)


@pytest.mark.parametrize("linked", [False, True], ids=["named", "behind-a-link"])
def test_the_reader_of_a_pipe_gets_what_is_written(tmp_path: Path, linked: bool) -> None:
    with listening(tmp_path / "pipe") as reader:
        (tmp_path / "link").symlink_to("pipe")
        with written(tmp_path / ("link" if linked else "pipe")) as file:
            file.write(b"result")
        assert os.read(reader, 100) == b"result"
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


@pytest.mark.parametrize("exists", [True, False], ids=["old", "dangling"])
def test_a_link_goes_on_naming_its_target_which_gets_the_result(tmp_path: Path, exists: bool) -> None:
    target, link = tmp_path / "there" / "real.csv", tmp_path / "link.csv"
    target.parent.mkdir()
    if exists:
        target.write_bytes(b"old")
    link.symlink_to("there/real.csv")
    with written(link) as file:
        file.write(b"new")
    assert link.readlink() == Path("there/real.csv")
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["real.csv"]


def test_what_had_the_name_stays_when_the_writing_breaks_off(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_bytes(b"old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    with pytest.raises(RuntimeError), written(tmp_path / "link.csv") as file:
        file.write(b"half")
        raise RuntimeError
    assert (tmp_path / "real.csv").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.csv", "real.csv"]


def test_out_names_a_pipe(tmp_path: Path) -> None:
    day = write_capture(tmp_path / "day.cmcap", batches(2))
    with listening(tmp_path / "pipe") as reader:
        done = CliRunner().invoke(application(), ["decode", "--json", "--out", str(tmp_path / "pipe"), str(day)])
        assert done.exit_code == 0, done.output
        assert os.read(reader, 1 << 16).decode().splitlines() == [as_json(reading) for reading in readings(day)]


@pytest.mark.parametrize("name", ["folder", "file/below", "nowhere/x"])
def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path, name: str) -> None:
    day = write_capture(tmp_path / "day.cmcap", batches(1))
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(application(), ["decode", "--json", "--out", str(tmp_path / name), str(day)])
    assert done.exit_code == 1
    assert f"cannot write {tmp_path / name}" in done.output
    assert (tmp_path / "folder").is_dir()


def test_what_standard_output_goes_to_is_written_through_it(tmp_path: Path) -> None:
    """`(echo HEAD; citymote decode --out /dev/stdout; echo TAIL) > FILE` has the three behind each other."""
    day = write_capture(tmp_path / "day.cmcap", batches(1))
    shell = 'echo HEAD; "$0" -m citymote decode --json --out /dev/stdout day.cmcap; echo TAIL'
    with (tmp_path / "all.txt").open("wb") as everything:
        subprocess.run(
            ["sh", "-e", "-c", shell, sys.executable], stdout=everything, cwd=tmp_path, check=True, timeout=60
        )
    assert (tmp_path / "all.txt").read_text().splitlines() == ["HEAD", *map(as_json, readings(day)), "TAIL"]
