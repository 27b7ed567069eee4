"""Linking changes where code lives and what it is called, never what it does."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from citymote.factory import build as building
from citymote.factory import link as linking
from citymote.factory import names, places
from citymote.factory.layout import APPLICATION, Layout
from citymote.factory.program import LinkError

PROGRAM = {
    "app.py": b'''
import sys
from box import Box, Lid
from pack import tools
from pack.tools import twice as double

class Host:
    """Reached by name."""
    run = 5

    def __init__(self, box):
        self.box = box
        self._count = 0

    def seldom(self, by=1, *, more=0):
        self._count += by + more
        return self._count

    def often(self):
        return self.seldom(2) + self.box.weigh()

def start(host):
    from late import Late
    from late import twice

    return Late(host, 3).tell() + twice(host.often())

def main():
    host = Host(Box(2))
    print(host.often(), host.seldom(by=4, more=1), start(host), double(tools.TABLE[1]))
    print(getattr(host, "run"), hasattr(host, "absent"), Lid(1).weigh(), isinstance(host.box, Box))
    try:
        host.box.open(0)
    except ValueError as e:
        print(type(e).__name__, e)
    print(sorted(name for name in ("seldom", "t0") if name in sys.modules))
''',
    "box.py": b"""
from pack.tools import twice

class BoxError(ValueError):
    pass

class Box:
    def __init__(self, weight):
        self.weight = weight
        self.key = None

    def weigh(self):
        return twice(self.weight)

    def open(self, key):
        if key != self.key:
            raise BoxError("this is not the key of the box %d" % self.weight)

class Lid(Box):
    def weigh(self):
        return Box.weigh(self) + 100
""",
    "pack/__init__.py": b"",
    "pack/tools.py": b"TABLE = (1, 21)\n_BASE = 2\n\ndef twice(n):\n    return n * _BASE\n",
    "late.py": b"""
from pack.tools import twice

class Late:
    def __init__(self, host, n):
        self.host = host
        self.n = n

    def tell(self):
        return self.n + self.host.box.weight
