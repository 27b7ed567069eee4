"""The expressions that say which nodes are meant, as `--where` takes them: what each means, and what is wrong with one.

They choose who is updated: one that is misread updates the wrong nodes. Any text is an expression or an error, in
bounded time and memory, since it may come from another program.
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citymote.errors import UsageError
from citymote.update.where import Facts, parse

NODE = Facts(
    "0123456789ab", "mapo", frozenset({"canary", "school"}), "airgradient-one", "rv32imc", "1.1.10", "1.26.1",
    "downloading", 7, 43, frozenset({"online", "outdated"}), {"micropython": "1.26.1", "node.drivers.sht4x": "1.1.10"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", True),
        ("site=mapo", True),
        ("site!=mapo", False),
        ("tag=canary and tag=school", True),
        ("tag!=canary", False),
        ("version>1.1.9", True),
        ("version<1.1.9", False),
        ("version!=1.4.2", True),
        ("version=1.1.10+build", True),
        ("runtime>=1.26 and runtime<1.27", True),
        ("node~0123*", True),
        ("board~*-two", False),
        ("online and outdated and not failed", True),
        ("failed or online", True),
        ("failed or site=mapo and version>2.0.0", False),
        ("(failed or site=mapo) and version<2.0.0", True),
        ("not (site=mapo and online)", False),
        ("not not online", True),
        ("progress>=43 and progress<=43 and sequence>6 and sequence!=8", True),
        ("state=downloading", True),
        ("component:micropython<1.27", True),
        ("component:node.drivers.sht4x=1.1.10", True),
        ("component:node.drivers.sgp41=1.0.0", False),
        ("component:node.drivers.sgp41<9.0.0", False),
        ("component:node.drivers.sgp41!=1.0.0", True),
        ("site='mapo'", True),
        ('site="a b"', False),
        ("component:micropython~1.26.*", True),
    ],
)
def test_expressions_mean_what_they_say(text: str, meant: bool) -> None:
    assert parse(text)(NODE) is meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("site", "no word"),
        ("colour=red", "no field"),
        ("site<mapo", "no order"),
        ("progress=much", "with a number"),
        ("version<new", "no version"),
        ("(online", "not closed"),
        ("online)", "not expected"),
        ("online online", "not expected"),
        ("site=", "a value is missing"),
        ("and online", "no word"),
        ("not", "a test is missing"),
        ("site=mapo or", "missing"),
        ("component:=1", "no field"),
        ("'online'", "a test is expected"),
        ("online;", "no word"),
        ("site='x", "cannot be read"),
        ("__class__=x", "no field"),
        ("value=1", "no field"),
        ("(" * 100 + "online" + ")" * 100, "brackets"),
        ("online or " * 300 + "online", "at most"),
        ("not " * 100 + "online", "brackets"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse(text)


@given(st.text(max_size=200) | st.text("()= <>!~not andorsite'\"", max_size=200))
def test_any_text_is_an_expression_or_an_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse(text)(NODE) in (True, False)
