"""Packs into the wheel, below citymote/_data, what is not host Python: a build hook that pyproject.toml names.

`citymote.resources` finds it there. An editable installation gets none of it, because it would be a second, ageing copy
of what the checkout has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = ("firmware", "boards", "protocol/vectors", "protocol/spec")
FILES = (
    "protocol/quantities.toml",
    "protocol/SPEC.md",
    "protocol/citymote.cddl",
    "tools/apt_sources.py",
    "tools/aptget.py",
    "tools/get_micropython.py",
    "tools/get_mosquitto.py",
)


class DataHook(BuildHookInterface[Any]):
    """Adds every part that this checkout has."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        for name in (*FOLDERS, *FILES):
            if (Path(self.root) / name).exists():
                build_data["force_include"][str(Path(self.root) / name)] = f"citymote/_data/{name}"
