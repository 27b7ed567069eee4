"""Golden files for the tools that make them: written once, and afterwards only compared.

What somebody's decoder is held against is never edited in place (tools/lock_vectors.py has the lock); a tool that makes
such a file again shows that it can, to the byte.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).resolve().parent.parent / "protocol" / "vectors"
NOTE = "Published test keys: never use them for anything else. Byte strings are hexadecimal."


def write(name: str, what: str, cases: list[dict[str, Any]]) -> bool:
    """Write the file if it is not there; whether it has, or already had, just this content."""
    path = VECTORS / name
    text = json.dumps({"note": NOTE, "what": what, "cases": cases}, indent=1) + "\n"
    if path.exists():
        same = path.read_text() == text
        print(f"{name}: {'as it was' if same else 'DIFFERS from what this tool makes: add a new file instead'}")
        return same
    path.write_text(text)
    print(f"{name}: {len(cases)} cases written")
    return True
