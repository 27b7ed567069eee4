"""Makes a bundle from a checkout: which kinds of node it is for, and which of the linked application's files each gets.

The files are those that `citymote flash` puts on boards (factory.build), so an update fetches only what changed since;
here what no board of the target needs is left out, because the index has to fit a manifest of 8 KB and each name costs
a node heap. Boards of one architecture share a target while that fits, else each has its own.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from citymote import boards as known_boards
from citymote.errors import UsageError
from citymote.factory import build, image, partitions, selection, slot

from . import sbom
from .bundle import Bundle, Target, check_target, pack
from .version import Version

LARGEST_INDEX = 8192 - 700
"""Bytes of an index beside which an envelope has room for two ESP256 signatures; a hash-based one needs 1,500 more."""


@dataclass(frozen=True)
class Kind:
    """A kind of node to build for: an architecture, and the boards; none: every board with that architecture."""

    architecture: str
    boards: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What its target is called."""
        return f"{self.architecture}-{self.boards[0]}" if len(self.boards) == 1 else self.architecture


@dataclass(frozen=True)
class Recipe:
    """All that a bundle is made from, beside the checkout itself."""

    version: Version
    kinds: tuple[Kind, ...]
    runtime: str = "1.26"
    notes: str = ""
    images: tuple[image.Runtime, ...] = ()
    """Runtime images that this release is for: their versions go into the SBOM."""
    vendor: bytes = slot.VENDOR_ID
    descriptions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """board.json by board, where it is not citymote's or the user's own by that name."""


def kinds(boards: Sequence[str] = (), architectures: Sequence[str] = ()) -> tuple[Kind, ...]:
    """What to build for: these boards (all with a chip when none is named), or boards on these architectures."""
    by_architecture: defaultdict[str, list[str]] = defaultdict(list)
    named = boards or [name for name in known_boards.names() if known_boards.describe(name).chip is not None]
    for name in sorted(set(named)):
        chip = known_boards.describe(name).chip
        if chip is not None:
            if not architectures or chip.architecture in architectures:
                by_architecture[chip.architecture].append(name)
        elif len(architectures) == 1:
            by_architecture[architectures[0]].append(name)
        else:
            raise UsageError(f"the board {name} has no chip", "it can be any", "Name one architecture with --arch.")
    if not by_architecture:
        raise UsageError("there is no board to build for", f"none of them runs {', '.join(architectures)}")
    return tuple(Kind(arch, tuple(names)) for arch, names in sorted(by_architecture.items()))


def check_runtime(text: str) -> str:
    """The text if it is a version of MicroPython as release.json has it: numbers with dots."""
    parts = text.split(".")
    if not 2 <= len(parts) <= 3 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise UsageError(f"{text!r} is no version of MicroPython", "", "Write 1.26 or 1.26.1.")
    return text


def make(recipe: Recipe, told: Callable[[str], None] | None = None, output: Path | None = None) -> Bundle:
    """Build what the recipe says; BuildError where a file cannot be compiled, UsageError where the index is too long.

    `output`: where the trees are kept from one build to the next (default: where `citymote flash` has them).
    """
    originals = {name: path.read_bytes() for name, path in build.application_sources()}
    linked = {name: path.read_bytes() for name, path in build.linked_sources(output).items()}
    targets: list[tuple[Target, list[slot.File]]] = []
    for kind in recipe.kinds:
        if told:
            told(f"compiling for {kind.architecture}")
        tree = build.build(kind.architecture, output and output / kind.architecture)
        targets += _targets(recipe, kind, tree, linked)
    modules: defaultdict[str, list[str]] = defaultdict(list)
    for target, _ in targets:
        for name in wanted(recipe, originals, target.architecture, target.boards):
            modules[name].append(target.name)
    document = sbom.write(
        recipe.version,
        {name: (hashlib.sha256(originals[name]).hexdigest(), sorted(of)) for name, of in modules.items()},
        _imports({name: originals[name] for name in modules}),
        runtime=recipe.runtime,
        runtimes=recipe.images,
        compiler=build.compiler()[1],
    )
    return pack(recipe.version, recipe.runtime, targets, notes=recipe.notes, sbom=document, vendor=recipe.vendor)


def _room(board: str) -> int:
    """Blocks of a slot on that board; of the smallest that there is where nobody knows the board."""
    try:
        size = known_boards.describe(board).flash_size
    except known_boards.BoardError:
        size = 4 * partitions.MEGABYTE
    return next(part.size for part in partitions.layout(size) if part.label == "slot_a") // partitions.SECTOR


def _targets(
    recipe: Recipe, kind: Kind, tree: Path, linked: Mapping[str, bytes]
) -> list[tuple[Target, list[slot.File]]]:
    made = target(recipe, kind, tree, wanted(recipe, linked, kind.architecture, kind.boards))
    taken = slot.blocks([("index", len(made[0].index)), *((file.name, len(file.data)) for file in made[1])])
    room = min(_room(board) for board in kind.boards) if kind.boards else taken
    if len(made[0].index) <= LARGEST_INDEX and taken <= room:
        return [made]
    if len(kind.boards) > 1:
        parts = [Kind(kind.architecture, (board,)) for board in kind.boards]
        return [one for part in parts for one in _targets(recipe, part, tree, linked)]
    size = len(made[0].index)
    if size <= LARGEST_INDEX:
        raise UsageError(f"the application of {kind.name} takes {taken} blocks, a slot has {room}", "",
                         "A board with 8 MB of flash has larger slots.")  # fmt: skip
    raise UsageError(f"the index of {kind.name} has {size} bytes, a manifest has room for {LARGEST_INDEX}", "",
                     "Name the boards with --board, so that other boards' drivers stay out.")  # fmt: skip


def target(
    recipe: Recipe, kind: Kind, tree: Path, names: Iterable[str] | None = None
) -> tuple[Target, list[slot.File]]:
    """The application in a tree for one kind of node; `names`: of the sources that it needs, left out all."""
    release = slot.Release(str(recipe.version), kind.architecture, recipe.runtime, kind.boards, recipe.vendor)
    found = slot.files(tree, release)
    if names is not None:
        products = {name.removesuffix(".py") + ".mpy" for name in names}
        found = [file for file in found if file.name == "release.json" or file.name in products]
    return Target(check_target(kind.name), kind.architecture, tuple(sorted(kind.boards)), slot.index(found)), found


def wanted(recipe: Recipe, sources: Mapping[str, bytes], architecture: str, boards: Sequence[str]) -> set[str]:
    """What any of these boards needs of the sources, linked or not: the same as `citymote flash` gives it."""
    if not boards:
        return selection.select(sources, architecture)
    found: set[str] = set()
    for name in boards:
        board = recipe.descriptions.get(name) or known_boards.load(name)
        found |= selection.select(sources, architecture, board)
    return found


def _imports(sources: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Which of these sources each imports, by the sources' names."""
    modules = {selection.module_of(name): name for name in sources}
    found: dict[str, list[str]] = {}
    for name, text in sources.items():
        asked = selection.imported(selection.module_of(name), name.endswith("/__init__.py"), text)
        found[name] = sorted({modules[module] for module in asked if module in modules} - {name})
    return found