""",
    "entry.py": b"from app import main\n\nif True:\n    main()\n",
}
PARTS = ("core", "pack.tools")
LAYOUT = Layout(
    {"core": ("app", "box"), "wire": ("pack.tools",), "begin": ("late",)},
    ("core", "wire"),
    ("begin",),
    {"seldom": ("app.Host.seldom",), "begin": ("app.Host.__init__", "app.main")},
    raw=("entry.py",),
)


def run(folder: Path, sources: dict[str, bytes]) -> str:
    folder.mkdir()
    for name, text in sources.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text)
    done = subprocess.run(
        [sys.executable, "entry.py"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def layout(**changes: Any) -> Layout:
    return dataclasses.replace(LAYOUT, **changes)


def test_a_linked_program_says_the_same(tmp_path: Path) -> None:
    before = run(tmp_path / "before", PROGRAM)
    assert "BoxError this is not the key" in before
    assert run(tmp_path / "after", linking.link(PROGRAM, LAYOUT).sources) == before


def test_modules_are_merged_and_what_is_seldom_is_apart() -> None:
    sources = linking.link(PROGRAM, LAYOUT).sources
    assert {"core.py", "wire.py", "begin.py", "seldom.py", "t0.py", "entry.py", "pack/__init__.py"} == set(sources)
    assert b"this is not the key" not in sources["core.py"]


def test_what_a_text_reaches_keeps_its_name_and_so_do_exceptions() -> None:
    core = linking.link(PROGRAM, LAYOUT).sources["core.py"]
    assert b"run = 5" in core
    assert b"class BoxError" in core
    assert b"def weigh" not in core


def test_a_class_made_only_by_what_is_let_go_has_no_init_left() -> None:
    sources = linking.link(PROGRAM, LAYOUT).sources
    assert b"_count" not in sources["core.py"]
    assert sources["core.py"].count(b"def __init__") == 1, "the box's alone"


def test_where_code_came_from_is_known() -> None:
    linked = linking.link(PROGRAM, LAYOUT)
    table = places.read(places.write(linked, PROGRAM))
    new = next(name for name, spots in table["core"].items() if "app.py:19 Host.often" in spots)
    said = places.explain(f'ValueError: no; File "core", line 1, in {new}', table)
    assert "app.py:19 Host.often" in said
    assert places.explain('File "core", line 1, in nobody', table) == 'File "core", line 1, in nobody'


@pytest.mark.parametrize("name", ["app.Host.gone", "app.gone", "gone.f"])
def test_a_layout_that_names_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(LinkError, match="layout: there is no"):
        linking.link(PROGRAM, layout(seldom={"seldom": (name,)}))


def test_what_stays_may_not_keep_what_goes() -> None:
    with pytest.raises(LinkError, match=r"core stays and would keep pack\.tools"):
        linking.link(PROGRAM, layout(units={"core": ("app", "box"), "begin": ("late",)}, lasting=("core",)))


def test_units_that_import_each_other_are_refused() -> None:
    crossing = b"\nfrom box import Box\n\ndef box():\n    return Box\n"
    crossed = {**PROGRAM, "pack/tools.py": PROGRAM["pack/tools.py"] + crossing}
    with pytest.raises(LinkError, match="import each other"):
        linking.link(crossed, LAYOUT)


def test_a_method_of_what_is_not_linked_is_asked_for_by_its_name(tmp_path: Path) -> None:
    """`rest` of the engine has moved to a unit of its own, and asks the bank, whose class is nobody's to move."""
    sources = {
        "engine.py": b"""
class Engine:
    def __init__(self, bank):
        self.bank = bank

    def rest(self):
        return ["engine", self.bank.rest()]

def main():
    from bank import Bank

    print(Engine(Bank()).rest())
""",
        "bank.py": b"class Bank:\n    def rest(self):\n        return 'bank'\n",
        "entry.py": b"from engine import main\n\nif True:\n    main()\n",
    }
    told = Layout({"core": ("engine",)}, ("core",), (), {"quiet": ("engine.Engine.rest",)}, raw=("entry.py", "bank.py"))
    assert run(tmp_path / "after", linking.link(sources, told).sources) == run(tmp_path / "before", sources)


def test_a_method_may_be_called_as_what_the_linker_adds(tmp_path: Path) -> None:
    sources = {
        "engine.py": b"""
class Engine:
    def run(self):
        from other import late

        return [self._ask(), late()]

    def _ask(self):
        return "asked"

def main():
    print(Engine().run())
""",
        "other.py": b"def late():\n    return 'late'\n",
        "entry.py": b"from engine import main\n\nif True:\n    main()\n",
    }
    told = Layout({"core": ("engine",), "once": ("other",)}, ("core",), (), {}, raw=("entry.py",))
    assert run(tmp_path / "after", linking.link(sources, told).sources) == run(tmp_path / "before", sources)


def test_what_has_left_a_class_together_calls_itself_without_loading_anew() -> None:
    sources = {
        "engine.py": b"""
class Engine:
    def rest(self):
        return self.settle() + 1

    def settle(self):
        return 2

class Other:
    def settle(self):
        return 3

def main():
    print(Engine().rest(), Other().settle(), Engine().settle())
""",
        "entry.py": b"from engine import main\n\nif True:\n    main()\n",
    }
    together = {"quiet": ("engine.Engine.rest", "engine.Engine.settle")}
    told = Layout({"core": ("engine",)}, ("core",), (), together, raw=("entry.py",))
    quiet = linking.link(sources, told).sources["quiet.py"].decode()
    assert "(self) + 1" in quiet and "self." not in quiet


