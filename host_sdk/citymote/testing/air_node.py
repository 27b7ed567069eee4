"""A virtual node's radio: the Bumble device behind the module `bluetooth` of one MicroPython process.

The node's half is `firmware/node/hal/unix_bluetooth.py`; between them is a stream of frames, little-endian:

    length u16 (of what follows), operation u8, payload

    node:  H name                           switch on; answered by h
           O                                switch off; answered by the end of the stream
           M mtu u16 | N name               what the node agrees to; what it calls itself
           S services                       the table, see `_services`
           A interval_ms u32, connectable u8, length u8, data, length u8, scan response; interval 0: stop
           n connection u16, handle u16, value          notify      I the same: indicate
           U handle u16                     notify whoever has subscribed, of a value that is read for it
           k sequence u16, error u8         a write was taken      v sequence u16, error u8, value: the answer to a read
           D connection u16                 hang up                 X connection u16: ask for an MTU
    air:   h address type u8, address 6, buffers u16
           c connection u16, address type u8, address 6             d the same: disconnected
           m connection u16, mtu u16
           w connection u16, handle u16, sequence u16, value        r connection u16, handle u16, sequence u16
           i connection u16, handle u16, status u16                 f u8: so many buffers are free again

A value goes to the node before its writer hears that it was taken, as NimBLE does it. The node has `buffers`
notifications and indications under way at most, as NimBLE has.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bumble import att, core, hci
from bumble.core import UUID
from bumble.device import AdvertisingType, Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Descriptor, Service
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink

from .air_controller import AirController

if TYPE_CHECKING:
    from .air_link import AirLink

BUFFERS = 69
"""Notifications of 100 bytes that NimBLE on a PC took in one go before it said ENOMEM; an ESP32 has fewer."""
ANSWER = 30.0
"""Seconds that a node may take to answer a write or a read: GATT's own timeout (volume 3, part F, 3.3.3)."""
_NOBODY = 65535  # the connection that NimBLE names when it reads a value in order to send it
_GONE = 13  # BLE_HS_ENOTCONN and the like: an indication that was not confirmed

# Flags of MicroPython's bluetooth (extmod/modbluetooth.h)
_READ, _WRITE_NO_RESPONSE, _WRITE = 0x02, 0x04, 0x08
_READ_ENCRYPTED, _WRITE_ENCRYPTED = 0x0200, 0x1000


