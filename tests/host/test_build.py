"""The application is precompiled completely, reproducibly, and only where something changed."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import vm

from citymote import boards, resources
from citymote.factory import build as building
from citymote.factory import deploy, flash, layout, selection
from citymote.factory.selection import module_of


def tree(folder: Path) -> dict[str, bytes]:
    """The files of a built tree, without the builder's own records."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    files = {
        "main.py": "import part\n",
        "part.py": "VALUE = 7\n",
        "inner/__init__.py": "",
        "inner/deep.py": "def f(x):\n    return x\n",
    }
    for name, text in files.items():
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {name: tmp_path / "src" / name for name in files}


def test_everything_becomes_mpy_but_what_the_runtime_starts_by_name(sources: dict[str, Path], tmp_path: Path) -> None:
    building.compile_tree(sources, tmp_path / "out", arch="x86", level=0)
    assert sorted(tree(tmp_path / "out")) == ["inner/__init__.mpy", "inner/deep.mpy", "main.py", "part.mpy"]


def test_the_same_sources_give_the_same_bytes_in_another_folder(sources: dict[str, Path], tmp_path: Path) -> None:
    building.compile_tree(sources, tmp_path / "one", arch="rv32imc", level=1)
    moved = tmp_path / "moved"
    (tmp_path / "src").rename(moved)
    building.compile_tree({name: moved / name for name in sources}, tmp_path / "two", arch="rv32imc", level=1)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_only_what_changed_is_compiled_again(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    building.compile_tree(sources, tmp_path / "out", arch="x86", level=0)
    compiled: list[str] = []
    real = building._compile
    monkeypatch.setattr(building, "_compile", lambda *arguments: (compiled.append(arguments[3]), real(*arguments)))

    building.compile_tree(sources, tmp_path / "out", arch="x86", level=0)
    assert compiled == []
    sources["part.py"].write_text("VALUE = 8\n")
    building.compile_tree(sources, tmp_path / "out", arch="x86", level=0)
    assert compiled == ["part.py"]


def test_another_compiler_setting_compiles_all_again(sources: dict[str, Path], tmp_path: Path) -> None:
    building.compile_tree(sources, tmp_path / "out", arch="x86", level=0)
    before = tree(tmp_path / "out")
    building.compile_tree(sources, tmp_path / "out", arch="x86", level=3)
    assert tree(tmp_path / "out")["inner/deep.mpy"] != before["inner/deep.mpy"]


def test_what_left_the_sources_leaves_the_tree(sources: dict[str, Path], tmp_path: Path) -> None:
    building.compile_tree(sources, tmp_path / "out", arch="x86", level=0)
    kept = {name: path for name, path in sources.items() if not name.startswith("inner/")}
    building.compile_tree(kept, tmp_path / "out", arch="x86", level=0)
    assert sorted(tree(tmp_path / "out")) == ["main.py", "part.mpy"]
    assert not (tmp_path / "out" / "inner").exists()


def test_a_source_that_does_not_compile_is_named_and_leaves_the_old_product(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    building.compile_tree(sources, tmp_path / "out", arch="x86", level=0)
    before = tree(tmp_path / "out")
    sources["part.py"].write_text("def f(:\n")
    with pytest.raises(building.BuildError, match=r"^part\.py: mpy-cross: .*SyntaxError"):
        building.compile_tree(sources, tmp_path / "out", arch="x86", level=0)
    assert tree(tmp_path / "out") == before


def test_a_damaged_record_means_compiling_again(sources: dict[str, Path], tmp_path: Path) -> None:
    building.compile_tree(sources, tmp_path / "out", arch="x86", level=0)
    (tmp_path / "out" / ".build.json").write_text('{"key": 1')
    (tmp_path / "out" / "part.mpy").write_bytes(b"torn")
    building.compile_tree(sources, tmp_path / "out", arch="x86", level=0)
    assert tree(tmp_path / "out")["part.mpy"] != b"torn"


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(building.BuildError, match="unknown architecture 'z80'"):
        building.build("z80", tmp_path)


@pytest.mark.parametrize("arch", ["x86", "x64", "xtensawin", "rv32imc"])
def test_the_whole_application_compiles_for_every_target(arch: str, tmp_path: Path) -> None:
    built = set(tree(building.build(arch, tmp_path, plain=True)))
    wanted = {path.relative_to(resources.firmware()).as_posix() for path in resources.firmware().rglob("*.py")}
    wanted |= {f"citymote_protocol/{path.name}" for path in resources.protocol_package().glob("*.py")}
    assert built == {name if name in building.STARTED_BY_NAME else f"{name[:-3]}.mpy" for name in wanted}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the trees of all architectures: linking takes longest and is done once."""
    return tmp_path_factory.mktemp("app")


@pytest.mark.parametrize("arch", ["x86", "x64", "xtensawin", "rv32imc"])
def test_what_is_deployed_is_linked_and_has_what_is_asked_for_by_name(arch: str, output: Path) -> None:
    built = set(tree(building.build(arch, output / arch)))
    drivers = {f"node/drivers/{path.stem}.mpy" for path in (resources.firmware() / "node" / "drivers").glob("*.py")}
    assert built >= drivers | {"main.py", "boot.py", "slots.mpy", "core.mpy", "node/app.mpy", "node/hal/esp32.mpy"}
    assert "node/store.mpy" not in built, "it is part of a unit"


def defined(source: Path) -> set[str]:
    """Every name that a module gives itself, also inside of `if`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return names


def test_what_a_linked_module_imports_of_another_is_there(output: Path) -> None:
    """A module that went into a unit, or a name that was made short, is asked for by nobody under its old one."""
    modules = {module_of(name): path for name, path in building.linked_sources(output).items()}
    assert "core" in modules
    missing: list[str] = []
    for module, path in modules.items():
        asked = ast.walk(ast.parse(path.read_text()))
        for node in (node for node in asked if isinstance(node, ast.ImportFrom)):
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base not in modules and not any(other.startswith(base + ".") for other in modules):
                continue  # the machine's own
            own = defined(modules[base]) if base in modules else set[str]()
            missing += [
                f"{module}: from {base} import {name.name}"
                for name in node.names
                if name.name not in own and f"{base}.{name.name}" not in modules
            ]
    assert not missing


def test_what_a_board_without_a_part_goes_without_is_for_that_part_alone() -> None:
    """A unit stays at home whole: a module of everybody's in it would be missing where it is asked for."""
    assert set(layout.LATER["narrow"]) == set(selection.NARROW) - {"narrow"}
    assert set(selection.SOUND) == {"sound", "listen"}
    for name in (*layout.LASTING["sound"], *layout.SELDOM["listen"]):
        assert name.startswith("node.sound."), name


BOARDS: dict[str, dict[str, Any]] = {
    "one sensor": {"board": "virtual", "sensors": [{"driver": "sht4x", "bus": "i2c0"}]},
    "nothing": {"board": "virtual", "sensors": []},
    **{name: boards.load(name) for name in boards.names()},
}


@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_all_that_a_board_is_given_finds_what_it_loads(board: dict[str, Any], output: Path) -> None:
    linked = {name: path.read_bytes() for name, path in building.linked_sources(output).items()}
    modules = {module_of(name): name for name in linked}
    architecture = boards.chip(board["chip"]).architecture if "chip" in board else "x86"
    given = selection.select(linked, architecture, board)
    lacking: list[str] = []
    for name in sorted(given):
        body = ast.parse(linked[name]).body
        at_once = ast.Module([node for node in body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        asked = selection.imported(module_of(name), name.endswith("/__init__.py"), ast.unparse(at_once).encode())
        lacking += [f"{name}: {module}" for module in asked & modules.keys() if modules[module] not in given]
    assert not lacking


@pytest.mark.parametrize("name", ["esp32-devkitc", "esp32-c3-devkitm"])
def test_what_a_board_compiles_by_itself_is_short(name: str) -> None:
    """A long source does not fit a small chip's heap while it is compiled: all but two files come compiled."""
    description = boards.describe(name)
    assert description.chip is not None
    given = deploy.payload(description.chip.architecture, boards.load(name))
    sources = {path: data for path, data in {**given.root, **given.application}.items() if path.endswith(".py")}
    assert set(sources) == {"boot.py", "main.py"}
    typed = [deploy._TOOLS.encode(), flash._NODE.encode()]  # over the prompt
    for text in (*sources.values(), *typed):
        assert text.count(b"\n") <= 300


def test_the_built_tree_runs_in_the_vm(
    sources: dict[str, Path], tmp_path: Path, run_vm: Callable[..., vm.Result]
) -> None:
    arch = vm.architecture(vm.best(32).bits)
    building.compile_tree(sources, tmp_path / "out", arch=arch, level=1)
    assert run_vm("import part; print(part.VALUE)", path=[tmp_path / "out"]).checked().stdout == "7\n"


def test_the_heap_of_a_vm_is_a_hard_limit(run_vm: Callable[..., vm.Result]) -> None:
    result = run_vm("bytearray(120000 if __import__('sys').maxsize < 1 << 32 else 240000)", heap="100k")
    assert result.returncode != 0
    assert "MemoryError" in result.stdout + result.stderr
