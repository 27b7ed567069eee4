"""The medium of the test air: who hears whom, how loud, how late, and what gets lost.

Bumble's link hands every packet to everybody at once; this one has distances, latency and loss. Loss is as on a real
link: an advertisement that is lost is not heard, a data packet is repeated in the next connection event until it is
acknowledged (Bluetooth Core 5.4, volume 6, part B, 4.5.9), so that it arrives late and in order, or the connection ends
by its supervision timeout. What one connection draws depends on the seed and on its own history alone, not on what
others do meanwhile. Controllers are `air_controller`'s, the whole is put together in `air`.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bumble import core, hci, ll
from bumble.link import LocalLink

if TYPE_CHECKING:
    from bumble.controller import Controller

    from .air_controller import AirController

SENSITIVITY = -95
"""dBm below which a receiver hears nothing; an ESP32's is between -93 and -97."""
_NEAR = -45.0  # dBm at one metre, 0 dBm sent
_EXPONENT = 2.7  # between free space (2) and a street with walls (3 to 4)


@dataclass(frozen=True)
class Conditions:
    """What the air does to what is sent through it; times in seconds of real time.

    `latency` is the one-way delay of a data packet, drawn evenly between the two. `loss` is the chance that one
    transmission is lost; a data packet is then repeated after `interval`. `swallow` is the chance that a value is
    acknowledged by the receiver's stack and never reaches its application, which GATT allows. `supervision`: for so
    long a silent peer is believed to be there.
    """

    latency: tuple[float, float] = (0.0, 0.0)
    loss: float = 0.0
    interval: float = 0.015
    swallow: float = 0.0
    supervision: float = 0.25


