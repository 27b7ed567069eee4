"""A bleak backend whose radio is a Bumble host: the SDK's own bleak code meets virtual nodes, or a bare USB dongle.

    adapter = air.adapter()                       # or: bleak_bumble.open_adapter("tcp-client:127.0.0.1:4000")
    BleakScanner(backend=adapter.scanner, **adapter.options)
    BleakClient(device, backend=adapter.client, **adapter.options)

`citymote.scan(radio=adapter)` and every other function of the SDK that takes `radio` do just that. The Bumble host
lives in a loop of its own (`background`), so that an SDK that blocks does not silence the air. bleak 3's way for
backends from outside is the `backend` argument; its base classes are not part of bleak's stable interface, which is
why bleak is pinned below 4.
"""

# Bumble leaves some of its types out.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from bleak.args import SizedBuffer
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDeviceNotFoundError,
    BleakError,
)
from bumble import att, core, gatt_client, hci
from bumble.device import Advertisement, Device

from .background import Background
from .bumble_link import Link, ignore, parse, text_of

T = TypeVar("T")

MTU = 517
"""What common hosts ask for: the largest attribute and its header."""
_DRAIN_EVERY = 32  # writes without response after which the queue to the controller is let run dry


class Adapter:
    """One radio of the host, like a computer's hci0: all its scanners and clients share it.

    `scanner`, `client` and `options` are what bleak's classes are given. `mtu` is the largest that it agrees to,
    `connections` how many it holds at a time (None: as many as there are).
    """

    def __init__(self, home: Background, name: str, mtu: int = MTU, connections: int | None = None) -> None:
        self.name = name
        self.mtu = mtu
        self.connections = connections
        self.scanner: type[BaseBleakScanner] = BumbleScanner
        self.client: type[BaseBleakClient] = BumbleClient
        self.options: Mapping[str, Any] = {"radio": self}
        self._home = home
        self._device: Device | None = None
        self._gone: asyncio.Future[None] = home.loop.create_future()
        self._lock = asyncio.Lock()
        self._tuning = asyncio.Lock()
        self._scanners: set[BumbleScanner] = set()
        self._seen: dict[str, hci.Address] = {}
        self._links: set[Link] = set()
        self._closing: Callable[[], Coroutine[Any, Any, None]] | None = None

    # -- power, in the adapter's loop ---------------------------------------------------------------------------------

    async def power_on(self, device: Device, closing: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Take over a Bumble device; `closing` is awaited at `close`."""
        device.on(Device.EVENT_ADVERTISEMENT, self._heard)
        await device.power_on()
        self._device, self._closing = device, closing
        self._gone = asyncio.get_running_loop().create_future()
        if self._scanners:
            await device.start_scanning(filter_duplicates=False)

    def lost(self) -> None:
        """The radio is gone, as when its plug is pulled: whoever uses it gets an error."""
        self._device = None
        if not self._gone.done():
            self._gone.set_result(None)
        for link in list(self._links):
            link.end("the adapter is gone")

    def device(self) -> Device:
        """The Bumble device, or bleak's error for a radio that is not there."""
        if self._device is None:
            raise self._absent()
        return self._device

    def _absent(self) -> BleakError:
        return BleakBluetoothNotAvailableError(
            f"the adapter {self.name} is gone", BleakBluetoothNotAvailableReason.NO_BLUETOOTH
        )

    async def call(self, coro: Coroutine[Any, Any, T]) -> T:
        """Await something in the adapter's loop."""
        try:
            return await self._home.call(coro)
        except RuntimeError as closed:
            coro.close()
            raise BleakError(f"the adapter {self.name} is closed") from closed

    def close(self) -> None:
        """Give the radio back; from a thread without the adapter's loop."""

        async def close() -> None:
            self.lost()
            if self._closing is not None:
                await self._closing()

        self._home.run(close())
        if self._closing is not None:
            self._home.stop()  # a radio of its own has a loop of its own

    # -- scanning -----------------------------------------------------------------------------------------------------

    def _heard(self, advertisement: Advertisement) -> None:
        address = advertisement.address.to_string(with_type_qualifier=False)
        self._seen[address] = advertisement.address
        data = parse(advertisement)
        for scanner in list(self._scanners):
            scanner.heard(address, advertisement.address, data)

    async def listen(self, scanner: BumbleScanner, on: bool, active: bool = True) -> None:
        """Begin or end to hand advertisements to that scanner."""
        if on:
            self.device()
            self._scanners.add(scanner)
        else:
            self._scanners.discard(scanner)
        # In turn: who begins while the last of the others ends would find a radio that scans, and then does not.
        async with self._tuning:
            device = self._device
            if device is not None and self._scanners and not device.is_scanning:
                await device.start_scanning(active=active, filter_duplicates=False)
            elif device is not None and not self._scanners and device.is_scanning:
                await device.stop_scanning()

    # -- connecting ---------------------------------------------------------------------------------------------------

    async def connect(self, address: str, known: hci.Address | None, timeout: float) -> Link:
        """One attempt at a time, as controllers have it; Bumble would answer all with whoever comes first."""
        target = known or self._seen.get(address.upper()) or hci.Address(address)
        async with self._lock:
            if self.connections is not None and len(self._links) >= self.connections:
                raise BleakError(f"the adapter {self.name} holds {self.connections} connections and takes no more")
            device = self.device()
            attempt = asyncio.ensure_future(device.connect_le(target, timeout=None))
            late = False
            try:
                await asyncio.wait({attempt, self._gone}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if not attempt.done() and self._device is device:
                    # Not Bumble's own timeout: what it shields from it, Python 3.14 reports as an error of nobody's.
                    late = True
                    await _give_up(device)
                    await asyncio.wait({attempt, self._gone}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                # else the controller would go on trying, and refuse every later attempt
                attempt.cancel()
                if self._device is device:
                    await asyncio.shield(_give_up(device))
                raise
            if self._device is not device:
                attempt.cancel()
                attempt.add_done_callback(ignore)
                raise self._absent()
            try:
                connection = attempt.result()
            except core.ConnectionError as refused:
                if late:
                    raise BleakDeviceNotFoundError(address, f"{address} does not answer") from refused
                raise BleakError(f"no connection to {address}: {refused}") from refused
        link = Link(connection, self._links.discard)
        self._links.add(link)
        if connection.handle not in device.connections:
            link.end("the peer is gone")  # while we were told of it: there is no event to come
        try:
            if self.mtu > att.ATT_DEFAULT_MTU:
                async with asyncio.timeout(timeout):
                    await link.do(lambda: link.peer.request_mtu(self.mtu))
        except BaseException:
            await link.close()
            raise
        return link


async def _give_up(device: Device) -> None:
    cancel: Any = hci.HCI_LE_Create_Connection_Cancel_Command()
    with contextlib.suppress(hci.HCI_Error):  # it was over already
        await device.send_sync_command(cancel)


class BumbleScanner(BaseBleakScanner):
    """bleak's scanner over an Adapter."""

    def __init__(
        self,
        detection_callback: Any,
        service_uuids: list[str] | None,
        scanning_mode: str,
        *,
        radio: Adapter,
        **_: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._active = scanning_mode == "active"
        self._radio = radio
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Begin to scan."""
        self.seen_devices = {}
        self._loop = asyncio.get_running_loop()
        await self._radio.call(self._radio.listen(self, True, self._active))

    async def stop(self) -> None:
        """End it."""
        await self._radio.call(self._radio.listen(self, False))
        self._loop = None

    def heard(self, address: str, where: hci.Address, data: AdvertisementData) -> None:
        """An advertisement, in the adapter's loop."""
        if self._loop is not None and not self._loop.is_closed() and self.is_allowed_uuid(data.service_uuids):
            self._loop.call_soon_threadsafe(self._tell, address, where, data)

    def _tell(self, address: str, where: hci.Address, data: AdvertisementData) -> None:
        if self._loop is None:
            return
        device = self.create_or_update_device(address, address, data.local_name, (self._radio, where), data)
        self.call_detection_callbacks(device, data)


class BumbleClient(BaseBleakClient):
    """bleak's client over an Adapter."""

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        radio: Adapter,
        services: set[str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(address_or_ble_device, **more)
        self._radio = radio
        self._where: hci.Address | None = None
        self._name = self.address
        if isinstance(address_or_ble_device, BLEDevice):
            self._where = address_or_ble_device.details[1]
            self._name = address_or_ble_device.name or self.address
        self._wanted = services
        self._link: Link | None = None
        self._subscribed: dict[int, Callable[[bytes], None]] = {}

    @property
    def name(self) -> str:
        """What the peer calls itself."""
        return self._name

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._link is not None and not self._link.ended.done()

    @property
    def mtu_size(self) -> int:
        """The ATT MTU that was agreed on."""
        return self._connected().connection.att_mtu

    def _connected(self) -> Link:
        if self._link is None or self._link.ended.done():
            raise BleakError("not connected")
        return self._link

    async def connect(self, pair: bool, **_: Any) -> None:
        """Connect, agree on an MTU, look at the services."""
        if self.is_connected:
            raise BleakError("connected already")
        loop = asyncio.get_running_loop()

        async def connect() -> Link:
            link = await self._radio.connect(self.address, self._where, self._timeout)

            def ended() -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(self._ended, link)

            link.on_end = ended
            try:
                async with asyncio.timeout(self._timeout):
                    if pair:
                        await link.do(link.connection.pair)
                    self.services = await link.do(lambda: self._discover(link))
            except BaseException:
                await link.close()
                raise
            return link

        self._link = await self._radio.call(connect())

    async def _discover(self, link: Link) -> BleakGATTServiceCollection:
        found = BleakGATTServiceCollection()
        for service in await link.peer.discover_services():
            if self._wanted and text_of(service.uuid) not in self._wanted:
                continue
            their = BleakGATTService(service, service.handle, text_of(service.uuid))
            found.add_service(their)
            their_chars: Any = service.discover_characteristics()  # Bumble leaves one of its types out
            for char in await their_chars:
                one = BleakGATTCharacteristic(
                    char,
                    char.handle,
                    text_of(char.uuid),
                    list(gatt_char_props_to_strs(int(char.properties))),
                    lambda: link.connection.att_mtu - 3,
                    their,
                )
                found.add_characteristic(one)
                for descriptor in await char.discover_descriptors():
                    found.add_descriptor(
                        BleakGATTDescriptor(descriptor, descriptor.handle, text_of(descriptor.type), one)
                    )
        return found

    def _ended(self, link: Link) -> None:
        if self._link is not link:
            return
        self._link = None
        self.services = None
        self._subscribed.clear()
        if self._disconnected_callback:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        """Hang up; harmless without a connection."""
        if self._link is not None:
            await self._radio.call(self._link.close())

    async def pair(self, *_: Any, **__: Any) -> None:
        """Just Works."""
        link = self._connected()
        await self._radio.call(link.do(link.connection.pair))

    async def unpair(self) -> None:
        """Forget the peer's keys."""

        async def forget() -> None:
            store = self._radio.device().keystore
            if store is not None:
                await store.delete(self.address)

        await self._radio.call(forget())

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **_: Any
    ) -> bytearray:
        """Read a value, however long it is."""
        proxy: gatt_client.CharacteristicProxy[bytes] = characteristic.obj
        link = self._connected()
        return bytearray(await self._radio.call(link.do(proxy.read_value)))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **_: Any
    ) -> bytearray:
        """Read a descriptor."""
        proxy: gatt_client.DescriptorProxy = descriptor.obj
        link = self._connected()
        return bytearray(await self._radio.call(link.do(proxy.read_value)))

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool) -> None:
        """Write a value; with a response it may be longer than a packet."""
        proxy: gatt_client.CharacteristicProxy[bytes] = characteristic.obj
        link, value = self._connected(), bytes(data)
        if not response and len(value) > link.connection.att_mtu - 3:
            raise BleakError(f"{len(value)} bytes are more than one packet takes without a response")

        async def write() -> None:
            client: Any = link.peer.gatt_client
            if len(value) > link.connection.att_mtu - 3:
                await client.write_long_value(proxy.handle, value)
                return
            await client.write_value(proxy, value, response)
            link.writes += 1
            if not response and link.writes % _DRAIN_EVERY == 0:
                await link.connection.drain()

        await self._radio.call(link.do(write))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        """Write a descriptor."""
        proxy: gatt_client.DescriptorProxy = descriptor.obj
        link = self._connected()
        await self._radio.call(link.do(lambda: proxy.write_value(bytes(data), with_response=True)))

    async def start_notify(self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_: Any) -> None:
        """Ask for notifications, or for indications where there are no notifications."""
        proxy: gatt_client.CharacteristicProxy[bytes] = characteristic.obj
        link, loop = self._connected(), asyncio.get_running_loop()

        def heard(value: bytes) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(callback, bytearray(value))

        self._subscribed[characteristic.handle] = heard
        await self._radio.call(link.do(lambda: proxy.subscribe(heard, prefer_notify=True)))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """Ask for them no more."""
        proxy: Any = characteristic.obj
        link = self._connected()
        heard = self._subscribed.pop(characteristic.handle, None)
        await self._radio.call(link.do(lambda: proxy.unsubscribe(heard)))


def open_adapter(transport: str, *, name: str = "bumble", mtu: int = MTU) -> Adapter:
    """A radio that Bumble reaches by `transport`: "tcp-client:HOST:PORT" of an `Air` elsewhere, "usb:0", "serial:...".

    Close it when done.
    """
    from bumble.transport import open_transport

    home = Background(f"radio {transport}")
    home.start()
    adapter = Adapter(home, name, mtu)

    async def start() -> None:
        hci_transport = await open_transport(transport)
        # A random static address of its own (two highest bits set): hosts that share one cannot be told apart.
        device = Device.with_hci(name, hci.Address.generate_static_address(), hci_transport.source, hci_transport.sink)
        try:
            await adapter.power_on(device, hci_transport.close)
        except BaseException:
            await hci_transport.close()
            raise
        hci_transport.source.terminated.add_done_callback(lambda _: adapter.lost())

    try:
        home.run(start())
    except BaseException:
        home.stop()
        raise
    return adapter
