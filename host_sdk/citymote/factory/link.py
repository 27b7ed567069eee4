"""Links the node's application: puts what lives together into one file, lets the rest come when it is needed.

A module costs a small heap some 250 bytes before it holds anything, a name that another module imports 8 more, and each
distinct name of a method or attribute its letters and 10. After `factory.shrink` this takes all modules apart
(`program`), puts their functions and classes into the units that `layout` names, and gives everything new names, of
which most are in MicroPython's own table and cost nothing (`names`); `units` writes them down. What only a start needs,
or an hour now and then, goes into units of its own: a method that moves out of its class becomes a function there, and
is loaded where it is called from elsewhere, and let go after. Long texts of errors and log lines are read when they are
said. A source that is not in the layout stays a module under its own name. What this cannot be sure of ends the build,
with the line.

`lines` of the result says for each line of a unit where it came from (`places` turns tracebacks back).
"""

from __future__ import annotations

import ast
import copy
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from . import names
from .calls import CALL, MAKE, METHOD, RUN, TEXT, Asker, Caller, TextTaker, reach_by_name
from .layout import Layout
from .program import Function, LinkError, Module, Program, Symbol
from .trees import walk
from .units import ASK, Chunk, Writer, is_number, local_marks

_MEMORY, _PLENTY = "node.memory", "PLENTY"  # whether what has been loaded stays
_TEXTS = 90  # in one unit


@dataclass
class Linked:
    """Sources by their name in the tree; of each, the file and line that every one of its lines came from."""

    sources: dict[str, bytes]
    lines: dict[str, list[tuple[str, int]]] = field(default_factory=dict[str, list[tuple[str, int]]])
    renamed: dict[str, str] = field(default_factory=dict[str, str])


def link(sources: Mapping[str, bytes], layout: Layout) -> Linked:
    """The same application, linked. `sources` are shrunk ones."""
    return _Linker(sources, layout).result()


