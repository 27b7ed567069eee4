"""The wires between a virtual node and the host: every kind of bus, their faults, and exact instants."""

from __future__ import annotations

import errno
import re
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.node import ran, said, scripted

from citymote import resources
from citymote.testing import bridge, runtime
from citymote.testing.bridge import Wiring
from citymote.testing.emul.base import (
    AnalogInput,
    BusFault,
    I2CChip,
    Microphone,
    Nak,
    Pin,
    PulseInput,
    Timeout,
    UARTChip,
)

pytestmark = pytest.mark.usefixtures("run_vm")


class Memory(I2CChip):
    """A register file with automatic increment: the pointer is written first."""

    def __init__(self, address: int = 0x50) -> None:
        self.address = address
        self.cells = bytearray(range(256))
        self.pointer = 0
        self.transfers: list[tuple[int, str, bytes]] = []

    def power_up(self, now: int = 0) -> None:
        self.pointer = 0

    def write(self, now: int, data: bytes) -> None:
        self.transfers.append((now, "write", data))
        if data:
            self.pointer = data[0]
            self.cells[self.pointer : self.pointer + len(data) - 1] = data[1:]

    def read(self, now: int, count: int) -> bytes:
        self.transfers.append((now, "read", bytes([count])))
        return bytes(self.cells[self.pointer : self.pointer + count])


class Talker(UARTChip):
    """Sends one byte every 100 ms, counting; echoes what it hears in capitals."""

    def __init__(self, baudrate: int = 9600) -> None:
        self.baudrate = baudrate
        self.sent = 0
        self.out = b""
        self.heard = b""

    def receive(self, now: int, data: bytes) -> None:
        self.heard += data
        self.out += data.upper()

    def transmit(self, now: int) -> bytes:
        due = now // 100
        out, self.out = self.out + bytes(i & 0xFF for i in range(self.sent, due)), b""
        self.sent = due
        return out


def test_both_ends_of_the_bridge_have_the_same_numbers() -> None:
    source = (resources.firmware() / "node" / "hal" / "unix_bridge.py").read_text()
    node = {name: int(number) for name, number in re.findall(r"^([A-Z][A-Z0-9_]+) = (\d+)", source, re.MULTILINE)}
    host = {name: number for name in node if isinstance(number := getattr(bridge, name, None), int)}
    assert host == node


def test_i2c_carries_every_kind_of_transfer(tmp_path: Path) -> None:
    chip = Memory()
    answers = ran(
        tmp_path,
        """
        bus = hal.i2c("i2c0")
        say(bus.scan())
        say(bus.writeto(0x50, b"\\x10"))
        say(list(bus.readfrom(0x50, 4)))
        buf = bytearray(3)
        bus.readfrom_mem_into(0x50, 0x20, buf)
        say(list(buf))
        bus.writeto_mem(0x50, 0x30, b"\\xaa\\xbb")
        await asyncio.sleep_ms(1500)
        say(list(bus.readfrom_mem(0x50, 0x2f, 4)))
        """,
        wiring=Wiring({"i2c0": chip}),
    )
    assert answers == [[0x50], 1, [16, 17, 18, 19], [32, 33, 34], [0x2F, 0xAA, 0xBB, 0x32]]
    assert chip.transfers[-2:] == [(1500, "write", b"\x2f"), (1500, "read", b"\x04")]


def test_a_chip_that_sends_too_little_leaves_the_line_high(tmp_path: Path) -> None:
    chip = Memory()
    chip.cells = bytearray(b"\1\2")
    code = 'say(list(hal.i2c("i2c0").readfrom(0x50, 4)))'
    assert ran(tmp_path, code, wiring=Wiring({"i2c0": chip})) == [[1, 2, 255, 255]]


