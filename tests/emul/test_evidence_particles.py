"""Dust sensors against bytes that others captured: SPS30 on both its buses, PMS5003 and SDS011.

Every test names its source. What a source calls a value is compared at the registry's resolution.
"""

from __future__ import annotations

import importlib
import struct

import pytest
from tests.emul.cases import always
from tests.emul.wires import World, driver

from citymote.testing.emul import sds011, sensirion, sps30_uart
from citymote.testing.emul.base import UARTChip
from citymote.testing.emul.pms5003 import PMS5003, frame
from citymote.testing.emul.sps30 import SPS30

# ---------------------------------------------------------------- SPS30

# Real SPS30, UART, 2021-09-07: captured and decoded by PyPMS (avaldebe/PyPMS, tests/captured_data/SPS30.hexdump, .txt);
# byte stuffing undone. The floats are the same on I2C, cut into words with CRCs.
SPS30_CAPTURE = (
    ("40a7832041 1777bb 414a5f83 41548ddd 41d2833e 4233fc85 42261722 4229a4d9 422a29bc 3f55b7e7", (52, 95, 126, 133)),
    ("40b9c67f 41036c8b 411e4ae2 4123aa92 420c5b7c 422efdba 4238cab3 423ab2c9 423afde9 3f4a1025", (58, 82, 99, 102)),
    ("4107d461 41261c2a 41384ccf 413bf01a 425e17d0 4283d221 42875270 4287fd97 42881ac2 3f3e47c7", (85, 104, 115, 117)),
    ("410c4387 412b1eda 413d921e 414142bc 42659c10 42882f76 428bbe32 428c6c00 428c89b8 3f3e5a83", (88, 107, 118, 121)),
)


@pytest.mark.parametrize(("payload", "tenths"), SPS30_CAPTURE)
def test_sps30_as_captured(payload: str, tenths: tuple[int, ...]) -> None:
    raw = bytes.fromhex(payload.replace(" ", ""))
    values = struct.unpack(">10f", raw)
    chip = SPS30(
        *(always(values[i]) for i in (0, 1, 3, 2)),
        numbers=tuple(always(v) for v in values[4:9]),  # pyright: ignore[reportArgumentType]
    )
    table = World(driver("sps30"), chip, {"number_concentration": True})
    readings = table.reading()
    assert tuple(value for _, value, _ in readings[:4]) == tenths, "what PyPMS printed, in tenths of ug/m3"
    assert [value for _, value, _ in readings[4:]] == [round(v * 100) for v in values[4:9]]
    sent = next(data for kind, data in reversed(table.bus.log) if kind == "read" and len(data) == 54)
    assert sensirion.without_crc(sent) == raw[:36], "the emulator sends the captured floats"


# As it stood on the wire, two frames of the same capture: the second and the sixth have stuffed bytes.
SPS30_FRAMES = (
    "7e0003002840df03da417d3162ae41279e32412c107d5e42307d5ed34255c04c425e0908425fa28a425fe4433f40fa1fff7e",
    "7e00030028410c4387412b1eda413d921e414142bc42659c1042882f76428bbe32428c6c00428c89b83f3e5a83897e",
)


@pytest.mark.parametrize("text", SPS30_FRAMES)
def test_sps30_uart_as_captured(text: str) -> None:
    raw = bytes.fromhex(text)
    body = sps30_uart.unstuff(raw[1:-1])
    assert body is not None, "the sum of a real frame is right"
    assert sps30_uart.stuff(body) == raw
    values = struct.unpack(">10f", body[4:])
    numbers = tuple(always(v) for v in values[4:9])
    chip = sps30_uart.SPS30UART(
        *(always(values[i]) for i in (0, 1, 3, 2)), (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])
    )
    readings = World(driver("sps30_uart"), chip).reading()
    expected = [round(v * 10) for v in values[:4]] + [round(v * 100) for v in values[4:9]]
    assert [value for _, value, _ in readings] == expected


def test_sps30_uart_examples_of_the_datasheet() -> None:
    """DS 5.3, the frames printed as examples: start measurement, stop, read values, product type."""
    shdlc = importlib.import_module("node.drivers.sps30_uart").shdlc
    assert shdlc(0x00, b"\x01\x03") == bytes.fromhex("7e0000020103f97e")
    assert shdlc(0x01, b"") == bytes.fromhex("7e000100fe7e")
    assert shdlc(0x03, b"") == bytes.fromhex("7e000300fc7e")
    assert shdlc(0xD0, b"\x00") == bytes.fromhex("7e00d001002e7e")


