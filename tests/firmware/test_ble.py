"""CoAP over GATT end to end: the node's link in a real VM, the SDK's transport on bleak, faults in between."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from bleak import BleakScanner
from tests.support.air import ble_node, ble_nodes, node_id

import citymote
from citymote.nearby import Sighting, State
from citymote.testing.air import Air, Conditions
from citymote.testing.bleak_bumble import Adapter
from citymote.transports.base import Channel, Disconnected, NoRadio, TransportError, Unreachable
from citymote.transports.ble import BleTransport
from citymote_protocol.coap import CONTENT, POST, Message


@pytest.fixture
def air() -> Iterator[Air]:
    with Air(seed=1) as air:
        yield air


async def find(adapter: Adapter, node: str | None = None, seconds: float = 20) -> Sighting:
    """That node, or the first that is heard."""
    async for sighting in citymote.scan(seconds, radio=adapter):
        if node is None or sighting.node == node:
            return sighting
    raise AssertionError(f"node {node} was not heard in {seconds:g} s")


async def echo(channel: Channel, payload: bytes) -> None:
    answer = await channel.request(Message(POST, b"", [], payload))
    assert (answer.code, answer.payload) == (CONTENT, payload)


async def until(true: Callable[[], bool], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("mtu", [64, 185, 517])
def test_messages_of_every_size_pass_every_mtu(tmp_path: Path, air: Air, mtu: int) -> None:
    adapter = air.adapter(mtu=mtu)

    async def talk() -> None:
        async with Channel(BleTransport(await find(adapter), radio=adapter)) as channel:
            assert channel.transport.att_mtu == mtu  # type: ignore[attr-defined]
            # 512 bytes of value: a byte of flags, the code, a token of one byte, the payload's marker
            for size in (0, 1, mtu - 8, mtu - 7, mtu - 6, mtu - 5, 300, 507, 508):
                await echo(channel, bytes(i & 255 for i in range(min(size, 508))))

    with ble_nodes(tmp_path, air, 1):
        asyncio.run(talk())


def test_an_mtu_of_23_is_refused_with_the_reason(tmp_path: Path, air: Air) -> None:
    adapter = air.adapter(mtu=23)

    async def talk() -> None:
        async with Channel(BleTransport(await find(adapter), radio=adapter)):
            pass

    with ble_nodes(tmp_path, air, 1), pytest.raises(Unreachable, match="packets of 23 bytes only: 64 are needed"):
        asyncio.run(talk())


def test_a_peer_that_writes_all_the_same_is_hung_up_on(tmp_path: Path, air: Air) -> None:
    from bleak import BleakClient

    from citymote_protocol.coap_gatt import DOWN

    adapter = air.adapter(mtu=23)

    async def talk() -> None:
        ended = asyncio.Event()
        sighting = await find(adapter)
        client = BleakClient(
            sighting.device,  # type: ignore[arg-type]
            lambda _: ended.set(),
            backend=adapter.client,
            **adapter.options,
        )
        await client.connect()
        await client.write_gatt_char(DOWN, b"\x60\x01", response=True)
        await asyncio.wait_for(ended.wait(), 10)

    with ble_nodes(tmp_path, air, 1) as (node,):
        asyncio.run(talk())
        assert node.event_data("took") == []


def test_a_fifth_of_all_packets_lost_and_a_tenth_of_a_second_of_latency(tmp_path: Path, air: Air) -> None:
    air.conditions = Conditions(latency=(0.015, 0.1), loss=0.2, supervision=4)
    adapter = air.adapter()

    async def talk() -> None:
        async with Channel(BleTransport(await find(adapter), radio=adapter)) as channel:
            for size in (0, 100, 508):
                await echo(channel, bytes(size))

    with ble_nodes(tmp_path, air, 1):
        asyncio.run(talk())
    assert air.counts()["repeats"] > 5
    assert air.counts()["lost_advertisements"] >= 0


def test_values_that_the_stack_takes_and_the_application_never_sees(tmp_path: Path) -> None:
    with Air(seed=4, speed=10, conditions=Conditions(swallow=0.2)) as air:
        adapter = air.adapter()

        async def talk() -> None:
            async with Channel(BleTransport(await find(adapter), radio=adapter)) as channel:
                await asyncio.gather(*(echo(channel, bytes((i,)) * 50) for i in range(4)))
                for i in range(6):
                    await echo(channel, bytes((i,)) * 50)

        with ble_nodes(tmp_path, air, 1, idle=600000) as (node,):
            asyncio.run(talk())
            assert len(node.event_data("took")) == 10, "each request is executed once"


async def _while_scanning(adapter: Adapter, kill: Callable[[], None]) -> None:
    await find(adapter)
    kill()
    async with Channel(BleTransport(node_address(), radio=adapter, timeout=1)):
        pass


async def _while_connected(adapter: Adapter, kill: Callable[[], None]) -> None:
    async with Channel(BleTransport(await find(adapter), radio=adapter)) as channel:
        kill()
        await echo(channel, b"x")


async def _between_requests(adapter: Adapter, kill: Callable[[], None]) -> None:
    async with Channel(BleTransport(await find(adapter), radio=adapter)) as channel:
        await echo(channel, b"x")
        kill()
        await asyncio.sleep(1)
        await echo(channel, b"y")


async def _while_it_answers(adapter: Adapter, kill: Callable[[], None]) -> None:
    async with Channel(BleTransport(await find(adapter), radio=adapter)) as channel:
        waiting = asyncio.create_task(echo(channel, bytes(500)))
        await asyncio.sleep(0)
        kill()
        await waiting


async def _while_connecting(adapter: Adapter, kill: Callable[[], None]) -> None:
    channel = Channel(BleTransport(await find(adapter), radio=adapter, timeout=3))
    waiting = asyncio.create_task(channel.__aenter__())
    await asyncio.sleep(0.02)
    kill()
    try:
        await waiting
        await echo(channel, b"x")
    finally:
        await channel.close()


def node_address() -> str:
    return "C2:00:00:00:00:77"


STEPS = [_while_scanning, _while_connecting, _while_connected, _while_it_answers, _between_requests]


@pytest.mark.parametrize("step", STEPS, ids=lambda f: f.__name__.strip("_"))
def test_the_node_dies_at_every_step(
    tmp_path: Path, air: Air, step: Callable[[Adapter, Callable[[], None]], Awaitable[None]]
) -> None:
    adapter = air.adapter(mtu=64)

    async def run() -> None:
        begun = time.monotonic()
        with pytest.raises(TransportError):
            await step(adapter, node.kill)
        assert time.monotonic() - begun < 15, "its end is noticed, not waited for"
        node.start()
        async with Channel(BleTransport(await find(adapter), radio=adapter)) as channel:
            await echo(channel, b"again")

    with ble_nodes(tmp_path, air, 1) as (node,):
        asyncio.run(run())


@pytest.mark.parametrize("step", STEPS[1:], ids=lambda f: f.__name__.strip("_"))
def test_the_adapter_vanishes_at_every_step(
    tmp_path: Path, air: Air, step: Callable[[Adapter, Callable[[], None]], Awaitable[None]]
) -> None:
    adapter = air.adapter(mtu=64)

    async def run() -> None:
        with pytest.raises(TransportError) as told:
            await step(adapter, lambda: air.vanish(adapter.name))
        assert told.value.whose in ("machine", "peer")
        with pytest.raises(NoRadio, match="adapter"):
            await find(adapter)
        air.restore(adapter)
        async with Channel(BleTransport(await find(adapter), radio=adapter)) as channel:
            await echo(channel, b"again")

    with ble_nodes(tmp_path, air, 1):
        asyncio.run(run())


def test_the_connection_ends_in_the_middle(tmp_path: Path, air: Air) -> None:
    adapter = air.adapter()

    async def talk() -> None:
        async with Channel(BleTransport(await find(adapter), radio=adapter)) as channel:
            await echo(channel, b"x")
            waiting = asyncio.create_task(channel.transport.receive())
            await asyncio.to_thread(air.disconnect, "n1")
            waiting.cancel()
            with pytest.raises(Disconnected):
                for _ in range(2):
                    await echo(channel, bytes(500))
        async with Channel(BleTransport(await find(adapter), radio=adapter)) as channel:
            await echo(channel, b"y")

    with ble_nodes(tmp_path, air, 1) as (node,):
        asyncio.run(talk())
        assert node.event_data("dropped")[0] == 1, "the server hears that its peer is gone"


def test_a_request_that_nobody_waits_for_any_more_takes_its_response_along(
    tmp_path: Path, air: Air, caplog: pytest.LogCaptureFixture
) -> None:
    """A late response is neither the next request's nor a traceback of Bumble's on the terminal of who hung up."""
    from bleak import BleakClient

    from citymote_protocol.coap_gatt import UP

    air.conditions = Conditions(latency=(0.03, 0.04))
    adapter = air.adapter()

    async def talk() -> None:
        sighting = await find(adapter)
        client = BleakClient(
            sighting.device,  # type: ignore[arg-type]
            backend=adapter.client,
            **adapter.options,
        )
        await client.connect()
        for wait in (0.0, 0.01, 0.05):
            reading = asyncio.create_task(client.read_gatt_char(UP))
            await asyncio.sleep(wait)
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
            assert await client.read_gatt_char(UP) == b""
        reading = asyncio.create_task(client.read_gatt_char(UP))
        await asyncio.sleep(0.01)
        reading.cancel()
        await client.disconnect()

    with ble_nodes(tmp_path, air, 1):
        asyncio.run(talk())
    said = [record.getMessage() for record in caplog.records]
    assert [text for text in said if "response" in text or "Exception in callback" in text] == []


def test_a_scan_that_begins_as_another_ends_hears(tmp_path: Path, air: Air) -> None:
    """As `citymote provision` begins to look for its nodes where a scan has just found them."""
    adapter = air.adapter()

    async def hear() -> None:
        heard = asyncio.Event()
        first = BleakScanner(backend=adapter.scanner, **adapter.options)
        second = BleakScanner(lambda device, data: heard.set(), backend=adapter.scanner, **adapter.options)
        await first.start()
        await asyncio.gather(first.stop(), second.start())
        await asyncio.wait_for(heard.wait(), 10)
        await second.stop()

    with ble_nodes(tmp_path, air, 1):
        asyncio.run(hear())


def test_two_hosts_at_once(tmp_path: Path, air: Air) -> None:
    first, second = air.adapter("a"), air.adapter("b")

    async def talk() -> None:
        async with Channel(BleTransport(await find(first), radio=first)) as channel:
            await echo(channel, b"first")
            await until(lambda: air.connected() == ["n1"], "the node knows of its connection")
            busy = await find(second)
            assert busy.node == node_id(1), "a node that is talked to is still seen"
            with pytest.raises(Unreachable, match="not talking to somebody else"):
                async with Channel(BleTransport(busy, radio=second, timeout=0.5)):
                    pass
            await echo(channel, b"undisturbed")
        async with Channel(BleTransport(await find(second), radio=second)) as channel:
            await echo(channel, b"second")

    with ble_nodes(tmp_path, air, 1):
        asyncio.run(talk())


def test_whoever_says_nothing_is_hung_up_on(tmp_path: Path) -> None:
    with Air(speed=20) as air:
        adapter = air.adapter()

        async def talk() -> None:
            async with Channel(BleTransport(await find(adapter), radio=adapter)) as channel:
                await echo(channel, b"x")
                await until(lambda: air.connected() == [], "the node hangs up after a minute of its time")
                with pytest.raises(Disconnected):
                    await echo(channel, b"y")

        with ble_nodes(tmp_path, air, 1) as (node,):
            asyncio.run(talk())
            asyncio.run(until(lambda: node.event_data("dropped") != [], "the node says so"))
            (said,) = [event.now for event in node.events if event.name == "took"]
            (hung_up,) = [event.now for event in node.events if event.name == "dropped"]
            assert 60000 <= hung_up - said < 120000


def test_a_hundred_reconnects_leave_the_heap_as_it_was(tmp_path: Path, air: Air) -> None:
    adapter = air.adapter()
    more = """
