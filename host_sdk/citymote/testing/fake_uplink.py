"""What a fake node's uplink meets: networks, a broker, and who listens there; each with the faults that cities have.

A trial's outcome follows from the settings alone, by the order in which a real node gets on: network, address, name,
broker, certificate, credentials, time (the details of SPEC 15.4). What arrives is real frames, sealed for the
collector's key in the node's settings, so that whoever waits for a first frame has to open it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NO_NETWORK, WRONG_KEY, NO_ADDRESS, NO_NAME, NO_BROKER, NO_TRUST, NO_LOGIN, NO_TIME = range(1, 9)
JOIN, CONNECT = 4.0, 2.0
"""Seconds that a small chip takes to join a network, and to be a broker's client."""
EACH_NETWORK = 30.0


class Arrived(NamedTuple):
    """A frame at the broker."""

    node: str
    payload: bytes
    at: float


@dataclass
class FakeUplink:
    """Networks by name with their keys, one broker with its users. Change it at any time."""

    networks: dict[str, str] = field(default_factory=lambda: {"city": "correct horse"})
    host: str = "broker.city"
    up: bool = True
    users: dict[str, str] | None = None
    """None: anybody may."""
    ca: str = ""
    """What `broker_ca` has to be, where it is not empty; its certificates are valid only for who knows the time."""
    addresses: bool = True
    drops: bool = False
    """The broker acknowledges frames, and nobody ever sees them."""
    frames: list[Arrived] = field(default_factory=list[Arrived])
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def judge(self, settings: Mapping[str, Any], clock: int) -> tuple[int, float]:
        """(detail, seconds): 0 where an uplink with these settings works; `clock` 0 is a clock never set."""
        network: Any = settings.get("network") or {}
        listed: list[Any] = network.get("networks") or ([network] if network.get("ssid") else [])
        worst, spent = NO_NETWORK, 0.0
        for one in listed:
            if one["ssid"] not in self.networks:
                spent += EACH_NETWORK
            elif one.get("key", "") != self.networks[one["ssid"]]:
                worst, spent = WRONG_KEY, spent + JOIN
            else:
                detail = self._connect(settings, clock)
                return detail, spent + JOIN + CONNECT
        return worst, spent

    def _connect(self, settings: Mapping[str, Any], clock: int) -> int:
        if not self.addresses:
            return NO_ADDRESS
        if settings.get("broker_host") != self.host:
            return NO_NAME
        if not self.up:
            return NO_BROKER
        if self.ca and not clock:
            return NO_TIME
        if self.ca and settings.get("broker_ca") != self.ca:
            return NO_TRUST
        user = settings.get("broker_user", "")
        if self.users is not None and self.users.get(user) != settings.get("broker_password"):
            return NO_LOGIN
        return 0

    def arrive(self, node: str, payload: bytes) -> None:
        """A frame comes in."""
        if not self.drops:
            self.frames.append(Arrived(node, payload, asyncio.get_running_loop().time()))
            self._news.set()

    async def next(self, seen: int) -> int:
        """Wait until more than `seen` frames have arrived; how many there are."""
        while len(self.frames) <= seen:
            self._news.clear()
            await self._news.wait()
        return len(self.frames)
