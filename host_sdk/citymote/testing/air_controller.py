"""Bumble's virtual controller without the nine defects that the tests of this project run into.

Each is marked with its number; tests/host/test_air_defects.py has one test for each, which says both that it is mended
here and that the stock controller of the installed Bumble still has it: the day one of those fails, its part of this
file can go. Bumble 0.0.236; the numbers of the Bluetooth Core Specification are version 5.4's.

    1  the scan response is never delivered: the report repeats the advertising data
    2  LE Create Connection Cancel does nothing: a connection attempt to an absent peer can never be given up
    3  data goes in pieces of 27 bytes, with no way to agree on more
    4  a packet for the host is not cut to the size that the host has bought buffers for
    5  data is sent from the random address even when the connection was made to the public one   (air_link)
    6  a legacy advertiser that cannot be connected to is never heard, and an extended one is always connectable
    7  there is no supervision timeout: a radio that is gone leaves its peers connected for ever
    8  every advertisement goes to every controller, and addresses are searched for from the start   (air_link)
    9  the handle of a connection that has ended is the next one's: late answers to the old peer reach the new one
"""

# Bumble leaves some of its types out.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bumble import hci, ll
from bumble.controller import AdvertisingSet, Connection, Controller

if TYPE_CHECKING:
    from bumble.core import PhysicalTransport

    from .air_link import AirLink

_Report = hci.HCI_LE_Extended_Advertising_Report_Event

# Properties of an advertising event as reports have them (volume 4, part E, 7.7.65.13).
_CONNECTABLE = 0x01
_SCANNABLE = 0x02
_SCAN_RESPONSE = 0x08
_LEGACY = 0x10
# What the four legacy types are in those (7.7.65.13, table 7.1): ADV_IND, directed, ADV_SCAN_IND, ADV_NONCONN_IND
_LEGACY_TYPES = {0: 0x13, 1: 0x15, 2: 0x12, 3: 0x10, 4: 0x15}


@dataclass
class Advertisement(ll.AdvInd):
    """An advertising event with all that a receiver could get of it: its properties and its scan response."""

    properties: int = _LEGACY | _SCANNABLE | _CONNECTABLE
    scan_response: bytes = b""


