"""The node's application as one program of symbols: what `factory.link` takes apart and puts together anew.

A symbol is a function, a class or a table that a module defines at its top level. Every use of one, in its own module
or through an import, is replaced by a mark that stands for it wherever it will live, so that where it lives and what it
is called there can be decided afterwards. Modules of which this cannot be sure (machine code, conditions at their top
level) are left as they are, and used as anybody else's would be.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from citymote_protocol import quantities

from .trees import walk

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign
LOCAL = "@"  # the module of an import that a function makes for itself, its names being marks
_NATIVE = {"native", "viper", "asm_thumb", "asm_xtensa", "asm_rv32"}
_OURS = ("node", "citymote_protocol")


class LinkError(Exception):
    """The application cannot be linked; the text names the module and what stands in it."""


class _Value(Exception):
    """A module is used as a value."""


@dataclass(eq=False)
class Symbol:
    """One definition of a module. `mark` stands for it in every tree."""

    module: str
    name: str
    mark: str
    node: Definition
    order: int

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Module:
    """One source file: its symbols, what it imports, and whether it is taken apart at all."""

    name: str
    path: str
    tree: ast.Module
    is_package: bool
    raw: bool = False
    symbols: dict[str, Symbol] = field(default_factory=dict[str, Symbol])
    foreign: dict[str, tuple[str, str | None]] = field(default_factory=dict[str, tuple[str, str | None]])
    imported: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])  # here -> (module, there)
    modules: dict[str, str] = field(default_factory=dict[str, str])  # here -> module

    def resolve(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".") if self.is_package else self.name.split(".")[:-1]
        parts = parts[: len(parts) - (node.level - 1)]
        return ".".join([*parts, *([node.module] if node.module else [])])


class Program:
    """All modules; `symbols` by their marks, in the order of the sources."""

    def __init__(self, sources: Mapping[str, bytes], raw: tuple[str, ...], values: tuple[str, ...] = ()) -> None:
        # Modules that somebody hands about as values: reached by names that nobody can see, they keep them all.
        self.by_name = set(values)
        while True:
            try:
                self._build(sources, raw)
                return
            except _Value as found:
                self.by_name.add(str(found))

    def _build(self, sources: Mapping[str, bytes], raw: tuple[str, ...]) -> None:
        self.modules: dict[str, Module] = {}
        self.symbols: dict[str, Symbol] = {}
        for path in sorted(sources):
            parts = path.removesuffix(".py").split("/")
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            self.modules[name] = Module(name, path, ast.parse(sources[path], filename=path), is_package)
        for module in self.modules.values():
            module.raw = module.path.startswith(raw) or _is_native(module.tree) or not _is_plain(module.tree)
        for module in self.modules.values():
            self._read(module)
        for module in self.modules.values():
            if not module.raw:
                _Marker(self, module).run()

    def _read(self, module: Module) -> None:
        for node in module.tree.body:
            if isinstance(node, ast.ImportFrom | ast.Import):
                for here, kind, what in self.bindings(module, node):
                    if kind == "module":
                        module.modules[here] = what[0]
                    elif kind == "symbol":
                        module.imported[here] = (what[0], what[1] or "")
                    else:
                        module.foreign[here] = what
            elif not module.raw and isinstance(node, Definition):
                if getattr(node, "name", None) == "__getattr__":
                    continue  # for the host, which has no constants written in
                for name in _defined(node):
                    mark = f"S_{len(self.symbols)}_"
                    module.symbols[name] = self.symbols[mark] = Symbol(module.name, name, mark, node, len(self.symbols))

    def bindings(
        self, module: Module, node: ast.Import | ast.ImportFrom
    ) -> Iterator[tuple[str, str, tuple[str, str | None]]]:
        """(name here, "module" | "symbol" | "foreign", (module, name there)) of each name that an import binds."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in self.modules and not self.modules[alias.name].raw:
                    raise LinkError(f"{module.path}:{node.lineno}: import our modules with from")
                yield alias.asname or alias.name.split(".")[0], "foreign", (alias.name, None)
            return
        source = module.resolve(node)
        for alias in node.names:
            here = alias.asname or alias.name
            target = self.modules.get(f"{source}.{alias.name}")
            if target is not None and not target.raw and target.name not in self.by_name:
                yield here, "module", (target.name, None)
            elif target is None and source in self.modules and not self.modules[source].raw:
                yield here, "symbol", (source, alias.name)
            else:
                yield here, "foreign", (source, alias.name)

    def number(self, module: str, name: str) -> int | None:
        """What a module that gives constants on asking would say: the registry, which the host has too."""
        if module != quantities.__name__ or name in self.modules[module].symbols:
            return None
        return cast("int | None", getattr(quantities, name, None))

    def find(self, module: str, name: str) -> Symbol | None:
        """The symbol behind a name of a module, also through modules that hand it on."""
        for _ in range(8):
            found = self.modules[module].symbols.get(name)
            if found is not None:
                return found
            if name not in self.modules[module].imported:
                return None
            module, name = self.modules[module].imported[name]
            if self.modules[module].raw:
                return None
        return None


