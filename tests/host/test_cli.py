"""The command line as a user meets it: a subprocess, its output, its exit status."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.host.making import NODE, batch, batches, write_capture
from typer.main import get_command
from typer.testing import CliRunner

from citymote import Decoder, open_store, readings
from citymote.cli import application
from citymote.reading import as_json

TOP = Path(__file__).resolve().parents[2]


def run(*arguments: object, given: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "citymote", *map(str, arguments)],
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
        cwd=cwd,
    )


def lines(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return done.stdout.decode().splitlines()


@pytest.fixture
def day(tmp_path: Path) -> Path:
    return write_capture(tmp_path / "day.cmcap", batches(5))


def test_decode_json_prints_one_line_a_reading(day: Path) -> None:
    done = run("decode", "--json", day)
    assert done.returncode == 0, done.stderr
    assert lines(done) == [as_json(reading) for reading in readings(day)]
    assert done.stderr == b""


def test_decode_takes_several_files_and_standard_input(day: Path, tmp_path: Path) -> None:
    (tmp_path / "more.hex").write_text(batch(9).hex())
    done = run("decode", "--format", "jsonl", day, tmp_path / "more.hex", "-", given=batch(10))
    assert done.returncode == 0, done.stderr
    assert {json.loads(line)["seq"] for line in lines(done)} == {0, 1, 2, 3, 4, 9, 10}
    assert len(lines(run("decode", "--json", given=batch(10).hex().encode()))) == 50


def test_a_bad_frame_costs_that_frame_and_the_exit_status(tmp_path: Path) -> None:
    (tmp_path / "x.hex").write_text(f"{batch(0).hex()}\n{batch(1).hex()[:-2]}\n{batch(2).hex()}\n")
    done = run("decode", "--json", tmp_path / "x.hex")
    assert done.returncode == 1
    assert {json.loads(line)["seq"] for line in lines(done)} == {0, 2}
    said = done.stderr.decode()
    assert "x.hex line 2 (truncated)" in said
    assert "2 frames decoded, 1 not (truncated 1)" in said


def test_kept_aside_frames_can_be_looked_at_again(tmp_path: Path) -> None:
    bad = batch(1)[:-1]
    (tmp_path / "x.hex").write_text(f"{batch(0).hex()}\n{bad.hex()}\n")
    done = run("decode", "--json", "--on-error", "keep", "x.hex", cwd=tmp_path)
    assert done.returncode == 1
    assert "kept in aside.cmcap" in done.stderr.decode()
    decoder = Decoder(on_error="keep")
    assert list(decoder.readings(tmp_path / "aside.cmcap")) == []
    assert [aside.data for aside in decoder.aside] == [bad]


def test_bad_frames_are_not_kept_in_a_file_that_is_no_capture(tmp_path: Path) -> None:
    (tmp_path / "x.hex").write_text(f"{batch(0).hex()}\n{batch(1)[:-1].hex()}\n")
    (tmp_path / "own.csv").write_text("node,value\n1,2\n")
    done = run("decode", "--json", "--on-error", "keep", "--aside", "own.csv", "x.hex", cwd=tmp_path)
    assert done.returncode == 1
    assert b"own.csv" in done.stderr
    assert b"no capture" in done.stderr
    assert done.stdout == b"", "it is refused before the work"
    assert (tmp_path / "own.csv").read_text() == "node,value\n1,2\n"


def test_fail_stops_at_once(tmp_path: Path) -> None:
    (tmp_path / "x.hex").write_text(f"{batch(1).hex()[:-2]}\n{batch(2).hex()}\n")
    done = run("decode", "--json", "--on-error", "fail", tmp_path / "x.hex")
    assert done.returncode == 1
    assert done.stdout == b""


def test_an_output_file_appears_only_when_it_is_whole(day: Path, tmp_path: Path) -> None:
    out = tmp_path / "day.parquet"
    assert run("decode", "-f", "parquet", "-o", out, day).returncode == 0
    assert pl.read_parquet(out).height == 250
    (tmp_path / "bad.hex").write_text("89\n")
    assert (
        run("decode", "-f", "csv", "--on-error", "fail", "-o", tmp_path / "bad.csv", tmp_path / "bad.hex").returncode
        == 1
    )
    assert not (tmp_path / "bad.csv").exists()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("decode", "--format", "xml"), "jsonl"),
        (("decode", "nothing.cmcap"), "cannot read nothing.cmcap"),
        (("decode", "--keys", "nothing.keys", "-"), "nothing.keys"),
        (("decode", "--on-error", "ignore"), "skip, keep, fail"),
        (("decode", "--node", "12"), "12 hexadecimal digits"),
        (("export", "nothing.db"), "no store at nothing.db"),
        (("collect", "http://x", "--allow-unsealed"), "mqtt://host"),
        (("collect", "mqtt://127.0.0.1:1"), "--allow-unsealed"),
        (("keys", "show", "nothing.keys"), "nothing.keys"),
    ],
)
def test_errors_say_what_and_what_next(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_a_closed_pipe_is_no_error_to_talk_about(day: Path) -> None:
    code = f"{sys.executable} -m citymote decode --json {day} | head -1"
    done = subprocess.run(code, shell=True, capture_output=True, timeout=60, check=False)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == b""


def into_a_full_disk(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    with Path("/dev/full").open("wb") as full:
        return subprocess.run(
            [sys.executable, "-m", "citymote", *map(str, arguments)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            cwd=cwd,
        )


@pytest.mark.parametrize(
    "arguments",
    [
        ("decode", "--json", "day.cmcap"),
        ("decode", "--format", "parquet", "day.cmcap"),
        ("export", "s.db", "--json"),
        ("version", "--json"),  # nothing before the last flush
    ],
    ids=" ".join,
)
def test_a_full_disk_behind_standard_output_is_a_sentence(
    day: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with open_store(tmp_path / "s.db") as store:
        store.add(Decoder().frames(batches(5)))
    done = into_a_full_disk(*arguments, cwd=day.parent)
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith("citymote: cannot write the output: No space left on device.")


def test_an_error_before_a_full_disk_is_said_and_both_are_sentences(day: Path) -> None:
    (day.parent / "bad.hex").write_text("89\n")
    done = into_a_full_disk("decode", "--json", "--on-error", "fail", day, "bad.hex", cwd=day.parent)
    assert done.returncode == 1
    assert all(line.startswith("citymote: ") for line in done.stderr.splitlines()), done.stderr


def test_a_password_file_that_is_no_text_is_refused_without_a_word_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xffhunter2\n")
    done = run("collect", "mqtt://127.0.0.1:1", "--allow-unsealed", "--password-file", "secret", cwd=tmp_path)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert "cannot read the password file secret: it is no UTF-8 text" in said
    assert "Traceback" not in said
    assert "hunter2" not in said
    assert "xff" not in said


def verbs(command: Any = None, path: tuple[str, ...] = ()) -> list[Any]:
    """Every command that there is, however deep."""
    command = command or get_command(application())
    if hasattr(command, "commands"):
        return [one for name, each in command.commands.items() for one in verbs(each, (*path, name))]
    return [pytest.param(command, path, id=" ".join(path))]


@pytest.mark.parametrize(("command", "path"), verbs())
def test_every_verb_has_json_and_help_with_an_example(command: Any, path: tuple[str, ...]) -> None:
    assert "--json" in {flag for option in command.params for flag in option.opts}
    examples = [line for line in " ".join(command.help.split()).split("citymote ") if line.startswith(path[0])]
    assert any(path[-1] in example for example in examples), "an example of it in its help"


def test_help_is_where_people_look_for_it() -> None:
    done = run("decode", "--help")
    assert done.returncode == 0, done.stderr
    assert "Example: citymote decode" in " ".join(done.stdout.decode().split())


def test_export_narrows_and_counts(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.db") as store:
        store.add(Decoder().frames([*batches(5), batch(0, node=bytes(6))]))
    store_path = tmp_path / "s.db"
    counts = json.loads(run("export", store_path, "--counts", "--json").stdout)
    assert (counts["frames"], counts["readings"], counts["nodes"]) == (6, 300, 2)
    only = ("--node", NODE.hex(), "--quantity", "pm2_5", "--quantity", "laeq")
    done = run("export", store_path, "--json", *only)
    found = [json.loads(line) for line in lines(done)]
    assert len(found) == 50
    assert {reading["quantity"] for reading in found} == {"pm2_5", "laeq"}
    first = min(reading["time"] for reading in found)
    since = run("export", store_path, "--json", *only, "--since", first[:-1] + "+00:00", "--until", first)
    assert lines(since) == []
    assert run("export", store_path, "--since", "yesterday").returncode == 1
    whole = set(lines(run("export", store_path, "--json")))
    assert whole == {as_json(reading) for reading in readings([*batches(5), batch(0, node=bytes(6))])}


def test_keys_are_made_once_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "city.keys"
    made = run("keys", "make", file)
    assert made.returncode == 0, made.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(lines(made)[0]) == 66
    assert run("keys", "make", file).returncode == 1
    from citymote.crypto import HostCrypto
    from citymote.keys import node_id
    from citymote_protocol import p256

    public = HostCrypto().compressed(p256.run(HostCrypto().key_pair_steps())[1])
    added = run("keys", "add", file, public.hex())
    assert lines(added) == [node_id(public).hex()]
    shown = json.loads(run("keys", "show", file, "--json").stdout)
    assert shown == {"collectors": lines(made), "nodes": [node_id(public).hex()]}
    assert run("keys", "add", file, "00" * 33).returncode == 1
    assert run("keys", "remove", file, node_id(public).hex()).returncode == 0
    assert json.loads(run("keys", "show", file, "--json").stdout)["nodes"] == []
    secret = json.loads(file.read_text())["collectors"][0]["private"].encode()
    for done in (made, added, run("keys", "show", file)):
        assert secret not in done.stdout + done.stderr


def test_boards_are_listed_shown_and_checked(tmp_path: Path) -> None:
    names = [json.loads(line)["board"] for line in lines(run("boards", "list", "--json"))]
    assert "virtual" in names
    assert run("boards", "check", "virtual").returncode == 0

    def told(*arguments: str) -> str:  # within this process: three dozen programs take half a minute to start
        done = CliRunner().invoke(application(), ["boards", *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    for name in names:
        assert json.loads(told("show", name, "--json"))["board"] == name
        told("show", name)
        told("check", name)
    (tmp_path / "board.toml").write_text('name = "mine"\nplatform = "toaster"\n')
    done = run("boards", "check", tmp_path / "board.toml")
    assert done.returncode == 1
    assert "toaster" in done.stderr.decode()


def test_version_is_json_for_programs() -> None:
    facts = json.loads(run("version", "--json").stdout)
    assert set(facts) == {"citymote", "specification", "registry", "python"}
