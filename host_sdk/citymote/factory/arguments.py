"""Gives the arguments of the node's functions one-letter names, the same few everywhere.

MicroPython keeps the name of every argument, because a caller may use it as a keyword; each distinct one is an entry
in the table of names on the heap. Ours are mostly passed by position. An argument is renamed when nothing can tell: it
has no default (a setting has one), no call anywhere uses its name as a keyword, and nothing else in the application
bears it. The second half of `factory.shrink`; lines keep their numbers here too.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import string
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from .trees import walk

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
# What viper gives a meaning in place of a type.
_BUILT_IN = {*dir(builtins), "const", "ptr", "ptr8", "ptr16", "ptr32", "uint", "object"}


def rename_arguments(
    texts: Mapping[str, bytes], words: Sequence[str] = string.ascii_lowercase, settings: tuple[str, ...] | None = None
) -> dict[str, bytes]:
    """The sources with short names for arguments that are only ever passed by position.

    With `settings`, for an application whose other names are changed too: only names that some call uses as a keyword
    stay, and in files whose name begins with one of these what has a default.
    """
    trees = {name: ast.parse(text, filename=name) for name, text in texts.items()}
    if settings is not None:
        kept = {name for tree in trees.values() for name in _keywords(tree)} | {"self"}
        return {
            name: _rewrite(text, trees[name], _all(trees[name], name.startswith(settings)) - kept, words)
            for name, text in texts.items()
        }
    taken = {name for tree in trees.values() for name in _taken(tree)}
    wanted = {
        argument.arg
        for tree in trees.values()
        for function in _functions(tree)
        for argument in _arguments(function)
        if len(argument.arg) > 1 and argument.arg not in taken and not argument.arg.startswith("_")
    } - {"self"}
    return {name: _rewrite(text, trees[name], wanted, words) for name, text in texts.items()}


def _keywords(tree: ast.AST) -> Iterator[str]:
    return (node.arg for node in walk(tree) if isinstance(node, ast.keyword) and node.arg)


def _all(tree: ast.Module, settings: bool) -> set[str]:
    """Names of arguments that nothing but their place tells."""
    found: set[str] = set()
    kept: set[str] = set()
    for function in _functions(tree):
        everything = {node.arg for node in walk(function.args) if isinstance(node, ast.arg)}
        if isinstance(function, ast.Lambda) or function.args.kwonlyargs or function.args.kwarg:
            kept |= everything
        elif settings and function.name == "__init__":
            kept |= everything - {argument.arg for argument in _arguments(function)}
        found |= everything
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            kept.add(node.name)
    for node in walk(tree):
        if isinstance(node, ast.Global | ast.Nonlocal):
            kept |= set(node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            kept.add(node.name)
        elif isinstance(node, ast.JoinedStr):
            kept |= {child.id for child in walk(node) if isinstance(child, ast.Name)}
        elif isinstance(node, ast.alias):
            kept |= {*node.name.split("."), node.asname or node.name}
    # viper and native functions give some names a meaning, and so does a class to what its body assigns
    return found - kept - _stored(tree) - _BUILT_IN


def _functions(tree: ast.AST) -> Iterator[_Function]:
    return (node for node in walk(tree) if isinstance(node, _Function))


def _arguments(function: _Function) -> list[ast.arg]:
    """The arguments without a default that can be passed by position."""
    everything = [*function.args.posonlyargs, *function.args.args]
    return everything[: len(everything) - len(function.args.defaults)]


def _taken(tree: ast.AST) -> set[str]:
    """Names that mean something beyond one function's own variables."""
    found = set(_BUILT_IN)
    for node in walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found |= {*node.name.split("."), node.asname or node.name}
        elif isinstance(node, ast.Global | ast.Nonlocal):
            found |= set(node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)  # stands in the text without a node of its own
        elif isinstance(node, ast.JoinedStr):
            found |= {child.id for child in walk(node) if isinstance(child, ast.Name)}
        elif isinstance(node, ast.Module | ast.ClassDef):
            found |= _stored(node)
    for function in _functions(tree):
        positional = {argument.arg for argument in _arguments(function)}
        everything = {node.arg for node in walk(function.args) if isinstance(node, ast.arg)}
        found |= everything - positional
    return found


def _stored(scope: ast.Module | ast.ClassDef) -> set[str]:
    """Names bound in a module or class body itself."""
    found: set[str] = set()
    work: list[ast.AST] = list(scope.body)
    while work:
        node = work.pop()
        if isinstance(node, _Function | ast.ClassDef):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        work += ast.iter_child_nodes(node)
    return found


def _outermost(tree: ast.Module) -> Iterator[_Function]:
    """Functions that stand in no other function: a closure shares its parent's names."""
    work: list[ast.AST] = [tree]
    while work:
        for child in ast.iter_child_nodes(work.pop()):
            if isinstance(child, _Function):
                yield child
            else:
                work.append(child)


def _rewrite(text: bytes, tree: ast.Module, wanted: set[str], words: Sequence[str]) -> bytes:
    starts = [0, *itertools.accumulate(len(line) for line in text.splitlines(keepends=True))]
    edits: list[tuple[int, int, bytes]] = []
    for function in _outermost(tree):
        places: defaultdict[str, list[int]] = defaultdict(list)
        names: set[str] = set()
        mine = {node.arg for node in walk(function) if isinstance(node, ast.arg)} & wanted
        for node in walk(function):
            name = node.id if isinstance(node, ast.Name) else node.arg if isinstance(node, ast.arg) else ""
            if isinstance(node, ast.Name | ast.arg):
                names.add(name)
                if name in mine:
                    places[name].append(starts[node.lineno - 1] + node.col_offset)
        letters = (letter for letter in words if letter not in names)
        for name, short in zip(sorted(places, key=places.__getitem__), letters, strict=False):
            edits += [(at, at + len(name), short.encode()) for at in places[name]]
    for begin, end, short in sorted(edits, reverse=True):
        text = text[:begin] + short + text[end:]
    return text
