"""A machine with nothing on it, as the tools that fetch MicroPython and Mosquitto may find one.

No variables, an empty PATH of programs, an empty cache; a test then puts there what it is about: a program that says
what the test wants to be said, or an apt configuration.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import aptget

UBUNTU_822 = """\
Types: deb
URIs: http://archive.example/ubuntu/
Suites: noble noble-updates noble-backports
Components: main universe restricted multiverse
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
"""


def emptied(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Makes this machine such a one for a test. Returns the cache."""
    for name in ("DEBIAN_MIRROR", "DEBIAN_KEYRING", "MICROPYTHON", "MICROPYTHON32", "MOSQUITTO"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CITYMOTE_CACHE", str(folder / "cache"))
    monkeypatch.setattr(aptget.shutil, "which", lambda name, path=None: None)
    return folder / "cache"


def executable(path: Path, text: str) -> Path:
    """A shell script at `path` that does what `text` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path
