"""Private names of the node's sources become short ones, and the same few serve in files that never meet.

A name that begins with one underscore is nobody's but its file's and its class's family's, which are the files of that
class and of those that it is derived from. What a text says, an f-string uses or somebody else's module owns stays.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from .editing import File, find_imports, load, resolve
from .trees import walk

_PRIVATE = re.compile(r"_[A-Za-z0-9]\w*$")
_WORDS = re.compile(rb"[A-Za-z_]\w*")


def shorten(texts: Mapping[str, bytes], free: Iterable[str] = ()) -> dict[str, bytes]:
    """The same sources with short private names: first those that are `free`, if no source has them already."""
    files = {name: load(name, text) for name, text in texts.items()}
    by_module = {file.module: file for file in files.values()}
    for file in files.values():
        find_imports(file, by_module)
    places = {name: _private_names(file) for name, file in files.items()}
    defined: set[str] = set()
    barred: set[str] = set()
    for file in files.values():
        defined |= _defined(file)
        barred |= _barred(file)
    families = _families(files, by_module)
    uses: defaultdict[str, set[str]] = defaultdict(set)  # private name -> files that it shares a family with
    count: Counter[str] = Counter()
    for name, found in places.items():
        for word in found:
            if word in defined and word not in barred:
                uses[word].add(name)
                count[word] += len(found[word])
    taken: defaultdict[str, set[int]] = defaultdict(set)
    words = {word.decode() for text in texts.values() for word in _WORDS.findall(text)}
    short = [word for word in (*free, *(f"_{letters}" for letters in _letters())) if word not in words]
    mapping: dict[str, str] = {}
    for word, _ in sorted(count.items(), key=lambda item: (-item[1], item[0])):
        relatives = {relative for name in uses[word] for relative in families[name]}
        index = next(i for i in itertools.count() if not any(i in taken[name] for name in relatives))
        for name in relatives:
            taken[name].add(index)
        mapping[word] = short[index]
    for name, found in places.items():
        for word, spans in found.items():
            if word in mapping:
                for begin, end in spans:
                    files[name].replace(begin, end, mapping[word].encode())
    return {name: file.result() for name, file in files.items()}


def _letters() -> Iterator[str]:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    yield from alphabet
    for first, second in itertools.islice(itertools.product(alphabet, alphabet + "0123456789"), 900):
        yield first + second


def _private_names(file: File) -> dict[str, list[tuple[int, int]]]:
    """Every place of a file where an identifier with one leading underscore stands."""
    found: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)

    def add(name: str, begin: int) -> None:
        if _PRIVATE.match(name):
            if file.text[begin : begin + len(name)] != name.encode():
                raise ValueError(f"{file.name}: {name} is not where it should be")
            found[name].append((begin, begin + len(name)))

    for node in walk(file.tree):
        if isinstance(node, ast.Name):
            add(node.id, file.span(node)[0])
        elif isinstance(node, ast.Attribute):
            add(node.attr, file.span(node)[1] - len(node.attr))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            begin = file.span(node)[0]
            add(node.name, file.text.index(node.name.encode(), begin))
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            add(node.arg, file.span(node)[0])
        elif isinstance(node, ast.alias):
            begin, end = file.span(node)
            if "." not in node.name:
                add(node.name, begin)
            if node.asname:
                add(node.asname, end - len(node.asname))
        elif isinstance(node, ast.Global | ast.Nonlocal):
            begin, end = file.span(node)
            for name in node.names:
                for match in re.finditer(rb"\b%s\b" % name.encode(), file.text[begin:end]):
                    add(name, begin + match.start())
    return found


def _defined(file: File) -> set[str]:
    """Private names that this file gives something to: not those of somebody else's objects that it only reads."""
    found: set[str] = set()
    for node in walk(file.tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                found.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
    return found


def _barred(file: File) -> set[str]:
    """Names that have to stay: said in texts, used inside f-strings, or members of modules that are not ours."""
    found: set[str] = set()
    foreign = {
        (alias.asname or alias.name).split(".")[0]
        for node in walk(file.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (alias.asname or alias.name) not in file.modules
    }
    for node in walk(file.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _PRIVATE.match(node.value):
            found.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            for child in walk(node):
                if isinstance(child, ast.Name):
                    found.add(child.id)
                elif isinstance(child, ast.Attribute):
                    found.add(child.attr)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in foreign:
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and resolve(file, node).split(".")[0] not in (
            "node",
            "citymote_protocol",
        ):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {part for alias in node.names for part in alias.name.split(".") if f"{alias.name}" in file.modules}
    return found


def _families(files: Mapping[str, File], by_module: Mapping[str, File]) -> dict[str, set[str]]:
    """Files whose private names may meet on one object: a class and those it is derived from."""
    related: dict[str, set[str]] = {name: {name} for name in files}
    for name, file in files.items():
        for node in walk(file.tree):
            if isinstance(node, ast.ClassDef):
                for base in node.bases:
                    root = base.value if isinstance(base, ast.Attribute) else base
                    if isinstance(root, ast.Name):
                        module = file.modules.get(root.id) or file.imported.get(root.id, ("", ""))[0]
                        if module in by_module:
                            related[name].add(by_module[module].name)
    changed = True
    while changed:
        changed = False
        for name, others in related.items():
            more = {n for other in others for n in related[other]} | {n for n, o in related.items() if name in o}
            if not more <= others:
                related[name] = others | more
                changed = True
    return related
