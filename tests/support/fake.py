"""The SDK's fake node at work for as long as a test talks to it, and `citymote.Node` as its owner talks to it.

A test that is about a conversation says what differs in it (the link, its conditions, who asks) and nothing else. The
node ends without a fault of its own, or the test has failed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from citymote.node import Node, claim_with
from citymote.owner import OwnerStore
from citymote.testing.fake_node import FakeNode

GOOD = {
    "network": {"networks": [{"ssid": "city", "key": "correct horse"}]},
    "broker_host": "broker.city",
    "interval": 60,
}
"""A configuration that the trial of a fake node proves."""


def words(new: bool) -> str:
    """The passphrase of every store here."""
    return "correct horse battery"


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


@asynccontextmanager
async def owned(store: OwnerStore, **options: Any) -> AsyncGenerator[FakeNode, None]:
    """A node that the owner of `store` has claimed, and that can be found."""
    async with running(**options) as node:
        node.flash.owner = store.owner_public
        node.say(1)
        yield node


def talk(node: FakeNode, store: OwnerStore, over: str = "ble", **more: Any) -> Node:
    """What a host with `store` opens over that link."""
    return Node(node.way(over), node.label.public, store, **more)


def ours(node: FakeNode, store: OwnerStore, **more: Any) -> Node:
    """The same with the label at hand: claims the node."""
    return talk(node, store, claim=claim_with(node.label.secret), **more)
