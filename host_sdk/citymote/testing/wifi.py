"""The Wi-Fi around a virtual node: which networks there are, with which keys, and what is wrong with them.

    wifi = WiFi({"city": "a long key"})
    with VirtualNode(directory, wifi=wifi) as node: ...
    wifi.keys["city"] = "another key"             # somebody has changed the router: the node is out at its next join

Joining takes as long as it does on a board; what fails is told as a number of SPEC 15.4. A network that a node has
joined and that is gone answers no connection any more. Change it while nodes run as you like.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

NO_NETWORK, BAD_KEY, NO_ADDRESS = 1, 2, 3

_JOINED = 3000
"""ms to associate and get an address."""
_REFUSED = 8000
"""ms until a station gives up on a network that is not there, or a key that is wrong."""
_SILENT = 30000
"""ms that it waits for an address."""


@dataclass
class WiFi:
    """`keys`: network name to key, "" for an open one. `without_address`: names whose DHCP server is dead. `signal`:
    dBm at which nodes hear a network."""

    keys: dict[str, str] = field(default_factory=dict[str, str])
    without_address: set[str] = field(default_factory=set[str])
    signal: int = -60

    def fault(self, network: dict[str, Any]) -> int:
        """0 where this network can be joined, else the reason why not."""
        name, key = str(network.get("ssid", "")), str(network.get("key") or "")
        if name not in self.keys:
            return NO_NETWORK
        if self.keys[name] != key:
            return BAD_KEY
        return NO_ADDRESS if name in self.without_address else 0

    def answer(self, data: bytes) -> bytes:
        """To the node's request: the reason, and how many ms it took to find out."""
        why = self.fault(json.loads(data))
        return struct.pack("<BH", why, _SILENT if why == NO_ADDRESS else _REFUSED if why else _JOINED)
