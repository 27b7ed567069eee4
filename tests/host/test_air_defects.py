"""The nine defects of Bumble's virtual controller that `air_controller` and `air_link` mend.

Each test shows both: that the mended one is right, and that the stock one of the installed Bumble is still wrong. When
the second half of a test fails after an upgrade, that part of the mending can go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bumble import core, hci, ll
from bumble.controller import Controller
from bumble.device import AdvertisingType, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport.common import AsyncPipeSink

from citymote.testing.air_controller import AirController
from citymote.testing.air_link import AirLink, Conditions

SERVICE, CHAR = core.UUID("8df804b7-3300-496d-9dfa-f8fb40a236bc"), core.UUID("8bf52767-5625-43ca-a678-70883a366866")
ADV, RESPONSE = bytes((2, 1, 6)), bytes((5, 9)) + b"node"


class Bench:
    """Two or more devices on one link, stock or mended."""

    def __init__(self, mended: bool) -> None:
        self.mended = mended
        self.link: Any = AirLink(Conditions(supervision=0.05)) if mended else LocalLink()
        self.controllers: list[Any] = []

    async def device(self, name: str, *, public: bool = False) -> Device:
        """A powered device of that name."""
        number = len(self.controllers) + 1
        address = hci.Address(f"00:00:00:00:00:{number:02X}", hci.AddressType.PUBLIC_DEVICE)
        if self.mended:
            controller: Any = AirController(name, self.link, public_address=address)
        else:
            controller = Controller(name, link=self.link, public_address=address)
        self.controllers.append(controller)
        random = hci.Address(f"C0:00:00:00:00:{number:02X}")
        device = Device(name=name, address=random, host=Host(controller, AsyncPipeSink(controller)))
        await device.power_on()
        return device


async def heard(device: Device, seconds: float = 0.3) -> list[Any]:
    """What a scan of that length hears."""
    found: list[Any] = []
    device.on(Device.EVENT_ADVERTISEMENT, found.append)
    await device.start_scanning(active=True, filter_duplicates=False)
    await asyncio.sleep(seconds)
    await device.stop_scanning()
    return found


async def connected(bench: Bench, *, public: bool = False) -> tuple[Any, Device, Device]:
    """A central's connection to a peripheral."""
    node, host = await bench.device("node"), await bench.device("host")
    own = hci.OwnAddressType.PUBLIC if public else hci.OwnAddressType.RANDOM
    await node.start_advertising(own_address_type=own, advertising_interval_min=20, advertising_interval_max=20)
    peer = node.public_address if public else node.random_address
    return await host.connect_le(peer, timeout=2), node, host


async def scan_response(bench: Bench) -> bool:
    node, host = await bench.device("node"), await bench.device("host")
    await node.start_advertising(
        advertising_data=ADV, scan_response_data=RESPONSE, advertising_interval_min=20, advertising_interval_max=20
    )
    return any(RESPONSE in bytes(a.data_bytes) for a in await heard(host))


async def cancel(bench: Bench) -> bool:
    host = await bench.device("host")
    absent = hci.Address("C0:00:00:00:00:77")
    for _ in range(2):
        try:
            await asyncio.wait_for(host.connect_le(absent, timeout=0.05), 0.5)
        except core.TimeoutError:
            continue
        except (TimeoutError, core.BaseBumbleError, hci.HCI_Error):
            return False  # it hangs, or the controller refuses the second attempt
    return True


async def data_length(bench: Bench) -> bool:
    host = await bench.device("host")
    return host.host.le_acl_packet_queue.max_packet_size >= 251


async def fragments(bench: Bench) -> bool:
    connection, _, _ = await connected(bench)
    sizes: list[int] = []
    controller = bench.controllers[0]
    sink = controller.hci_sink

    class Spy:
        def on_packet(self, packet: bytes) -> None:
            if packet[0] == hci.HCI_ACL_DATA_PACKET:
                sizes.append(len(packet) - 5)
            sink.on_packet(packet)

    controller.hci_sink = Spy()
    connection.send_l2cap_pdu(0x3F, bytes(600))
    await asyncio.sleep(0.05)
    return sum(sizes) == 604 and max(sizes) <= controller.le_acl_data_packet_length


