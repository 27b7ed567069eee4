"""Writes the registry's part of protocol/codecs/citymote-lorawan.js: quantities, sets, quality codes, clauses of
errors.

    python tools/make_lorawan_codec.py [--check]

The codec is one file that people paste into a network server's form, so its tables stand in the file itself,
between two marks; the rest of it is written by hand and left alone. `--check` writes nothing and fails when the
tables are not current.
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

from citymote import registry
from citymote_protocol import quality

TOP = Path(__file__).resolve().parent.parent
CODEC = TOP / "protocol" / "codecs" / "citymote-lorawan.js"
ERRORS = TOP / "protocol" / "vectors" / "errors.json"
BEGIN = "// <registry> Written by tools/make_lorawan_codec.py from the registry and the error table; edit those.\n"
END = "// </registry>\n"
WIDTH = 118


def _object(name: str, entries: list[str]) -> str:
    """A JavaScript object literal, filled up to the width of a line."""
    lines = [f"var {name} = {{"]
    line = " "
    for index, entry in enumerate(entries):
        text = f" {entry}{',' if index + 1 < len(entries) else ''}"
        if len(line) + len(text) > WIDTH:
            lines.append(line)
            line = " "
        line += text
    return "\n".join([*lines, line, "};\n"])


def _group(unit: str, decimals: int, names: list[str]) -> str:
    """The quantities that share a unit and its resolution: text is smaller than an object each, and space is short."""
    start = f"define({_text(unit)}, {decimals},"
    short = f"{start} '{' '.join(names)}');\n"
    if len(short) <= WIDTH + 2:
        return short
    joined = " ' +\n  '".join(textwrap.wrap(" ".join(names), WIDTH - 6))
    return f"{start}\n  '{joined}');\n"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def tables() -> str:
    """What stands between the marks."""
    entries = sorted(registry.quantities(), key=lambda each: each.id)
    groups: dict[tuple[str, int], list[str]] = {}
    for entry in entries:
        groups.setdefault((entry.unit, entry.decimals), []).append(f"{entry.id} {entry.name}")
    known = "".join(_group(unit, decimals, names) for (unit, decimals), names in groups.items())
    sets = [f"{number}: [{', '.join(map(str, members))}]" for number, _, _, members in registry.sets()]
    words = [f"{code}: {_text(word)}" for code, word in quality.NAMES]
    cases: list[dict[str, str]] = json.loads(ERRORS.read_text(encoding="utf-8"))["cases"]
    clauses = [f"{case['code']}: {_text(case['clause'])}" for case in cases]
    return (
        f"// Quantities by unit and decimals, each with its id; registry version {registry.VERSION}.\n"
        f"var QUANTITIES = {{}};\n{known}"
        + _object("SETS", sets)
        + _object("QUALITIES", words)
        + _object("CLAUSES", clauses)
    )


def current(text: str) -> str:
    """The codec's text with today's tables."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    if not tail:
        raise SystemExit(f"{CODEC}: the marks around the tables are gone")
    return head + BEGIN + tables() + END + tail


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    text = CODEC.read_text(encoding="utf-8")
    wanted = current(text)
    if text == wanted:
        return 0
    if arguments:
        print(f"{CODEC.relative_to(TOP)} is not current: run python tools/make_lorawan_codec.py", file=sys.stderr)
        return 1
    CODEC.write_text(wanted, encoding="utf-8")
    print(f"wrote {CODEC.relative_to(TOP)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