def test_what_others_put_into_the_slots_of_an_object_does_not_meet_there(tmp_path: Path) -> None:
    """Each of the two names is another class's as well, so that both are renamed; they are slots of one."""
    sources = {
        "engine.py": b"""
class Found:
    __slots__ = ("origin", "sequence", "signer")

    def place(self):
        return self.origin

class First:
    def __init__(self):
        self.sequence = 1

    def next(self):
        return self.sequence + 1

class Second:
    def __init__(self):
        self.signer = 5

    def next(self):
        return self.signer + 1

def main():
    made = Found()
    made.origin, made.sequence, made.signer = "here", First().next(), Second().next()
    print(made.place(), made.sequence, made.signer)
""",
        "entry.py": b"from engine import main\n\nif True:\n    main()\n",
    }
    told = Layout({"core": ("engine",)}, ("core",), (), {}, raw=("entry.py",))
    assert run(tmp_path / "after", linking.link(sources, told).sources) == run(tmp_path / "before", sources)


def test_a_function_of_a_module_is_not_taken_for_a_method_of_that_name(tmp_path: Path) -> None:
    sources = {
        "engine.py": b"""
class Client:
    def connect(self, name):
        return "client " + name

class Line:
    def __init__(self, way):
        self.way = way

    def open(self):
        return self.way.connect("line")

def main():
    import way

    print(Line(way).open(), Client().connect("own"))
""",
        "way.py": b"def connect(name):\n    return 'way ' + name\n",
        "entry.py": b"from engine import main\n\nif True:\n    main()\n",
    }
    seldom = {"quiet": ("engine.Client.connect", "engine.Line.open")}
    told = Layout({"core": ("engine",)}, ("core",), (), seldom, raw=("entry.py", "way.py"))
    assert run(tmp_path / "after", linking.link(sources, told).sources) == run(tmp_path / "before", sources)


def test_moved_methods_are_reached_by_their_names_and_hide_each_other_as_before(tmp_path: Path) -> None:
    sources = {
        "engine.py": b"""
class Engine:
    power = on = er = cb = pi = tb = 3

    def rest(self, n=1, *, more=0):
        return "rest", self.power, n, more

    def stop(self):
        return "stop"

    def heat(self):
        return "heat"

    def tell(self):
        return "engine"

class Diesel(Engine):
    def stop(self):
        return "diesel stops"

    def glow(self):
        return "glow"

    def wait(self):
        return "wait"

class Electric(Engine):
    power = 5

    def heat(self):
        return "cold"

def main():
    for made in (Engine(), Diesel(), Electric()):
        stop = made.stop
        print(made.rest(2, more=1), stop(), made.heat(), made.tell(), getattr(made, "absent", None))
    print(Diesel().glow(), Diesel().wait(), Engine.tell(Diesel()), hasattr(Engine(), "glow"))
    try:
        Engine().glow()
    except AttributeError as e:
        print("AttributeError")
""",
        "entry.py": b"from engine import main\n\nif True:\n    main()\n",
    }
    moved = ("Engine.rest", "Engine.stop", "Engine.heat", "Engine.tell", "Diesel.stop", "Diesel.glow", "Diesel.wait")
    seldom = {"quiet": tuple(f"engine.{name}" for name in moved)}
    told = Layout({"core": ("engine",)}, ("core",), (), seldom, raw=("entry.py",))
    linked = linking.link(sources, told).sources
    assert run(tmp_path / "after", linked) == run(tmp_path / "before", sources)
    core = linked["core.py"].decode()
    assert core.count("__getattr__ = ") == 2, "the engine's and the diesel's"
    stay = re.findall(r"    def \w+\(self, \*a, \*\*k\)", core)
    assert len(stay) == 2, "one that is asked of its class, one that hides another"


LOADING = """
import builtins

loaded = []
load = builtins.__import__

def counted(name, *others):
    if name == "quiet":
        import sys

        if name not in sys.modules:
            loaded.append(name)
    return load(name, *others)

builtins.__import__ = counted
import engine
engine.main()
print(loaded, "quiet" in __import__("sys").modules)
"""