def _is_native(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr in _NATIVE
        for function in walk(tree)
        if isinstance(function, Function)
        for node in function.decorator_list
    )


def _is_plain(tree: ast.Module) -> bool:
    """Nothing at the top but definitions, imports, and texts that nobody reads."""
    for node in tree.body:
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not text and not isinstance(node, Definition | ast.Import | ast.ImportFrom | ast.Pass):
            return False
    return True


def _defined(node: Definition) -> Iterator[str]:
    if not isinstance(node, ast.Assign):
        yield node.name
        return
    for target in node.targets:
        for child in walk(target):
            if isinstance(child, ast.Name):
                yield child.id


def own(node: ast.AST) -> Iterator[ast.AST]:
    """All below a function or class that belongs to its own scope: not what is inside functions within it."""
    work = list(ast.iter_child_nodes(node))
    while work:
        child = work.pop()
        yield child
        if isinstance(child, Function | ast.ClassDef | ast.Lambda):
            work += child.decorator_list if not isinstance(child, ast.Lambda) else []
            if not isinstance(child, ast.ClassDef):
                work += [*child.args.defaults, *[d for d in child.args.kw_defaults if d]]
        else:
            work += ast.iter_child_nodes(child)


def local_names(node: Function | ast.Lambda) -> set[str]:
    """What a function binds for itself."""
    arguments = node.args
    everything = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    found = {argument.arg for argument in everything if argument}
    declared: set[str] = set()
    for child in own(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store | ast.Del):
            found.add(child.id)
        elif isinstance(child, Function | ast.ClassDef | ast.ExceptHandler) and child.name:
            found.add(child.name)
        elif isinstance(child, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in child.names}
        elif isinstance(child, ast.Global):
            declared |= set(child.names)
    return found - declared


