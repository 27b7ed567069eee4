#!/usr/bin/env python3
"""Holds DESIGN.md's import table against the code: who may import whom, by reading the code, never by running it.

The table below is the one in the design, row by row, as data. Beside it stand two rules of the host: each third party
is known to exactly one module, and what `import citymote` loads needs nothing but the standard library. Relative
imports, imports inside functions, `__import__("x")` and `importlib.import_module("x")` all count; imports under
`if TYPE_CHECKING:` count for the table, but load nothing.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Where the modules of each tree have their root.
ROOTS = ("protocol", "firmware", "host_sdk")
HARDWARE = ("machine", "esp", "esp32", "espnow", "network", "bluetooth", "neopixel")
NODE = ("main", "boot", "node")
SMALL_STDLIB = (
    "array", "asyncio", "binascii", "collections", "cryptolib", "errno", "gc", "hashlib", "io", "json", "math",
    "micropython", "os", "random", "struct", "sys", "time", "uctypes",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row of the table: what the files matching `files` may import, and what they must not, whoever allows it."""

    name: str
    files: tuple[str, ...]
    may: tuple[str, ...] | None = None  # None: anything but `never`
    never: tuple[str, ...] = ()
    but: tuple[str, ...] = ()  # exceptions to `never`
    except_files: tuple[str, ...] = ()


TABLE = (
    # `array` is a container without behaviour, the same in both interpreters, and what typed columns are kept in.
    Row(
        "citymote_protocol",
        ("protocol/citymote_protocol/**/*.py",),
        may=("array", "struct", "binascii", "citymote_protocol"),
    ),
    # `micropython.const` costs nothing and names a chip's registers; faults carry the quality codes; what a gas cell's
    # signal means is computed on the host as well.
    Row(
        "node/drivers",
        ("firmware/node/drivers/**/*.py",),
        may=(
            "struct", "micropython", "citymote_protocol.quantities", "citymote_protocol.quality",
            "citymote_protocol.cells", "node.drivers",
        ),
    ),
    Row(
        "the node's core",
        ("firmware/*.py", "firmware/node/*.py", "firmware/node/sound/**/*.py", "firmware/node/access/*.py"),
        may=("citymote_protocol", *SMALL_STDLIB, *NODE, "slots"),
        never=HARDWARE,
        except_files=("firmware/main.py",),
    ),
    # The composition root alone puts hardware, links and drivers together; the others get them handed over.
    Row(
        "the node's core wires nothing",
        ("firmware/node/*.py", "firmware/node/sound/**/*.py", "firmware/node/access/*.py"),
        never=("node.hal", "node.links", "node.drivers", "node.app"),
        but=("node.drivers.fault",),
        except_files=("firmware/node/app.py",),
    ),
    # What runs before the HAL, which lies in a slot: a chip's own modules, the boot, and then the application.
    Row(
        "what starts the node",
        ("firmware/main.py",),
        may=("slots", "vfs", "machine", "esp32", "sys", "time", "node.hal", "node.app"),
    ),
    Row("node/hal", ("firmware/node/hal/**/*.py",), never=("node.drivers", "node.store")),
    Row("node/links", ("firmware/node/links/**/*.py",), never=("node.drivers", "node.store")),
    Row("host_sdk/citymote", ("host_sdk/citymote/**/*.py",), never=NODE),
    Row(
        "citymote/cli",
        ("host_sdk/citymote/cli/**/*.py", "host_sdk/citymote/cli.py"),
        never=("citymote.transports.*", "citymote.storage.*"),
    ),
    Row("tests/e2e", ("tests/e2e/**/*.py",), never=NODE),
)  # fmt: skip

# A package that counts as one module for a third party, because each of its files is a piece of the same job.
ONE_MODULE = {
    "typer": "citymote.cli",  # each verb declares its own options
    "rich": "citymote.cli",
    "numpy": "citymote.testing",  # the synthesis of sound is split into instrument and street
    "bumble": "citymote.testing",  # the air is split into medium, controllers, nodes and hosts
}
# Who plays the other side of a third party has to know it, and does not count.
STAND_INS = {"bleak": "citymote.testing"}
OUR_OWN = ("citymote", "citymote_protocol")


@dataclass(frozen=True)
class Import:
    """One imported name: absolute, with the attribute where `from x import y` may name a module."""

    name: str
    line: int
    loads: bool  # runs when the importing module is loaded
    member: str = ""

    @property
    def full(self) -> str:
        return f"{self.name}.{self.member}" if self.member else self.name


@dataclass
class Module:
    """One file, the dotted name it is imported by, and what it imports."""

    path: Path
    name: str
    package: str
    imports: list[Import] = field(default_factory=list[Import])


def covers(pattern: str, name: str) -> bool:
    """Whether `pattern` names the module or a parent of it; `a.*` means the inside of `a` and not `a` itself."""
    if pattern.endswith(".*"):
        return name.startswith(pattern[:-1])
    return name == pattern or name.startswith(pattern + ".")


def read(top: Path, path: Path) -> Module:
    """Parse one file; its module name follows from the tree it lies in."""
    relative = path.relative_to(top)
    parts = list(relative.with_suffix("").parts)
    if parts[0] in ROOTS:
        parts = parts[1:]
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    module = Module(relative, name, name if is_package else name.rpartition(".")[0])
    _Reader(module).visit(ast.parse(path.read_text(), str(relative)))
    return module


