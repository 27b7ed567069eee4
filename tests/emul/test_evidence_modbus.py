"""Modbus RTU and the SenseCAP ONE against published frames, and in the ways in which a line fails."""

from __future__ import annotations

import importlib
import random
from typing import Any

import pytest
from tests.emul.wires import Clock, LocalUART, Wire, World

from citymote.testing.emul.base import Source, UARTChip
from citymote.testing.emul.modbus import crc16
from citymote.testing.emul.sensecap_one import SenseCAPOne


def always(value: float | None) -> Source:
    return lambda now: value


def module(name: str) -> Any:
    return importlib.import_module(f"node.drivers.{name}")


def code_of(table: World) -> int:
    with pytest.raises(module("fault").Fault) as told:
        table.reading()
    return told.value.code


class Parrot(UARTChip):
    """Answers a question with given bytes."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = {bytes.fromhex(question): bytes.fromhex(answer) for question, answer in answers.items()}
        self._out = b""

    def receive(self, now: int, data: bytes) -> None:
        self._out = self.answers[data]

    def transmit(self, now: int) -> bytes:
        out, self._out = self._out, b""
        return out


# ---------------------------------------------------------------- frames that others published

# Seeed, user manual of the SenseCAP ONE, pages 31 and 50, and Seeed's wiki, "SenseCAP ONE Compact Weather Sensor",
# chapter Modbus-RTU: frames with their CRCs.
PUBLISHED = (
    "01 04 00 00 00 02 71 CB",
    "01 04 04 00 00 6E 8C D6 41",
    "0A 04 00 00 00 06 71 73",
    "0A 04 00 08 00 0C 70 B6",
    "26 04 00 30 00 04 F7 11",
    "26 04 08 00 00 90 88 00 00 A4 10 13 FA",
    "2B 04 04 00 0C EC 98 FD 2F",
    "01 84 01 82 C0",
    "01 84 04 42 C3",
)
# The wiki's wind of an S500: direction least 0, greatest 224.9, mean 248.0 degrees, speed least 0, greatest 1.212, mean
# 0.528 m/s. It prints a byte count of 0C there; the CRC that it prints beside is right for 18, which there are.
WIND = "0A 04 18 00 00 00 00 00 03 6E 84 00 03 C8 C0 00 00 00 00 00 00 04 BC 00 00 02 10 BC 78"


@pytest.mark.parametrize("text", [*PUBLISHED, WIND])
def test_the_crc_of_published_frames(text: str) -> None:
    frame = bytes.fromhex(text)
    modbus = module("modbus")
    assert crc16(frame[:-2]) == frame[-2:]
    assert modbus.crc16(frame, len(frame)) == 0
    if len(frame) == 8:
        value = frame[2] << 8 | frame[3], frame[4] << 8 | frame[5]
        assert modbus.request(frame[0], frame[1], *value) == frame


def test_the_wind_of_an_s500_as_published() -> None:
    chip = Parrot({"0A 04 00 08 00 0C 70 B6": WIND})
    assert World(module("sensecap_one").DRIVER, chip, {"address": 10}).reading() == [(6, 5, 0), (5, 248, 0)]


def test_the_climate_of_an_s500_as_published() -> None:
    """The wiki's S500: 28.80 degrees, 38.16 %RH, 1011.60 hPa (7080, 9510, 6079440); below zero is two's complement, as
    its example FFFFFC18 for -1 degree.
    """
    rest = "0000000000000000 00036E84 0003C8C0 00000000 000004BC 00000210"
    for temperature, tenths in (("00007080", 288), ("FFFFFC18", -10)):
        body = bytes.fromhex(f"0A0428 {temperature} 00009510 06079440 {rest}")
        question = module("modbus").request(10, 4, 0, 20)
        chip = Parrot({question.hex(): (body + crc16(body)).hex()})
        readings = World(module("sensecap_one").DRIVER, chip, {"address": 10, "climate": True}).reading()
        assert readings == [(6, 5, 0), (5, 248, 0), (3, tenths, 0), (4, 382, 0), (14, 10116, 0)]


def test_the_emulated_device_sends_published_bytes() -> None:
    chip = SenseCAPOne(always(0.528), always(248.0), always(28.3), always(38.16), always(1011.6), address=1)
    chip.receive(0, bytes.fromhex("01 04 00 00 00 02 71 CB"))
    assert chip.transmit(20) == b"", "it takes its time"
    assert chip.transmit(100) == bytes.fromhex("01 04 04 00 00 6E 8C D6 41")
    chip.failure = 4
    chip.receive(200, bytes.fromhex("01 04 00 00 00 02 71 CB"))
    assert chip.transmit(300) == bytes.fromhex("01 84 04 42 C3")


# ---------------------------------------------------------------- when things go wrong


def test_exceptions_become_qualities() -> None:
    """Seeed's 1 and 4 (a probe inside does not answer, or fails) reject; an address that it has not is another
    device's; busy is warming up.
    """
    for code, quality in ((1, 1), (4, 1), (2, 12), (3, 12), (6, 10)):
        chip = SenseCAPOne(always(1.0), always(90.0))
        chip.failure = code
        assert code_of(World(module("sensecap_one").DRIVER, chip)) == quality
    assert (
        code_of(World(module("sensecap_one").DRIVER, SenseCAPOne(always(1.0), always(90.0)), {"climate": True})) == 12
    )


def test_another_address_a_foreign_frame_and_an_echo() -> None:
    table = World(module("sensecap_one").DRIVER, SenseCAPOne(always(1.0), always(90.0), address=45))
    assert code_of(table) == 8, "nobody of that address"

    class Chatter(SenseCAPOne):
        """A line on which the request comes back, and another device's answer lies before ours."""

        def transmit(self, now: int) -> bytes:
            own = super().transmit(now)
            return bytes.fromhex("2C040008000C") + bytes.fromhex(PUBLISHED[1]) + own if own else b""

    table = World(module("sensecap_one").DRIVER, Chatter(always(7.3), always(211.0)))
    assert table.reading() == [(6, 73, 0), (5, 211, 0)]


