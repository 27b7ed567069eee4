"""Walks syntax trees: linking the application looks at every node of it some hundred times, and `ast.walk` is slow."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_AST = ast.AST
_CONTEXT = "ctx"  # load or store: what a node says of itself, not a part of it


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """The node and everything below it, in the order of `ast.walk`, without the marks of load and store."""
    todo = [node]
    for one in todo:
        for field in one._fields:
            if field != _CONTEXT:
                value = getattr(one, field, None)
                if isinstance(value, _AST):
                    todo.append(value)
                elif isinstance(value, list):
                    todo.extend([child for child in value if isinstance(child, _AST)])  # pyright: ignore[reportUnknownVariableType]
        yield one
