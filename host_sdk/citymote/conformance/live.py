"""Holds a node at a broker to the specification: asks it through the broker, and listens to what it publishes.

It is asked as a node anywhere else is (`node`). Its frames are judged as `frames` does, beside the collector: the
subscription is a session of its own that ends with it, so that the collector's frames stay the collector's.
"""

from __future__ import annotations

import asyncio
import os
import time
from secrets import token_hex
from typing import TYPE_CHECKING

from citymote import wire
from citymote.conformance.asking import Target
from citymote.conformance.frames import FramesCheck
from citymote.conformance.node import check as ask
from citymote.errors import UsageError
from citymote.transports.mqtt import Subscriber
from citymote.transports.rpc import MqttTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from citymote.conformance.report import Report
    from citymote.decode import Keys


def at_broker(broker: str, name: str, public: bytes | None = None) -> Target:
    """A node that is asked through its broker (16.12), where each client has a topic of its own."""
    return Target(f"{broker}/{name}", lambda: MqttTransport(broker, name), True, False, public)


def check_node(
    broker: str,
    name: str,
    frames: int,
    seconds: float,
    keys: Keys = None,
    allow_unsealed: bool = False,
    log: Callable[[str], None] | None = None,
    public: bytes | None = None,
) -> Report:
    """Judge the next `frames` messages of a node, waiting `seconds` for them at most.

    With its key, as its label has it, it is asked before: wrong messages, wrong handshakes, wrong claims.
    """
    if len(name) != 12 or set(name) - set("0123456789abcdef"):
        raise UsageError(f"{name!r} is no node id", "", "A node id has 12 hexadecimal digits in lower case.")
    check = FramesCheck(keys, name)
    check.report.subject = f"node {name}"
    if public is not None:
        asyncio.run(ask(at_broker(broker, name, public), check.report))
    if not frames:
        return check.report
    subscriber = Subscriber(
        broker, f"citymote/{name}/frames", f"citymote-conformance-{os.getpid()}-{token_hex(4)}", log=log
    )
    subscriber.start()
    heard = 0
    end = time.monotonic() + seconds
    try:
        while heard < frames and (left := end - time.monotonic()) > 0:
            taken = subscriber.take(min(left, 0.5), frames - heard)
            for message in taken:
                heard += 1
                if not allow_unsealed and not wire.is_envelope(message.payload):
                    check.report.add(f"message {heard}", "7.1", False, "a bare frame, where nodes have to seal")
            check.check([message.payload for message in taken])
            subscriber.ack(taken)
    finally:
        subscriber.stop(forget=True)
    if heard < frames:
        check.report.add("messages", "7.1", False, f"{heard} of {frames} messages came within {seconds:g} s")
    return check.report
