"""Nodes over Bluetooth Low Energy: who is in the air, and CoAP over GATT to one of them (SPEC 15), on top of bleak.

The only module that knows bleak. Which radio is used is the platform's choice, or the caller's: `radio` is anything
with the classes and options that bleak is to be given, such as `citymote.testing.air`'s adapters.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from citymote.errors import need
from citymote.nearby import Sighting, State
from citymote_protocol.coap_gatt import DOWN, MAX_VALUE, MIN_MTU, SERVICE, UP, Gatt

from .base import Disconnected, NoRadio, Transport, TransportError, Unreachable

need("bleak", "ble", "talking to nodes over Bluetooth")

from bleak import BleakClient, BleakScanner  # noqa: E402
from bleak.backends.characteristic import BleakGATTCharacteristic  # noqa: E402
from bleak.backends.device import BLEDevice  # noqa: E402
from bleak.backends.scanner import AdvertisementData  # noqa: E402
from bleak.exc import BleakBluetoothNotAvailableError, BleakDeviceNotFoundError, BleakError  # noqa: E402

CONNECT = 20.0
_VERSION = 1
_ID = 6
_UNKNOWN = 20  # what a write without response takes where the MTU is not known yet
_SETTLE = 1.0  # seconds that BlueZ may take to tell the MTU
_VALUES = 16


class Radio(Protocol):
    """Whose bleak backend is used; None in its place means the platform's own."""

    scanner: Any
    client: Any
    options: Mapping[str, Any]


def _arguments(radio: Radio | None, what: str) -> dict[str, Any]:
    return {} if radio is None else {"backend": getattr(radio, what), **radio.options}


@dataclass(frozen=True)
class Packet:
    """All that one advertiser says without a connection, scan response included."""

    address: str
    services: tuple[str, ...]
    service_data: Mapping[str, bytes]
    name: str | None
    makers: tuple[int, ...]
    """Companies whose own data is in it."""


def read_advertisement(device: BLEDevice, data: AdvertisementData, heard: float) -> Sighting | None:
    """The node behind an advertisement (SPEC 15.4), or None where it is none of ours or of another version."""
    told = data.service_data.get(SERVICE, b"")
    if len(told) < 1 + _ID or told[0] >> 4 != _VERSION:
        return None
    try:
        state = State(told[0] & 15)
    except ValueError:
        return None
    detail = told[1 + _ID] if len(told) > 1 + _ID else 0
    return Sighting(told[1 : 1 + _ID].hex(), device.address, data.rssi, state, detail, heard, device)


async def scan(radio: Radio | None = None, seconds: float | None = None) -> AsyncGenerator[Sighting, None]:
    """Every advertisement of a node as it comes, until `seconds` are over."""
    async for device, data, heard in _listen(radio, seconds):
        sighting = read_advertisement(device, data, heard)
        if sighting is not None:
            yield sighting


async def packets(radio: Radio | None = None, seconds: float | None = None) -> AsyncGenerator[Packet, None]:
    """What is in the air, whoever says it, for those who judge how it is said."""
    async for device, data, _ in _listen(radio, seconds):
        yield Packet(
            device.address,
            tuple(data.service_uuids),
            data.service_data,
            data.local_name,
            tuple(data.manufacturer_data),
        )


async def _listen(
    radio: Radio | None, seconds: float | None
) -> AsyncGenerator[tuple[BLEDevice, AdvertisementData, float], None]:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[BLEDevice, AdvertisementData, float]] = asyncio.Queue(1024)

    def hear(device: BLEDevice, data: AdvertisementData) -> None:
        if SERVICE in data.service_data or SERVICE in data.service_uuids:
            # whoever is too slow for that many hears of each of them again
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait((device, data, time.monotonic()))

    end = None if seconds is None else loop.time() + seconds
    try:
        # No filter by service: with one, BlueZ hides nodes whose first packet it heard was the scan response.
        async with BleakScanner(hear, **_arguments(radio, "scanner")):
            while True:
                try:
                    async with asyncio.timeout_at(end):
                        heard = await queue.get()
                except TimeoutError:
                    return
                yield heard
    except BleakBluetoothNotAvailableError as missing:
        raise NoRadio("there is no Bluetooth to scan with", str(missing.args[0]), "Is it there and on?") from missing
    except BleakError as error:
        raise TransportError("the scan failed", str(error)) from error
    except (OSError, EOFError) as missing:  # bleak's way to the system's Bluetooth service
        raise NoRadio("there is no Bluetooth to scan with", f"its service cannot be asked ({missing})") from missing


