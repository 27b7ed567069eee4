"""The small language of `--where`: which nodes, by what is known of them.

    site=mapo and not held and (version<1.4.2 or component:micropython<1.26)

A test is a word (`online`, `outdated`, `failed`, `held`, `pinned`), or a field, a comparison and a value: `=`, `!=`,
`~` (a pattern with * and ?), and for versions and numbers `<`, `<=`, `>`, `>=`. Versions compare as SemVer says. A
value with spaces stands in quotes. There is nothing else in it, so that it is safe to take from anybody; what an
expression costs is bounded before it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from citymote.errors import UsageError

from .version import compare

LONGEST = 2000
DEEPEST = 40
WORDS = ("online", "outdated", "failed", "held", "pinned")
TEXTS = ("node", "site", "board", "architecture", "state", "tag")
NUMBERS = ("sequence", "progress")
VERSIONS = ("version", "runtime")
COMPONENT = "component:"
FIELDS = (*TEXTS, *NUMBERS, *VERSIONS)

_TOKEN = re.compile(
    r"""\s*(?:(?P<op><=|>=|!=|[=<>~])|(?P<bracket>[()])|"(?P<double>[^"]*)"|'(?P<single>[^']*)'"""
    r"""|(?P<word>[^\s()<>=!~"']+))"""
)


@dataclass(frozen=True)
class Facts:
    """What is known of one node. `components`: name -> version, of the runtime and of every module that it runs."""

    node: str
    site: str = ""
    tags: frozenset[str] = frozenset()
    board: str = ""
    architecture: str = ""
    version: str = ""
    runtime: str = ""
    state: str = ""
    sequence: int = 0
    progress: int = 0
    flags: frozenset[str] = frozenset()
    components: Mapping[str, str] = field(default_factory=dict[str, str])

    def value(self, name: str) -> str | int | None:
        """A field's value; None where there is none."""
        if name.startswith(COMPONENT):
            return self.components.get(name.removeprefix(COMPONENT))
        found: str | int = getattr(self, name)
        return found


Test = Callable[[Facts], bool]


def parse(text: str) -> Test:
    """What decides whether a node is meant; UsageError says where the expression cannot be read."""
    if not text.strip():
        return lambda facts: True
    if len(text) > LONGEST:
        raise UsageError(f"an expression has at most {LONGEST} characters", f"this has {len(text)}")
    return _Parser(text).whole()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokens())
        self.next = 0
        self.depth = 0

    def _tokens(self) -> Iterator[_Token]:
        at = 0
        while self.text[at:].strip():
            found = _TOKEN.match(self.text, at)
            if found is None:
                raise self.wrong(at, "this cannot be read")
            kind = str(found.lastgroup)
            yield _Token("value" if kind in ("double", "single") else kind, found[kind], found.start(kind))
            at = found.end()

    def wrong(self, at: int, why: str) -> UsageError:
        """An error that points at a place of the expression."""
        return UsageError(f"--where {self.text[:80]!r}, at character {at + 1}", why, "See docs/update.md.")

    def peek(self) -> _Token:
        if self.next < len(self.tokens):
            return self.tokens[self.next]
        return _Token("end", "", len(self.text))

    def take(self) -> _Token:
        found = self.peek()
        self.next += 1
        return found

    def whole(self) -> Test:
        found = self.any_of()
        left = self.peek()
        if left.kind != "end":
            raise self.wrong(left.at, f"{left.text!r} is not expected here")
        return found

    def any_of(self) -> Test:
        found = [self.all_of()]
        while self.peek() == _Token("word", "or", self.peek().at):
            self.take()
            found.append(self.all_of())
        return found[0] if len(found) == 1 else lambda facts: any(test(facts) for test in found)

    def all_of(self) -> Test:
        found = [self.one()]
        while self.peek() == _Token("word", "and", self.peek().at):
            self.take()
            found.append(self.one())
        return found[0] if len(found) == 1 else lambda facts: all(test(facts) for test in found)

    def one(self) -> Test:
        token = self.take()
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.wrong(token.at, f"more than {DEEPEST} brackets and negations")
        try:
            if token.kind == "word" and token.text == "not":
                inner = self.one()
                return lambda facts: not inner(facts)
            if token == _Token("bracket", "(", token.at):
                inner = self.any_of()
                if self.take().text != ")":
                    raise self.wrong(token.at, "this bracket is not closed")
                return inner
        finally:
            self.depth -= 1
        if token.kind != "word":
            raise self.wrong(token.at, f"a test is expected, not {token.text!r}" if token.text else "a test is missing")
        return self.test(token)

    def test(self, token: _Token) -> Test:
        name = token.text
        if self.peek().kind != "op":
            if name not in WORDS:
                raise self.wrong(token.at, f"{name!r} is no word of this language: {', '.join(WORDS)}")
            return lambda facts: name in facts.flags
        if name not in FIELDS and not (name.startswith(COMPONENT) and len(name) > len(COMPONENT)):
            raise self.wrong(token.at, f"{name!r} is no field: {', '.join(FIELDS)}, component:NAME")
        operator, value = self.take(), self.take()
        if value.kind not in ("word", "value"):
            raise self.wrong(operator.at, "a value is missing")
        return self.comparison(name, operator, value.text)

    def comparison(self, name: str, operator: _Token, value: str) -> Test:
        op = operator.text
        if op == "~":
            return lambda facts: any(fnmatchcase(one, value) for one in _texts(facts, name))
        if name in TEXTS:
            if op in ("=", "!="):
                return lambda facts: (value in _texts(facts, name)) == (op == "=")
            raise self.wrong(operator.at, f"{name} has no order: use =, != or ~")
        if name in NUMBERS:
            if not (value.isascii() and value.isdecimal()):
                raise self.wrong(operator.at, f"{name} is compared with a number")
            wanted = int(value)
            return lambda facts: _counts(int(facts.value(name) or 0), op, wanted)
        if op not in ("=", "!=") and compare(value, value) is None:
            raise self.wrong(operator.at, f"{value!r} is no version")
        return lambda facts: _compares(facts.value(name), op, value)


def _texts(facts: Facts, name: str) -> frozenset[str]:
    if name == "tag":
        return facts.tags
    found = facts.value(name)
    return frozenset() if found is None else frozenset((str(found),))


def _compares(found: str | int | None, op: str, value: str) -> bool:
    # What is not there, or is no version, is different from everything, and neither above nor below.
    text = "" if found is None else str(found)
    order = compare(text, value)
    if order is None:
        return (text == value) == (op == "=") if op in ("=", "!=") else False
    return _holds(op, order > 0, order == 0)


def _counts(found: int, op: str, wanted: int) -> bool:
    return _holds(op, found > wanted, found == wanted)


def _holds(op: str, above: bool, same: bool) -> bool:
    return {
        "=": same, "!=": not same, "<": not above and not same, "<=": not above, ">": above, ">=": above or same,
    }[op]  # fmt: skip