class _Marker(ast.NodeTransformer):
    """Puts marks in the place of every use of a symbol."""

    def __init__(self, program: Program, module: Module) -> None:
        self.program = program
        self.module = module
        self.scopes: list[set[str]] = []
        self.aliases: list[dict[str, tuple[str, tuple[str, str | None]]]] = []
        self.local: dict[tuple[int, str], ast.ImportFrom] = {}  # (depth, name) of a function's own import of a module

    def run(self) -> None:
        self.module.tree.body = [self.visit(node) for node in self.module.tree.body]
        # A tuple of names is several symbols of one statement; its node is shared.
        for symbol in self.module.symbols.values():
            if isinstance(symbol.node, Function | ast.ClassDef):
                symbol.node.name = symbol.mark

    def _fail(self, node: ast.AST, text: str) -> LinkError:
        return LinkError(f"{self.module.path}:{getattr(node, 'lineno', 0)}: {text}")

    def _binding(self, name: str) -> tuple[str, tuple[str, str | None]] | None:
        """What a name means here: None if it is the function's own, a builtin, or somebody else's."""
        for scope, aliases in zip(reversed(self.scopes), reversed(self.aliases), strict=True):
            if name in aliases:
                return aliases[name]
            if name in scope:
                return None
        module = self.module
        if name in module.symbols:
            return "symbol", (module.name, name)
        if name in module.imported:
            return "symbol", module.imported[name]
        if name in module.modules:
            return "module", (module.modules[name], None)
        return None

    def visit_Import(self, node: ast.Import) -> ast.AST:
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if not self.scopes:
            return node
        marks: list[ast.alias] = []
        foreign: list[ast.alias] = []
        made = ast.copy_location(ast.ImportFrom(module=LOCAL, names=marks, level=0), node)
        for alias in node.names:
            ((here, kind, what),) = self.program.bindings(
                self.module, ast.ImportFrom(module=node.module, names=[alias], level=node.level)
            )
            if kind == "foreign":
                foreign.append(alias)
                continue
            if self.aliases[-1].setdefault(here, (kind, what)) != (kind, what):
                raise self._fail(node, f"{here} is one of two things")
            if kind == "symbol":
                if self.program.number(what[0], what[1] or "") is not None:
                    continue
                symbol = self.program.find(what[0], what[1] or "")
                if symbol is None:
                    raise self._fail(node, f"{what[0]} has no {what[1]}")
                marks.append(ast.alias(symbol.mark))
            else:
                self.local[len(self.scopes), here] = made  # gets the names that are used of it
        if foreign and marks:
            raise self._fail(node, "one import for what is linked and what is not")
        if foreign:
            return ast.copy_location(ast.ImportFrom(module=self.module.resolve(node), names=foreign, level=0), node)
        return made

    def _function(self, node: Function | ast.Lambda) -> None:
        arguments = node.args
        arguments.defaults = [self.visit(d) for d in arguments.defaults]
        arguments.kw_defaults = [self.visit(d) if d else None for d in arguments.kw_defaults]
        if not isinstance(node, ast.Lambda):
            node.decorator_list = [self.visit(d) for d in node.decorator_list]
            node.returns = None
            for argument in walk(arguments):
                if isinstance(argument, ast.arg):
                    argument.annotation = None
        self.scopes.append(local_names(node))
        self.aliases.append({})
        if isinstance(node, ast.Lambda):
            node.body = self.visit(node.body)
        else:
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node)]
            node.body = [self.visit(child) for child in node.body]
        self.scopes.pop()
        self.aliases.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._function(node)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        self._function(node)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._function(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.bases = [self.visit(base) for base in node.bases]
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node)]
        names = {
            name for child in node.body if isinstance(child, Definition) for name in _defined(child)
        }  # seen in the body, not in the methods
        body: list[ast.stmt] = []
        for child in node.body:
            if isinstance(child, Function):
                body.append(self.visit(child))
            else:
                self.scopes.append(names)
                self.aliases.append({})
                body.append(self.visit(child))
                self.scopes.pop()
                self.aliases.pop()
        node.body = body
        return node

    def _comprehension(self, node: ast.expr) -> ast.AST:
        names = {
            child.id for child in walk(node) if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store)
        }
        self.scopes.append(names)
        self.aliases.append({})
        self.generic_visit(node)
        self.scopes.pop()
        self.aliases.pop()
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._comprehension(node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        raise self._fail(node, "a global that a function assigns cannot be moved")

    def _mark(self, node: ast.AST, module: str, name: str) -> str:
        symbol = self.program.find(module, name)
        if symbol is None:
            raise self._fail(node, f"{module} has no {name}")
        return symbol.mark

    def visit_Name(self, node: ast.Name) -> ast.AST:
        found = self._binding(node.id)
        if found is None:
            return node
        kind, (module, name) = found
        if kind == "module":
            raise _Value(module)
        if kind == "symbol":
            number = self.program.number(module, name or "")
            if number is not None:
                return ast.copy_location(ast.Constant(value=number), node)
            node.id = self._mark(node, module, name or "")
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name):
            found = self._binding(node.value.id)
            if found is not None and found[0] == "module":
                mark = self._mark(node, found[1][0], node.attr)
                for depth in range(len(self.scopes), 0, -1):
                    made = self.local.get((depth, node.value.id))
                    if made is not None and node.value.id in self.aliases[depth - 1]:
                        if mark not in {alias.name for alias in made.names}:
                            made.names.append(ast.alias(mark))
                        break
                return ast.copy_location(ast.Name(id=mark, ctx=node.ctx), node)
        self.generic_visit(node)
        return node