@pytest.mark.parametrize(("plenty", "times", "stays"), [(False, 2, False), (True, 1, True)])
def test_what_runs_is_found_by_what_it_calls_and_stays_where_there_is_plenty(
    plenty: bool, times: int, stays: bool, tmp_path: Path
) -> None:
    sources = {
        "engine.py": b"""
class Engine:
    def rest(self, other):
        return other.settle() + self.settle()

    def settle(self):
        return 2

class Other(Engine):
    pass

class Third:
    def settle(self):
        return 3

def main():
    print(Engine().rest(Third()), Engine().rest(Other()))
""",
        "node/memory.py": b"PLENTY = %s\n" % str(plenty).encode(),
        "node/__init__.py": b"",
        "entry.py": b"from engine import main\n\nif True:\n    main()\n",
    }
    seldom = {"quiet": ("engine.Engine.rest", "engine.Engine.settle")}
    told = Layout({"engine": ("engine", "node.memory")}, ("engine",), (), seldom, raw=("entry.py",))
    linked = linking.link(sources, told).sources
    main = linked["entry.py"].decode().split("import ")[1].split(" as ")[0]  # what it is called in there
    linked["entry.py"] = LOADING.replace("engine.main", f"engine.{main}").encode()
    assert run(tmp_path / "linked", linked) == f"5 4\n{['quiet'] * times} {stays}\n"


def test_an_assigned_global_is_refused() -> None:
    with pytest.raises(LinkError, match=r"tools\.py:\d+: a global"):
        assigning = b"\ndef f():\n    global TABLE\n    TABLE = 1\n"
        linking.link({**PROGRAM, "pack/tools.py": PROGRAM["pack/tools.py"] + assigning}, LAYOUT)


def test_a_name_that_one_function_imports_from_two_places_is_refused() -> None:
    choice = b"def choose(box):\n    if box:\n        from box import Box as One\n    else:\n        from late import Late as One\n    return One\n"  # noqa: E501
    with pytest.raises(LinkError, match=r"late\.py:\d+: One is one of two things"):
        linking.link({**PROGRAM, "late.py": PROGRAM["late.py"] + choice}, LAYOUT)


def test_a_module_that_is_used_as_a_value_keeps_its_names(tmp_path: Path) -> None:
    changed = PROGRAM["app.py"].replace(b"print(getattr(host", b"print(getattr(tools, 'twice')(4), getattr(host")
    program = {**PROGRAM, "app.py": changed.replace(b"double(tools.", b"double((1, 21)[1]) or (tools.")}
    linked = linking.link(program, layout(units={"core": ("app", "box"), "begin": ("late",)}, lasting=PARTS))
    assert b"def twice" in linked.sources["pack/tools.py"]


@pytest.fixture(scope="module")
def application() -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in building.application_sources()}


@pytest.fixture(scope="module")
def linked(application: dict[str, bytes]) -> linking.Linked:
    """It takes ten seconds."""
    return building.linked(application)


def test_the_application_is_linked_the_same_way_every_time(
    application: dict[str, bytes], linked: linking.Linked
) -> None:
    assert building.linked(application).sources == linked.sources


def test_nothing_that_stays_loads_what_is_let_go(linked: linking.Linked) -> None:
    # `Writer.order` refuses it; this says that the application's layout was really asked.
    assert {f"{unit}.py" for unit in APPLICATION.lasting} <= set(linked.sources)


NAMES = """
import micropython
class Thing: pass
thing = Thing()
for name in open("words").read().split():
    micropython.qstr_info()
    setattr(thing, name, 1)
    print("=", name)
micropython.qstr_info()
"""


def test_every_word_of_the_table_is_in_micropython_itself(run_vm: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "words").write_text(" ".join(sorted(names.TABLE)))
    said = run_vm(NAMES, heap="400k", cwd=tmp_path, path=[tmp_path]).checked().stdout
    counts = [line.split("n_qstr=")[1].split(",")[0] for line in said.splitlines() if "n_qstr=" in line]
    words = [line[2:] for line in said.splitlines() if line.startswith("= ")]
    costly = [word for word, before, after in zip(words, counts, counts[1:], strict=False) if before != after]
    assert not costly, f"these would cost heap: {costly}"


def test_nothing_gets_a_name_that_the_compiler_knows() -> None:
    """A call of `const` is folded, and that of a value no program."""
    assert "const" in names.TABLE
    assert "const" not in {*names.ROM, *names.PRIVATE}
