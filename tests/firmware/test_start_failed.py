"""Whatever ends a node's run, the node starts again, also when there is no memory left to say why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.vm import Result

SCRIPT = """
import asyncio
from node import app

class Dumb:
    "A log for which there is no memory."

    def __init__(self, *rest):
        pass

    def __call__(self, level, text):
        raise MemoryError

async def start(log):
    raise ValueError("nothing fits")

told = []
app.hal.log = lambda level, text: told.append(text)
app.start = start
app.count_crash = lambda: 1
app.hal.reset = lambda: print("reset", told, app.hal.uptime_ms() >= 10000)
asyncio.run(app.main())
"""


@pytest.mark.usefixtures("micropython32")
def test_a_start_that_fails_is_told_waited_after_and_tried_again(run_vm: Callable[..., Result]) -> None:
    said = run_vm(SCRIPT, heap="200k").checked().stdout
    assert said.startswith("reset ['node: ValueError: nothing fits")
    assert said.endswith("] True\n")


@pytest.mark.usefixtures("micropython32")
def test_without_memory_to_tell_it_the_node_starts_again_all_the_same(run_vm: Callable[..., Result]) -> None:
    dumb = SCRIPT.replace("app.start =", "app.Journal = Dumb\napp.start =")
    assert run_vm(dumb, heap="200k").checked().stdout == "reset [] False\n"
