"""Semantic versions (SemVer 2.0.0), read strictly and compared as its clause 11 says: 1.1.10 is above 1.1.9.

Releases, selections such as `version<1.4.2` and inventories all compare through here. What is no semantic version has
no place in the order: it equals itself and is neither above nor below anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, total_ordering

from citymote.errors import UsageError

LONGEST = 64
_NUMBER = r"(0|[1-9]\d*)"
_PRE = r"(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_FORM = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PRE}(?:\.{_PRE})*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?", re.ASCII
)


@total_ordering
@dataclass(frozen=True, eq=False)
class Version:
    """A semantic version. Build metadata is kept in the text and has no part in comparisons (clause 10)."""

    text: str
    core: tuple[int, int, int]
    pre: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Version:
        """UsageError where the text is none."""
        found = _FORM.fullmatch(text) if len(text) <= LONGEST else None
        if found is None:
            raise UsageError(f"{text[:LONGEST]!r} is no semantic version", "", "Write 1.4.2 or 2.0.0-rc.1.")
        major, minor, patch, pre, _ = found.groups()
        return cls(text, (int(major), int(minor), int(patch)), tuple(pre.split(".")) if pre else ())

    @classmethod
    def read(cls, text: str) -> Version | None:
        """The same without an error: None where the text is no semantic version."""
        try:
            return cls.parse(text)
        except UsageError:
            return None

    @property
    def _key(self) -> tuple[tuple[int, int, int], bool, tuple[tuple[bool, int, str], ...]]:
        # A release is above its pre-releases; in those numbers count as numbers and are below words.
        parts = tuple((not p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in self.pre)
        return self.core, not self.pre, parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._key == other._key

    def __lt__(self, other: Version) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=4096)
def compare(one: str, other: str) -> int | None:
    """-1, 0 or 1 where both are versions (a missing part counts as 0, as in 1.26), None where either is none."""
    a, b = Version.read(_filled(one)), Version.read(_filled(other))
    if a is None or b is None:
        return None
    return (a > b) - (a < b)


def _filled(text: str) -> str:
    core = re.fullmatch(r"v?(\d+)(?:\.(\d+))?((?:\.\d+)?(?:[-+].*)?)", text, re.ASCII)
    if core is None:
        return text
    rest = core[3]
    return f"{core[1]}.{core[2] or 0}{rest if rest.startswith('.') else '.0' + rest}"