def test_several_chips_share_a_bus_by_address(tmp_path: Path) -> None:
    wiring = Wiring({"i2c0": [Memory(0x23), Memory(0x44)], "i2c1": Memory(0x44)})
    code = 'say(hal.i2c("i2c0").scan(), hal.i2c("i2c1").scan())'
    assert ran(tmp_path, code, wiring=wiring) == [([0x23, 0x44], [0x44])]


@pytest.mark.parametrize(
    ("raised", "number"),
    [
        (Nak(), errno.ENODEV),
        (Timeout(), errno.ETIMEDOUT),
        (BusFault(), errno.EIO),
        (OSError(errno.EBUSY, ""), errno.EBUSY),
    ],
)
def test_what_a_chip_raises_is_an_oserror_on_the_node(tmp_path: Path, raised: Exception, number: int) -> None:
    class Broken(I2CChip):
        address = 0x44

        def read(self, now: int, count: int) -> bytes:
            raise raised

    code = """
    try:
        hal.i2c("i2c0").readfrom(0x44, 1)
    except OSError as e:
        say(e.errno)
    """
    assert ran(tmp_path, code, wiring=Wiring({"i2c0": Broken()})) == [number]


def test_a_wire_breaks_and_is_repaired_at_exact_instants(tmp_path: Path) -> None:
    wiring = Wiring({"i2c0": Memory()})
    code = """
    bus = hal.i2c("i2c0")
    for i in range(6):
        try:
            bus.readfrom(0x50, 1)
            say(hal.uptime_ms(), 0)
        except OSError as e:
            say(hal.uptime_ms(), e.errno)
        await asyncio.sleep_ms(1000)
    """
    with scripted(tmp_path, code, wiring=wiring) as node:
        node.at(2000, lambda: wiring.fault("i2c0", errno.EIO))
        node.at(3001, lambda: wiring.fault("i2c0", None))
        node.at(4001, lambda: wiring.disconnect("i2c0", 0x50))
        node.start()
        node.wait(20)
        assert said(node) == [(0, 0), (1000, 0), (2000, errno.EIO), (3000, errno.EIO), (4000, 0), (5000, errno.ENODEV)]


def test_uart_carries_both_ways_and_its_receive_buffer_keeps_the_oldest_bytes(tmp_path: Path) -> None:
    chip = Talker()
    answers = ran(
        tmp_path,
        """
        line = hal.uart("uart0", 9600)
        say(line.any(), line.read())
        line.write(b"hello")
        say(line.read(3).decode(), line.any(), line.read().decode())
        await asyncio.sleep_ms(1000)
        buf = bytearray(4)
        say(line.readinto(buf), list(buf), line.any())
        line.read()
        await asyncio.sleep_ms(100000)
        got = line.read()
        say(len(got), got[0], got[-1])
        """,
        wiring=Wiring({"uart0": chip}),
    )
    assert chip.heard == b"hello"
    assert answers == [(0, None), ("HEL", 2, "LO"), (4, [0, 1, 2, 3], 6), (256, 10, 9)]


def test_a_line_at_another_speed_brings_garbage_one_way_and_nothing_the_other(tmp_path: Path) -> None:
    chip = Talker(baudrate=115200)
    code = """
    line = hal.uart("uart0", 9600)
    line.write(b"hello")
    await asyncio.sleep_ms(300)
    say(list(line.read()))
    """
    answers = ran(tmp_path, code, wiring=Wiring({"uart0": chip}))
    assert chip.heard == b""
    assert len(answers[0]) == 3
    assert answers[0] != [0, 1, 2]