def test_a_line_that_never_falls_silent_is_the_wrong_device() -> None:
    class Endless(UARTChip):
        def transmit(self, now: int) -> bytes:
            return bytes(random.Random(now).randbytes(40))

    assert code_of(World(module("sensecap_one").DRIVER, Endless())) == 12


def test_a_late_answer_is_waited_for_and_a_short_one_is_said_to_be_short() -> None:
    class Late(SenseCAPOne):
        delay = 90

    assert World(module("sensecap_one").DRIVER, Late(always(1.0), always(90.0))).reading() == [(6, 10, 0), (5, 90, 0)]

    class Short(SenseCAPOne):
        def transmit(self, now: int) -> bytes:
            return super().transmit(now)[:11]

    assert code_of(World(module("sensecap_one").DRIVER, Short(always(1.0), always(90.0)))) == 13


def test_beyond_its_range_and_the_full_circle() -> None:
    table = World(module("sensecap_one").DRIVER, SenseCAPOne(always(61.0), always(359.7)))
    assert table.reading() == [(6, 610, 11), (5, 0, 0)]


class DirectionPin:
    def __init__(self, log: list[tuple[str, bytes]]) -> None:
        self._log = log

    def value(self, level: int) -> None:
        self._log.append(("direction", bytes((level,))))


def test_the_direction_pin_is_high_until_the_last_bit_is_out() -> None:
    clock = Clock()
    bus = LocalUART(clock, SenseCAPOne(always(4.0), always(10.0)), Wire())
    driver = module("sensecap_one").DRIVER(bus, DirectionPin(bus.log))
    clock.now += driver.start()
    assert [kind for kind, _ in bus.log if kind != "any"] == ["direction", "write", "flush", "direction"]
    assert [data for kind, data in bus.log if kind == "direction"] == [b"\x01", b"\x00"]
    assert driver.start() == 0
    assert list(driver.read()) == [(6, 40, 0), (5, 10, 0)]


def test_the_direction_pin_lets_the_line_go_when_writing_fails() -> None:
    bus = LocalUART(Clock(), None, Wire())
    bus.wire.broken = None
    driver = module("sensecap_one").DRIVER(bus, DirectionPin(bus.log))

    def refuse(buf: bytes) -> int:
        raise OSError(5, "broken")

    bus.write = refuse
    with pytest.raises(OSError):
        driver.start()
    assert bus.log[-1] == ("direction", b"\x00")
