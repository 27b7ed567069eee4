"""What every test may use: MicroPython VMs, a real Mosquitto, the real data, and tests/shared run by both interpreters.

The fixtures only find and start things; how a shared test runs inside a VM is in tests/support/shared.py. A test that
this machine cannot run is skipped with the reason, and everything that makes the run less strict than it should be
(no 32-bit VM) is said in the header.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from tests.support import shared, vm

import aptget
import get_mosquitto

TOP = Path(__file__).resolve().parent.parent
pytest_plugins = ["pytester"]

# A stopped process is no finding: what an example may cost is measured by `make bench`.
settings.register_profile("citymote", deadline=None)
settings.load_profile("citymote")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--port", help="serial port of a real board for tests/hil")
    parser.addoption("--board", help="which board that is: a name or a folder")
    parser.addoption("--runtime", help="image of MicroPython for it, written when it is not there")


def pytest_report_header() -> list[str]:
    return ["micropython: " + "; ".join(vm.describe())]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--port"):
        skip = pytest.mark.skip(reason="needs a real board: name it with --port")
        for item in items:
            if item.get_closest_marker("hil"):
                item.add_marker(skip)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The MicroPython half of a shared test file; pytest's own collector makes the CPython half."""
    if shared.is_shared(file_path):
        return shared.MicroPythonFile.from_parent(parent, path=file_path)
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # Says [cpython] in the name of that half, as the other half says [micropython].
    if shared.is_shared(metafunc.definition.path):
        metafunc.fixturenames.append("interpreter")
        metafunc.parametrize("interpreter", ["cpython"], indirect=True)


@pytest.fixture
def interpreter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both interpreters run shared tests in the top folder, so that relative paths of vectors are the same."""
    monkeypatch.chdir(TOP)
    return str(request.param)


def _micropython(bits: int) -> str:
    try:
        return str(vm.binary(bits))
    except aptget.Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def micropython64() -> str:
    """Path of the 64-bit MicroPython unix port."""
    return _micropython(64)


@pytest.fixture(scope="session")
def micropython32() -> str:
    """Path of the 32-bit MicroPython unix port; skips where the machine has none (`run_vm` falls back instead)."""
    return _micropython(32)


@pytest.fixture(scope="session")
def run_vm() -> Callable[..., vm.Result]:
    """`run_vm(code_or_path, *arguments, heap="100k", arch=32, path=None, cwd=None, timeout=60)`: vm.run."""
    try:
        vm.best(32)
    except aptget.Unavailable as error:
        pytest.skip(str(error))
    return vm.run


@pytest.fixture(scope="session")
def app_tree() -> Path:
    """The precompiled node application for `run_vm`'s default VM."""
    return vm.application(vm.best(32).bits)


@pytest.fixture(scope="session")
def mosquitto() -> get_mosquitto.Mosquitto:
    """Paths of a real Mosquitto: `.broker`, `.publish`, `.subscribe`."""
    try:
        return get_mosquitto.provide()
    except aptget.Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with the published data that the tests replay; never part of the repository."""
    folder = Path(os.environ.get("CITYMOTE_DATA") or TOP.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; name its folder with CITYMOTE_DATA")
    return folder


@pytest.fixture(scope="session")
def data_file(data_folder: Path) -> Callable[[str], Path]:
    """`data_file("laeq_1min.csv")`: that file of the real data, or a skip that names it."""

    def find(name: str) -> Path:
        path = data_folder / name
        if not path.exists():
            pytest.skip(f"{name} is not in {data_folder}")
        return path

    return find


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of golden vectors."""
    return TOP / "protocol" / "vectors"