class AirController(Controller):
    """One radio in the air. `name` is also its place there."""

    link: AirLink  # pyright: ignore[reportIncompatibleVariableOverride] - the medium with distances
    le_acl_data_packet_length = 251  # 3: what LE Data Packet Length Extension allows
    acl_data_packet_length = 251

    def __init__(self, name: str, link: AirLink, **more: Any) -> None:
        super().__init__(name, link=link, **more)
        self.active_scan = True
        self.gone = False
        self._handles = 0

    # -- what the link asks -------------------------------------------------------------------------------------------

    def owns(self, address: hci.Address) -> bool:
        """Whether this radio is known under that address, to anybody."""
        if address in (self.random_address, self.public_address):
            return True
        return any(connection.self_address == address for connection in self.le_connections.values())

    @property
    def listening(self) -> bool:
        """Whether an advertisement could matter to it."""
        return bool(
            self.le_scan_enable
            or self.pending_le_connection
            or self.pending_periodic_advertising_syncs
            or self.established_periodic_advertising_syncs
        )

    def advertises(self, address: hci.Address) -> bool:
        """Whether it can be connected to under that address now."""
        legacy = self.le_legacy_advertiser
        if legacy.enabled and legacy.address == address:
            return bool(_LEGACY_TYPES[int(legacy.advertising_type)] & _CONNECTABLE)
        return any(
            s.enabled and s.address == address and _properties(s) & _CONNECTABLE for s in self.advertising_sets.values()
        )

    # -- advertising: 1, 6 --------------------------------------------------------------------------------------------

    def send_advertising_pdu(self, packet: ll.AdvertisingPdu) -> None:
        """With the scan response and the event's properties, so that a receiver can report them."""
        if isinstance(packet, ll.AdvExtInd):
            for one in self.advertising_sets.values():
                if one.address == packet.advertiser_address and not one.periodic_advertising_data:
                    packet = Advertisement(
                        packet.advertiser_address, packet.data, _properties(one), bytes(one.scan_response_data)
                    )
                    break
        super().send_advertising_pdu(packet)

    def on_hci_le_set_advertising_enable_command(self, command: Any) -> hci.HCI_StatusReturnParameters:
        """Legacy advertising of any type, where stock only sends the connectable one."""
        legacy = self.le_legacy_advertiser

        def send() -> None:
            if legacy.enabled:
                properties = _LEGACY_TYPES[int(legacy.advertising_type)]
                self.send_advertising_pdu(
                    Advertisement(legacy.address, legacy.advertising_data, properties, bytes(legacy.scan_response_data))
                )

        legacy.send_advertising_data = send
        return super().on_hci_le_set_advertising_enable_command(command)

    def on_advertising_pdu(self, pdu: ll.AdvInd | ll.AdvExtInd) -> None:
        """Report what was heard, as it was sent; answer an initiator."""
        if not isinstance(pdu, Advertisement):
            super().on_advertising_pdu(pdu)
            return
        if self.le_scan_enable:
            self._report(pdu, pdu.properties, pdu.data)
            if self.active_scan and pdu.properties & _SCANNABLE and pdu.scan_response:
                self._report(pdu, pdu.properties | _SCAN_RESPONSE, pdu.scan_response)
        pending = self.pending_le_connection
        if pending and pdu.properties & _CONNECTABLE and pending.peer_address == pdu.advertiser_address:
            self.create_le_connection(pdu.advertiser_address)

    def _report(self, pdu: Advertisement, event_type: int, data: bytes) -> None:
        sender = self.link.find_le_controller(pdu.advertiser_address)
        report = _Report.Report(
            event_type=event_type,
            address_type=pdu.advertiser_address.address_type,
            address=pdu.advertiser_address,
            primary_phy=hci.Phy.LE_1M,
            secondary_phy=0,
            advertising_sid=0xFF,
            tx_power=127,  # not told
            rssi=self.link.rssi(sender.name, self.name) if sender else 127,
            periodic_advertising_interval=0,
            direct_address_type=0,
            direct_address=hci.Address.ANY,
            data=data,
        )
        self.send_hci_packet(_Report([report]))

    def on_hci_le_set_extended_scan_parameters_command(self, command: Any) -> hci.HCI_StatusReturnParameters:
        """Whether scan responses are asked for."""
        self.active_scan = bool(command.scan_types[0])
        return super().on_hci_le_set_extended_scan_parameters_command(command)

    def allocate_connection_handle(self) -> int:
        """Not the one of a connection that has just ended: its late answers would go to the next peer."""
        used = {connection.handle for connection in self.le_connections.values()}
        while True:
            self._handles = self._handles % 0xEFF + 1
            if self._handles not in used:
                return self._handles

    # -- connecting and data: 2, 4, 9 ---------------------------------------------------------------------------------

    def on_hci_le_create_connection_cancel_command(self, _command: Any) -> hci.HCI_StatusReturnParameters:
        """The attempt ends with an event of its own, status 0x02 (7.8.13)."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        ended = hci.HCI_LE_Connection_Complete_Event(
            status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
            connection_handle=0,
            role=hci.Role.CENTRAL,
            peer_address_type=pending.peer_address.address_type,
            peer_address=pending.peer_address,
            connection_interval=0,
            peripheral_latency=0,
            supervision_timeout=0,
            central_clock_accuracy=0,
        )
        asyncio.get_running_loop().call_soon(self.send_hci_packet, ended)
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_link_acl_data(self, sender_address: hci.Address, transport: PhysicalTransport, data: bytes) -> None:
        """In pieces of the size that the host was told (7.8.2)."""
        connection = self.le_connections.get(sender_address)
        if connection is None:
            return  # it ended while the packet was on its way
        size = self.le_acl_data_packet_length
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            self.send_hci_packet(hci.HCI_AclDataPacket(connection.handle, 1 if at else 2, 0, len(piece), piece))

    def on_le_disconnected(self, connection: Connection, reason: int) -> None:
        """Once: both ends may hang up at the same time."""
        if self.le_connections.get(connection.peer_address) is connection:
            super().on_le_disconnected(connection, reason)

    # -- 7 ------------------------------------------------------------------------------------------------------------

    def vanish(self) -> None:
        """The radio loses its power: it says nothing any more, and its peers find out after a while."""
        if self.gone:
            return
        self.gone = True
        self.hci_sink = None
        for one in self.advertising_sets.values():
            one.stop()
        self.le_legacy_advertiser.stop()
        self.le_scan_enable = False
        self.pending_le_connection = None
        ends = [
            (peer, connection.self_address)
            for connection in self.le_connections.values()
            if (peer := self.link.find_le_controller(connection.peer_address)) is not None
        ]
        self.le_connections.clear()
        self.link.forget(self)
        loop = asyncio.get_running_loop()
        for peer, address in ends:
            loop.call_later(self.link.conditions.supervision, _timed_out, peer, address)


def _timed_out(peer: Controller, address: hci.Address) -> None:
    connection = peer.le_connections.get(address)
    if connection is not None:
        peer.on_le_disconnected(connection, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)


def _properties(advertising_set: AdvertisingSet) -> int:
    parameters: Any = advertising_set.parameters
    return int(parameters.advertising_event_properties) & 0x1F if parameters else 0
