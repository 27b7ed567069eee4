"""The SDK's fake node at work for as long as a test talks to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from citymote.testing.fake_node import FakeNode


@asynccontextmanager
async def running(**options: Any) -> AsyncGenerator[FakeNode, None]:
    """A node that ends without a fault of its own, or the test has failed."""
    node = FakeNode(**options)
    node.start()
    try:
        yield node
        assert node.faults == []
    finally:
        await node.stop()
