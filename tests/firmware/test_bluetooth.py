"""The virtual node's `bluetooth` held to what MicroPython's own module with NimBLE printed for the same script."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError

from citymote.testing.air import Air
from citymote.testing.bleak_bumble import Adapter
from citymote.testing.vm import VirtualNode

HERE = Path(__file__).parent
SERVICE, RX, TX = (f"6e40000{i}-b5a3-f393-e0a9-e50e24dcca9e" for i in (1, 2, 3))

# Where the two may differ: each line with what the virtual node says instead, and why.
DIFFERENT = {
    # the unix port's own name; a board is called "MPY ESP32"
    "SEM gap_name default -> b'MPY NIMBLE'": "SEM gap_name default -> b'MPY ESP32'",
    # the address of whoever connects
    "SEM ev1 memoryview 1 b'\\xf0\\xff'": "SEM ev1 memoryview 1 b'\\xca\\x00'",
    # NimBLE's buffers are counted in bytes, of which other packets take some too
    "HOST connected after D: False": None,
}


async def talk(adapter: Adapter) -> list[str]:
    """The peer of the script: what it does and hears, as the lines that the golden file has for it."""
    said: list[str] = []
    device = await BleakScanner.find_device_by_filter(
        lambda _, data: SERVICE in data.service_uuids, timeout=10, backend=adapter.scanner, **adapter.options
    )
    assert device is not None, "nobody advertises the script's service"
    assert device.name == "sem", "the name is in the scan response"
    notified: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear() -> bytes:
        return await asyncio.wait_for(notified.get(), 5)

    client = BleakClient(device, backend=adapter.client, **adapter.options)
    await client.connect()
    said.append(f"HOST mtu {client.mtu_size}")
    await client.start_notify(TX, lambda _, value: notified.put_nowait(bytes(value)))
    await client.write_gatt_char(RX, bytes(50), response=True)
    await client.write_gatt_char(RX, b"L", response=True)
    said.append(f"HOST long notify arrives {len(await hear())}")
    await client.write_gatt_char(RX, b"W", response=True)
    said.append(f"HOST send_update arrives {await hear()!r}")
    await client.write_gatt_char(RX, b"N", response=True)
    count = 0
    with contextlib.suppress(TimeoutError):
        while True:
            await asyncio.wait_for(notified.get(), 0.3)
            count += 1
    said.append(f"HOST got notifications {count}")
    value = await client.read_gatt_char(TX)
    said.append(f"HOST read tx {len(value)} {bytes(value)!r}")
    with contextlib.suppress(BleakError):  # the node hangs up inside its handler, before it has acknowledged
        await client.write_gatt_char(RX, b"D", response=True)
    await client.disconnect()
    return said


def lines(text: str, who: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(who)]


def test_the_same_as_nimble(tmp_path: Path) -> None:
    # `bluetooth` is a module of its own name here, as it is for code that knows nothing of our HAL.
    start = "from node.hal import unix; unix.bluetooth(); exec(open('script.py').read())"
    folder = tmp_path / "n"
    folder.mkdir()
    (folder / "script.py").write_text((HERE / "bluetooth_semantics.py").read_text())
    with Air() as air:
        adapter = air.adapter()
        with VirtualNode(folder, air=air, entry=("-c", start), heap="200k") as node:
            node.start()
            host = asyncio.run(talk(adapter))
            node.wait(10)
        printed = node.output()
    golden = (HERE / "bluetooth_semantics.nimble.txt").read_text()
    wanted = [DIFFERENT.get(line) or line for line in lines(golden, "SEM")]
    assert lines(printed, "SEM") == wanted
    told = [line for line in lines(golden, "HOST") if "during" not in line and DIFFERENT.get(line, line)]
    assert host == told


@pytest.fixture
def radio_node(tmp_path: Path) -> Callable[..., VirtualNode]:
    def make(code: str, air: Air | None, **more: Any) -> VirtualNode:
        return VirtualNode(tmp_path / "n", air=air, entry=("-c", code), heap="100k", **more)

    return make


def test_a_node_without_an_air_has_no_radio(radio_node: Callable[..., VirtualNode]) -> None:
    code = "from node.hal import unix\ntry: unix.bluetooth().BLE().active(True)\nexcept OSError as e: print(e.errno)"
    with radio_node(code, None) as node:
        node.start()
        node.wait(10)
        assert node.output().split() == ["19"]


def test_time_passes_in_step_only_while_the_radio_is_on(radio_node: Callable[..., VirtualNode]) -> None:
    code = """
import asyncio, time
from node.hal import unix
ble = unix.bluetooth().BLE()
async def main():
    start = time.ticks_ms()
    await asyncio.sleep(100000)
    free = time.ticks_diff(time.ticks_ms(), start)
    ble.active(True)
    start = time.ticks_ms()
    await asyncio.sleep_ms(20000)
    held = time.ticks_diff(time.ticks_ms(), start)
    ble.active(False)
    start = time.ticks_ms()
    await asyncio.sleep(100000)
    print(free < 1000, 150 < held < 3000, time.ticks_diff(time.ticks_ms(), start) < 1000, unix.uptime_ms() // 1000)
unix.run(main())
"""
    with Air(speed=100) as air, radio_node(code, air) as node:
        node.start()
        node.wait(20)
        assert node.output().split() == ["True", "True", "True", "200020"]


def test_a_radio_that_is_switched_off_is_off_the_air_and_can_come_back(
    radio_node: Callable[..., VirtualNode],
) -> None:
    code = """
import asyncio
from node.hal import unix
ble = unix.bluetooth().BLE()
async def main():
    for i in range(3):
        ble.active(True)
        unix.event("on")
        await asyncio.sleep_ms(10)
        ble.active(False)
        await asyncio.sleep_ms(10)
        unix.event("off")
unix.run(main())
"""
    seen: list[tuple[str, list[str]]] = []
    with Air() as air, radio_node(code, air) as node:
        node.on_event(lambda event: seen.append((event.name, air.radios())))
        node.start()
        node.wait(20)
    assert [what for what in seen if what[0] == "on"] == [("on", ["n"])] * 3
    assert seen[-1] == ("off", [])
