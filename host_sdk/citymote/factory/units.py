"""Writes the units of a linked application as text: every symbol under a name of the unit that it lives in.

The second half of `factory.link`, which has decided what lives where. A unit begins with the imports that its pieces
need, foreign ones and those of other units' symbols; then come the pieces, in the order of the sources.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from . import names
from .layout import Layout
from .program import LOCAL, Function, LinkError, Module, Program, Symbol, local_names
from .trees import walk

ASK = "_ask"  # the call that stands for an import
TABLE = "@@"  # begins a text of methods, each with its unit and its mark


@dataclass(eq=False)
class Chunk:
    """A piece that has one place: a definition, or a method that has left its class."""

    symbol: Symbol
    node: ast.stmt
    unit: str
    path: str
    marks: set[str] = field(default_factory=set[str])


def local_marks(tree: ast.AST) -> Iterator[str]:
    """The symbols that functions import for themselves."""
    for node in walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == LOCAL:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            function = node.value.func
            if isinstance(function, ast.Name) and function.id == ASK:
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))


class Writer:
    """Turns units into text: each symbol under a name of that unit."""

    def __init__(
        self,
        program: Program,
        chunks: Mapping[str, Chunk],
        layout: Layout,
        attributes: Mapping[str, str],
        helpers: Mapping[str, ast.stmt],
    ) -> None:
        self.program = program
        self.chunks = chunks
        self.layout = layout
        self.attributes = attributes
        self.helpers = helpers  # what the linker adds to the first of the lasting units
        self.home: dict[str, tuple[str, str]] = {}  # mark -> (unit, its name there)
        self.bound: dict[str, dict[str, str]] = {}  # unit -> mark -> its name there
        self.eager: dict[str, set[str]] = {}  # unit -> what it imports when it is loaded

    def order(self, units: Mapping[str, list[Chunk]]) -> list[str]:
        """Units in an order in which each comes behind those that it imports as it is loaded."""
        self.eager = {unit: self._eager(unit, chunks) for unit, chunks in units.items()}
        for unit in self.layout.lasting:
            for mark in self.eager.get(unit, ()):
                if self._unit(mark) not in self.layout.lasting:
                    raise LinkError(f"{unit} stays and would keep {self._unit(mark)}: {self.chunks[mark].symbol}")
        done: list[str] = []
        path: list[str] = []

        def visit(unit: str) -> None:
            if unit in done:
                return
            if unit in path:
                raise LinkError("units import each other: " + " -> ".join([*path[path.index(unit) :], unit]))
            path.append(unit)
            for mark in sorted(self.eager[unit]):
                visit(self._unit(mark))
            path.pop()
            done.append(unit)

        for unit in sorted(units):
            visit(unit)
        for unit, chunks in units.items():
            self._name(unit, chunks)
        return done

    def _unit(self, mark: str) -> str:
        if mark in self.helpers:
            return self.layout.lasting[0]
        return self.chunks[mark].unit

    def _eager(self, unit: str, chunks: Iterable[Chunk]) -> set[str]:
        found: set[str] = set()
        for chunk in chunks:
            local = set(local_marks(chunk.node))
            for node in walk(chunk.node):
                if isinstance(node, ast.Name):
                    known = node.id in self.chunks or node.id in self.helpers
                    if known and node.id not in local and self._unit(node.id) != unit:
                        found.add(node.id)
        return found

    def _keeps(self, symbol: Symbol, node: ast.stmt) -> bool:
        """Exceptions keep their names, because logs tell them, and so does what somebody asks for by a text."""
        if symbol.module in self.program.by_name or symbol.name == "DRIVER":
            return True
        if self.program.modules[symbol.module].path.startswith(self.layout.public):
            return not symbol.name.startswith("_")
        return isinstance(node, ast.ClassDef) and symbol.name.endswith(("Error", "Fault"))

    def _name(self, unit: str, chunks: list[Chunk]) -> None:
        count: Counter[str] = Counter()
        taken: set[str] = set()
        for chunk in chunks:
            module = self.program.modules[chunk.symbol.module]
            taken |= set(module.foreign)
            for node in walk(chunk.node):
                if isinstance(node, Function | ast.Lambda):
                    taken |= local_names(node)
                elif isinstance(node, ast.Name):
                    if node.id in self.chunks or node.id in self.helpers:
                        count[node.id] += 1
                    else:
                        taken.add(node.id)
        mine = [chunk.symbol.mark for chunk in chunks]
        if unit == self.layout.lasting[0]:
            mine += list(self.helpers)
            taken |= {"sys", "unit", "name", "module", "cls", "function", "made", "a", "k", "number", "self"}
            taken |= {"table", "at"}
        bound: dict[str, str] = {}
        for mark in mine:
            symbol = self.program.symbols.get(mark)
            if symbol is not None and self._keeps(symbol, self.chunks[mark].node):
                bound[mark] = symbol.name
        taken |= set(bound.values())
        free = (name for name in names.ROM if name not in taken)
        rest = [mark for mark in {*mine, *count} if mark not in bound]
        for mark in sorted(rest, key=lambda m: (-count[m], m)):
            bound[mark] = next(free)
        for mark in mine:
            self.home[mark] = (unit, bound[mark])
        self.bound[unit] = bound

    def unit(self, unit: str, chunks: list[Chunk]) -> tuple[bytes, list[tuple[str, int]]]:
        bound = self.bound[unit]
        body: list[ast.stmt] = []
        foreign: dict[str, tuple[str, str | None]] = {}
        renamer = _Renamer(self, unit)
        origin: list[tuple[str, ast.stmt]] = []
        if unit == self.layout.lasting[0]:
            foreign["sys"] = ("sys", None)
            for name, node in self.helpers.items():
                node = copy.deepcopy(node)
                origin.append(("", renamer.visit(node)))
                cast(ast.FunctionDef, node).name = bound[name]
        used: set[str] = set()
        for chunk in sorted(chunks, key=lambda c: c.symbol.order):
            if isinstance(chunk.node, ast.Pass):
                continue
            node = renamer.visit(chunk.node)
            origin.append((chunk.path, node))
            module = self.program.modules[chunk.symbol.module]
            used = {n.id for n in walk(node) if isinstance(n, ast.Name)}
            for here, what in module.foreign.items():
                if here in used and foreign.setdefault(here, what) != what:
                    raise LinkError(f"unit {unit}: {here} is both {foreign[here]} and {what}")
        imports = [*self._foreign(foreign), *self._own(unit)]
        body = [*[ast.parse(line).body[0] for line in imports], *[node for _, node in origin]]
        if unit in self.program.modules and self.program.modules[unit].name == self.layout.stages:
            body = [self._stage(node) for node in body]
        text = ast.unparse(ast.Module(body=body, type_ignores=[])) + "\n"
        lines: list[tuple[str, int]] = [("", 0)] * (text.count("\n") + 1)
        paths = {id(node): path for path, node in origin}
        for old, new in zip(body, ast.parse(text).body, strict=True):
            path = paths.get(id(old), "")
            for a, b in zip(_statements(old), _statements(new), strict=True):
                if path:
                    lines[b.lineno] = (path, getattr(a, "lineno", 0))
        return text.encode(), lines

    def _foreign(self, foreign: Mapping[str, tuple[str, str | None]]) -> Iterator[str]:
        for here, (module, name) in sorted(foreign.items()):
            if name is None:
                yield f"import {module}" + (f" as {here}" if here != module.split(".")[0] else "")
            else:
                yield f"from {module} import {name}" + (f" as {here}" if here != name else "")

    def _own(self, unit: str) -> Iterator[str]:
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for mark in self.eager[unit]:
            groups[self._unit(mark)].append(mark)
        for source in sorted(groups):
            yield f"from {source} import " + ", ".join(self.imported(unit, mark) for mark in sorted(groups[source]))

    def imported(self, unit: str, mark: str) -> str:
        there, here = self.home[mark][1], self.bound[unit][mark]
        return there if there == here else f"{there} as {here}"

    def _stage(self, node: ast.stmt) -> ast.stmt:
        """The lists of modules that a start loads and lets go, as units."""
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
            return node
        target = cast(ast.Name, node.targets[0]).id
        gone = target.endswith("_GONE")
        found: list[str] = []
        for element in node.value.elts:
            name = cast(str, cast(ast.Constant, element).value)
            unit = self.layout.unit(name) if name in self.program.modules else name
            if unit not in found and not (gone and unit in self.layout.lasting):
                found.append(unit)
        if gone:
            found += [unit for unit in self.layout.passing if unit not in found]
        node.value.elts = [ast.copy_location(ast.Constant(value=name), node.value) for name in found]
        return node

    def raw(self, module: Module, text: bytes) -> bytes:
        """A module that stays as it is, but for where it finds what it imports of ours."""
        for node in walk(module.tree):
            if isinstance(node, ast.ImportFrom):
                asked = list(self.program.bindings(module, node))
                if not any(kind == "symbol" for _, kind, _ in asked):
                    continue
                lines = text.split(b"\n")
                parts: list[str] = []
                for here, kind, what in asked:
                    symbol = self.program.find(what[0], what[1] or "")
                    if kind != "symbol" or symbol is None:
                        raise LinkError(f"{module.path}:{node.lineno}: asks for what is not there")
                    unit, name = self.home[symbol.mark]
                    parts.append(f"from {unit} import {name} as {here}")
                first = lines[node.lineno - 1]
                indent = first[: len(first) - len(first.lstrip())]
                lines[node.lineno - 1] = indent + "; ".join(parts).encode()
                for number in range(node.lineno, node.end_lineno or node.lineno):
                    lines[number] = b""
                text = b"\n".join(lines)
        return text

    def facade(self, path: str, wanted: tuple[str, ...], text: bytes) -> bytes:
        """A module under its own name for the boot, or for somebody's own driver: what they ask it for."""
        module = next(module for module in self.program.modules.values() if module.path == path)
        lines: list[str] = []
        for name in wanted:
            unit, there = self.home[module.symbols[name].mark]
            lines.append(f"from {unit} import {there} as {name}")
        if path.startswith(self.layout.public):
            numbers = (n for n in ast.parse(text).body if isinstance(n, ast.Assign) and is_number(n.value))
            lines += [ast.unparse(node) for node in numbers]
        return ("\n".join(lines) + "\n").encode()


