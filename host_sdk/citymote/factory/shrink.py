"""Rewrites the node's sources before they are compiled, so that the same code takes less of a small heap.

On the node every name costs: a slot in its module or class, an entry in the table of names, its letters. Two things are
done, over the whole application at once, because only the whole shows what is used where. Constants (module-level names
bound once to an integer or a short text) are written into the places that use them, in other modules too, and their
definitions go when nobody is left who needs them. Names that begin with an underscore become short ones (`shorten`).
Lines keep their numbers, so that a traceback from the field still points into the source; nothing else changes, and
what this cannot be sure of it leaves alone.
"""

from __future__ import annotations

import ast
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from .arguments import rename_arguments
from .editing import File, Value, find_imports, load, resolve
from .shorten import shorten
from .trees import walk

_LONGEST_TEXT = 24


def shrink(sources: Mapping[str, bytes], keep: Iterable[str] = (), *, private: bool = True) -> dict[str, bytes]:
    """The sources (name in the tree, such as "node/app.py" -> text) with constants written in and private names short.

    Files whose name begins with one of `keep` keep their constants' definitions: others may import them by name.
    Without `private`, private names are left to whoever renames everything (`factory.link`).
    """
    files = {file.module: file for file in (load(name, sources[name]) for name in sorted(sources))}
    for file in files.values():
        find_imports(file, files)
        _find_constants(file)
    _inline(files, tuple(keep))
    texts = {file.name: file.result() for file in files.values()}
    return rename_arguments(shorten(texts)) if private else texts


def _find_constants(file: File) -> None:
    bound: Counter[str] = Counter()
    for node in walk(file.tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            bound[node.id] += 1
        elif isinstance(node, ast.Global):
            bound.update(dict.fromkeys(node.names, 2))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound[node.name] += 2
        elif isinstance(node, ast.arg):
            bound[node.arg] += 2
        elif isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                bound[(alias.asname or alias.name).split(".")[0]] += 2
    for statement in file.tree.body:
        for name, value in _bindings(file, statement):
            if bound[name] == 1:
                file.constants[name] = value


def _bindings(file: File, statement: ast.stmt) -> Iterator[tuple[str, Value]]:
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return
    target = statement.targets[0]
    if isinstance(target, ast.Name):
        value = _evaluate(file, statement.value)
        if isinstance(value, int) or (isinstance(value, str) and len(value) <= _LONGEST_TEXT):
            yield target.id, value
    elif isinstance(target, ast.Tuple) and _is_range(statement.value, len(target.elts)):
        for number, element in enumerate(target.elts):
            if isinstance(element, ast.Name):
                yield element.id, number


def _is_range(node: ast.expr, count: int) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "range"
        and [getattr(argument, "value", None) for argument in node.args] == [count]
    )


