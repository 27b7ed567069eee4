"""Which nodes are in the air: `citymote.scan()`.

    async for node in citymote.scan(seconds=5):
        print(node.node, node.rssi, node.state)

A node without a connection says its id and its state, nothing else (SPEC 15.4). What it says is not proof of anything:
anybody can say the same; who a node is shows when a session is opened with it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from citymote.errors import UsageError, need

if TYPE_CHECKING:
    from citymote.testing.bleak_bumble import Adapter
    from citymote.transports.ble import Radio

REFRESH = 1.0
_NOTICEABLE = 6  # dB


class State(IntEnum):
    """What a node says of itself."""

    UNOWNED = 0
    SERVICE = 1
    TRIAL_FAILED = 2
    UPLINK_LOST = 3
    RECOVERING = 4
    SAFE_MODE = 5

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


DETAILS = {
    1: "no such network",
    2: "the network refuses the key",
    3: "no address",
    4: "the broker's name is unknown",
    5: "the broker does not answer",
    6: "the broker's certificate is not trusted",
    7: "the broker refuses the credentials",
    8: "the time cannot be right",
    15: "another reason",
}
"""What has failed, for the states that say why (SPEC 15.4)."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A node that was heard. `detail` is the reason code that goes with its state; `heard` is monotonic seconds."""

    node: str
    address: str
    rssi: int
    state: State
    detail: int
    heard: float
    device: object = field(default=None, repr=False, compare=False)


async def scan(
    seconds: float | None = None, *, radio: Radio | None = None, refresh: float = REFRESH
) -> AsyncGenerator[Sighting, None]:
    """Nodes as they are heard, for `seconds` or until the caller stops.

    A node comes when it is heard for the first time, when what it says has changed, and when its signal has become
    noticeably stronger or weaker, this at most every `refresh` seconds. `radio` is whose Bluetooth to use; left out:
    this computer's.
    """
    from citymote.transports import ble

    known: dict[tuple[str, str], Sighting] = {}
    async for sighting in ble.scan(radio, seconds):
        key = sighting.node, sighting.address
        last = known.get(key)
        if last is not None and (last.state, last.detail) == (sighting.state, sighting.detail):
            moved = abs(last.rssi - sighting.rssi) >= _NOTICEABLE
            if not moved or sighting.heard - last.heard < refresh:
                continue
        known[key] = sighting
        yield sighting


def open_radio(transport: str) -> Adapter:
    """Another radio than this computer's own, through Bumble: "usb:0", "serial:...", "tcp-client:HOST:PORT".

    Needs the extra `sim`. Close it when done.
    """
    need("bumble", "sim", "a radio through Bumble")
    from citymote.testing.bleak_bumble import open_adapter

    try:
        return open_adapter(transport)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(f"there is no radio at {transport}", str(error)) from error