import gc
async def watch():
    while True:
        await asyncio.sleep_ms(200)
        gc.collect()
        hal.event("heap", gc.mem_alloc())
asyncio.create_task(watch())
"""

    async def talk() -> None:
        sighting = await find(adapter)
        for _ in range(100):
            async with Channel(BleTransport(sighting, radio=adapter)) as channel:
                await echo(channel, bytes(200))
            await until(lambda: air.connected() == [], "the node knows that its peer is gone")
        looks = len(node.event_data("heap"))
        await until(lambda: len(node.event_data("heap")) >= looks + 5, "the node is looked at while nobody talks to it")

    with ble_node(tmp_path, air, more=more) as node:
        node.start()
        asyncio.run(talk())
        used = node.event_data("heap")
        assert len(node.event_data("dropped")) >= 99
    quarter = len(used) // 4
    early, late = min(used[quarter : 2 * quarter]), min(used[-quarter:])
    # One block of 16 bytes lost with each connection would be 1,200; what lies idle is 528 bytes more or less.
    assert late - early < 1000, f"{early} bytes were in use after a quarter of the connections, {late} at their end"


@pytest.mark.parametrize("count", [12, pytest.param(50, marks=pytest.mark.slow)])
def test_many_nodes_are_seen_and_say_what_they_are(tmp_path: Path, air: Air, count: int) -> None:
    """Twelve always; a street of fifty takes twenty seconds to start."""
    adapter = air.adapter()

    async def look() -> dict[str, Sighting]:
        seen: dict[str, Sighting] = {}
        async for sighting in citymote.scan(60, radio=adapter):
            seen[sighting.node] = sighting
            if len(seen) == count:
                break
        return seen

    with ble_nodes(tmp_path, air, count, state=2, detail=3):
        seen = asyncio.run(look())
    assert sorted(seen) == [node_id(i) for i in range(1, count + 1)]
    one = seen[node_id(7)]
    assert (one.state, one.detail, str(one.state)) == (State.TRIAL_FAILED, 3, "trial failed")
    assert one.rssi == air.rssi("n7", adapter.name)


def test_a_node_says_its_new_state_and_goes_out_of_range(tmp_path: Path, air: Air) -> None:
    adapter = air.adapter()
    more = """
