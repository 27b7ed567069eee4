"""Temperature, humidity and carbon dioxide against the examples of data sheets: Sensirion's words, SCD4x, SCD30 and S8.

Every test names its source. What a source calls a value is compared at the registry's resolution.
"""

from __future__ import annotations

import importlib
import struct

import pytest
from tests.emul.cases import always
from tests.emul.wires import Script, World, driver

from citymote.testing.emul import s8, sensirion
from citymote.testing.emul.scd4x import SCD4x
from citymote.testing.emul.scd30 import SCD30
from citymote.testing.emul.sht4x import SHT4x

# ---------------------------------------------------------------- Sensirion's words


def test_crc_of_beef() -> None:
    """Every Sensirion I2C datasheet, for example SHT4x section 4.4: CRC(0xBEEF) = 0x92."""
    assert sensirion.crc8(b"\xbe\xef") == 0x92
    assert importlib.import_module("node.drivers.sensirion").crc8(b"\xbe\xef", 0, 2) == 0x92


def test_crc_of_the_words_in_the_scd4x_datasheet() -> None:
    """SCD4x datasheet, the examples of chapter 3: words and the CRCs printed beside them."""
    crc8 = importlib.import_module("node.drivers.sensirion").crc8
    for word, crc in ((0x01F4, 0x33), (0x6667, 0xA2), (0x5EB9, 0x3C), (0x0912, 0x63), (0x01E0, 0xB4), (0x8000, 0xA2)):
        assert crc8(word.to_bytes(2, "big"), 0, 2) == crc
        assert sensirion.crc8(word.to_bytes(2, "big")) == crc


def test_sht4x_reads_25_degrees_and_37_percent_from_the_words_that_mean_them() -> None:
    """The word 0x6667 is 25 degrees Celsius and 0x5EB9 is 37 %RH in the SCD4x datasheet (3.5.2), whose temperature
    formula is the SHT4x's (4.7); the humidity formula there is 100 S / 65535, so the same word is 40.25 % by the
    SHT4x's -6 + 125 S / 65535.
    """
    reply = bytes.fromhex("6667a25eb93c")
    table = World(driver("sht4x"), Script(0x44, [bytes.fromhex("beef92beef92"), reply]))
    assert table.reading() == [(3, 250, 0), (4, 403, 0)]
    assert table.driver.serial == "beefbeef"
    assert SHT4x(always(25.0027), always(40.2525))._measured(0, 0.0) == reply


# ---------------------------------------------------------------- carbon dioxide


def test_scd4x_examples_of_the_datasheet() -> None:
    """SCD4x datasheet, chapter 3: read_measurement 0x01F4 33 0x6667 A2 0x5EB9 3C is 500 ppm, 25 degrees, 37 %; the
    serial number 0xF896 31 0x9F07 C2 0x3BBE 89 is 273,325,796,834,238.
    """
    chip = SCD4x(always(500.0), always(25.0027), always(37.0016))
    chip.write(0, b"\x36\x82")
    assert chip.read(1, 9) == bytes.fromhex("f896319f07c23bbe89")
    assert chip.serial == 273325796834238
    chip.write(10, b"\x21\xb1")
    chip.write(5010, b"\xec\x05")
    reply = chip.read(5011, 9)
    assert reply == bytes.fromhex("01f4336667a25eb93c")
    chip.power_up()
    assert World(driver("scd4x"), chip).reading() == [(15, 500, 0), (3, 250, 0), (4, 370, 0)]


def test_scd30_example_of_the_interface_description() -> None:
    """Interface description SCD30, 1.4.5: 43DB CB 8C2E 8F is 439.09 ppm, 41D9 70 E7FF F5 27.2 degrees, 4243 BF
    3A1B 74 48.8 %.
    """
    reply = bytes.fromhex("43dbcb8c2e8f41d970e7fff54243bf3a1b74")
    values = struct.unpack(">fff", sensirion.without_crc(reply))
    assert values == pytest.approx((439.09, 27.2, 48.8), abs=0.05)
    table = World(driver("scd30"), SCD30(*(always(v) for v in values)))
    assert table.reading() == [(15, 439, 0), (3, 272, 0), (4, 488, 0)]
    assert ("read", reply) in table.bus.log


def test_s8_examples_of_the_modbus_description() -> None:
    """ "Modbus on Senseair S8", appendix A: FE 04 00 03 00 01 D5 C5 is answered with FE 04 02 01 90 AC D8 at 400 ppm;
    status and CO2 in one, FE 04 00 00 00 04 E5 C6, with FE 04 08 00 00 00 00 00 00 01 90 16 E6.
    """
    chip = s8.S8(always(400.0))
    for question, reply in (
        ("fe0400030001d5c5", "fe04020190acd8"),
        ("fe0400000004e5c6", "fe0408000000000000019016e6"),
    ):
        chip.receive(0, bytes.fromhex(question))
        assert chip.transmit(100) == bytes.fromhex(reply)
    request = importlib.import_module("node.drivers.modbus").request
    assert request(0xFE, 4, 0, 4) == bytes.fromhex("fe0400000004e5c6")
    assert request(0xFE, 4, 3, 1) == bytes.fromhex("fe0400030001d5c5")
