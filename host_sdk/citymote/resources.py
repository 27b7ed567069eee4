"""Finds the parts of citymote that are not host Python: firmware, boards, the specification's data and a few tools.

In a checkout they lie where DESIGN.md puts them; in an installed wheel the same trees are packed as data below
`citymote/_data`. Everything that reads such a file asks here, so that `pip install citymote` can simulate, flash and
decode without a checkout. Only the standard library is loaded.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_PACKED = _PACKAGE / "_data"


class ResourceMissing(FileNotFoundError):
    """A part of citymote is not where a checkout or a wheel has it: the installation is incomplete."""


def checkout() -> Path | None:
    """The top folder of the checkout this code runs from, or None when it was installed as a wheel."""
    top = _PACKAGE.parent.parent
    if not _PACKED.exists() and (top / "pyproject.toml").is_file() and (top / "protocol").is_dir():
        return top
    return None


def _find(name: str) -> Path:
    top = checkout()
    path = (top or _PACKED) / name
    if not path.exists():
        raise ResourceMissing(f"citymote's {name} is not at {path}; reinstall citymote or run from a complete checkout")
    return path


def firmware() -> Path:
    """The folder with main.py, boot.py and node/."""
    return _find("firmware")


def boards() -> Path:
    """The folder of board descriptions, one subfolder a board."""
    return _find("boards")


def protocol() -> Path:
    """The folder of the device specification: quantities.toml, vectors/, SPEC.md, citymote.cddl."""
    return _find("protocol")


def protocol_package() -> Path:
    """The folder `citymote_protocol` itself, which runs on the node as well."""
    top = checkout()
    path = top / "protocol" / "citymote_protocol" if top else _PACKAGE.parent / "citymote_protocol"
    if not path.is_dir():
        raise ResourceMissing(f"citymote_protocol is not at {path}; reinstall citymote")
    return path


def tool(name: str) -> Path:
    """A script of tools/ that the wheel ships too, such as get_micropython.py; run it with any Python 3.11."""
    return _find(f"tools/{name}")


def cache() -> Path:
    """Where built and downloaded things are kept: $CITYMOTE_CACHE, else the checkout's build/cache, else the user's."""
    named = os.environ.get("CITYMOTE_CACHE")
    if named:
        return Path(named)
    top = checkout()
    if top:
        return top / "build" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "citymote"
