"""The README's own examples, run as they stand beside the folder of a demo."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text("utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, check=False, cwd=folder, capture_output=True, text=True, timeout=200, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `citymote demo` has just run."""
    place = tmp_path_factory.mktemp("readme")
    told = run(["citymote", "demo", "--nodes", "1", "--hours", "1"], place).stdout
    (place / "told.txt").write_text(told, "utf-8")
    return place


def test_the_demo_tells_what_the_readme_shows(folder: Path) -> None:
    (shown,) = re.findall(r"^```text\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    first, *others = shown.splitlines()
    told = (folder / "told.txt").read_text("utf-8").splitlines()
    one = re.fullmatch(r"one node is in the air, without an owner: ([0-9a-f]{12})", told[0])
    assert one and first.startswith("3 nodes are in the air") and one[1] in first
    assert len(others) == 3
    for line, said in zip(others, told[1:], strict=False):
        assert re.fullmatch(re.sub(r"\d+\.\d", r"\\d+\\.\\d", line), said)


def test_the_python_example_prints_readings(folder: Path) -> None:
    (code,) = PYTHON
    lines = run([sys.executable, "-W", "error", "-c", code], folder).stdout.splitlines()
    assert any(re.match(r"[0-9a-f]{12} 2026-05-01 00:02:00\+00:00 pm2_5 \d+\.\d ug/m3 ", line) for line in lines)


@pytest.mark.parametrize("command", [line for line in SHELL if line.startswith("citymote") and "--data" not in line])
def test_the_commands_of_the_example_work(folder: Path, command: str) -> None:
    run(command.split(), folder)


def test_the_data_example_works(folder: Path, data_folder: Path) -> None:
    (command,) = [line for line in SHELL if "--data" in line]
    (folder / "sdot.csv").symlink_to(data_folder / "sdot_1h_20200501_640nodes.csv")
    run([*command.split(), "--nodes", "1", "--hours", "2"], folder)


def test_every_page_that_the_readme_names_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_the_make_targets_that_the_readme_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for name in re.findall(r"^make (\w+)", "\n".join(SHELL), re.MULTILINE):
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), name