def test_voltages_pulses_sound_and_pins(tmp_path: Path) -> None:
    class Vane(AnalogInput):
        def microvolts(self, now: int) -> int:
            return 1_250_000 + now

    class Cups(PulseInput):
        def count(self, now: int) -> int:
            return now // 10

    class Tone(Microphone):
        def samples(self, now: int, count: int) -> bytes:
            return struct.pack(f"<{count}i", *range(-1, count - 1))

        def schedule(self, now: int) -> tuple[bool, int]:
            return False, now + 5000

        def between(self, now: int, start: int, end: int) -> tuple[int, ...]:
            return (start, end, *range(15))

    class Switch(Pin):
        def __init__(self) -> None:
            self.changes: list[tuple[int, int]] = []

        def set(self, now: int, level: int) -> None:
            super().set(now, level)
            self.changes.append((now, level))

    switch = Switch()
    answers = ran(
        tmp_path,
        """
        import struct
        await asyncio.sleep_ms(1000)
        say(hal.adc("adc0").read_uv())
        cups = hal.counter("counter0")
        say(cups.value(), cups.value(0))
        await asyncio.sleep_ms(500)
        say(cups.value())
        stream = hal.i2s("i2s0", 48000)
        buf = bytearray(4 * 4800)
        at = hal.uptime_ms()
        n = await stream.readinto(buf)
        say(n, struct.unpack("<3i", buf), hal.uptime_ms() - at)
        say(stream.schedule(), stream.between(10, 20)[:3])
        power = hal.pin("sensors")
        power.value(1)
        say(power.value())
        """,
        wiring=Wiring({"adc0": Vane(), "counter0": Cups(), "i2s0": Tone(), "sensors": switch}),
    )
    assert answers == [1_251_000, (100, 100), 50, (19200, [-1, 0, 1], 100), ([0, 6600], [10, 20, 0]), 1]
    assert switch.changes == [(1600, 1)]


def test_open_inputs_are_silent(tmp_path: Path) -> None:
    answers = ran(
        tmp_path,
        """
        say(hal.adc("adc0").read_uv(), hal.counter("counter0").value())
        say(hal.uart("uart0", 9600).any(), hal.i2c("i2c0").scan())
        buf = bytearray(b"x" * 8)
        say(await hal.i2s("i2s0", 16000).readinto(buf), bytes(buf) == bytes(8), hal.i2s("i2s0", 16000).between(0, 5))
        """,
    )
    assert answers == [(0, 0), (0, []), (8, True, None)]


def test_a_mistake_in_an_emulator_is_raised_in_the_test_and_ends_the_node(tmp_path: Path) -> None:
    class Wrong(I2CChip):
        address = 0x44

        def read(self, now: int, count: int) -> bytes:
            raise ZeroDivisionError("in the emulator")

    with scripted(tmp_path, 'hal.i2c("i2c0").readfrom(0x44, 1)', wiring=Wiring({"i2c0": Wrong()})) as node:
        node.start()
        with pytest.raises(ZeroDivisionError, match="in the emulator"):
            node.wait(20)


def test_log_lines_and_events_carry_the_nodes_time(tmp_path: Path) -> None:
    code = """
    hal.log(1, "wind sensor \\u00e9")
    await asyncio.sleep_ms(70)
    hal.event("acked", {"seq": 7})
    """
    with scripted(tmp_path, code) as node:
        node.start()
        node.wait(20)
        assert [(line.now, line.level, line.text) for line in node.logs] == [(0, 1, "wind sensor é")]
        assert [(e.now, e.name, e.data) for e in node.events] == [(70, "acked", {"seq": 7})]


def test_a_node_killed_in_an_event_does_nothing_more(tmp_path: Path) -> None:
    code = """
    for i in range(10):
        say(i)
        await asyncio.sleep_ms(1)
    """
    with scripted(tmp_path, code) as node:
        node.on_event(lambda event: node.kill() if event.data == [4] else None)
        node.start()
        assert node.wait(20, check=False).code == -9
        assert said(node) == [0, 1, 2, 3, 4]


