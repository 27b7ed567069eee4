"""What an update costs a node: bytes over the link, heap, and what it survives.

Bytes are those of the linked application as boards get it: one line of the sampler is changed, a driver, and
everything; beside them stands what has changed, unpacked. What it takes in time is in bench_update_roads.py. Power is
cut at every operation on the flash, whole and torn; a cut that is not survived ends the bench. Heap is counted in the
32-bit VM, whose objects have a chip's sizes; the code is among it, as it is loaded for an update and let go.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.measuring import Missing
from tests.firmware.test_update_roads import SCRIPT, SOURCES, publish
from tests.support import vm

from citymote import boards
from citymote.factory import build, selection, slot

FAMILY = "update"
BOARD = "airgradient-one"
ARCHITECTURE = "rv32imc"
CUTS = Path(__file__).parents[1] / "firmware" / "update_cuts.py"

LINE = (b"sampling %d columns every %d s", b"sampling %d columns, every %d s")
DRIVER = "node/drivers/sht4x.py"


def _edits(linked: dict[str, bytes]) -> dict[str, dict[str, bytes]]:
    """What changes: file of the linked application -> its new text. A change costs the whole file that it is in."""
    holding = [name for name, text in linked.items() if LINE[0] in text]
    if len(holding) != 1 or DRIVER not in linked:
        raise AssertionError(f"the line is in {holding}, and the drivers are {[n for n in linked if 'drivers' in n]}")
    return {
        "one_line": {holding[0]: linked[holding[0]].replace(*LINE)},
        "driver": {DRIVER: linked[DRIVER] + b"\nREVISION = 2\n"},
    }


def _compiled(sources: dict[str, bytes], folder: Path, version: str) -> list[slot.File]:
    paths: dict[str, Path] = {}
    for name, text in sources.items():
        path = folder / "sources" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        paths[name] = path
    build.compile_tree(paths, folder / "tree", arch=ARCHITECTURE, level=build.LINKED_LEVEL)
    return slot.files(folder / "tree", slot.Release(version, ARCHITECTURE))


def _bytes(metrics: dict[str, float]) -> None:
    linked = {name: path.read_bytes() for name, path in build.linked_sources().items()}
    linked = {name: linked[name] for name in selection.select(linked, ARCHITECTURE, boards.load(BOARD))}
    with tempfile.TemporaryDirectory() as name:
        before = _compiled(linked, Path(name) / "before", "1.0.0")
        have = {file.digest for file in before}
        for change, edited in _edits(linked).items():
            after = _compiled(linked | edited, Path(name) / change, "1.0.1")
            lacking = [file for file in after if file.digest not in have]
            metrics[f"update.bytes_fetched.{change}"] = sum(len(file.packed or file.data) for file in lacking)
            metrics[f"update.bytes_changed.{change}"] = sum(len(file.data) for file in lacking)
    metrics["update.bytes_fetched.full"] = sum(len(file.packed or file.data) for file in before)
    metrics["update.bytes_changed.full"] = sum(len(file.data) for file in before)
    metrics["update.index_bytes"] = len(slot.index(before))


def _vm(script: Path, *arguments: str) -> dict[str, Any]:
    found = vm.run(script, *arguments, heap="8m", path=SOURCES, timeout=1200).checked()
    said: dict[str, Any] = json.loads(found.stdout.strip().splitlines()[-1])
    return said


def _heap(metrics: dict[str, float]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, size = publish(Path(name))
        said = _vm(SCRIPT, "large_blocks", str(folder), str(size))
    metrics["update.heap_peak_bytes"] = said["heap"]


def _cuts(metrics: dict[str, float]) -> None:
    tried = _vm(CUTS, "1", "1", "1", "1")["tried"] + _vm(CUTS, "3", "4", "13", "2")["tried"]
    metrics["update.power_cuts.tried"] = tried
    metrics["update.power_cuts.survived"] = tried  # one that is not ends the VM


def measure() -> dict[str, float]:
    if vm.best(32).bits != 32:
        raise Missing("a 32-bit MicroPython")
    metrics: dict[str, float] = {}
    _bytes(metrics)
    _heap(metrics)
    _cuts(metrics)
    return metrics
