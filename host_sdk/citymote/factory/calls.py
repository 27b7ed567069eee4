"""The calls that stand in a linked application where code has moved away, and what takes the place of a moved method.

A part of `factory.link`. Each function of another unit is called through one that loads the unit (`RUN`, `CALL`), each
long text through one that reads it (`TEXT`), and what a function imports for itself is asked for (`ASK`). A method that
has left its class would leave a function of one line there, which takes 60 bytes of the node's heap: instead its class
has a text that says where its methods are, 13 bytes each, and one `__getattr__` for all of them (`METHOD`).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import cast

from .program import LOCAL, Function, LinkError
from .trees import walk
from .units import ASK, TABLE, Chunk

CALL = "_call"  # what the linker itself adds, before it is named like everything else
RUN = "_run"
MAKE = "_make"
TEXT = "_text"
METHOD = "_method"
_LONGEST_NAME = 10  # a text of up to so many characters is in the table of names anyway
_FEW = 1  # methods for which a class keeps what it has: the text and the names of it cost as much


def reach_by_name(classes: Mapping[str, ast.ClassDef], stubs: Mapping[int, str], barred: set[str]) -> None:
    """Take out of each class what stands there for moved methods: it is reached by its name.

    `classes` are by their marks, `stubs` the marks of moved methods by the id of what stands for each, `barred` methods
    that somebody takes from a class itself. What a class has comes before what it is asked for, so a method stays that
    another one of the same name would hide: of a class above, which has to be known.
    """
    made: dict[int, list[str]] = {}

    def bases(cls: ast.ClassDef) -> list[ast.ClassDef] | None:
        found: list[ast.ClassDef] = []
        for base in cls.bases:
            known = classes.get(base.id) if isinstance(base, ast.Name) else None
            further = bases(known) if known is not None else None
            if known is None or further is None:
                return None
            found += [known, *further]
        return found

    waiting = list(classes.values())
    names = {id(cls): {n.name for n in cls.body if isinstance(n, Function)} for cls in waiting}
    while waiting:
        cls = waiting.pop(0)
        above = bases(cls)
        if above is not None and any(base in waiting for base in above):
            waiting.append(cls)
            continue
        own = names[id(cls)]
        if above is None or "__getattr__" in own or any("__getattr__" in names[id(base)] for base in above):
            continue
        there: set[str] = {name for base in above for name in names[id(base)]}
        moved: dict[str, tuple[ast.stmt, str]] = {}
        for node in cls.body:
            mark = stubs.get(id(node))
            if mark is not None and isinstance(node, Function) and node.name not in there | barred:
                call = cast(ast.Call, cast(ast.Return, node.body[0]).value)
                run = isinstance(call.func, ast.Name) and call.func.id == RUN
                if run and not node.name.startswith("__"):
                    unit = cast(ast.Constant, call.args[0]).value
                    moved[node.name] = node, f"{node.name} {unit} {mark}"
        if len(moved) <= _FEW:
            continue
        entries = [entry for _, entry in moved.values()]
        for base in above:
            entries += [entry for entry in made.get(id(base), []) if entry.split()[0] not in own]
        made[id(cls)] = entries
        nodes = [node for node, _ in moved.values()]
        new = ast.parse(f"__path__ = {TABLE + ';'.join(entries)!r}\n__getattr__ = {METHOD}").body
        for statement in new:
            for child in walk(statement):
                ast.copy_location(child, nodes[0])
        # First, because what a class holds may have the name that the function has in this unit.
        cls.body = [*new, *[node for node in cls.body if node not in nodes]]


class Asker(ast.NodeTransformer):
    def __init__(self, units: dict[str, str], here: str) -> None:
        self.units = units
        self.here = here

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        if node.module != LOCAL:
            return node
        asked = [alias.name for alias in node.names if self.units.get(alias.name, self.here) != self.here]
        node.names = [alias for alias in node.names if alias.name not in asked]
        made: list[ast.stmt] = [node]
        for mark in asked:
            new = ast.parse(f"{mark} = {ASK}({self.units[mark]!r}, '@{mark}')").body[0]
            for child in walk(new):
                ast.copy_location(child, node)
            made.append(new)
        return made if asked else node


class TextTaker(ast.NodeTransformer):
    """Puts a call in the place of each long text of a `raise`, and of what is told to a log."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.inside = False

    def _in(self, node: ast.AST) -> ast.AST:
        before, self.inside = self.inside, True
        self.generic_visit(node)
        self.inside = before
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return self._in(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in ("log", "_log"):
            return self._in(node)
        self.generic_visit(node)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not self.inside or not isinstance(node.value, str) or len(node.value) <= _LONGEST_NAME:
            return node
        if node.value not in self.texts:
            self.texts.append(node.value)
        call = ast.Call(
            func=ast.Name(id=TEXT, ctx=ast.Load()),
            args=[ast.Constant(value=self.texts.index(node.value))],
            keywords=[],
        )
        for child in walk(call):
            ast.copy_location(child, node)
        return call


class Caller(ast.NodeTransformer):
    def __init__(self, away: dict[str, str], chunks: dict[str, Chunk]) -> None:
        self.away = away
        self.chunks = chunks

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """A call goes through one that keeps the unit while the function runs: what it calls finds it there."""
        function = node.func
        if not isinstance(function, ast.Name) or function.id not in self.away:
            self.generic_visit(node)
            return node
        unit_and_name = cast(ast.Call, self.visit_Name(function)).args
        node.args = [*unit_and_name, *[cast(ast.expr, self.visit(argument)) for argument in node.args]]
        node.keywords = [cast(ast.keyword, self.visit(keyword)) for keyword in node.keywords]
        node.func = ast.copy_location(ast.Name(id=RUN, ctx=ast.Load()), function)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        unit = self.away.get(node.id)
        if unit is None:
            return node
        if not isinstance(self.chunks[node.id].node, Function):
            raise LinkError(f"{self.chunks[node.id].symbol} is no function and is asked for from elsewhere")
        call = ast.Call(
            func=ast.Name(id=CALL, ctx=ast.Load()),
            args=[ast.Constant(value=unit), ast.Constant(value=f"@{node.id}")],
            keywords=[],
        )
        for child in walk(call):
            ast.copy_location(child, node)
        return call