class AirNode:
    """One start of a node's radio, from `active(True)` to `active(False)` or its death."""

    def __init__(self, link: AirLink, number: int, buffers: int) -> None:
        self.link = link
        self.name = f"node{number}"
        self.address = hci.Address(f"C2:00:00:00:{number >> 8 & 255:02X}:{number & 255:02X}")
        self.device: Device | None = None
        self.controller: AirController | None = None
        self.connections: dict[int, Connection] = {}
        self._buffers = buffers
        self._writer: asyncio.StreamWriter | None = None
        self._chars: dict[int, Any] = {}
        self._waiting: dict[int, asyncio.Future[tuple[int, bytes]]] = {}
        self._sequence = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._advertising = asyncio.Lock()

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve the node until it is gone."""
        self._writer = writer
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "little")
                frame = await reader.readexactly(size)
                await self._take(frame[:1], frame[1:])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.vanish()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def vanish(self) -> None:
        """No radio any more: what is under way ends, and peers find out."""
        for task in self._tasks:
            task.cancel()
        for future in self._waiting.values():
            future.cancel()
        self._waiting.clear()
        if self.controller is not None:
            self.controller.vanish()

    def _say(self, operation: bytes, payload: bytes = b"") -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(struct.pack("<H", len(payload) + 1) + operation + payload)

    def _later(self, coro: Any) -> None:
        task = asyncio.ensure_future(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- what the node asks for ---------------------------------------------------------------------------------------

    async def _take(self, operation: bytes, payload: bytes) -> None:
        if operation == b"H":
            await self._power_on(payload.decode() or self.name)
            return
        if operation == b"O":
            for connection in list(self.connections.values()):
                await _hang_up(connection)
            raise ConnectionError
        device = self.device
        if device is None or self.controller is None or self.controller.gone:
            return  # a radio that was taken away hears nothing
        match operation:
            case b"M":
                device.gatt_server.max_mtu = struct.unpack("<H", payload)[0]
            case b"N":
                device.name = payload.decode(errors="replace")
            case b"S":
                self._services(device, payload)
            case b"A":
                await self._advertise(device, payload)
            case b"k" | b"v":
                sequence, error = struct.unpack_from("<HB", payload)
                future = self._waiting.pop(sequence, None)
                if future is not None and not future.done():
                    future.set_result((error, payload[3:]))
            case b"n" | b"I":
                await self._push(device, operation == b"I", payload)
            case b"U":
                self._later(self._update(device, struct.unpack("<H", payload)[0]))
            case b"D":
                connection = self.connections.get(struct.unpack("<H", payload)[0])
                if connection is not None:
                    self._later(_hang_up(connection))
            case b"X":
                connection = self.connections.get(struct.unpack("<H", payload)[0])
                if connection is not None:
                    self._later(self._ask_mtu(connection, device.gatt_server.max_mtu))
            case _:
                raise ConnectionError(f"a node says {operation!r}, which means nothing")

    async def _power_on(self, name: str) -> None:
        self.name = name
        self.controller = AirController(name, self.link)
        host = Host(self.controller, AsyncPipeSink(self.controller))
        self.device = Device(name=name, address=self.address, host=host)
        self.device.on(Device.EVENT_CONNECTION, self._connected)
        await self.device.power_on()
        self._say(b"h", bytes([1]) + bytes(self.address)[:6][::-1] + struct.pack("<H", self._buffers))

    async def _advertise(self, device: Device, payload: bytes) -> None:
        interval, connectable = struct.unpack_from("<IB", payload)
        at = 6 + payload[5]
        data, response = payload[6:at], payload[at + 1 : at + 1 + payload[at]]
        if connectable:
            kind = AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE
        else:
            kind = AdvertisingType.UNDIRECTED_SCANNABLE if response else AdvertisingType.UNDIRECTED
        async with self._advertising:
            if not interval:
                await device.stop_advertising()
                return
            pace = max(float(interval), 20.0)  # the shortest that the standard allows (volume 6, part B, 4.4.2.2)
            await device.start_advertising(
                advertising_type=kind,
                advertising_data=data,
                scan_response_data=response,
                advertising_interval_min=pace,
                advertising_interval_max=pace,
            )

    async def _push(self, device: Device, indicate: bool, payload: bytes) -> None:
        number, handle = struct.unpack_from("<HH", payload)
        connection, char = self.connections.get(number), self._chars.get(handle)
        if connection is None or char is None:
            self._say(b"f", b"\1")
            if indicate:
                self._say(b"i", struct.pack("<HHH", number, handle, _GONE))
        elif indicate:
            self._later(self._indicate(device, connection, number, handle, payload[4:]))
        else:
            if not self._swallowed("up"):
                with contextlib.suppress(core.BaseBumbleError):
                    await device.gatt_server.notify_subscriber(connection, char, payload[4:], force=True)
            self._say(b"f", b"\1")

    async def _indicate(self, device: Device, connection: Connection, number: int, handle: int, value: bytes) -> None:
        status = 0
        try:
            if not self._swallowed("up"):
                await device.gatt_server.indicate_subscriber(connection, self._chars[handle], value, force=True)
        except (core.BaseBumbleError, TimeoutError):
            status = _GONE
        self._say(b"f", b"\1")
        self._say(b"i", struct.pack("<HHH", number, handle, status))

    async def _update(self, device: Device, handle: int) -> None:
        char, server = self._chars[handle], device.gatt_server
        for connection in list(self.connections.values()):
            state = server.subscribers.get(connection, {}).get(char.handle, b"")
            if not any(state):
                continue
            _, value = await self._ask(b"r", _NOBODY, handle)
            with contextlib.suppress(core.BaseBumbleError):
                if state[0] & 1:
                    await server.notify_subscriber(connection, char, value)
                else:
                    await server.indicate_subscriber(connection, char, value)

    def _swallowed(self, way: str) -> bool:
        chance = self.link.conditions.swallow
        return bool(chance) and self.link.draw(f"{self.name} {way}").random() < chance

    def _services(self, device: Device, payload: bytes) -> None:
        """Count u8; each: UUID, count u8 of characteristics; each: handle u16, UUID, flags u32, count u8 of
        descriptors; each: handle u16, UUID, flags u32. A UUID is its length u8 and its bytes."""
        take = _Cursor(payload)
        services: list[Service] = []
        self._chars.clear()
        for _ in range(take.u8()):
            uuid, chars = take.uuid(), list[Characteristic[Any]]()
            for _ in range(take.u8()):
                handle, char_uuid, flags = take.u16(), take.uuid(), take.u32()
                descriptors: list[Descriptor] = []
                for _ in range(take.u8()):
                    their, their_uuid, their_flags = take.u16(), take.uuid(), take.u32()
                    descriptors.append(Descriptor(their_uuid, _permissions(their_flags), self._value(their)))
                char: Characteristic[Any] = Characteristic(
                    char_uuid,
                    Characteristic.Properties(flags & 0xFF),
                    _permissions(flags),
                    self._value(handle),
                    descriptors,
                )
                self._chars[handle] = char
                chars.append(char)
            services.append(Service(uuid, chars))
        device.add_services(services)

    # -- what peers ask for -------------------------------------------------------------------------------------------

    def _connected(self, connection: Connection) -> None:
        # NimBLE numbers connections from 1, as Bumble does.
        number, peer = connection.handle, connection.peer_address
        who = struct.pack("<HB", number, int(peer.is_random)) + bytes(peer)[:6][::-1]
        self.connections[number] = connection
        self._say(b"c", who)

        def gone(_: int) -> None:
            if self.connections.pop(number, None) is not None:
                self._say(b"d", who)

        connection.on(connection.EVENT_DISCONNECTION, gone)
        connection.on(
            connection.EVENT_CONNECTION_ATT_MTU_UPDATE,
            lambda: self._say(b"m", struct.pack("<HH", number, connection.att_mtu)),
        )

    async def _ask_mtu(self, connection: Connection, mtu: int) -> None:
        from bumble.device import Peer

        with contextlib.suppress(core.BaseBumbleError, att.ATT_Error):
            await Peer(connection).request_mtu(mtu)

    async def _ask(self, operation: bytes, number: int, handle: int, data: bytes = b"") -> tuple[int, bytes]:
        self._sequence = self._sequence % 0xFFFF + 1
        future: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[self._sequence] = future
        self._say(operation, struct.pack("<HHH", number, handle, self._sequence) + data)
        async with asyncio.timeout(ANSWER):
            return await future

    def _value(self, handle: int) -> Any:
        async def read(connection: Connection) -> bytes:
            error, data = await self._ask(b"r", connection.handle, handle)
            if error:
                raise att.ATT_Error(error_code=error)
            return data

        async def write(connection: Connection, value: bytes) -> None:
            # Bumble runs each write as a task: it has to be handed over before anything is awaited, to stay in order.
            if self._swallowed("down"):
                return
            error, _ = await self._ask(b"w", connection.handle, handle, bytes(value))
            if error:
                raise att.ATT_Error(error_code=error)

        made: Callable[..., Any] = CharacteristicValue
        return made(read=read, write=write)


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def uuid(self) -> UUID:
        return UUID.from_bytes(self.take(self.u8()))


def _permissions(flags: int) -> Any:
    made = Characteristic.Permissions(0)
    if flags & _READ:
        made |= Characteristic.READABLE
    if flags & (_WRITE | _WRITE_NO_RESPONSE):
        made |= Characteristic.WRITEABLE
    if flags & _READ_ENCRYPTED:
        made |= Characteristic.READ_REQUIRES_ENCRYPTION
    if flags & _WRITE_ENCRYPTED:
        made |= Characteristic.WRITE_REQUIRES_ENCRYPTION
    return made


async def _hang_up(connection: Connection) -> None:
    with contextlib.suppress(core.BaseBumbleError):
        await connection.disconnect()