def test_sps30_uart_refuses_to_wake_when_awake_as_logged() -> None:
    """A real chip's log, raspberrypi.stackexchange.com/questions/137657: 7E 00 11 00 EE 7E is answered with
    7E 00 7D 31 43 00 AB 7E.
    """
    chip = sps30_uart.SPS30UART(always(1.0), always(1.0), always(1.0))
    chip.receive(0, bytes.fromhex("7e001100ee7e"))
    assert chip.transmit(20) == bytes.fromhex("7e007d314300ab7e")


# ---------------------------------------------------------------- PMS5003

# Real PMSx003, 2020-09-27, captured and decoded by PyPMS (tests/captured_data/PMSx003.hexdump, .txt)
PMS_CAPTURE = (
    ("424d001c000000080008000000080008 00d20046002d001e00000000970002c5", (0, 8, 8)),
    ("424d001c000000070007000000070007 00bd003f002a001b000000009700029f", (0, 7, 7)),
    ("424d001c000000060006000000060006 009f0035001a0012000000009700025a", (0, 6, 6)),
    ("424d001c000000050005000000050005 008a002e0017000f0000000097000234", (0, 5, 5)),
)


class Parrot(UARTChip):
    """Says the same after every question."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self._out = b""

    def receive(self, now: int, data: bytes) -> None:
        if data[2] == 0xE2:
            self._out = self._reply

    def transmit(self, now: int) -> bytes:
        out, self._out = self._out, b""
        return out


@pytest.mark.parametrize(("captured", "masses"), PMS_CAPTURE)
def test_pms5003_as_captured(captured: str, masses: tuple[int, int, int]) -> None:
    raw = bytes.fromhex(captured.replace(" ", ""))
    table = World(driver("pms5003"), Parrot(raw))
    assert table.reading() == [(13, masses[0] * 10, 0), (1, masses[1] * 10, 0), (2, masses[2] * 10, 0)]
    assert frame(raw[4:30]) == raw, "the emulator's header and sum"
    chip = PMS5003(*(always(v) for v in masses))
    for command in (b"\x42\x4d\xe1\x00\x00\x01\x70", b"\x42\x4d\xe2\x00\x00\x01\x71"):
        chip.receive(0, command)
    sent = chip.transmit(1000)
    assert sent[8:24] == raw[:16], "header and masses as the real one sends them"
    assert sent[-4:-2] == raw[-4:-2], "version and error byte"


def test_pms5003_command_answers() -> None:
    """PMSx003 answers as listed in PyPMS and in other people's notes: mode passive 42 4D 00 04 E1 00 01 74, active
    42 4D 00 04 E1 01 01 75, sleep 42 4D 00 04 E4 00 01 77.
    """
    chip = PMS5003(always(1.0), always(1.0), always(1.0))
    for command, expected in (
        ("424de100000170", "424d0004e1000174"),
        ("424de100010171", "424d0004e1010175"),
        ("424de400000173", "424d0004e4000177"),
    ):
        chip.receive(0, bytes.fromhex(command))
        assert chip.transmit(500) == bytes.fromhex(expected)


# ---------------------------------------------------------------- SDS011

# Real SDS011, 2020-09-27, captured and decoded by PyPMS (tests/captured_data/SDS01x.hexdump, .txt)
SDS_CAPTURE = (("aac00600060058d93dab", 6), ("aac00900090058d943ab", 9), ("aac00800080058d941ab", 8))


@pytest.mark.parametrize(("captured", "tenths"), SDS_CAPTURE)
def test_sds011_as_captured(captured: str, tenths: int) -> None:
    chip = sds011.SDS011(always(tenths / 10), always(tenths / 10), identity=b"\x58\xd9")
    table = World(driver("sds011"), chip)
    assert table.reading() == [(1, tenths, 0), (2, tenths, 0)]
    assert table.bus.log[-1] == ("read", bytes.fromhex(captured))


def test_sds011_examples_of_the_control_protocol() -> None:
    """Control Protocol V1.3, the examples of 3.2 (123.6 and 261.8 ug/m3), 3.4 and 3.6, and the commands that
    others send.
    """
    command = importlib.import_module("node.drivers.sds011").command
    assert command(6, 1, 0) == bytes.fromhex("aab4060100 00000000000000000000 ffff05ab".replace(" ", ""))
    assert command(6, 1, 1) == bytes.fromhex("aab4060101 00000000000000000000 ffff06ab".replace(" ", ""))
    assert command(4, 0, 0) == bytes.fromhex("aab4040000 00000000000000000000 ffff02ab".replace(" ", ""))
    chip = sds011.SDS011(always(123.6), always(261.8))
    for question, reply in (
        (command(2, 1, 1), "aac502010100a16005ab"),
        (command(4, 0, 0), "aac0d4043a0aa1601dab"),
        (command(7, 0, 0), "aac5070f070aa16028ab"),
        (command(6, 1, 0), "aac506010000a16008ab"),
    ):
        chip.receive(0, question)
        assert chip.transmit(100) == bytes.fromhex(reply)
