"""The main job as `citymote demo` runs it: every node of the real S-DoT file as a virtual node, held against the file.

Seconds are those of the whole run on this machine's cores, from reading the file to the page; bytes a reading are
those on the wire, sealed. Where the file is absent its metrics are left out: the generated city is another job.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.measuring import data_file, note

from citymote.demo.options import Options
from citymote.demo.run import run

FAMILY = "demo"
SDOT = "sdot_1h_20200501_640nodes.csv"


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Options(data=data_file(SDOT), out=Path(folder) / "demo", claim=0))
    for line in outcome.notes[:5]:
        note(line.partition("\n")[0])
    figures = outcome.figures
    if not figures.readings_stored:
        raise AssertionError("the demo stored nothing")
    return {
        f"demo.sdot.{name}": float(getattr(figures, name))
        for name in ("seconds", "nodes", "readings_stored", "lost", "duplicates", "mismatches", "bytes_per_reading")
    }