class AirLink(LocalLink):
    """Every controller of the air is on this one link."""

    def __init__(self, conditions: Conditions | None = None, seed: int = 0) -> None:
        super().__init__()
        self.conditions = conditions or Conditions()
        self.seed = seed
        self.places: dict[str, tuple[float, float]] = {}
        self.packets = 0
        self.repeats = 0
        self.lost_advertisements = 0
        self._home: dict[bytes, AirController] = {}
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._draws: dict[str, random.Random] = {}

    # -- who and where ------------------------------------------------------------------------------------------------

    def draw(self, name: str) -> random.Random:
        """The random numbers of that name: the same for the same seed, whatever else happens in the air."""
        if name not in self._draws:
            self._draws[name] = random.Random(f"{self.seed} {name}")
        return self._draws[name]

    def place(self, name: str) -> tuple[float, float]:
        """Where that radio is, in metres; who was not placed stands one to five metres from the origin."""
        if name not in self.places:
            draw = random.Random(f"{self.seed} place {name}")
            angle, far = draw.random() * 2 * math.pi, 1 + 4 * draw.random()
            self.places[name] = (far * math.cos(angle), far * math.sin(angle))
        return self.places[name]

    def rssi(self, a: str, b: str) -> int:
        """What one of them hears of the other, in dBm."""
        (x1, y1), (x2, y2) = self.place(a), self.place(b)
        far = max(0.1, math.hypot(x1 - x2, y1 - y2))
        return max(-127, min(20, round(_NEAR - 10 * _EXPONENT * math.log10(far))))

    def hears(self, a: str, b: str) -> bool:
        """Whether they are in range of each other."""
        return self.rssi(a, b) >= SENSITIVITY

    def find_le_controller(self, address: hci.Address) -> Controller | None:
        """Whose address that is; remembered, because the stock search is a walk over everybody's connections."""
        key = bytes(address)
        found = self._home.get(key)
        if found is not None and found in self.controllers and found.owns(address):
            return found
        for controller in self.controllers:
            if getattr(controller, "owns")(address):  # noqa: B009 - the link's set is typed for stock controllers
                self._home[key] = controller  # pyright: ignore[reportArgumentType]
                return controller
        return None

    def forget(self, controller: AirController) -> None:
        """That radio is off the air."""
        self.controllers.discard(controller)
        self._home = {key: home for key, home in self._home.items() if home is not controller}
        self._lanes = {key: lane for key, lane in self._lanes.items() if controller.name not in key}

    # -- advertisements -----------------------------------------------------------------------------------------------

    def send_advertising_pdu(self, sender_controller: Any, packet: ll.AdvertisingPdu) -> None:
        """To those who listen and are near enough; stock sends to everybody, which costs with hundreds of nodes."""
        sender: AirController = sender_controller
        loop = asyncio.get_running_loop()
        if isinstance(packet, ll.ConnectInd):
            for controller in self._air():
                if controller is not sender and controller.advertises(packet.advertiser_address):
                    loop.call_soon(controller.on_ll_advertising_pdu, packet)
            return
        loss = self.conditions.loss
        for controller in self._air():
            if controller is sender or not controller.listening or not self.hears(sender.name, controller.name):
                continue
            if loss and self.draw(f"{sender.name}~{controller.name}").random() < loss:
                self.lost_advertisements += 1
                continue
            loop.call_soon(controller.on_ll_advertising_pdu, packet)

    def _air(self) -> list[AirController]:
        # In a fixed order: a set's order differs from run to run.
        return sorted(self.controllers, key=lambda c: c.name)  # pyright: ignore[reportReturnType]

    # -- data ---------------------------------------------------------------------------------------------------------

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: core.PhysicalTransport,
        data: bytes,
    ) -> None:
        """From the address that the connection has; stock always says the random one."""
        connection = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if connection is None or receiver is None:
            return
        address = connection.self_address
        self._carry(sender_controller, receiver, lambda: receiver.on_link_acl_data(address, transport, data))

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu
    ) -> None:
        """In one line with the data; to a peer that is gone it is said in vain."""
        sender, receiver = self.find_le_controller(sender_address), self.find_le_controller(receiver_address)
        if sender is not None and receiver is not None:
            self._carry(sender, receiver, lambda: receiver.on_ll_control_pdu(sender_address, packet))

    def _carry(self, sender: Controller, receiver: Controller, deliver: Callable[[], None]) -> None:
        lane = self._lanes.get((sender.name, receiver.name))
        if lane is None:
            lane = self._lanes[sender.name, receiver.name] = _Lane(self.draw(f"{sender.name}>{receiver.name}"))
        self.packets += 1
        now = asyncio.get_running_loop().time()
        took = lane.took(self.conditions)
        if took is None or not self.hears(sender.name, receiver.name):
            self.silence(sender, receiver)
            return
        self.repeats += took[1]
        lane.free = max(now + took[0], lane.free + 1e-6) if took[0] or lane.free > now else now
        if lane.free <= now:
            asyncio.get_running_loop().call_soon(deliver)
        else:
            asyncio.get_running_loop().call_at(lane.free, deliver)

    def silence(self, a: Controller, b: Controller) -> None:
        """They cannot hear each other any more: each believes so when its supervision timeout is over."""
        asyncio.get_running_loop().call_later(self.conditions.supervision, self.lose, a, b)

    def lose(self, a: Controller, b: Controller) -> None:
        for one, other in ((a, b), (b, a)):
            for connection in list(one.le_connections.values()):
                if getattr(other, "owns")(connection.peer_address):  # noqa: B009 - as above
                    one.on_le_disconnected(connection, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)


class _Lane:
    """One direction of one connection: packets arrive in the order in which they were sent."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.free = 0.0

    def took(self, conditions: Conditions) -> tuple[float, int] | None:
        """How long one packet is on its way, and how often it was repeated; None when it never arrives."""
        low, high = conditions.latency
        time = low + (high - low) * self.draw.random() if high else 0.0
        repeats = 0
        while conditions.loss and self.draw.random() < conditions.loss:
            repeats += 1
            if repeats * conditions.interval > max(conditions.supervision, 0.1):
                return None
        return time + repeats * conditions.interval, repeats
