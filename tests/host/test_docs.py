"""Pages are true: the examples of docs/decode.md, collect.md and simulate.md run as a user would run them, in a folder
with a user's files, and what any page names of the checkout and of the command line is there.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.host.brokers import Broker, Publisher
from tests.host.making import NODE, batch, batches, write_capture
from tests.host.test_spec import defined
from typer.testing import CliRunner

from citymote import Decoder, open_store
from citymote.cli import application
from citymote.crypto import HostCrypto
from citymote.demo import mapping
from citymote.keys import KeyFile
from citymote_protocol import p256
from citymote_protocol.sealing import Sealer

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).resolve().parents[2]
CALL = re.compile(r"citymote ([a-z][a-z-]*)")
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples(name: str) -> list[tuple[str, str]]:
    found = BLOCK.findall((TOP / "docs" / name).read_text(encoding="utf-8"))
    assert found, f"docs/{name} has no examples"
    return found


def run(kind: str, text: str, folder: Path) -> None:
    """Run one example; `citymote` is this checkout's."""
    shim = folder / "bin"
    shim.mkdir(exist_ok=True)
    (shim / "citymote").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m citymote "$@"\n')
    (shim / "citymote").chmod(0o755)
    environment = {**os.environ, "PATH": f"{shim}:{os.environ['PATH']}"}
    command = ["sh", "-e", "-c", text] if kind == "sh" else [sys.executable, "-c", text]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """The files that the pages talk about."""
    write_capture(tmp_path / "day.cmcap", batches(20))
    (tmp_path / "mixed.hex").write_text(f"{batch(0).hex()}\n{batch(1).hex()[:-2]}\n{batch(2).hex()}\n")
    (tmp_path / "stations.csv").write_text(f"node,latitude,longitude\n{NODE.hex()},37.5665,126.978\n")
    return tmp_path


def test_decoding(desk: Path) -> None:
    crypto = HostCrypto()
    keys = KeyFile.create(desk / "city.keys")
    private, public = p256.run(crypto.key_pair_steps())
    sealer = Sealer(crypto, keys.add_node(public), private, keys.collectors[0].public, 1, bytes(range(8)))
    keys.save()
    write_capture(desk / "sealed.cmcap", [sealer.seal(batch(seq, node=None)) for seq in range(3)])
    for kind, text in examples("decode.md"):
        run(kind, text, desk)
    assert (desk / "odd.cmcap").exists()
    assert len((desk / "day.jsonl").read_text().splitlines()) == 1000


@pytest.fixture
def broker(mosquitto, tmp_path: Path) -> Iterator[Broker]:
    with Broker(mosquitto.broker, tmp_path / "broker") as running:
        yield running


def test_collecting(desk: Path, broker: Broker) -> None:
    with Publisher(broker) as publisher:
        publisher.send(NODE.hex(), batch(0))
    with open_store(desk / "city.db") as store:
        store.add(Decoder().frames(batches(5)))
    for kind, text in examples("collect.md"):
        run(kind, text.replace("mqtt://localhost", broker.url), desk)
    assert (desk / "pm.csv").read_text().startswith("node,seq,time")
    assert (desk / "city-store" / "frames.db").exists()


@pytest.mark.usefixtures("run_vm")
def test_simulating(tmp_path: Path, broker: Broker) -> None:
    for kind, text in examples("simulate.md"):
        run(kind, text.replace("mqtt://localhost", broker.url), tmp_path)
    with open_store(tmp_path / "street" / "readings.db", create=False) as store:
        played = [(one.quantity, one.value) for one in store.iter_readings() if one.sensor == 0]
    assert ("wind_direction", 0.0) in played and ("pressure", 1013.2) in played and ("pm2_5", None) in played
    with open_store(tmp_path / "city.db", create=False) as store:
        assert len({frame.node for frame in store.iter_frames()}) == 2


def test_the_mapping_that_is_shown_has_every_key() -> None:
    ((_, text), *_) = examples("simulate.md")
    table: dict[str, Any] = tomllib.loads(text.split("street.toml <<'END'\n")[1].split("END\n")[0])
    assert set(table) == mapping.KEYS - {"base", "detect"}, "and the text speaks of these two"
    assert set(table["time"]) == mapping.TIME_KEYS
    specs = table["columns"].values()
    assert {key for spec in specs if not isinstance(spec, str) for key in spec} == mapping.COLUMN_KEYS


