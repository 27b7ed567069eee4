"""Runs the benches in tests/bench, prints tables, and writes build/bench.json: metric name -> number.

    python tools/bench.py [--only FAMILY] [--out FILE]        (also: make bench ONLY=wire)

Each `bench_*.py` runs in a process of its own, so that none measures what another left behind; it has `measure() ->
dict[str, float]` and names its `FAMILY`, or several of them in one text (else its file does). What a bench lacks (a
package, the real data, a 32-bit VM) is said in one line and its metrics are left out; a bench that fails is shown and
makes the exit status 1, and the others still run. The file holds what this run measured and nothing older.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

TOP = Path(__file__).resolve().parent.parent
FOLDER = TOP / "tests" / "bench"
RESULT = TOP / "build" / "bench.json"
OURS = ("citymote", "cbor", "packed")  # last words of metrics that others are compared with
FAILED, LACKS = 1, 3  # exit status of a bench's process; argparse has 2
_FAMILY = re.compile(r"""^FAMILY\s*=\s*["']([\w ]+)["']""", re.MULTILINE)


def families(path: Path) -> list[str]:
    """A bench's families, without importing it."""
    found = _FAMILY.search(path.read_text(encoding="utf-8"))
    return found[1].split() if found else [path.stem.removeprefix("bench_")]


def benches(only: str | None) -> list[Path]:
    """The benches of one family, or all of them."""
    return [path for path in sorted(FOLDER.glob("bench_*.py")) if not only or only in families(path)]


def number(value: float) -> str:
    """Four significant digits and no exponent, for people."""
    if value == int(value) and abs(value) < 10**15:
        return f"{int(value):,}"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def tables(metrics: Mapping[str, float]) -> str:
    """Metrics as tables: names that differ in their last two words become rows and columns beside ours."""
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for name, value in metrics.items():
        *head, case, last = ["", *name.split(".")]
        groups.setdefault(".".join(filter(None, head)), {}).setdefault(case, {})[last] = value
    out: list[str] = []
    plain: list[tuple[str, float]] = []
    for title, given in groups.items():
        turned = len(given) > 1 and any(own in given for own in OURS)  # contenders before the case: name.json.batch60
        columns = _turned(given) if turned else given
        compared = {name: rows for name, rows in columns.items() if len(rows) > 1 and any(own in rows for own in OURS)}
        for name, rows in columns.items():
            if name not in compared:
                for row, value in rows.items():
                    words = (title, row, name) if turned else (title, name, row)
                    plain.append((".".join(filter(None, words)), value))
        if compared:
            out.append(_matrix(title, compared))
    if plain:
        width = max(len(name) for name, _ in plain)
        size = max(len(number(value)) for _, value in plain)
        out.append("\n".join(f"  {name:{width}}  {number(value):>{size}}" for name, value in plain))
    return "\n\n".join(out)


def _turned(columns: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Rows as columns."""
    turned: dict[str, dict[str, float]] = {}
    for name, rows in columns.items():
        for row, value in rows.items():
            turned.setdefault(row, {})[name] = value
    return turned


def _matrix(title: str, columns: Mapping[str, Mapping[str, float]]) -> str:
    """One table: a row each contender, a column each case, every value with its ratio to the first of ours."""
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    cells = [[title, *columns], *([row] for row in rows)]
    for column in columns.values():
        own = next(column[name] for name in OURS if name in column)
        for line, row in zip(cells[1:], rows, strict=True):
            if row not in column:
                line.append("")
            elif own and column[row] != own:
                line.append(f"{number(column[row])} ({column[row] / own:.2f} x)")
            else:
                line.append(number(column[row]))
    widths = [max(len(line[index]) for line in cells) for index in range(len(cells[0]))]
    return "\n".join(
        "  " + "  ".join(text.ljust(widths[0]) if at == 0 else text.rjust(widths[at]) for at, text in enumerate(line))
        for line in cells
    )


def _import(path: Path) -> ModuleType:
    """A bench as the tests' folder sees it."""
    sys.path[:0] = [str(TOP / folder) for folder in (".", "protocol", "host_sdk", "tools", "tests/shared")]
    # Some distributions install a package called `tests`, which would win over our folder of that name.
    package = ModuleType("tests")
    package.__path__ = [str(TOP / "tests")]
    sys.modules["tests"] = package
    if path.resolve().parent == FOLDER:
        return importlib.import_module(f"tests.bench.{path.stem}")
    sys.path.insert(0, str(path.parent))
    return importlib.import_module(path.stem)


def run_one(path: Path, out: Path) -> int:
    """In the bench's own process: its metrics into `out`."""
    try:
        metrics: dict[str, object] = _import(path).measure()
    except Exception as error:  # noqa: BLE001 - whatever a bench raises is shown here
        lacks = _lacks(error)
        if lacks:
            print(f"  left out: {lacks}")
            return LACKS
        traceback.print_exc()
        return FAILED
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            print(f"  {name} is {value!r}, which is no number", file=sys.stderr)
            return FAILED
    out.write_text(json.dumps(metrics), encoding="utf-8")
    return 0


def _lacks(error: Exception) -> str | None:
    """What is missing on this machine, if that is what stopped a bench."""
    if type(error).__name__ in ("Missing", "Unavailable"):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        root = error.name.partition(".")[0]
        if root not in ("tests", "citymote", "citymote_protocol") and not (TOP / "tools" / f"{root}.py").exists():
            return f"no package {error.name}"
    return None


def run(only: str | None, out: Path) -> int:
    """All benches in order; 1 if any failed."""
    chosen = benches(only)
    if not chosen:
        known = ", ".join(sorted({name for path in benches(None) for name in families(path)}))
        print(f"no bench of family {only!r}; there are {known}", file=sys.stderr)
        return FAILED
    metrics: dict[str, float] = {}
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in chosen:
            print(f"{path.stem} ({', '.join(families(path))})", flush=True)
            part = Path(folder) / f"{path.stem}.json"
            began = time.monotonic()
            done = subprocess.run([sys.executable, __file__, "--one", str(path), "--out", str(part)], check=False)
            found: dict[str, float] = json.loads(part.read_text(encoding="utf-8")) if part.exists() else {}
            twice = sorted(set(found) & set(metrics))
            if done.returncode not in (0, LACKS) or twice:
                failed.append(path.stem)
                print(f"  FAILED{f': measured elsewhere already: {twice[0]}' if twice else ''}\n", flush=True)
                continue
            metrics.update(found)
            if found:
                print(f"{tables(found)}\n  took {time.monotonic() - began:.1f} s\n", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_suffix(".tmp")
    fresh.write_text(json.dumps(dict(sorted(metrics.items())), indent=1) + "\n", encoding="utf-8")
    fresh.replace(out)
    print(f"{len(metrics)} metrics in {out}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return FAILED if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure, print tables, write build/bench.json.")
    parser.add_argument("--only", default=os.environ.get("ONLY"), help="run one family, such as wire")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the metrics go (default: build/bench.json)")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    return run_one(given.one, given.out) if given.one else run(given.only, given.out)


if __name__ == "__main__":
    sys.exit(main())
