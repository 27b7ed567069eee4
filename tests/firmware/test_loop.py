"""The virtual node's event loop: virtual time, deterministic order, asyncio's own semantics, and real peers."""

from __future__ import annotations

import resource
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.support.node import ran, scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("run_vm")
DAY = 86_400_000


def processor_time() -> float:
    """Seconds that processes which have ended took, whatever else the machine was doing."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_ten_days_of_timers_and_cancellations_pass_in_seconds_and_in_the_same_order(tmp_path: Path) -> None:
    code = """
    import hashlib
    digest = hashlib.sha256()
    woken = 0
    async def doze(ms):
        await asyncio.sleep_ms(ms)
    async def worker(name, period):
        nonlocal woken
        while hal.uptime_ms() < 10 * 86400000:
            sleeper = asyncio.create_task(doze(period * 7))
            await asyncio.sleep_ms(period)
            sleeper.cancel()
            woken += 1
            digest.update(b"%d %d;" % (name, hal.uptime_ms()))
    await asyncio.gather(*[worker(i, 30000 + i % 3 * 10000) for i in range(6)])
    say(hal.uptime_ms(), woken, digest.digest().hex())
    """
    began = processor_time()
    first = ran(tmp_path, code)
    assert processor_time() - began < 30
    assert ran(tmp_path, code) == first
    now, woken, _ = first[0]
    assert now >= 10 * DAY
    assert woken == 2 * (10 * DAY // 30_000 + 10 * DAY // 40_000 + 10 * DAY // 50_000)


def test_timeouts_beyond_the_range_of_ticks_are_exact(tmp_path: Path) -> None:
    said = ran(
        tmp_path,
        """
        async def late(ms):
            await asyncio.sleep_ms(ms)
            return ms
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 40 * 86400)
        except asyncio.TimeoutError:
            say("timeout", hal.uptime_ms())
        say(await asyncio.wait_for(late(30 * 86400000), 31 * 86400), hal.uptime_ms())
        """,
    )
    assert said == [("timeout", 40 * DAY), (30 * DAY, 70 * DAY)]


def test_tasks_due_at_the_same_instant_run_in_the_order_in_which_they_began_to_wait(tmp_path: Path) -> None:
    said = ran(
        tmp_path,
        """
        async def one(name, first, second):
            await asyncio.sleep_ms(first)
            await asyncio.sleep_ms(second)
            order.append(name)
        order = []
        # all due at 100: a waits for that from 90 on, b from 10 on, c from 50 on
        await asyncio.gather(one("a", 90, 10), one("b", 10, 90), one("c", 50, 50))
        say(order)
        """,
    )
    assert said == [["b", "c", "a"]]


def test_cancelling_reaches_a_task_wherever_it_waits(tmp_path: Path) -> None:
    said = ran(
        tmp_path,
        """
        async def inner():
            await asyncio.sleep_ms(1000)
        async def on_task():
            await asyncio.create_task(inner())
        async def on_gather():
            await asyncio.gather(inner(), inner())
        async def on_event():
            await asyncio.Event().wait()
        lock = asyncio.Lock()
        async def on_lock():
            async with lock:
                pass
        async def ready():
            await asyncio.sleep_ms(0)
        await lock.acquire()
        for wait in (inner, on_task, on_gather, on_event, on_lock, ready):
            task = asyncio.create_task(wait())
            await asyncio.sleep_ms(0)
            before = hal.uptime_ms()
            task.cancel()
            try:
                await task
                say("not cancelled", wait.__name__)
            except asyncio.CancelledError:
                say(task.done(), hal.uptime_ms() - before)
        """,
    )
    assert said == [(True, 0)] * 6


def test_wait_for_passes_on_results_errors_and_cancellation(tmp_path: Path) -> None:
    said = ran(
        tmp_path,
        """
        async def result():
            await asyncio.sleep_ms(5)
            return 7
        async def error():
            await asyncio.sleep_ms(5)
            raise ValueError("bad")
        async def stubborn():
            try:
                await asyncio.sleep_ms(10 ** 9)
            except asyncio.CancelledError:
                say("cancelled at", hal.uptime_ms())
                raise
        say(await asyncio.wait_for_ms(result(), 100))
        try:
            await asyncio.wait_for_ms(error(), 100)
        except ValueError as e:
            say(str(e))
        try:
            await asyncio.wait_for_ms(stubborn(), 90)
        except asyncio.TimeoutError:
            say("timeout")
        """,
    )
    assert said == [7, "bad", ("cancelled at", 100), "timeout"]


def test_an_error_that_nobody_awaits_reaches_the_exception_handler_once(tmp_path: Path) -> None:
    said = ran(
        tmp_path,
        """
        async def fails():
            raise ValueError("alone")
        asyncio.get_event_loop().set_exception_handler(lambda loop, context: say(str(context["exception"])))
        task = asyncio.create_task(fails())
        await asyncio.sleep_ms(10)
        say(task.done())
        """,
    )
    assert said == ["alone", True]


def test_a_node_in_which_nothing_can_ever_happen_says_so_and_ends(tmp_path: Path) -> None:
    with scripted(tmp_path, "await asyncio.Event().wait()") as node:
        node.start()
        assert node.wait(20, check=False).code == 1
        assert "nothing can wake one" in node.output()


@contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A peer on the loopback interface that holds one conversation."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                talk(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def slow_echo(peer: socket.socket) -> None:
    while data := peer.recv(1000):
        threading.Event().wait(0.15)  # longer than any scheduling delay, so that a clock that runs would show
        peer.sendall(data)


PING = """
async def ticking():
    while True:
        await asyncio.sleep_ms(1)