def test_every_option_of_simulate_is_on_its_page() -> None:
    shown = set(re.findall(r"--[a-z][a-z-]*", (TOP / "docs" / "simulate.md").read_text(encoding="utf-8")))
    told = CliRunner().invoke(application(), ["simulate", "--help"]).stdout
    options = set(re.findall(r"^  (--[a-z-]+)", told, re.MULTILINE))
    assert "--speed" in options
    assert options - shown == {"--help", "--json"}


@pytest.mark.parametrize("name", ["decode.md", "collect.md", "simulate.md"])
def test_every_line_of_an_example_is_one_that_is_run(name: str) -> None:
    text = (TOP / "docs" / name).read_text(encoding="utf-8")
    shown = set(re.findall(r"^```(\w+)", text, re.MULTILINE))
    assert shown <= {"sh", "python", "json"}


# -- what pages say of the checkout ------------------------------------------------------------------------------------

PAGES = sorted([*(TOP / "docs").glob("*.md"), *TOP.glob("*.md"), *(TOP / "protocol").rglob("*.md")])
NAMES = [path.relative_to(TOP).as_posix() for path in PAGES]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_links_to_is_there(name: str) -> None:
    page = TOP / name
    links = re.findall(r"\]\((?!\w+:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_leads_to_every_page() -> None:
    text = (TOP / "README.md").read_text(encoding="utf-8")
    pages = [name for name in NAMES if name.startswith("docs/") or name in ("SECURITY.md", "CONTRIBUTING.md")]
    assert [page for page in pages if f"({page})" not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_path_that_a_page_names_is_there(name: str) -> None:
    named = re.findall(
        r"`((?:firmware|host_sdk|protocol|tools|tests|boards|docs)/[\w./-]+)`", (TOP / name).read_text("utf-8")
    )
    assert [path for path in named if not (TOP / path).exists()] == []


def verbs() -> set[str]:
    from typer.main import get_command

    from citymote.cli import application

    group: Any = get_command(application())
    found = set(group.commands)
    for verb, command in group.commands.items():
        found |= {f"{verb} {name}" for name in getattr(command, "commands", {})}
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("protocol/spec/")])
def test_a_verb_that_a_page_names_is_one(name: str) -> None:
    text = (TOP / name).read_text(encoding="utf-8")
    lines = "\n".join(body for _, body in BLOCK.findall(text)).splitlines()
    calls = [*re.findall(r"`citymote ([a-z][a-z-]*)", text), *(m[1] for m in map(CALL.match, lines) if m)]
    assert sorted(set(calls) - verbs()) == []


# -- the threat model --------------------------------------------------------------------------------------------------

MODEL = (TOP / "docs" / "security.md").read_text(encoding="utf-8")
THREATS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in MODEL.splitlines()
    if re.match(r"\| T\d+ \|", line)
]
TESTS = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_threats_are_numbered_and_whole() -> None:
    assert [row[0] for row in THREATS] == [f"T{number}" for number in range(1, len(THREATS) + 1)]
    assert len(THREATS) > 50
    assert [row[0] for row in THREATS if len(row) != 6 or not all(row[1:5])] == []
    known = {row[0] for row in THREATS}
    assert set(re.findall(r"\bT\d+\b", MODEL)) <= known, "a row that is referred to is there"


@pytest.mark.parametrize("row", THREATS, ids=[row[0] for row in THREATS])
def test_a_threat_is_stopped_by_a_rule_and_shown_by_a_test_or_said_not_to_be(row: list[str]) -> None:
    rules, shown = row[4].split(", "), TESTS.findall(row[5])
    assert [rule for rule in rules if rule not in ("host", "node") and rule not in defined()] == []
    assert TESTS.sub("", row[5]).strip(" ,") == "", "only tests show something"
    assert shown or "**Not stopped**" in row[3]
    lost = [name for path, name in shown if name not in always_run(TOP / path)]
    assert lost == []


def always_run(path: Path) -> set[str]:
    """The tests of a file that every run of the suite has: those of `make test-long` alone are left out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            marks = [ast.unparse(decorator) for decorator in node.decorator_list]
            if not any(mark.startswith("pytest.mark.slow") for mark in marks):
                found.add(node.name)
    return found


def test_a_section_about_protection_answers_a_threat_or_is_listed_as_answering_none() -> None:
    rows, _, rest = MODEL.partition("## Rules that answer no threat")
    sections = {
        found
        for path in (TOP / "protocol" / "spec").glob("*.md")
        if int(path.name.split("-")[0]) in (5, *range(11, 17))
        for found in re.findall(r"^## (\d+\.\d+) ", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = {".".join(rule.split(".")[:2]) for row in THREATS for rule in row[4].split(", ")}
    assert rows and sections - named == set(re.findall(r"\d+\.\d+", rest))
