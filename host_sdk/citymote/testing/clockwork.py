"""An event loop whose time jumps: what waits for minutes is over in milliseconds, and always in the same order.

    clockwork.run(main())            like asyncio.run, in virtual time

When every task waits, the clock moves to the first timer that is due. Sockets and threads work as ever; while one of
them has something to say, no time passes. Nothing of the program under test has to know, as long as it asks the loop
for the time (`asyncio.get_running_loop().time()`) and waits with asyncio.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Selects without waiting, and lets the loop's clock do the waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Events that are there; else the time that was asked for is over."""
        if timeout is None:
            return super().select(None)
        events = super().select(0)
        if not events and timeout > 0:
            self.now += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