async def later():
    await asyncio.sleep_ms(500)
    link.state(1)
asyncio.create_task(later())
"""

    async def look() -> list[State]:
        states: list[State] = []
        async for sighting in citymote.scan(20, radio=adapter):
            states.append(sighting.state)
            if sighting.state == State.SERVICE:
                break
        air.place("n1", 500)
        states += [sighting.state async for sighting in citymote.scan(0.5, radio=adapter)]
        return states

    with ble_node(tmp_path, air, more=more) as node:
        node.start()
        assert asyncio.run(look()) == [State.UNOWNED, State.SERVICE]


def test_out_of_range_ends_the_connection_on_both_sides(tmp_path: Path, air: Air) -> None:
    adapter = air.adapter()

    async def talk() -> None:
        async with Channel(BleTransport(await find(adapter), radio=adapter)) as channel:
            await echo(channel, b"near")
            air.place("n1", 1000)
            with pytest.raises(Disconnected):
                await echo(channel, b"far")
            await until(lambda: air.connected() == [], "the node notices too")

    with ble_nodes(tmp_path, air, 1):
        asyncio.run(talk())


def test_an_absent_node_and_a_stranger_are_told_apart(tmp_path: Path, air: Air) -> None:
    adapter = air.adapter()

    async def absent() -> None:
        with pytest.raises(Unreachable, match="does not answer"):
            async with Channel(BleTransport("C2:00:00:00:00:99", radio=adapter, timeout=0.3)):
                pass

    asyncio.run(absent())
    code = """
bluetooth = hal.bluetooth()
ble = bluetooth.BLE()
ble.active(True)
ble.gap_advertise(30000, b"\\x02\\x01\\x06", resp_data=b"\\x04\\x09pen")
await asyncio.sleep(1000)
"""
    from bleak import BleakScanner
    from tests.support.node import scripted

    async def stranger() -> None:
        device = await BleakScanner.find_device_by_name("pen", 10, backend=adapter.scanner, **adapter.options)
        assert device is not None
        with pytest.raises(Unreachable, match="does not speak CoAP over GATT"):
            async with Channel(BleTransport(device.address, radio=adapter)):
                pass
        seen = [sighting async for sighting in citymote.scan(0.3, radio=adapter)]
        assert seen == [], "what is not a node is not told of"

    with scripted(tmp_path, code, air=air, heap="60k") as node:
        node.start()
        with contextlib.suppress(KeyError):
            asyncio.run(stranger())
