"""docs/provision.md: its commands and options exist, its plan is one, its Python runs."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

import citymote
from citymote.cli import application
from citymote.plan import load

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "provision.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
LINES = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line]


def test_every_kind_of_example_is_held() -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "toml", "python"}
    assert len(LINES) > 15


@pytest.mark.parametrize("line", LINES)
def test_every_command_can_be_parsed(line: str) -> None:
    words = shlex.split(line)
    assert words[0] == "citymote"
    command: Any = typer.main.get_command(application())
    rest = words[1:]
    while hasattr(command, "commands"):
        if rest[0] not in command.commands:
            rest[:2] = rest[1::-1]  # citymote node NODE info
        command = command.commands[rest.pop(0)]
    command.make_context(command.name, rest)


def test_the_plan_can_be_read(tmp_path: Path) -> None:
    (plan,) = [text for kind, text in BLOCKS if kind == "toml"]
    (tmp_path / "plan.toml").write_text(plan)
    (tmp_path / "wifi.key").write_text("x\n")
    (tmp_path / "wifi.key").chmod(0o600)
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n")
    made = load(tmp_path / "plan.toml")
    assert (made.site, made.settings["interval"], made.settings["broker_tls"]) == ("harbour", 120, True)


def test_the_python_names_what_there_is() -> None:
    (code,) = [text for kind, text in BLOCKS if kind == "python"]
    used = {
        node.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "citymote"
    }
    assert used and used <= set(citymote.__all__)
