"""Collects tests/shared twice: each `test_*` function once for CPython, once inside a MicroPython VM.

A shared test file is written in the MicroPython dialect: plain functions with assert, no pytest. For the VM half the
file, its helpers and the application are precompiled, and one VM process runs all wanted functions of a file with the
heap that a chip has (a file that must hold big vectors may set `HEAP = "160k"`); each function's outcome is a pytest
item of its own. A MemoryError, a crash or a hang is a failure of the function that was running.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support import vm

import aptget
from citymote.factory.build import BuildError, compile_tree

_RUNNER = Path(__file__).with_name("run_shared.py")
# What the runner says starts so, wherever a test's own printing left the line.
MARK = "\x02"


def is_shared(path: Path) -> bool:
    """Whether a file is a shared test: test_*.py directly in a folder tests/shared."""
    return path.suffix == ".py" and path.name.startswith("test_") and path.parent.name == "shared"


@dataclass(frozen=True)
class Outcome:
    passed: bool
    text: str


class MicroPythonFile(pytest.File):
    """The functions of one shared file, run together in one VM when the first of them is wanted."""

    _outcomes: dict[str, Outcome] | None = None
    heap: str = vm.DEFAULT_HEAP

    def collect(self) -> Iterator[pytest.Item]:
        try:
            tree = ast.parse(self.path.read_text(), str(self.path))
        except SyntaxError as error:
            raise self.CollectError(f"{self.path.name}: {error}") from None
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                item = MicroPythonFunction.from_parent(self, name=f"{node.name}[micropython]")
                item.function_name, item.line = node.name, node.lineno
                if any("slow" in ast.unparse(decorator) for decorator in node.decorator_list):
                    item.add_marker("slow")
                yield item
            elif isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["HEAP"]:
                self.heap = str(ast.literal_eval(node.value))

    def outcome(self, name: str) -> Outcome:
        if self._outcomes is None:
            wanted = [
                item.function_name
                for item in self.session.items
                if isinstance(item, MicroPythonFunction) and item.parent is self
            ]
            self._outcomes = self._run(wanted)
        return self._outcomes[name]

    def _run(self, wanted: list[str]) -> dict[str, Outcome]:
        try:
            machine = vm.best(32)
            compiled = self._compiled(vm.architecture(machine.bits))
            application = vm.application(machine.bits)
        except aptget.Unavailable as error:
            pytest.skip(str(error))
        except BuildError as error:
            return dict.fromkeys(wanted, Outcome(False, str(error)))
        outcomes: dict[str, Outcome] = {}
        left = list(wanted)
        while left:
            # A function that takes the VM down takes only itself down: the rest goes on in a new one.
            result = vm.execute(
                ["-m", _RUNNER.stem, self.path.stem, *left], heap=self.heap, path=[compiled, application], timeout=120
            )
            outcomes.update(parse(result, left, self.path))
            left = [name for name in left if name not in outcomes]
        return outcomes

    def _compiled(self, arch: str) -> Path:
        folder = self.path.parent
        key = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
        sources = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.py")}
        target = vm.TOP / "build" / "shared" / f"{arch}-{key}"
        compile_tree({**sources, _RUNNER.name: _RUNNER}, target, arch=arch, level=0)
        return target


class MicroPythonFunction(pytest.Item):
    """One function of a shared file; its outcome comes out of the file's VM."""

    parent: MicroPythonFile
    function_name: str = ""
    line: int = 0

    def runtest(self) -> None:
        outcome = self.parent.outcome(self.function_name)
        if not outcome.passed:
            raise FailedInVM(outcome.text)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        if isinstance(excinfo.value, FailedInVM):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.line - 1, self.name


class FailedInVM(Exception):
    """A shared test failed inside the VM; the text is the VM's traceback with the test's own lines."""


def parse(result: vm.Result, wanted: list[str], source: Path) -> dict[str, Outcome]:
    """The outcomes of one VM run. Where it ended early, the function it was in has failed; later ones are left out."""
    outcomes: dict[str, Outcome] = {}
    printed, *marked = result.stdout.split(MARK)
    running = ""
    for piece in marked:
        word, _, rest = piece.partition("\n")
        if word.startswith("begin "):
            running, printed = word.removeprefix("begin "), rest
        elif running:
            outcomes[running] = Outcome(word == "passed", _with_source(printed, source))
            running, printed = "", ""
    if running or len(outcomes) < len(wanted):
        last = f"{printed}\n{result.stderr.strip()}"
        text = f"the VM ({result.heap} heap) ended with {result.returncode}\n{_with_source(last, source)}"
        # An import that fails belongs to no function: then nothing of this file can be judged, and all fail.
        for name in [running] if running else wanted:
            outcomes.setdefault(name, Outcome(False, text))
    return outcomes


def _with_source(text: str, source: Path) -> str:
    """A VM's traceback has modules and line numbers only: add the lines themselves."""
    lines = source.read_text().splitlines()
    out = []
    for line in text.splitlines():
        out.append(line)
        found = re.search(r'File "([^"]+)", line (\d+)', line)
        if found and found[1].rpartition(".")[2] == source.stem and 0 < int(found[2]) <= len(lines):
            out.append(f"    {lines[int(found[2]) - 1].strip()}")
    return "\n".join(out)
