"""A board asks a time server: `hal/esp32.py`'s own question, on MicroPython, and servers that answer rightly or not.

The chip's modules are empty here; sockets, the question and what is made of the answer are real.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support import vm

ASK = """
import asyncio
import hal.esp32 as board
real = board.socket

class Here:
    SOCK_DGRAM = real.SOCK_DGRAM
    socket = real.socket

    @staticmethod
    def getaddrinfo(host, port, *more):
        print(host, port)
        return real.getaddrinfo("127.0.0.1", PORT, *more)

board.socket = Here
try:
    print(asyncio.run(board.network_time()))
except OSError as e:
    print("OSError", e.errno)
"""
EINVAL, ETIMEDOUT = 22, 110


def seconds_1900(moment: datetime) -> int:
    return round((moment - datetime(1900, 1, 1, tzinfo=UTC)).total_seconds())


@contextmanager
def server(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """Its port; answers one question."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ours.settimeout(20)

        def serve() -> None:
            asked, peer = ours.recvfrom(512)
            said = answer(asked)
            if said:
                ours.sendto(said, peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield ours.getsockname()[1]
        thread.join(20)


def said(asked: bytes, at: datetime, *, mode: int = 4, leap: int = 0, stratum: int = 2, cookie: bytes = b"") -> bytes:
    """RFC 4330's answer to that question."""
    assert len(asked) == 48
    assert asked[0] & 7 == 3, "a client's question"
    head = bytes([leap << 6 | 4 << 3 | mode, stratum, 6, 0xEC]) + bytes(20)
    stamp = struct.pack("!II", seconds_1900(at) % 2**32, 0)
    return head + (cookie or asked[40:48]) + stamp + stamp


@pytest.fixture
def ask(tmp_path: Path, run_vm: Callable[..., vm.Result]) -> Callable[[Callable[[bytes], bytes]], list[str]]:
    """What the node says when such a server answers it."""
    (tmp_path / "hal").mkdir()
    for compiled in (vm.application(vm.best(32).bits) / "node" / "hal").glob("*.mpy"):
        if compiled.stem != "__init__":
            (tmp_path / "hal" / compiled.name).write_bytes(compiled.read_bytes())
    for builtin in ("machine", "esp32", "network"):
        (tmp_path / f"{builtin}.py").write_text("")

    def run(answer: Callable[[bytes], bytes]) -> list[str]:
        with server(answer) as port:
            lines = run_vm(ASK.replace("PORT", str(port)), heap="300k", path=[tmp_path]).checked().stdout.splitlines()
        host, asked = lines[0].split()
        assert (host.count("."), asked) == (2, "123")
        return lines[1:]

    return run


Ask = Callable[[Callable[[bytes], bytes]], list[str]]


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC),
        datetime(2034, 1, 10, 13, 37, 4, tzinfo=UTC),  # MicroPython's small integers end here
        datetime(2036, 2, 7, 6, 28, 15, tzinfo=UTC),  # the last second of NTP's first era
        datetime(2036, 2, 7, 6, 28, 16, tzinfo=UTC),
        datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC),  # unsigned Unix time
        datetime(2135, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
    ids=str,
)
def test_the_time_is_right_beyond_the_ends_of_others_clocks(ask: Ask, moment: datetime) -> None:
    since = round((moment - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds())
    assert ask(lambda asked: said(asked, moment)) == [str(since)]


NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "answer",
    [
        lambda asked: said(asked, NOW, cookie=b"somebody"),
        lambda asked: said(asked, NOW, leap=3),
        lambda asked: said(asked, NOW, stratum=0),
        lambda asked: said(asked, NOW, stratum=16),
        lambda asked: said(asked, NOW, mode=3),
        lambda asked: said(asked, NOW)[:47],
    ],
    ids=["another-question", "not-synchronised", "kiss-of-death", "stratum-16", "no-server", "short"],
)
def test_an_answer_that_is_none_is_not_believed(ask: Ask, answer: Callable[[bytes], bytes]) -> None:
    assert ask(answer) == [f"OSError {EINVAL}"]


def test_a_server_that_says_nothing_is_a_timeout(ask: Ask) -> None:
    assert ask(lambda asked: b"") == [f"OSError {ETIMEDOUT}"]
