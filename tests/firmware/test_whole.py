"""The heap in which whole nodes live, so that no change makes one outgrow its board unnoticed.

An ESP32-C3 leaves an application 100 KB: a node of all S-DoT quantities with an owner, as every node at work has one,
lives in that. The limits are what was reached (docs/footprint.md) and a little room: the collector takes what lies on
the stack for pointers, so that the same node needs up to 2 KB more on another day. They are figures of 32 bits;
doubled, they say nothing.
"""

from __future__ import annotations

import pytest
from tests.support import whole

UPDATING = 160
LIMITS = {"one": 76, "two": 80, "sound": 93, "sdot": 97, "owned": 100, "virtual": 100}


@pytest.mark.usefixtures("micropython32")
@pytest.mark.parametrize("name", LIMITS)
def test_a_whole_node_lives_in_its_heap(name: str) -> None:
    assert whole.lives(whole.kinds()[name], LIMITS[name]), f"{name}: more than {LIMITS[name]} KB, see `make size`"


@pytest.mark.usefixtures("micropython32")
def test_the_largest_node_updates_itself_in_its_heap() -> None:
    assert whole.updates(whole.kinds()["owned"], UPDATING), f"more than {UPDATING} KB, see `make size`"


@pytest.mark.usefixtures("micropython32")
def test_a_heap_that_is_too_small_is_not_called_a_life() -> None:
    assert not whole.lives(whole.kinds()["one"], 60)
