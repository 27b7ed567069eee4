"""When a node's radio is in the air, and what it costs it: SPEC 16.7, 16.8 and 14.11 on the running node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.claimable import BOARD, DRAW, PACE, Street, street
from tests.support.node import ran
from tests.support.owner import Refused, sighted

from citymote.transports.base import Channel, TransportError
from citymote.transports.ble import BleTransport
from citymote_protocol import coap
from citymote_protocol.coap_client import request

from .test_nearby import heard

pytestmark = pytest.mark.usefixtures("micropython32")
MINUTE = 60_000
HOUR = 60 * MINUTE
SLACK = 20_000
"""ms that a window may open or close late: the uplink ends in between, and a radio is looked at every second."""


def windows(fresh: Street) -> list[tuple[tuple[int, int], int, int]]:
    """((state, reason), opened, closed) of every window since the last look."""
    found: list[Any] = []
    for event in list(fresh.node.events):
        if event.name == "service":
            if event.data["state"] is not None:
                found.append([(event.data["state"], event.data["detail"]), event.now, -1])
            else:
                found[-1][2] = event.now
    return [tuple(each) for each in found]


async def closed(fresh: Street, count: int) -> list[tuple[tuple[int, int], int, int]]:
    """The windows, once so many have closed."""
    async with asyncio.timeout(180):
        while len([each for each in windows(fresh) if each[2] >= 0]) < count:
            assert fresh.node.running, fresh.node.last_words()
            await asyncio.sleep(0.05)
    return windows(fresh)


def proven(fresh: Street, speed: float, change: Callable[[], Any] = lambda: None) -> int:
    """A node with an owner and a configuration that works, started anew; when. While its radio is on it lives at
    `speed`, otherwise as fast as it can."""
    asyncio.run(fresh.provision())
    fresh.node.kill()
    change()
    fresh.node.speed, fresh.air.speed = 0, speed
    fresh.node.events.clear()
    fresh.node.start(off=1000)
    return fresh.node.now


def test_a_lost_uplink_opens_the_radio_for_five_minutes_in_every_hour(tmp_path: Path) -> None:
    with street(tmp_path) as fresh:
        begun = proven(fresh, 400, lambda: fresh.wifi.keys.update(city="another key"))
        first, second = asyncio.run(closed(fresh, 2))[:2]
        fresh.wifi.keys["city"] = "correct horse"
        fresh.node.events.clear()
        asyncio.run(fresh.until("connected", lambda _: True))
    assert [first[0], second[0]] == [(3, 2), (3, 2)], "the network refuses the key"
    assert HOUR <= first[1] - begun <= HOUR + SLACK
    assert HOUR <= second[1] - first[1] <= HOUR + SLACK
    for _, opened, shut in (first, second):
        assert 5 * MINUTE <= shut - opened <= 5 * MINUTE + SLACK


def test_a_short_press_opens_the_radio_for_a_quarter_of_an_hour_and_a_long_one_does_not(tmp_path: Path) -> None:
    with street(tmp_path) as fresh:
        pressed: list[int] = []

        def press() -> None:
            at = fresh.node.now + 10 * MINUTE
            for begin, end in ((at, at + 4000), (at + MINUTE, at + MINUTE + 1000)):
                fresh.node.at(begin, lambda: setattr(fresh.button, "level", 0))
                fresh.node.at(end, lambda: setattr(fresh.button, "level", 1))
            pressed.append(at + MINUTE + 1000)

        proven(fresh, 1000, press)
        ((state, opened, shut),) = asyncio.run(closed(fresh, 1))
    assert state == (1, 0)
    assert 0 <= opened - pressed[0] <= SLACK
    assert 15 * MINUTE <= shut - opened <= 15 * MINUTE + SLACK


def test_a_window_that_was_asked_for_stays_while_it_is_used_and_closes_when_it_is_quiet(tmp_path: Path) -> None:
    with street(tmp_path) as fresh:

        async def again() -> None:
            fresh.node.events.clear()
            if not fresh.node.running:
                fresh.node.start()
            await fresh.until("connected", lambda _: True)

        async def talk() -> None:
            await fresh.provision()
            fresh.node.kill()
            fresh.node.speed = fresh.air.speed = PACE  # faster, and a handshake takes longer than a node waits
            await again()
            async with fresh.far() as session:
                await session.access(fresh.owner, fresh.id, "installer")
                fresh.node.events.clear()
                await session.ask(coap.POST, "reset", [6, 1])
            async with fresh.near(state=1) as session:
                await session.access(fresh.owner, fresh.id, "installer")
                opened = windows(fresh)[0][1]
                while fresh.node.now - opened < MINUTE + 20_000:
                    asked = fresh.node.now
                    assert (await session.info())[9] == 1
                    await asyncio.sleep(0.2)
                used = fresh.node.now
            ((_, _, shut),) = await closed(fresh, 1)
            assert shut - asked >= MINUTE
            assert shut - used + 5_000 <= MINUTE + SLACK
            await again()
            async with fresh.far() as session:
                await session.access(fresh.owner, fresh.id, "installer")
                fresh.node.events.clear()
                await session.ask(coap.POST, "reset", [6, 1000])
            async with fresh.near(state=1) as session:
                await session.access(fresh.owner, fresh.id, "installer")
                await session.ask(coap.POST, "reset", [5])
            ((_, opened, shut),) = await closed(fresh, 1)
            assert shut - opened < 5 * MINUTE, "who is done says so"

        asyncio.run(talk())


def test_a_stranger_who_talks_on_keeps_no_window_open(tmp_path: Path) -> None:
    """Not even where the owner was there a moment ago, over another road: the uplink is closed meanwhile."""
    with street(tmp_path) as fresh:

        async def talk() -> None:
            await fresh.provision()
            fresh.node.kill()
            fresh.node.events.clear()
            fresh.node.speed = fresh.air.speed = PACE
            fresh.node.start()
            await fresh.until("connected", lambda _: True)
            async with fresh.far() as session:
                await session.access(fresh.owner, fresh.id, "installer")
                fresh.node.events.clear()
                await session.ask(coap.POST, "reset", [6, 1])
            sighting = await sighted(fresh.adapter, fresh.id, state=1)
            said = 0
            async with Channel(BleTransport(sighting, radio=fresh.adapter)) as channel:
                opened = windows(fresh)[0][1]
                while fresh.node.now - opened < 3 * MINUTE:
                    try:
                        answer = await channel.request(request(coap.GET, "info"), timeout=5)
                    except TransportError:
                        break
                    assert answer.code == coap.UNAUTHORIZED
                    said += 1
            ((_, opened, shut),) = await closed(fresh, 1)
            assert said > 20
            assert MINUTE - 1_000 <= shut - opened <= MINUTE + SLACK, "it counts from the request"

        asyncio.run(talk())


def test_safe_mode_answers_in_the_air_and_through_the_broker(tmp_path: Path) -> None:
    with street(tmp_path) as fresh:

        async def refused(work: Any) -> tuple[str, str]:
            with pytest.raises(Refused) as found:
                await work
            return found.value.code, found.value.word

        async def talk() -> None:
            await fresh.provision()
            fresh.node.kill()
            crashed = """
            hal.mount()
            from node import files
            files.save("/config/crashes", bytes((3,)))
            """
            ran(fresh.folder, crashed, board=BOARD)
            fresh.node.events.clear()
            fresh.node.start()
            async with fresh.near(state=5) as session:
                await session.access(fresh.owner, fresh.id)
                info = await session.info()
                assert info[9] == 5 and 12 not in info and 13 not in info, "it has neither store nor rows"
                assert "safe mode" in (await session.ask(coap.GET, "log")).decode()
                assert await refused(session.ask(coap.GET, "live")) == ("5.03", "no_row")
                assert await refused(session.ask(coap.GET, "update")) == ("5.03", "slots"), "this board has none"
                assert (await session.ask(coap.GET, "config"))["broker_port"] == fresh.broker.port
                await session.ask(coap.POST, "reset", [5])
            await closed(fresh, 1)
            await fresh.until("connected", lambda _: True)
            async with fresh.far() as session:
                await session.access(fresh.owner, fresh.id)
                assert 9 not in await session.info()

        asyncio.run(talk())
        assert fresh.node.event_data("safe") == [None]


def test_readings_nearby_are_silent_while_the_radio_is_open_for_service(tmp_path: Path) -> None:
    with street(tmp_path) as fresh:
        display = fresh.air.adapter("display")

        async def talk() -> None:
            await fresh.provision(nearby="temperature", interval=1)
            fresh.node.events.clear()
            fresh.node.restart()
            await fresh.until("connected", lambda _: True)
            await heard(display, bool)
            async with fresh.far() as session:
                await session.access(fresh.owner, fresh.id, "installer")
                async with asyncio.timeout(60):
                    while 6 not in await session.info():
                        pass  # the time, which the network tells a little later
                await session.ask(coap.POST, "reset", [6, 30])
            async with fresh.near(state=1) as session:
                await session.access(fresh.owner, fresh.id, "installer")
                begun = (await session.info())[6]
                hearing = asyncio.create_task(heard(display, bool))
                while (await session.info())[6] - begun < 8:
                    pass
                assert not hearing.done(), "eight rows, and not a word of them"
                await session.ask(coap.POST, "reset", [5])
            await hearing

        asyncio.run(talk())
        assert not [line.text for line in fresh.node.logs if line.level == 0], "the window opens at once"


CLOSING = """
import gc
from node import app
from node.journal import Journal
hal.mount()
hal.deployed = lambda: False
log = Journal(lambda level, text: None, lambda: 0)
settings, door = app._place(log, app._settings(log))
door.name = b"123456"
for _ in range(4):
    gc.collect()
    before = gc.mem_alloc()
    desk = door.open()
    from node.access import opening
    for name in opening.PASSING + opening.CLOSED:
        if "sound" not in name:
            __import__(name)
    desk.server.echo()
    desk.server.transfers()
    name = opening = None
    gc.collect()
    open = gc.mem_alloc()
    desk = None
    door.close()
    gc.collect()
    say(before, open, gc.mem_alloc())
"""


def test_a_closed_desk_gives_its_memory_back(tmp_path: Path) -> None:
    """Whatever requests have loaded; the first round leaves what names take in MicroPython's own table."""
    ran(tmp_path, DRAW, board=BOARD)
    rounds = ran(tmp_path, CLOSING, board=BOARD, heap="400k")
    for before, opened, after in rounds[1:]:
        assert opened - before > 30_000
        assert after - before < 600