def test_a_node_whose_power_goes_while_it_starts_anew_stays_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
    if hal.reset_cause() == "power":
        hal.reset()
    await asyncio.sleep(3600)
    """
    with scripted(tmp_path, code, speed=1) as node:
        killing = threading.Thread(target=node.kill, daemon=True)
        spawn = node._spawn

        def spawned(cause: str) -> Any:
            if cause == "reset":
                killing.start()
            return spawn(cause)

        monkeypatch.setattr(node, "_spawn", spawned)
        node.start()
        node.wait(20, check=False)
        killing.join(20)
        assert not killing.is_alive() and not node.running
        assert [ending.code for ending in node.endings] == [85, -9]


def test_a_node_is_held_where_the_test_wants_it(tmp_path: Path) -> None:
    code = """
    while True:
        await asyncio.sleep_ms(1000)
        say(hal.uptime_ms())
    """
    with scripted(tmp_path, code) as node:
        node.run_until(3500)
        assert (node.now, said(node)) == (3500, [1000, 2000, 3000])
        node.run_until(5000)  # what is due at that instant has not happened yet
        assert (node.now, said(node)) == (5000, [1000, 2000, 3000, 4000])
        node.run_until(hours=1)
        assert (node.now, len(said(node))) == (3_600_000, 3599)


def test_two_runs_with_the_same_seed_draw_the_same_bytes_and_another_start_draws_others(tmp_path: Path) -> None:
    def drawn(folder: str, seed: int, starts: int) -> list[str]:
        (tmp_path / folder).mkdir()
        with scripted(tmp_path / folder, "say(hal.random(40).hex())", seed=seed) as node:
            for _ in range(starts):
                node.start()
                node.wait(20)
            return said(node)

    first = drawn("first", 1, 2)
    assert drawn("again", 1, 2) == first
    assert len({*first, *drawn("other", 2, 2)}) == 4


def test_a_reset_keeps_the_clock_that_a_power_cut_loses(tmp_path: Path) -> None:
    code = """
    say(hal.reset_cause(), hal.rtc(), hal.uptime_ms())
    if hal.reset_cause() == "power" and not len(hal.board()["sensors"]):
        hal.rtc(await hal.network_time())
        await asyncio.sleep_ms(60000)
        hal.reset()
    """
    with scripted(tmp_path, code, start_time=800_000_000) as node:
        node.start()
        node.wait(20)
        assert said(node) == [("power", None, 0), ("reset", 800_000_060, 0)]
        node.start(off=30_000)
        node.run_until(120_000)
        assert said(node)[2] == ("power", None, 0)
        assert (node.starts, node.time) == (3, 800_000_120)


def test_without_a_time_server_the_network_time_times_out(tmp_path: Path) -> None:
    code = """
    try:
        await hal.network_time()
    except OSError as e:
        say(e.errno)
    """
    assert ran(tmp_path, code, network_time=False) == [errno.ETIMEDOUT]


def test_chips_are_told_of_power_but_not_of_a_reset(tmp_path: Path) -> None:
    class Counted(Memory):
        ups: tuple[int, ...] = ()

        def power_up(self, now: int = 0) -> None:
            self.ups += (now,)

    chip = Counted()
    code = """
    await asyncio.sleep_ms(1000)
    if hal.reset_cause() == "power":
        hal.reset()
    """
    with scripted(tmp_path, code, wiring=Wiring({"i2c0": chip})) as node:
        node.start()
        node.wait(20)
        node.start(off=500)
        node.wait(20)
    assert chip.ups == (0, 2500)


def test_the_end_of_a_run_brings_the_nodes_own_count(tmp_path: Path) -> None:
    with scripted(tmp_path, 'hal.exit(0, {"frames": 3})') as node:
        node.start()
        ending = node.wait(20)
    assert (ending.code, ending.reason, ending.report["frames"]) == (0, "exit", 3)
    assert 10_000 < ending.report["heap_free"] < 110_000 * runtime.micropython(32).bits // 32


@pytest.mark.parametrize("told", [False, True])
def test_the_heap_is_told_only_where_frames_need_not_repeat(tmp_path: Path, told: bool) -> None:
    free, low = ran(tmp_path, "say(*hal.memory())", memory=told)[0]
    assert (free is not None and low is not None) == told