def is_number(node: ast.expr) -> bool:
    """Whether an expression is a number as it stands."""
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant))


def _statements(node: ast.AST) -> Iterator[ast.stmt | ast.expr | ast.ExceptHandler]:
    """Everything that has a line, in an order that two trees of the same form share."""
    return (child for child in walk(node) if isinstance(child, ast.stmt | ast.expr | ast.ExceptHandler))


class _Renamer(ast.NodeTransformer):
    """Gives everything in a piece the names of the unit that it is written into."""

    def __init__(self, writer: Writer, unit: str) -> None:
        self.writer = writer
        self.unit = unit
        self.bound = writer.bound[unit]
        self.depth = 0

    def _known(self, mark: str) -> bool:
        return mark in self.bound

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.bound:
            node.id = self.bound[node.id]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        node.attr = self.writer.attributes.get(node.attr, node.attr)
        return node

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        """Modules that somebody lets go, by their names: what stays is not let go."""
        self.generic_visit(node)
        modules = [getattr(element, "value", None) for element in node.elts]
        if any(isinstance(name, str) and "." in name and name in self.writer.program.modules for name in modules):
            layout = self.writer.layout
            units = dict.fromkeys(layout.unit(name) for name in modules if isinstance(name, str))
            node.elts = [ast.Constant(value=unit) for unit in units if unit not in layout.lasting]
            for element in node.elts:
                ast.copy_location(element, node)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and node.value.startswith("@S_"):
            node.value = self.writer.home[node.value[1:]][1]
        elif isinstance(node.value, str) and node.value.startswith(TABLE):
            methods = [entry.split() for entry in node.value[len(TABLE) :].split(";")]
            new = self.writer.attributes
            there = [f"{new.get(name, name)} {unit} {self.writer.home[mark][1]}" for name, unit, mark in methods]
            node.value = f";{';'.join(there)};"
        return node

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        if node.name in self.bound:
            node.name = self.bound[node.name]
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._definition(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._definition(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        # A method is an attribute: what is called as it is in the unit has nothing to do with it.
        methods = [(child, child.name) for child in node.body if isinstance(child, Function)]
        self._definition(node)
        attributes = self.writer.attributes
        for method, name in methods:
            method.name = attributes.get(name, name)
        for child in node.body:
            if isinstance(child, ast.Assign):
                for target in child.targets:
                    for name in walk(target):
                        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                            name.id = attributes.get(name.id, name.id)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        if node.module != LOCAL:
            return node
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for alias in node.names:
            unit = self.writer.home[alias.name][0]
            if unit != self.unit and alias.name in self.bound:
                groups[unit].append(self.writer.imported(self.unit, alias.name))
        out = [
            ast.copy_location(ast.parse(f"from {unit} import {', '.join(found)}").body[0], node)
            for unit, found in sorted(groups.items())
        ]
        return out or ast.copy_location(ast.Pass(), node)
