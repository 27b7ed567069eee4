"""The wheel alone, without a checkout, holds all that the virtual node, the decoder and the flasher need."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as site-packages would be."""
    folder = tmp_path_factory.mktemp("wheel")
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, folder], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(folder / done.stdout.split()[-1]) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Callable[[str], str]:
    """Run code with the unpacked wheel before everything else, away from the checkout."""

    def run(code: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(installed), "CITYMOTE_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def test_it_holds_two_packages_and_nothing_else_at_the_top(installed: Path) -> None:
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {
        "citymote",
        "citymote_protocol",
    }


def test_every_part_is_found_inside_it(run: Callable[[str], str], installed: Path) -> None:
    code = (
        "from citymote import resources as r\n"
        "print(*[r.firmware(), r.protocol() / 'quantities.toml', r.protocol_package(), r.tool('get_micropython.py')])"
    )
    for path in run(code).split():
        assert path.startswith(str(installed)), path
        assert Path(path).exists(), path


def test_it_has_each_source_of_the_node(installed: Path) -> None:
    packed = installed / "citymote" / "_data" / "firmware"
    here = TOP / "firmware"
    wanted = {path.relative_to(here) for path in here.rglob("*.py")}
    assert wanted <= {path.relative_to(packed) for path in packed.rglob("*.py")}


def test_it_precompiles_the_application(run: Callable[[str], str], installed: Path, tmp_path: Path) -> None:
    folder = Path(run("from citymote.factory.build import build; print(build('x86'))"))
    assert folder == tmp_path / "cache" / "app" / "x86"
    assert (folder / "citymote_protocol" / "cbor.mpy").exists()


def test_its_tool_for_a_micropython_answers(run: Callable[[str], str]) -> None:
    code = (
        "import subprocess, sys\nfrom citymote import resources\n"
        "print(subprocess.run([sys.executable, resources.tool('get_micropython.py'), '--help'], check=True, "
        "capture_output=True, text=True).stdout)"
    )
    assert "MicroPython" in run(code)