class _Reader(ast.NodeVisitor):
    """Collects imports, and knows which of them run when the module is loaded."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.deferred = 0

    def _add(self, name: str, line: int, member: str = "") -> None:
        self.module.imports.append(Import(name, line, not self.deferred, member))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        name = node.module or ""
        if node.level:
            base = self.module.package.split(".")
            base = base[: len(base) - (node.level - 1)]
            name = ".".join([*base, name] if name else base)
        for alias in node.names:
            self._add(name, node.lineno, "" if alias.name == "*" else alias.name)

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func)
        first = node.args[0] if node.args else None
        name = first.value if isinstance(first, ast.Constant) else None
        imports = called in ("__import__", "importlib.import_module", "import_module")
        if imports and isinstance(name, str) and not name.startswith("."):
            self._add(name, node.lineno)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._later(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._later(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._later(node)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)
            return
        self.deferred += 1
        for child in node.body:
            self.visit(child)
        self.deferred -= 1
        for child in node.orelse:
            self.visit(child)

    def _later(self, node: ast.AST) -> None:
        self.deferred += 1
        self.generic_visit(node)
        self.deferred -= 1


def check_table(top: Path) -> Iterator[str]:
    """Every import that breaks a row of the table."""
    for row in TABLE:
        skipped = {top / name for name in row.except_files}
        for path in sorted({path for pattern in row.files for path in top.glob(pattern)} - skipped):
            for found in read(top, path).imports:
                reason = _breaks(row, found, top)
                if reason:
                    yield f"{path.relative_to(top)}:{found.line}: {row.name} {reason}"


def _breaks(row: Row, found: Import, top: Path) -> str | None:
    # `from node import hal` imports node.hal: where the member is a module, it is what counts.
    name = found.full if found.member and _is_module(top, found.full) else found.name
    if any(covers(pattern, name) for pattern in row.but):
        return None
    if any(covers(pattern, name) for pattern in row.never):
        return f"must never import {name}"
    if row.may is not None and not any(covers(pattern, name) for pattern in row.may):
        return f"may not import {name} (allowed: {', '.join(row.may)})"
    return None


def _is_module(top: Path, name: str) -> bool:
    relative = Path(*name.split("."))
    return any(
        (top / root / relative).is_dir() or (top / root / relative.with_suffix(".py")).is_file() for root in ROOTS
    )


def host_modules(top: Path) -> dict[str, Module]:
    """Every module of the host SDK and of the protocol, by name."""
    trees = (top / "host_sdk" / "citymote", top / "protocol" / "citymote_protocol")
    modules = (read(top, path) for tree in trees for path in sorted(tree.rglob("*.py")) if "_data" not in path.parts)
    return {module.name: module for module in modules}


def third_party(found: Import) -> str | None:
    """The third party's top name, or None for our own modules and the standard library."""
    name = found.name.partition(".")[0]
    return None if not name or name in sys.stdlib_module_names or name in OUR_OWN else name


def check_third_parties(modules: dict[str, Module]) -> Iterator[str]:
    """Every third party that more than one module of the host knows."""
    knowing: dict[str, dict[str, str]] = {}
    for module in modules.values():
        for found in module.imports:
            party = third_party(found)
            if party and covers(STAND_INS.get(party, party), module.name):
                continue
            if party and party not in NODE:  # the table has that case
                home = ONE_MODULE.get(party, "")
                knower = home if home and covers(home, module.name) else module.name
                knowing.setdefault(party, {}).setdefault(knower, f"{module.path}:{found.line}")
    for party, places in sorted(knowing.items()):
        if len(places) > 1:
            yield f"{party} is known to {len(places)} modules, one must hide it: {', '.join(sorted(places.values()))}"


def check_light(modules: dict[str, Module], start: str = "citymote") -> Iterator[str]:
    """Every third party that is loaded by `import citymote` alone, with the chain of modules that leads to it."""
    seen = {start}
    queue: list[tuple[str, tuple[str, ...]]] = [(start, (start,))]
    while queue:
        name, chain = queue.pop(0)
        for found in modules[name].imports if name in modules else ():
            if not found.loads:
                continue
            party = third_party(found)
            if party:
                yield f"{modules[name].path}:{found.line}: import {start} loads {party} ({' -> '.join(chain)})"
            for target in _parents(found.full) + _parents(found.name):
                if target in modules and target not in seen:
                    seen.add(target)
                    queue.append((target, (*chain, target)))


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def check(top: Path) -> list[str]:
    """Everything that is wrong, as lines that name file and line."""
    modules = host_modules(top)
    return sorted({*check_table(top), *check_third_parties(modules), *check_light(modules)})


def main() -> int:
    parser = argparse.ArgumentParser(description="Hold DESIGN.md's import table against the code.")
    parser.add_argument("top", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent)
    try:
        wrong = check(parser.parse_args().top)
    except SyntaxError as error:
        print(f"check_imports: {error.filename}:{error.lineno}: {error.msg}", file=sys.stderr)
        return 1
    for line in wrong:
        print(line)
    if wrong:
        print(f"check_imports: {len(wrong)} imports that DESIGN.md's table does not allow", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