async def public_peripheral(bench: Bench) -> bool:
    connection, _, _ = await connected(bench, public=True)
    from bumble.device import Peer

    try:
        await asyncio.wait_for(Peer(connection).request_mtu(100), 0.5)
    except (TimeoutError, core.BaseBumbleError):
        return False
    return connection.att_mtu == 100


async def other_types(bench: Bench) -> bool:
    node, host = await bench.device("node"), await bench.device("host")
    await node.start_advertising(
        advertising_type=AdvertisingType.UNDIRECTED,
        advertising_data=ADV,
        advertising_interval_min=20,
        advertising_interval_max=20,
    )
    found = await heard(host)
    return bool(found) and not any(a.is_connectable for a in found)


async def supervision(bench: Bench) -> bool:
    connection, _, _ = await connected(bench)
    ended = asyncio.Event()
    connection.on(connection.EVENT_DISCONNECTION, lambda _: ended.set())
    controller = bench.controllers[0]
    if bench.mended:
        controller.vanish()
    else:
        controller.hci_sink = None  # all that a stock controller has: its transport is gone
        bench.link.remove_controller(controller)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), 0.5)
    return ended.is_set()


async def broadcast(bench: Bench) -> bool:
    node = await bench.device("node")
    idle = [await bench.device(f"idle{i}") for i in range(3)]
    heard_by_idle: list[Any] = []
    for controller in bench.controllers[1:]:
        controller.on_ll_advertising_pdu = heard_by_idle.append
    await node.start_advertising(advertising_interval_min=20, advertising_interval_max=20)
    await asyncio.sleep(0.1)
    assert len(idle) == 3
    return not [pdu for pdu in heard_by_idle if not isinstance(pdu, ll.ConnectInd)]


async def handles(bench: Bench) -> bool:
    connection, node, host = await connected(bench)
    first = connection.handle
    await connection.disconnect()
    await node.start_advertising(advertising_interval_min=20, advertising_interval_max=20)
    return (await host.connect_le(node.random_address, timeout=2)).handle != first


@pytest.mark.parametrize(
    "right",
    [scan_response, cancel, data_length, fragments, public_peripheral, other_types, supervision, broadcast, handles],
    ids=lambda f: f.__name__,
)
def test_defect(right: Callable[[Bench], Awaitable[bool]]) -> None:
    async def run() -> tuple[bool, bool]:
        return await right(Bench(mended=True)), await right(Bench(mended=False))

    mended, stock = asyncio.run(run())
    assert mended, "the air's own controller has the defect"
    assert not stock, "Bumble has mended it: take our mending out of air_controller or air_link"


async def gatt_server_of(bench: Bench) -> list[bytes]:
    """A long value over the mended controllers, in both directions: what all of it is for."""
    connection, node, _ = await connected(bench)
    taken: list[bytes] = []
    char: Any = Characteristic(
        CHAR,
        Characteristic.Properties.WRITE | Characteristic.Properties.READ,
        Characteristic.READABLE | Characteristic.WRITEABLE,
        CharacteristicValue(read=lambda _: taken[-1], write=lambda _, value: taken.append(bytes(value))),
    )
    node.add_services([Service(SERVICE, [char])])
    from bumble.device import Peer

    peer = Peer(connection)
    await peer.request_mtu(64)
    await peer.discover_services()
    proxies: Any = peer.get_services_by_uuid(SERVICE)
    chars = await proxies[0].discover_characteristics()
    await peer.gatt_client.write_long_value(chars[0].handle, bytes(range(256)) * 2)
    return [taken[-1], await chars[0].read_value()]


def test_a_value_of_512_bytes_passes_an_mtu_of_64() -> None:
    assert asyncio.run(gatt_server_of(Bench(mended=True))) == [bytes(range(256)) * 2] * 2
