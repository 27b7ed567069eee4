"""CoAP over UDP and over a serial line end to end: the node's links in a real VM, the SDK's transports, damage between.

The air is there for its clock: a node in one runs as fast as the world around it.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.air import ECHO
from tests.support.node import ran, scripted

from citymote.testing.air import Air
from citymote.testing.bridge import Wiring
from citymote.testing.serial_line import SerialLine
from citymote.transports.base import Channel, Disconnected, NoRadio
from citymote.transports.serial import SerialTransport
from citymote.transports.udp import UdpTransport
from citymote_protocol.coap import CONTENT, POST, Message

SERIAL = """
from node.links.serial import SerialLink
link = SerialLink(hal, Echo(), hal.uart("uart1", 115200))
link.log("a line for people")
await link.run()
"""
UDP = """
from node.links.udp import UdpLink
await UdpLink(hal, Echo(), %d, "127.0.0.1").run()
"""


DOOR = """
from citymote_protocol.coap_udp import Udp
from node.access.door import Door
layer = Udp(hal.random)
door = Door(hal, None, {}, None, None)
for mid in range(5):
    assert layer.receive("x", bytes((0x70, 0, 0, mid)), 0) is None
    door.lost(layer)
say(len(layer.lost()))
"""


@pytest.fixture
def air() -> Iterator[Air]:
    with Air(seed=1) as air:
        yield air


async def echo(channel: Channel, payload: bytes) -> None:
    answer = await channel.request(Message(POST, b"", [], payload))
    assert (answer.code, answer.payload) == (CONTENT, payload)


def test_messages_and_text_share_a_serial_line(tmp_path: Path, air: Air) -> None:
    async def talk(port: str) -> list[str]:
        transport = SerialTransport(port)
        async with Channel(transport) as channel:
            for size in (0, 1, 300, 1000):
                await echo(channel, bytes(i & 255 for i in range(size)))  # the framing's own bytes among them
        return transport.text

    with SerialLine() as line, scripted(tmp_path, ECHO + SERIAL, wiring=Wiring({"uart1": line}), air=air) as node:
        node.start()
        text = asyncio.run(talk(line.port))
        assert node.event_data("took") == [[0, size] for size in (0, 1, 300, 1000)]
    assert text in ([], ["a line for people"])  # said before the port was opened: kept by the terminal, or not


def test_what_a_line_damages_is_said_again_and_done_once(tmp_path: Path, air: Air) -> None:
    spoilt: list[int] = []

    def damage(data: bytes) -> bytes:
        # the first answer's code, on its way to the host
        if spoilt or len(data) < 40:
            return data
        spoilt.append(len(data))
        return data[:8] + bytes((data[8] ^ 4,)) + data[9:]

    async def talk(port: str) -> None:
        async with Channel(SerialTransport(port)) as channel:
            await echo(channel, bytes(60))

    line = SerialLine(damage=damage)
    quiet = SERIAL.replace('link.log("a line for people")\n', "")
    with line, scripted(tmp_path, ECHO + quiet, wiring=Wiring({"uart1": line}), air=air) as node:
        node.start()
        asyncio.run(talk(line.port))
        assert node.event_data("took") == [[0, 60]]
    assert spoilt


def test_a_pulled_cable_and_a_missing_port_say_so(tmp_path: Path) -> None:
    async def pulled() -> None:
        line = SerialLine()
        async with Channel(SerialTransport(line.port)) as channel:
            line.close()
            with pytest.raises(Disconnected, match="Is the cable in"):
                await echo(channel, b"")

    async def missing() -> None:
        async with Channel(SerialTransport(str(tmp_path / "ttyUSB9"))):
            pass

    asyncio.run(pulled())
    with pytest.raises(NoRadio, match="cannot be opened"):
        asyncio.run(missing())


def test_messages_pass_over_udp_and_noise_is_passed_over(tmp_path: Path, air: Air) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]

    async def talk() -> None:
        async with Channel(UdpTransport("127.0.0.1", port)) as channel:
            await echo(channel, b"first")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
                for size in (0, 1, 4, 1153, 1500):
                    noise.sendto(random.Random(size).randbytes(size), ("127.0.0.1", port))
            for size in (0, 500, 1000):
                await echo(channel, bytes(size))

    # an address is no JSON: the echo tells of its peers by a number
    code = ECHO.replace("[peer, len", "[0, len") + UDP % port
    with scripted(tmp_path, code, air=air) as node:
        node.start()
        asyncio.run(talk())
        assert node.event_data("took") == [[0, size] for size in (5, 0, 500, 1000)]


def test_resets_for_a_node_that_nobody_talks_to_leave_nothing_behind(tmp_path: Path) -> None:
    assert ran(tmp_path, DOOR) == [0]
