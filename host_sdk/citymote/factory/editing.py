"""A source file of the node's taken apart: pieces of its text are written anew, and its lines keep their numbers."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from .trees import walk

Value = int | str
"""What a constant may be."""


@dataclass
class File:
    """One file: what it binds and imports, and what is to be written in place of parts of its text."""

    name: str
    module: str
    package: str
    text: bytes
    tree: ast.Module
    constants: dict[str, Value] = field(default_factory=dict[str, Value])
    imported: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])  # here -> (module, there)
    modules: dict[str, str] = field(default_factory=dict[str, str])  # here -> module
    whole: set[str] = field(default_factory=set[str])  # modules imported by `import`: anything of them may be used
    edits: list[tuple[int, int, bytes]] = field(default_factory=list[tuple[int, int, bytes]])
    starts: list[int] = field(default_factory=list[int])

    def at(self, line: int, column: int) -> int:
        """Where in the text that is: the line counts from one, the column in bytes from zero, as `ast` has them."""
        return self.starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt | ast.alias | ast.arg | ast.keyword) -> tuple[int, int]:
        """Where the node's text begins and ends."""
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno or 0, node.end_col_offset or 0)

    def replace(self, begin: int, end: int, new: bytes) -> None:
        """Write `new` there, with as many ends of lines as it takes the place of."""
        self.edits.append((begin, end, new + b"\n" * (self.text.count(b"\n", begin, end) - new.count(b"\n"))))

    def result(self) -> bytes:
        """The text with all that was replaced."""
        parts: list[bytes] = []
        done = 0
        for begin, end, new in sorted(self.edits):
            parts += [self.text[done:begin], new]
            done = end
        return b"".join([*parts, self.text[done:]])


def load(name: str, text: bytes) -> File:
    """The file by its name in the tree, such as "node/app.py"; SyntaxError."""
    parts = name.removesuffix(".py").split("/")
    is_package = parts[-1] == "__init__"
    parts = parts[:-1] if is_package else parts
    file = File(
        name, ".".join(parts), ".".join(parts if is_package else parts[:-1]), text, ast.parse(text, filename=name)
    )
    file.starts = [0, *itertools.accumulate(len(line) for line in text.splitlines(keepends=True))]
    return file


def resolve(file: File, node: ast.ImportFrom) -> str:
    """The full name of the module that a `from ... import` means."""
    if not node.level:
        return node.module or ""
    parts = file.package.split(".")
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *([node.module] if node.module else [])])


def find_imports(file: File, files: Mapping[str, File]) -> None:
    """Fill in what the file imports of the others (by their modules' names)."""
    for node in walk(file.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in files:
                    file.whole.add(alias.name)
        elif isinstance(node, ast.ImportFrom):
            source = resolve(file, node)
            for alias in node.names:
                here = alias.asname or alias.name
                if f"{source}.{alias.name}" in files:
                    file.modules[here] = f"{source}.{alias.name}"
                elif source in files:
                    file.imported[here] = (source, alias.name)
