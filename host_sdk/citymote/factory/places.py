"""Turns a node's tracebacks back: which function of which source stands behind a name of the linked application.

A linked application has no line numbers and names of its own (`factory.link`), so a node's journal says
`File "keep", line 1, in rsplit`. The build writes beside its sources which functions bear that name in that unit;
`explain` puts them behind it. One name may stand for methods of several classes: all of them are named.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .trees import walk

if TYPE_CHECKING:
    from .link import Linked

FILE = "places.json"
_PLACE = re.compile(r'File "([\w./]+)", line \d+, in ([\w<>]+)')

Places = dict[str, dict[str, list[str]]]


def write(linked: Linked, sources: Mapping[str, bytes]) -> str:
    """The table of a linked application, as JSON: unit -> name there -> where that is."""
    found: Places = {}
    spots: dict[tuple[str, int], str] = {}
    for path, text in sources.items():
        for name, line in _functions(ast.parse(text)):
            spots[path, line] = f"{path}:{line} {name}"
    for path, lines in linked.lines.items():
        unit: dict[str, list[str]] = {}
        for node in walk(ast.parse(linked.sources[path])):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.lineno < len(lines):
                spot = spots.get(lines[node.lineno])
                if spot is not None and spot not in unit.setdefault(node.name, []):
                    unit[node.name].append(spot)
        found[path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")] = unit
    return json.dumps(found, indent=0, sort_keys=True) + "\n"


def _functions(tree: ast.Module) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{prefix}{child.name}."
                if not isinstance(child, ast.ClassDef):
                    found.append((prefix + child.name, child.lineno))
            walk(child, inner)

    walk(tree, "")
    return found


def read(text: str) -> Places:
    """The table that the build wrote."""
    return json.loads(text)


def explain(text: str, places: Places) -> str:
    """The text with the source's functions behind every place that a node named."""

    def more(match: re.Match[str]) -> str:
        found = places.get(match[1], {}).get(match[2], [])
        return match[0] + (f" ({' or '.join(found)})" if found else "")

    return _PLACE.sub(more, text)