class BleTransport(Transport):
    """CoAP over GATT to one node: a `Sighting`, or the address of one that was seen before."""

    token_size = 1

    def __init__(
        self,
        node: Sighting | str,
        *,
        radio: Radio | None = None,
        timeout: float = CONNECT,
        turn: asyncio.Lock | None = None,
    ) -> None:
        address = node if isinstance(node, str) else node.address
        self._name = address if isinstance(node, str) else f"node {node.node} ({address})"
        self.peer = f"ble:{address}"
        self.mtu = MAX_VALUE
        self.att_mtu = 0
        self.layer = Gatt()
        self._target: Any = address if isinstance(node, str) or node.device is None else node.device
        self._radio = radio
        self._timeout = timeout
        self._turn = turn if turn is not None else asyncio.Lock()
        self._client: BleakClient | None = None
        self._up: BleakGATTCharacteristic | None = None
        self._down: BleakGATTCharacteristic | None = None
        self._heard: asyncio.Queue[bytes | None] = asyncio.Queue(_VALUES)

    async def connect(self) -> None:
        """Connect, find the service, and ask for indications. Adapters connect to one node at a time: those of one
        adapter share their `turn`."""
        async with self._turn:
            await self._connect()

    async def _connect(self) -> None:
        client = self._client = BleakClient(
            self._target,
            disconnected_callback=self._gone,
            services=[SERVICE],
            timeout=self._timeout,
            **_arguments(self._radio, "client"),
        )
        try:
            await client.connect()
            await self._find(client)
        except BleakBluetoothNotAvailableError as missing:
            raise NoRadio("there is no Bluetooth", str(missing.args[0]), "Is it there and on?") from missing
        except (BleakDeviceNotFoundError, TimeoutError) as missing:
            raise Unreachable(
                f"{self._name} does not answer", str(missing), "Is it in range, on, and not talking to somebody else?"
            ) from missing
        except BleakError as error:
            raise Unreachable(f"no connection to {self._name}", str(error)) from error
        except (OSError, EOFError) as missing:
            raise NoRadio("there is no Bluetooth", f"its service cannot be asked ({missing})") from missing
        finally:
            if self._down is None:
                await self.close()

    async def _find(self, client: BleakClient) -> None:
        service = client.services.get_service(SERVICE)
        up = service.get_characteristic(UP) if service else None
        down = service.get_characteristic(DOWN) if service else None
        if up is None or down is None:
            raise Unreachable(f"{self._name} does not speak CoAP over GATT", "", "Is it a city sensor node?")
        waited = 0.0
        while down.max_write_without_response_size <= _UNKNOWN and waited < _SETTLE:
            await asyncio.sleep(0.1)
            waited += 0.1
        self.att_mtu = down.max_write_without_response_size + 3
        if self.att_mtu < MIN_MTU:
            raise Unreachable(
                f"{self._name} and this adapter agree on packets of {self.att_mtu} bytes only",
                f"{MIN_MTU} are needed",
                "Use another adapter.",
            )
        await client.start_notify(up, self._hear)
        self._up, self._down = up, down

    def _hear(self, _: BleakGATTCharacteristic, value: bytearray) -> None:
        # A peer that sends faster than this is read has one outstanding message only and repeats it.
        with contextlib.suppress(asyncio.QueueFull):
            self._heard.put_nowait(bytes(value))

    def _gone(self, _: BleakClient) -> None:
        if self._heard.full():
            self._heard.get_nowait()
        self._heard.put_nowait(None)

    async def send(self, data: bytes) -> None:
        """Write one value, in as many packets as it takes."""
        if self._client is None or self._down is None:
            raise self._ended()
        try:
            await self._client.write_gatt_char(self._down, data, response=True)
        except (BleakError, TimeoutError) as error:
            raise self._ended(error) from error

    async def receive(self) -> bytes:
        """The next indicated value; one that fills its packet may be the beginning of a longer one, which is read."""
        value = await self._heard.get()
        if value is None or self._client is None or self._up is None:
            self._heard.put_nowait(None)
            raise self._ended()
        if len(value) < self.att_mtu - 3 or len(value) >= MAX_VALUE:
            return value
        try:
            return bytes(await self._client.read_gatt_char(self._up))
        except (BleakError, TimeoutError) as error:
            raise self._ended(error) from error

    def _ended(self, error: Exception | None = None) -> TransportError:
        if isinstance(error, BleakBluetoothNotAvailableError):
            return NoRadio("Bluetooth is gone", str(error.args[0]))
        return Disconnected(f"the connection to {self._name} has ended", str(error) if error else "")

    async def close(self) -> None:
        """Hang up."""
        client, self._client, self._down = self._client, None, None
        if client is not None:
            with contextlib.suppress(BleakError, TimeoutError):
                await client.disconnect()
