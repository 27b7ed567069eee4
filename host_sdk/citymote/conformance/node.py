"""Talks to a live node and holds its answers to the specification: messages, handshakes, sessions, what is in the air.

A node is named by where it is: `udp:HOST[:PORT]`, `serial:PORT`, or over BLE `ble:ID`, its id or its address.
`check_target` asks it everything that the link lets it be asked; what it publishes is `live`'s matter. Nothing that is
asked changes the node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from citymote.conformance.asking import Asker, Silent, Target
from citymote.conformance.messages import check_datagrams, check_strangers
from citymote.conformance.report import Report
from citymote.conformance.sessions import Sessions
from citymote.errors import UsageError
from citymote.keys import node_id
from citymote.transports.base import TransportError, Unreachable
from citymote_protocol.coap_gatt import SERVICE

if TYPE_CHECKING:
    from citymote.transports.ble import Packet, Radio

AIR = 10.0
"""Seconds to hear of a node; it advertises four times in each (15.4)."""
_STATES = 6
_HELP = "Name it as udp:HOST[:PORT], serial:PORT, or ble:ID."


def find_target(name: str, public: bytes | None = None) -> Target:
    """The node at `udp:...` or `serial:...`."""
    kind, _, place = name.partition(":")
    if not place or kind not in ("udp", "serial"):
        raise UsageError(f"{name!r} names no node", "", _HELP)
    if kind == "serial":
        from citymote.transports.serial import SerialTransport

        return Target(name, lambda: SerialTransport(place), True, False, public)
    from citymote.transports.udp import PORT, UdpTransport

    host, colon, port = place.rpartition(":")
    if not colon or "]" in port:
        host, port = place, str(PORT)
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise UsageError(f"{port!r} is no port", "", _HELP)
    return Target(name, lambda: UdpTransport(host.strip("[]"), int(port)), True, True, public)


async def check_target(name: str, public: bytes | None = None, radio: Radio | None = None) -> Report:
    """Everything that can be asked of the node at `name`; `public` is its key as its label has it."""
    if name.startswith("ble:"):
        return await _check_ble(name.removeprefix("ble:"), public, radio)
    report = Report(f"node {name}")
    await check(find_target(name, public), report)
    return report


async def check(target: Target, report: Report) -> bool | None:
    """Ask a node; whether it has no owner, where that was learnt."""
    unowned = None
    try:
        if target.datagrams:
            await check_datagrams(target, report)
        async with Asker(target, report) as asker:
            await check_strangers(asker)
            sessions = Sessions(asker)
            await sessions.first_messages()
            if target.public is None:
                report.notes.append("without the node's label no handshake can end: sessions were not tried")
            else:
                await sessions.third_messages()
                await sessions.sessions()
                unowned = sessions.unowned
    except (Silent, TransportError) as error:
        report.add("the connection", "15", False, str(error))
    return unowned


# -- over BLE ---------------------------------------------------------------------------------------------------------


async def _check_ble(node: str, public: bytes | None, radio: Radio | None) -> Report:
    from citymote.transports.ble import BleTransport, packets

    report = Report(f"node ble:{node}")
    packet = None
    async for heard in packets(radio, AIR):
        if _is(node, heard):
            packet = heard
            break
    if packet is None:
        raise Unreachable(f"node {node} is not in the air", "", "Is it in service mode, or without an owner?")
    state = judge_packet(packet, report, public)
    address = packet.address
    target = Target(f"ble:{node}", lambda: BleTransport(address, radio=radio), False, False, public)
    unowned = await check(target, report)
    if unowned is not None and state is not None:
        report.add("what it says in the air of its owner", "15.4", unowned == (state == 0), f"it says state {state}")
    return report


def _is(node: str, packet: Packet) -> bool:
    told = packet.service_data.get(SERVICE, b"")
    return packet.address.lower() == node.lower() or told[1:7].hex() == node.lower()


def judge_packet(packet: Packet, report: Report, public: bytes | None = None) -> int | None:
    """Hold an advertisement with its scan response to 15.4; the state that it tells, where it tells one."""
    told: Any = packet.service_data.get(SERVICE)
    report.add("the advertisement names the service", "15.4", SERVICE in packet.services, "its UUID is not there")
    extra = [word for word, there in (
        ("a name", packet.name),
        ("a maker's data", packet.makers),
        ("other services", set(packet.services) - {SERVICE}),
        ("other service data", set(packet.service_data) - {SERVICE}),
    ) if there]  # fmt: skip
    report.add("the advertisement says nothing else", "15.4", not extra, f"there is {' and '.join(extra)}")
    if told is None:
        report.add("the scan response", "15.4", False, "there is no service data")
        return None
    right = len(told) in (7, 8) and told[0] >> 4 == 1
    report.add("the service data", "15.4", right, f"{told.hex()}: not 7 or 8 bytes of format 1")
    if not right:
        return None
    state = told[0] & 15
    report.add("its state", "15.4", state < _STATES, f"{state} is none of this version")
    if len(told) == 8:
        known = told[7] != 0 and state in (2, 3, 4)
        report.add("what its state says more", "15.4", known, f"byte 7 is {told[7]} in state {state}")
    elif state in (2, 3, 4):
        report.add("what its state says more", "15.4", False, f"state {state} without byte 7")
    if public is not None:
        report.add("its id is that of its key", "5.2", told[1:7] == node_id(public), f"it says {told[1:7].hex()}")
    return state