ticker = asyncio.create_task(ticking())
stream = await hal.connect("127.0.0.1", %d)
for i in range(3):
    await asyncio.sleep_ms(1000)
    await stream.write(b"ping%%d" %% i)
    stream.expect(1)
    at = hal.uptime_ms()
    got = await stream.readexactly(5)
    stream.expect(-1)
    say(got.decode(), hal.uptime_ms() - at)
stream.close()
"""


def test_virtual_time_stands_still_until_an_expected_reply_has_come(tmp_path: Path) -> None:
    with server(slow_echo) as port:
        assert ran(tmp_path, PING % port) == [("ping0", 0), ("ping1", 0), ("ping2", 0)]


def test_an_expected_reply_that_never_comes_meets_its_timeout_in_virtual_time(tmp_path: Path) -> None:
    done = threading.Event()
    with server(lambda peer: done.wait(20) and None) as port:
        said = ran(
            tmp_path,
            f"""
            stream = await hal.connect("127.0.0.1", {port})
            stream.expect(1)
            try:
                await asyncio.wait_for(stream.read(1), 60)
            except asyncio.TimeoutError:
                say(hal.uptime_ms())
            stream.close()
            await asyncio.sleep(86400)
            say(hal.uptime_ms())
            """,
            grace=100,
        )
        done.set()
    assert said == [60_000, 60_000 + DAY]


def test_a_peer_that_nobody_expects_anything_from_is_heard_before_time_jumps(tmp_path: Path) -> None:
    def talk(peer: socket.socket) -> None:
        peer.recv(1)
        peer.sendall(b"unasked")
        peer.recv(1)

    with server(talk) as port:
        said = ran(
            tmp_path,
            f"""
            async def listen():
                heard.append(await stream.read(7))
            heard = []
            stream = await hal.connect("127.0.0.1", {port})
            asyncio.create_task(listen())
            await stream.write(b"x")
            while not heard and hal.uptime_ms() < 10 ** 9:
                await asyncio.sleep_ms(100)
            say(heard[0].decode())
            """,
        )
    assert said == ["unasked"]


def test_a_refused_connection_is_an_oserror_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    said = ran(
        tmp_path,
        f"""
        try:
            await hal.connect("127.0.0.1", {port})
        except OSError as e:
            say(e.errno, hal.uptime_ms())
        """,
    )
    assert said == [(111, 0)]


def test_at_a_given_speed_virtual_time_follows_real_time(tmp_path: Path) -> None:
    with scripted(tmp_path, "await asyncio.sleep_ms(20000)\nsay(hal.uptime_ms())", speed=50) as node:
        began = time.monotonic()
        node.start()
        node.wait(20)
        assert node.event_data("said") == [[20_000]]
        assert time.monotonic() - began > 0.35


def test_a_task_whose_wait_has_just_run_out_is_stopped_all_the_same(tmp_path: Path) -> None:
    code = """
    from node.supervisor import stop
    async def stubborn():
        while True:
            try:
                await asyncio.wait_for_ms(asyncio.Event().wait(), 1000)
            except asyncio.TimeoutError:
                pass
    async def ended(turns, stops):
        task = asyncio.create_task(stubborn())
        await asyncio.sleep_ms(1000)
        for _ in range(turns):
            await asyncio.sleep_ms(0)
        if stops:
            await stop(task)
        else:
            task.cancel()
            await asyncio.sleep_ms(10)
        return task.done()
    for stops in (False, True):
        found = []
        for turns in range(5):
            found.append(await ended(turns, stops))
        say(found)
    """
    cancelled, stopped = ran(tmp_path, code)
    assert not all(cancelled), "one cancellation is lost at one of these instants"
    assert all(stopped)
