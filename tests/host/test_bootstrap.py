"""The set-up of a checkout: what each purpose installs, what a second run does, what a Python that cannot is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bootstrap

TOP = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that the set-up of an empty checkout gives; nothing is installed."""
    given: list[str] = []
    (tmp_path / "tools").mkdir()
    (tmp_path / "pyproject.toml").write_text("")

    def run(command: list[str | Path], what: str, *, env: dict[str, str] | None = None) -> None:
        given.append(" ".join(map(str, command)))
        if "--target" in command:
            Path(command[command.index("--target") + 1]).mkdir()

    def make_venv(without_ensurepip: bool) -> None:
        (tmp_path / ".venv" / "bin").mkdir(parents=True, exist_ok=True)
        (tmp_path / ".venv" / "bin" / "python").touch()

    monkeypatch.setattr(bootstrap, "TOP", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "BUILD", tmp_path / "build")
    monkeypatch.setattr(bootstrap, "STUBS", tmp_path / "build" / "stubs")
    monkeypatch.setattr(bootstrap, "run", run)
    monkeypatch.setattr(bootstrap, "make_venv", make_venv)
    return given


@pytest.fixture
def set_up(commands: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Set up with these arguments; the commands that this run gave."""

    def set_up(*arguments: str) -> list[str]:
        commands.clear()
        monkeypatch.setattr(sys, "argv", ["bootstrap.py", *arguments])
        assert bootstrap.main() == 0
        return list(commands)

    return set_up


def test_who_comes_for_the_demo_waits_for_no_test_tool_and_no_peer(set_up: Callable[..., list[str]]) -> None:
    (only,) = set_up("--for", "demo")
    assert only.endswith(" -e .[all]")
    assert set_up("--for", "demo") == []


def test_tests_add_to_what_the_demo_set_up(set_up: Callable[..., list[str]]) -> None:
    set_up("--for", "demo")
    given = set_up()
    assert given[0].endswith(" -e .[all,dev]")
    assert any("stubs" in command for command in given)
    assert any(command.endswith(" -e .[peers]") for command in given)


def test_who_set_up_for_the_tests_has_set_up_for_the_demo(set_up: Callable[..., list[str]]) -> None:
    set_up()
    assert set_up("--for", "demo") == []
    assert set_up() == []


@pytest.mark.parametrize("purpose", ["demo", "tests"])
def test_other_requirements_are_installed_again(set_up: Callable[..., list[str]], tmp_path: Path, purpose: str) -> None:
    set_up("--for", purpose)
    (tmp_path / "pyproject.toml").write_text("[project]")
    assert set_up("--for", purpose)


def test_python_3_11_is_needed() -> None:
    code = "import sys; sys.version_info = (3, 9, 2); sys.path.insert(0, sys.argv[1]); import bootstrap"
    done = subprocess.run([sys.executable, "-c", code, TOP / "tools"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("bootstrap: Python 3.11 or later is needed")
    assert "make PYTHON=" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_pip_of_another_python_is_a_line_that_names_the_package_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ubuntu 22.04's pip beside its python3.11, which came without distutils.
    def run(command: list[str | Path], what: str, *, env: dict[str, str] | None = None) -> None:
        if "install" in command:
            raise bootstrap.SetupError(
                f"{what} failed:\n  File ...\n  ModuleNotFoundError: No module named 'distutils'"
            )

    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "run", run)
    monkeypatch.setattr(bootstrap, "pip_wheel", lambda: tmp_path / "pip-22.0.2-py3-none-any.whl")
    with pytest.raises(bootstrap.SetupError) as caught:
        bootstrap.make_venv(without_ensurepip=True)
    assert str(caught.value) == (
        "pip-22.0.2-py3-none-any.whl does not run on this Python (ModuleNotFoundError: No module named 'distutils'); "
        f"install python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    )