def _evaluate(file: File, node: ast.expr) -> Value | None:
    """What a constant expression comes to; None for anything that is not obviously one."""
    if isinstance(node, ast.Constant):
        plain = isinstance(node.value, int | str) and not isinstance(node.value, bool)
        return node.value if plain and isinstance(node.value, int | str) else None
    if isinstance(node, ast.Name):
        return file.constants.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _evaluate(file, node.operand)
        return -value if type(value) is int else None
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(file, node.left), _evaluate(file, node.right)
        if type(left) is int and type(right) is int:
            return _compute(node.op, left, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "const" and node.args:
        return _evaluate(file, node.args[0])
    return None


def _compute(operator: ast.operator, left: int, right: int) -> int | None:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return left * right
    if isinstance(operator, ast.LShift) and 0 <= right < 64:
        return left << right
    if isinstance(operator, ast.BitOr):
        return left | right
    return None


def _constant(files: Mapping[str, File], module: str, name: str) -> Value | None:
    """The constant that `name` of a module stands for, also through modules that hand it on."""
    for _ in range(8):
        file = files.get(module)
        if file is None:
            return None
        if name in file.constants:
            return file.constants[name]
        if name not in file.imported:
            return None
        module, name = file.imported[name]
    return None


class _Scopes(ast.NodeVisitor):
    """Finds every use of a module's names that no local variable hides."""

    def __init__(self) -> None:
        self.uses: list[ast.Name] = []
        self.attributes: list[ast.Attribute] = []
        self.inner: list[ast.Attribute] = []  # of names that a function binds for itself, perhaps by an import
        self.fragile: set[str] = set()  # used where the text cannot be edited (f-strings)
        self._locals: list[set[str]] = []

    def _hidden(self, name: str) -> bool:
        return any(name in names for names in self._locals)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        arguments = node.args
        everything = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        names = {argument.arg for argument in everything + [a for a in (arguments.vararg, arguments.kwarg) if a]}
        for default in [*arguments.defaults, *[d for d in arguments.kw_defaults if d]]:
            self.visit(default)
        if not isinstance(node, ast.Lambda):
            for decorator in node.decorator_list:
                self.visit(decorator)
        declared: set[str] = set()
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        for child in itertools.chain.from_iterable(walk(part) for part in body):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                names.add(child.id)
            elif isinstance(child, ast.Global):
                declared |= set(child.names)
            elif isinstance(child, ast.ImportFrom | ast.Import):
                names |= {(alias.asname or alias.name).split(".")[0] for alias in child.names}
        self._locals.append(names - declared)
        for part in body:
            self.visit(part)
        self._locals.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self.fragile |= {child.id for child in walk(node) if isinstance(child, ast.Name)}

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and not self._hidden(node.id):
            self.uses.append(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name):
            (self.inner if self._hidden(node.value.id) else self.attributes).append(node)
        self.visit(node.value)


def _inline(files: Mapping[str, File], keep: tuple[str, ...]) -> None:
    needed: set[tuple[str, str]] = set()  # (module, name) that somebody still asks for by name
    stays: dict[str, set[str]] = {}  # file -> its names that were not written in everywhere
    for file in files.values():
        scopes = _Scopes()
        scopes.visit(file.tree)
        # A function that imports a name for itself has a name of its own; that import stays.
        stays[file.name] = scopes.fragile | _local_imports(file)
        for use in scopes.uses:
            value = None if use.id in stays[file.name] else _of_name(files, file, use.id)
            if value is not None:
                file.replace(*file.span(use), _literal(value))
        for use in scopes.attributes:
            here = cast(ast.Name, use.value).id
            module = file.modules.get(here)
            if module is None:
                continue
            value = _constant(files, module, use.attr) if isinstance(use.ctx, ast.Load) else None
            if value is not None and here not in stays[file.name]:
                file.replace(*file.span(use), _literal(value))
            else:
                needed.add((module, use.attr))
        for use in scopes.inner:
            module = file.modules.get(cast(ast.Name, use.value).id)
            if module is not None:
                needed.add((module, use.attr))
        needed |= {(source, there) for source, there, _ in _asked(files, file, stays[file.name])}
    _pass_on(files, needed)
    for file in files.values():
        mine = stays[file.name] | {name for module, name in needed if module == file.module}
        _trim_imports(files, file, mine)
        if any(file.module in other.whole for other in files.values()) or (keep and file.name.startswith(keep)):
            continue
        _trim_definitions(file, mine)


def _asked(files: Mapping[str, File], file: File, stays: set[str]) -> Iterator[tuple[str, str, str]]:
    """(module, name there, name here) of every import that has to stay."""
    top = {id(node) for node in file.tree.body}
    for node in walk(file.tree):
        if isinstance(node, ast.ImportFrom):
            source = resolve(file, node)
            for alias in node.names:
                here = alias.asname or alias.name
                is_module = f"{source}.{alias.name}" in files
                if id(node) not in top or is_module or here in stays or _constant(files, source, alias.name) is None:
                    yield source, alias.name, here


def _pass_on(files: Mapping[str, File], needed: set[tuple[str, str]]) -> None:
    """Who hands a needed name on needs it too."""
    work = list(needed)
    while work:
        module, name = work.pop()
        origin = files[module].imported.get(name) if module in files else None
        if origin is not None and origin not in needed:
            needed.add(origin)
            work.append(origin)


def _local_imports(file: File) -> set[str]:
    """Names that some function of the file imports for itself."""
    found: set[str] = set()
    top = {id(node) for node in file.tree.body}
    for node in walk(file.tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in top:
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def _of_name(files: Mapping[str, File], file: File, name: str) -> Value | None:
    if name in file.constants:
        return file.constants[name]
    if name in file.imported:
        return _constant(files, *file.imported[name])
    return None


def _literal(value: Value) -> bytes:
    if isinstance(value, str):
        return repr(value).encode()
    return str(value).encode() if value >= 0 else f"({value})".encode()


def _trim_imports(files: Mapping[str, File], file: File, stays: set[str]) -> None:
    """Take out of the imports what was written in everywhere."""
    asked = {(source, there) for source, there, _ in _asked(files, file, stays)}
    for node in file.tree.body:
        if not isinstance(node, ast.ImportFrom):
            continue
        source = resolve(file, node)
        left = [alias for alias in node.names if (source, alias.name) in asked]
        if len(left) != len(node.names):
            names = ", ".join(alias.name + (f" as {alias.asname}" if alias.asname else "") for alias in left)
            text = f"from {'.' * node.level}{node.module or ''} import {names}" if left else "pass"
            file.replace(*file.span(node), text.encode())


def _trim_definitions(file: File, stays: set[str]) -> None:
    """Remove the constants that nobody asks for by name any more, here or elsewhere."""
    for statement in file.tree.body:
        names = [name for name, _ in _bindings(file, statement)]
        if names and all(name in file.constants and name not in stays for name in names):
            begin, end = file.span(statement)
            file.edits = [edit for edit in file.edits if not begin <= edit[0] < end]
            file.replace(begin, end, b"pass")
