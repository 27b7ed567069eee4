#!/usr/bin/env python3
"""Measures what each file of the node costs: bytes of .mpy on flash, and Python heap to import it.

A file is what the linker made: a module, or a unit of several that live together (factory/layout.py).

Measured on the 32-bit VM, whose objects have a chip's sizes. Each module is imported in a fresh VM, so its figure
includes what it pulls in; `alone` is what it adds when all that it imports is already there. `needs` is the smallest
heap in which the import succeeds at all, found by trying, because loading takes more than what stays. HAL and links
that need a chip's own modules cannot be imported here and show flash only. Whole nodes come first, because modules do
not add up to one: the smallest heap in which each kind lives (tests/support/whole.py). `make size` writes
docs/footprint.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP), str(TOP / "host_sdk"), str(TOP / "protocol")]

from tests.support import vm, whole  # noqa: E402

import aptget  # noqa: E402
from citymote.factory import selection  # noqa: E402
from citymote.factory.build import BuildError, build, linked_sources  # noqa: E402
from citymote.factory.layout import LATER  # noqa: E402

CHIP_ARCH = "rv32imc"
# Allocating while measuring would be measured: everything is made before the first reading.
_PROBE = """
import gc, sys
for other in {others!r}:
    __import__(other)
gc.collect(); gc.collect()
before = gc.mem_alloc()
try:
    __import__({name!r})
except ImportError as error:
    print('missing', error)
    sys.exit(0)
gc.collect(); gc.collect()
print('heap', gc.mem_alloc() - before)
print(*sys.modules)
"""

_LARGEST = 400  # KB
# What is there when somebody asks for what only some requests need.
_THERE = ("core", "wire", "keep", "hkdf", "heads", "serve")


@dataclass(frozen=True)
class Size:
    """What one module costs. Heap figures are None where the module needs hardware."""

    module: str
    flash: int
    heap: int | None
    alone: int | None
    needs: int | None


def modules(tree: Path) -> dict[str, Path]:
    """Every compiled module of a tree by the name it is imported by."""
    found: dict[str, Path] = {}
    for path in sorted(tree.rglob("*.mpy")):
        parts = path.relative_to(tree).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def heap_to_import(name: str, tree: Path, others: tuple[str, ...] = ()) -> tuple[int, list[str]] | None:
    """Heap that stays in use after importing a module into a fresh VM (with `others` there before), and what is loaded
    then; None where the module needs a chip's own."""
    done = vm.run(_PROBE.format(name=name, others=others), heap="400k", path=[tree], timeout=60)
    first, _, rest = done.stdout.strip().partition("\n")
    word, _, value = first.partition(" ")
    if word == "heap":
        return int(value), rest.split()
    if word == "missing":
        return None
    if "RuntimeError" in done.stderr and others != _THERE:
        return None  # an import inside of imports: a node has loaded those before, one by one
    raise BuildError(f"{name} cannot be imported: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")


def smallest_heap(name: str, tree: Path) -> int | None:
    """The smallest heap in KB in which the import succeeds; None where that is not a matter of the heap."""
    low, high = 2, _LARGEST
    while low < high:
        middle = (low + high) // 2
        done = vm.run(f"__import__({name!r})", heap=f"{middle}k", path=[tree], timeout=60)
        if done.returncode == 0:
            high = middle
        else:
            low = middle + 1
    return low if low < _LARGEST else None


def measure(needs: bool = True) -> list[Size]:
    """The sizes of every module, in the order of their names."""
    machine = vm.best(32)
    tree = build(vm.architecture(machine.bits))
    sources = {name: path.read_bytes() for name, path in linked_sources().items()}
    given = {selection.module_of(name) for name in selection.select(sources, CHIP_ARCH)}
    flash = modules(build(CHIP_ARCH))
    sizes: list[Size] = []
    for name in modules(tree):
        if name not in given:
            continue
        found = heap_to_import(name, tree)
        if found is None:
            beside = heap_to_import(name, tree, _THERE) if name in LATER else None
            sizes.append(Size(name, flash[name].stat().st_size, None, beside[0] if beside else None, None))
            continue
        # A module is listed before those that its loading loads: from the end, each finds its own imports there.
        others = tuple(other for other in reversed(found[1]) if other not in (name, "__main__"))
        alone = heap_to_import(name, tree, others)
        smallest = smallest_heap(name, tree) if needs else None
        sizes.append(Size(name, flash[name].stat().st_size, found[0], alone[0] if alone else None, smallest))
    return sizes


def table(sizes: list[Size], nodes: dict[str, int], where: str) -> str:
    """docs/footprint.md; `nodes` is the heap in KB in which each kind of node lives."""
    lines = [
        "# Footprint",
        "",
        "What the node costs, whole and by file. Written by `make size`; do not edit.",
        "",
        "## A node",
        "",
        "The smallest Python heap in which the whole application starts, samples every row of two hours and has every",
        f"frame acknowledged, on the {where}. Frames are sealed unless it says otherwise.",
        "",
        "| node | heap, KB |",
        "|---|---:|",
        *(f"| {title} | {heap} |" for title, heap in nodes.items()),
        "",
        "## Files",
        "",
        "What lives together is one file; `host_sdk/citymote/factory/layout.py` says which modules are in which.",
        "",
        f"- *flash*: bytes of the `.mpy` for {CHIP_ARCH};",
        "- *alone*: bytes of Python heap that the file adds when all that it imports is already there;",
        "- *heap*: bytes in use after importing it, with all that it imports, into a fresh VM;",
        "- *needs*: the smallest heap, in KB, in which that import succeeds.",
        "",
        f"Heap is measured on the {where}, whose objects have an ESP32's sizes. Native code (the sound's loops)",
        "lies outside that heap; on a chip it comes on top. A dash: the file needs a chip's own modules, or is only",
        "loaded when others are there: then *alone* is what it adds to a node in a session.",
        "",
        "| file | flash, bytes | alone, bytes | heap, bytes | needs, KB |",
        "|---|---:|---:|---:|---:|",
    ]
    for size in sizes:
        figures = ("-" if value is None else f"{value}" for value in (size.flash, size.alone, size.heap, size.needs))
        lines.append(f"| `{size.module}` | {' | '.join(figures)} |")
    total = sum(size.flash for size in sizes)
    lines += ["", f"All files together: {total} bytes of flash; no board carries all drivers.", ""]
    return "\n".join(lines)


def smallest() -> dict[str, int]:
    """The heap in KB of each kind of whole node, and of one that updates itself while it works."""
    kinds = whole.kinds()
    largest = kinds["owned"]
    found = {kind.title: whole.smallest(kind) for kind in kinds.values()}
    return found | {f"{largest.title}, updating itself": whole.smallest(largest, test=whole.updates)}


def main() -> int:
    parser = argparse.ArgumentParser(description="Bytes on flash and heap to import, per module of the node.")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table there instead of printing it")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.add_argument("--quick", action="store_true", help="leave out the smallest heap, which takes the time")
    arguments = parser.parse_args()
    try:
        machine = vm.best(32)
        sizes = measure(needs=not arguments.quick)
        nodes = {} if arguments.quick else smallest()
    except (aptget.Unavailable, BuildError) as error:
        print(f"size_report: {error}", file=sys.stderr)
        return 1
    if machine.bits != 32:
        print("size_report: no 32-bit MicroPython here; figures of 64 bits would mislead", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps({"nodes": nodes, "modules": {size.pop("module"): size for size in map(asdict, sizes)}}))
        return 0
    text = table(sizes, nodes, "32-bit unix port")
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(text)
        print(f"size_report: {len(sizes)} modules in {arguments.write}")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