class _Linker:
    def __init__(self, sources: Mapping[str, bytes], layout: Layout) -> None:
        self.sources = sources
        self.layout = layout
        self.program = Program(sources, layout.raw, layout.values)
        self.chunks: dict[str, Chunk] = {}  # mark -> its definition
        self.methods: dict[str, tuple[Symbol, Function]] = {}  # "module.Class.method" that moved out
        self._place()
        self._move_seldom()
        self._follow()
        self._drop_told_numbers()
        self._ask_for_modules()
        self._rewrite_calls()
        self.texts: list[str] = []
        self._take_texts()

    # -- where everything lives ---------------------------------------------------------------------------------------

    def unit_of(self, module: str) -> str:
        return self.layout.unit(module)

    def _place(self) -> None:
        shared: set[int] = set()
        for symbol in self.program.symbols.values():
            module = self.program.modules[symbol.module]
            chunk = Chunk(symbol, symbol.node, self.unit_of(symbol.module), module.path)
            if id(symbol.node) in shared:
                chunk.node = ast.Pass()  # the statement is with the first of its names
            shared.add(id(symbol.node))
            self.chunks[symbol.mark] = chunk

    def _classes(self) -> Iterator[tuple[Symbol, ast.ClassDef]]:
        for symbol in self.program.symbols.values():
            if isinstance(symbol.node, ast.ClassDef):
                yield symbol, symbol.node

    def _move_seldom(self) -> None:
        """What the layout says of single functions and methods."""
        for unit, wanted in self.layout.seldom.items():
            for name in wanted:
                self._move(name, unit)

        drivers = sorted({symbol.module for symbol, _ in self._classes() if self.layout.is_driver(symbol.module)})
        self.makers = {module: f"d{number}" for number, module in enumerate(drivers)}
        for symbol, node in list(self._classes()):
            for child in list(node.body):
                made = symbol.module in self.makers and isinstance(child, Function) and child.name == "__init__"
                if made and not _derived(child):
                    self._take_out(symbol, node, cast(Function, child), self.makers[symbol.module])

    def _move(self, name: str, unit: str) -> None:
        module, _, last = name.rpartition(".")
        if module in self.program.modules:
            symbol = self.program.modules[module].symbols.get(last)
            if symbol is None or isinstance(symbol.node, ast.ClassDef):
                raise LinkError(f"layout: there is no function {name}")
            self.chunks[symbol.mark].unit = unit
            return
        module, _, cls = module.rpartition(".")
        symbol = self.program.modules[module].symbols.get(cls) if module in self.program.modules else None
        if symbol is None or not isinstance(symbol.node, ast.ClassDef):
            raise LinkError(f"layout: there is no class {module}.{cls}")
        for node in symbol.node.body:
            if isinstance(node, Function) and node.name == last:
                self._take_out(symbol, symbol.node, node, unit)
                return
        raise LinkError(f"layout: there is no method {name}")

    def _take_out(self, symbol: Symbol, owner: ast.ClassDef, node: Function, unit: str) -> None:
        if _derived(node):
            raise LinkError(f"{symbol}.{node.name}: super() cannot leave its class")
        if node.decorator_list:
            raise LinkError(f"{symbol}.{node.name}: is decorated")
        mark = f"S_{len(self.program.symbols)}_"
        moved = copy.copy(node)
        moved.name = mark
        new = Symbol(symbol.module, f"{symbol.name}.{node.name}", mark, moved, symbol.order)
        self.program.symbols[mark] = new
        self.chunks[mark] = Chunk(new, moved, unit, self.program.modules[symbol.module].path)
        stub = ast.parse(f"def {node.name}(self, *a, **k):\n return {mark}(self, *a, **k)").body[0]
        for child in walk(stub):
            ast.copy_location(child, node)
        place = owner.body.index(node)
        owner.body[place] = stub
        self.methods[f"{symbol.module}.{symbol.name}.{node.name}"] = (new, cast(ast.FunctionDef, stub))

    def _uses(self) -> dict[str, set[str]]:
        """mark -> units in which it is used."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for chunk in self.chunks.values():
            chunk.marks = {child.id for child in walk(chunk.node) if isinstance(child, ast.Name)} & set(self.chunks)
            for mark in chunk.marks:
                if mark != chunk.symbol.mark:
                    found[mark].add(chunk.unit)
        for module in self.program.modules.values():
            if module.raw:
                for symbol in self._asked_by(module):
                    found[symbol.mark].add(module.name)
        return found

    def _asked_by(self, module: Module) -> Iterator[Symbol]:
        for node in walk(module.tree):
            if isinstance(node, ast.ImportFrom):
                for _, kind, what in self.program.bindings(module, node):
                    symbol = self.program.find(what[0], what[1] or "") if kind == "symbol" else None
                    if symbol is not None:
                        yield symbol

    def _seldom(self) -> set[str]:
        return {*self.layout.seldom, *self.makers.values()}

    def _follow(self) -> None:
        """Functions and tables that only one other unit uses go there too, until nothing moves any more."""
        for _ in range(20):
            uses = self._uses()
            moved = False
            for mark, chunk in self.chunks.items():
                if isinstance(chunk.node, ast.ClassDef | ast.Pass) or not (
                    chunk.unit in self.layout.lasting or self.layout.is_driver(chunk.unit)
                ):
                    continue
                if isinstance(chunk.node, ast.Assign) and not all(isinstance(t, ast.Name) for t in chunk.node.targets):
                    continue
                if self.program.modules[chunk.symbol.module].path.startswith(self.layout.public):
                    continue
                users = uses.get(mark, set())
                if len(users) == 1 and not users & {chunk.unit} and users <= self._seldom():
                    (chunk.unit,) = users
                    moved = True
            if not moved:
                return

    def _drop_told_numbers(self) -> None:
        """Numbers of a public module that nothing here uses: its facade says them to whoever asks."""
        uses = self._uses()
        for mark, chunk in list(self.chunks.items()):
            node = chunk.node
            told = chunk.path in self.layout.facades and chunk.path.startswith(self.layout.public)
            if told and mark not in uses and isinstance(node, ast.Assign) and is_number(node.value):
                del self.chunks[mark]

    def _ask_for_modules(self) -> None:
        """A function's own import of a module that is not linked becomes a call: the name of that module is then a
        text, which costs nothing in the table of names before somebody asks for it."""
        for chunk in self.chunks.values():
            asked = {mark: other.unit for mark, other in self.chunks.items() if self.layout.is_asked_for(other.unit)}
            asker = Asker(asked, chunk.unit)
            chunk.node = cast(ast.stmt, asker.visit(chunk.node))

    # -- calls of what has moved --------------------------------------------------------------------------------------

    def _rewrite_calls(self) -> None:
        self._direct_methods()
        self._direct_makers()
        self._stubs()
        classes = {symbol.mark: node for symbol, node in self._classes()}
        stubs = {id(stub): symbol.mark for symbol, stub in self.methods.values()}
        reach_by_name(classes, stubs, self._asked_of_classes(classes))

    def _attribute_uses(self) -> dict[str, list[tuple[str, ast.AST]]]:
        """attribute -> (unit, the call or the attribute itself) of each use."""
        found: defaultdict[str, list[tuple[str, ast.AST]]] = defaultdict(list)
        for chunk in self.chunks.values():
            called: set[int] = set()
            for node in walk(chunk.node):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    called.add(id(node.func))
                    found[node.func.attr].append((chunk.unit, node))
            for node in walk(chunk.node):
                if isinstance(node, ast.Attribute) and id(node) not in called:
                    found[node.attr].append((chunk.unit, node))
        return found

    def _direct_methods(self) -> None:
        """Within the unit of a moved method, `x.method(...)` is `function(x, ...)`, where only one class has it."""
        definers = Counter(node.name for _, own in self._classes() for node in own.body if isinstance(node, Function))
        for module in self.program.modules.values():  # what is not linked may be what it is asked of, a module as well
            if module.raw:
                definers.update(node.name for node in walk(module.tree) if isinstance(node, Function))
        uses = self._attribute_uses()
        texts = names.said(module.tree for module in self.program.modules.values())
        for name, (symbol, stub) in self.methods.items():
            method = name.rpartition(".")[2]
            if definers[method] != 1 or method.startswith("__"):
                continue
            unit = self.chunks[symbol.mark].unit
            left = False
            for where, node in uses.get(method, []):
                if where == unit and isinstance(node, ast.Call):
                    _make_direct(node, symbol.mark)
                else:
                    left = True
            if not left and method not in texts:
                self._drop(name, stub)
        self._direct_own()

    def _direct_own(self) -> None:
        """A moved method's `self.other()` is `other(self)` where that has moved with it, and nobody derives another."""
        derived = {
            ast.unparse(base).rpartition(".")[2]
            for module in self.program.modules.values()
            for node in walk(module.tree)
            if isinstance(node, ast.ClassDef)
            for base in node.bases
        }
        bases = [base for _, cls in self._classes() for base in cls.bases]
        derived |= {node.id for base in bases for node in walk(base) if isinstance(node, ast.Name)}
        for name, (symbol, _) in self.methods.items():
            owner = self._owner(name)
            if owner.mark in derived or owner.name in derived:
                continue
            chunk = self.chunks[symbol.mark]
            family = name.rpartition(".")[0]
            for node in walk(chunk.node):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    of, method = node.func.value, node.func.attr
                    other = self.methods.get(f"{family}.{method}")
                    own = isinstance(of, ast.Name) and of.id == "self" and not method.startswith("__")
                    if own and other and self.chunks[other[0].mark].unit == chunk.unit:
                        _make_direct(node, other[0].mark)

    def _drop(self, name: str, stub: Function) -> None:
        owner = cast(ast.ClassDef, self._owner(name).node)
        owner.body.remove(stub)
        if not owner.body:
            owner.body.append(ast.copy_location(ast.Pass(), owner))

    def _direct_makers(self) -> None:
        """A class whose `__init__` lives where alone it is made needs no `__init__`."""
        makers = {name: found for name, found in self.methods.items() if name.endswith(".__init__")}
        owners = {self._owner(name).mark: name for name in makers}
        barred = {n.id for _, cls in self._classes() for b in cls.bases for n in walk(b) if isinstance(n, ast.Name)}
        barred |= {s.mark for module in self.program.modules.values() if module.raw for s in self._asked_by(module)}
        calls: defaultdict[str, list[ast.Call]] = defaultdict(list)
        for mark, chunk in self.chunks.items():
            calling: dict[int, ast.Call] = {}
            found: list[ast.Name] = []
            for node in walk(chunk.node):
                if isinstance(node, ast.Call):
                    calling[id(node.func)] = node
                elif isinstance(node, ast.Name) and node.id in owners and node.id != mark:
                    found.append(node)
            for node in found:
                call = calling.get(id(node))
                if call is not None and chunk.unit == self.chunks[makers[owners[node.id]][0].mark].unit:
                    calls[node.id].append(call)
                elif call is not None or not _is_type_test(chunk.node, node):
                    barred.add(node.id)
        for mark, name in owners.items():
            if mark in barred:
                continue
            symbol, stub = makers[name]
            for call in calls[mark]:
                call.args = [call.func, ast.Name(id=symbol.mark, ctx=ast.Load()), *call.args]
                call.func = ast.Name(id=MAKE, ctx=ast.Load())
                for child in (call.func, call.args[1]):
                    ast.copy_location(child, call)
            self._drop(name, stub)

    def _owner(self, name: str) -> Symbol:
        """The class of a method that has moved."""
        return self.program.modules[name.rsplit(".", 2)[0]].symbols[name.split(".")[-2]]

    def _stubs(self) -> None:
        """Uses of what lives in a seldom unit, from another one, go through a call that loads it."""
        seldom = self._seldom()
        for chunk in list(self.chunks.values()):
            local = set(local_marks(chunk.node))
            transformer = Caller(
                {
                    mark: other.unit
                    for mark, other in self.chunks.items()
                    if other.unit != chunk.unit
                    and mark not in local
                    and (
                        (other.unit in seldom and other.unit != self.unit_of(other.symbol.module))
                        or (other.unit in self.layout.passing and chunk.unit in self.layout.lasting)
                    )
                },
                self.chunks,
            )
            chunk.node = cast(ast.stmt, transformer.visit(chunk.node))

    def _asked_of_classes(self, classes: Mapping[str, ast.ClassDef]) -> set[str]:
        """Methods that somebody takes from a class itself."""
        found: set[str] = set()
        known = set(classes) | {node.name for node in classes.values()}
        for tree in [*(chunk.node for chunk in self.chunks.values()), *(m.tree for m in self.program.modules.values())]:
            for node in walk(tree):
                if isinstance(node, ast.Attribute):
                    of = node.value.func if isinstance(node.value, ast.Call) else node.value
                    name = of.id if isinstance(of, ast.Name) else ""
                    if (name in known and of is node.value) or name in ("super", "type"):
                        found.add(node.attr)
        return found

    def _take_texts(self) -> None:
        """What is only said when something goes wrong, or to the log, is read when it is said."""
        for unit in sorted({chunk.unit for chunk in self.chunks.values()}):
            if unit in self.layout.lasting or self.layout.is_driver(unit):
                taker = TextTaker(self.texts)
                for chunk in self.chunks.values():
                    if chunk.unit == unit:
                        chunk.node = cast(ast.stmt, taker.visit(chunk.node))

    # -- names and text -----------------------------------------------------------------------------------------------

    def result(self) -> Linked:
        linker_added = self._helpers()
        trees = [chunk.node for chunk in self.chunks.values()]
        attributes = names.attributes(self.program, trees, self.layout)
        names.rename_slots(trees, attributes)
        units: defaultdict[str, list[Chunk]] = defaultdict(list)
        for chunk in self.chunks.values():
            units[chunk.unit].append(chunk)
        for module in self.program.modules.values():
            if not module.raw:
                units.setdefault(self.unit_of(module.name), [])
        writer = Writer(self.program, self.chunks, self.layout, attributes, linker_added)
        out = Linked({}, renamed={new: old for old, new in attributes.items()})
        for unit in writer.order(units):
            text, lines = writer.unit(unit, units[unit])
            path = self._path(unit)
            out.sources[path] = text
            out.lines[path] = lines
        for first in range(0, len(self.texts), _TEXTS):
            out.sources[f"t{first // _TEXTS}.py"] = f"e = {tuple(self.texts[first : first + _TEXTS])!r}\n".encode()
        for module in self.program.modules.values():
            if module.raw:
                out.sources[module.path] = writer.raw(module, self.sources[module.path])
        for path, wanted in self.layout.facades.items():
            out.sources[path] = writer.facade(path, wanted, self.sources[path])
        return out

    def _path(self, unit: str) -> str:
        module = self.program.modules.get(unit)
        return module.path if module is not None else unit.replace(".", "/") + ".py"

    def _helpers(self) -> dict[str, ast.stmt]:
        memory = self.program.modules.get(_MEMORY)
        plenty = memory.symbols[_PLENTY].mark if memory is not None else "False"
        text = (
            f"def {CALL}(unit, name):\n"
            " module = sys.modules.get(unit)\n"
            " if module is None:\n"
            "  __import__(unit)\n"
            f"  module = sys.modules[unit] if {plenty} else sys.modules.pop(unit)\n"
            " return getattr(module, name)\n"
            f"def {RUN}(unit, name, *a, **k):\n"
            " module = sys.modules.get(unit)\n"
            " if module is not None:\n"
            "  return getattr(module, name)(*a, **k)\n"
            " __import__(unit)\n"
            " try:\n"
            "  return getattr(sys.modules[unit], name)(*a, **k)\n"
            " finally:\n"
            f"  if not {plenty}:\n"
            "   sys.modules.pop(unit, None)\n"
            f"def {ASK}(unit, name):\n"
            " __import__(unit)\n"
            " return getattr(sys.modules[unit], name)\n"
            f"def {MAKE}(cls, function, *a, **k):\n"
            " made = object.__new__(cls)\n"
            " function(made, *a, **k)\n"
            " return made\n"
            f"def {METHOD}(self, name):\n"
            " table = self.__path__\n"
            " at = table.find(';' + name + ' ')\n"
            " if at < 0:\n"
            "  raise AttributeError(name)\n"
            " unit, name = table[at + len(name) + 2 : table.find(';', at + 1)].split(' ')\n"
            f" return lambda *a, **k: {RUN}(unit, name, self, *a, **k)\n"
            f"def {TEXT}(number):\n"
            f" return {CALL}('t%d' % (number // {_TEXTS}), 'e')[number % {_TEXTS}]\n"
        )
        return {cast(ast.FunctionDef, node).name: node for node in ast.parse(text).body}


def _make_direct(call: ast.Call, mark: str) -> None:
    """`x.method(...)` becomes `function(x, ...)`."""
    function = cast(ast.Attribute, call.func)
    call.args.insert(0, function.value)
    call.func = ast.copy_location(ast.Name(id=mark, ctx=ast.Load()), function)


def _derived(node: ast.AST) -> bool:
    return any(isinstance(child, ast.Name) and child.id == "super" for child in walk(node))


def _is_type_test(tree: ast.AST, name: ast.Name) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "isinstance"
        and any(child is name for child in walk(node))
        for node in walk(tree)
    )
