"""Reads this machine's apt configuration: which archives it names, and which of them may be a Debian mirror.

No mirror is written in our tools, so this is where one comes from; `$DEBIAN_MIRROR` goes before it. Both styles of
sources.list(5) are read. What is fetched from there is aptget.py's. Only the standard library is used, because this
runs before there is a virtual environment.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DEBIAN_SUITES = (
    "bullseye", "bookworm", "trixie", "forky", "duke", "sid",
    "oldoldstable", "oldstable", "stable", "testing", "unstable",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One archive as apt's configuration names it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]

    @property
    def looks_like_debian(self) -> bool:
        """Could be a full Debian mirror. Only a guess: the Debian keyring decides when apt reads it."""
        return (
            "main" in self.components
            and any(suite in DEBIAN_SUITES for suite in self.suites)
            and not self.uri.startswith(("cdrom:", "copy:"))
        )


def parse_list(text: str) -> list[Source]:
    """The `deb` lines of a one-line-style sources.list (sources.list(5))."""
    found: list[Source] = []
    for line in text.splitlines():
        line = line.split("#", 1)[0].strip()
        match = re.match(r"deb\s+(?:\[[^\]]*\]\s*)?(.*)$", line)
        if not match:
            continue
        words = match[1].split()
        if len(words) >= 2:  # an exact path ("./") has no components and is no Debian mirror, but it is valid
            found.append(Source(words[0], (words[1],), tuple(words[2:])))
    return found


def parse_deb822(text: str) -> list[Source]:
    """The enabled `deb` stanzas of a deb822-style .sources file (sources.list(5))."""
    found: list[Source] = []
    for stanza in re.split(r"\n[ \t]*\n", "\n".join(line for line in text.splitlines() if not line.startswith("#"))):
        fields: dict[str, str] = {}
        last = ""
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t"):
                if last:
                    fields[last] += " " + line.strip()
            elif ":" in line:
                last, _, value = line.partition(":")
                last = last.strip().lower()
                fields[last] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        suites, components = tuple(fields.get("suites", "").split()), tuple(fields.get("components", "").split())
        found += [Source(uri, suites, components) for uri in fields.get("uris", "").split()]
    return found


def configured_sources(etc: Path | None = None) -> list[Source]:
    """Every archive in this machine's apt configuration, in apt's order."""
    main, parts = source_places() if etc is None else (etc / "sources.list", etc / "sources.list.d")
    found: list[Source] = []
    for path in [main, *(sorted(parts.iterdir()) if parts.is_dir() else [])]:
        if path.suffix not in (".list", ".sources"):
            continue
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        found += parse_deb822(text) if path.suffix == ".sources" else parse_list(text)
    return found


def source_places() -> tuple[Path, Path]:
    try:
        done = subprocess.run(
            ["apt-config", "shell", "MAIN", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        places = dict(re.findall(r"^(MAIN|PARTS)='(.*)'$", done.stdout, re.MULTILINE))
        return Path(places["MAIN"]), Path(places["PARTS"])
    except (OSError, subprocess.SubprocessError, KeyError):
        return Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d")


def debian_mirrors(sources: Iterable[Source] | None = None) -> list[str]:
    """The places to try for Debian packages, best first; `$DEBIAN_MIRROR` alone when it is set."""
    named = os.environ.get("DEBIAN_MIRROR", "").strip()
    if named:
        return [named]
    candidates = [
        source.uri for source in (configured_sources() if sources is None else sources) if source.looks_like_debian
    ]
    # A vendor's repository may use Debian's suite names as well, so those that are called debian come first.
    ranked = sorted(dict.fromkeys(candidates), key=lambda uri: not re.search(r"/debian/?$|mirrors/debian\.list$", uri))
    return ranked[:4]
