"""What a pole has outside, against data sheets and logs: light, wind, rain, motion, power, satellites, a recorder.

Every test names its source. What a source calls a value is compared at the registry's resolution.
"""

from __future__ import annotations

import binascii
import importlib
from datetime import UTC, datetime

import pytest
from tests.emul.cases import always
from tests.emul.wires import Script, World, driver

from citymote.testing.emul import gnss, replay
from citymote.testing.emul.adc_supply import Divider
from citymote.testing.emul.anemometer import Anemometer
from citymote.testing.emul.base import PulseInput, UARTChip
from citymote.testing.emul.bh1750 import BH1750
from citymote.testing.emul.contacts import Motion, RainGauge
from citymote.testing.emul.ina219 import INA219
from citymote.testing.emul.lis3dh import LIS3DH
from citymote.testing.emul.ltr390 import LTR390
from citymote.testing.emul.wind_vane import WindVane

# ---------------------------------------------------------------- light, wind, replay


def test_bh1750_example_of_the_technical_note() -> None:
    """ROHM technical note 2009.04 Rev. B, page 10: high byte 1000_0011, low byte 1001_0000 in H-resolution mode is
    28067 lx.
    """
    table = World(driver("bh1750"), Script(0x23, [b"\x83\x90"]))
    assert table.reading() == [(7, 28067, 0)]
    chip = BH1750(always(28066.7))
    chip.write(0, b"\x01")
    chip.write(0, b"\x10")
    assert chip.read(180, 2) == b"\x83\x90"


def test_bh1750_limits_of_the_technical_note() -> None:
    """Page 11: with MTreg 254 in mode 2 a count is 0.11 lx; with 31 the range grows to about 100,000 lx."""
    chip = BH1750(always(0.11))
    for code in (0x01, 0x40 | 254 >> 5, 0x60 | 254 & 31, 0x21):
        chip.write(0, bytes([code]))
    assert chip.read(663, 2) == b"\x00\x01"
    bright = World(driver("bh1750"), BH1750(always(100_000.0)))
    assert abs((bright.reading()[0][1] or 0) - 100_000) <= 1


# Argent Data Systems, "Weather sensor assembly p/n 80422", table of the wind vane: degrees, volts at 5 V through 10
# kohm. (The table's 315 degrees is misprinted as 4.78 V in some editions; 64.9 kohm give 4.33 V.)
ARGENT = (
    (0, 3.84), (22.5, 1.98), (45, 2.25), (67.5, 0.41), (90, 0.45), (112.5, 0.32), (135, 0.90), (157.5, 0.62),
    (180, 1.40), (202.5, 1.19), (225, 3.08), (247.5, 2.93), (270, 4.62), (292.5, 4.04), (315, 4.33), (337.5, 3.43),
)  # fmt: skip


@pytest.mark.parametrize(("degrees", "volts"), ARGENT)
def test_the_stepped_vane_as_in_its_data_sheet(degrees: float, volts: float) -> None:
    settings = {"kind": "stepped", "supply": 5000, "pull_up": 10000}
    chip = WindVane(always(degrees), **settings)
    assert chip.microvolts(0) == pytest.approx(volts * 1e6, abs=10_000)
    assert World(driver("wind_vane"), chip, dict(settings)).reading() == [(5, int(degrees + 0.5), 0)]


def test_the_anemometer_as_in_its_data_sheet() -> None:
    """The same sheet: 1.492 miles an hour (2.4 km/h) close the contact once a second."""
    chip = Anemometer(always(2.4 / 3.6))
    assert chip.count(60_000) in (59, 60)

    class TenHertz(PulseInput):
        def count(self, now: int) -> int:
            return now // 100

    assert World(driver("anemometer"), TenHertz()).reading() == [(6, 67, 0)], "24 km/h"


def test_replay_checksum_is_the_catalogued_one() -> None:
    """CRC-16/IBM-3740, also called CCITT-FALSE: check value 29B1 for "123456789" (Greg Cook's catalogue of CRCs)."""
    crc16 = importlib.import_module("node.drivers.replay").crc16
    assert crc16(b"123456789", 9) == 0x29B1 == binascii.crc_hqx(b"123456789", 0xFFFF)
    assert replay.seal("123456789") == b"123456789*29B1\n"


def test_replay_conversation_byte_for_byte() -> None:
    """The specification's lines, worked through with binascii's CRC."""
    chip = replay.Replay(lambda now: {1: 123, 3: -45, 5: None})
    table = World(driver("replay"), chip, {"quantities": [1, 3, "wind_direction"]})
    assert table.reading() == [(1, 123, 0), (3, -45, 0), (5, None, 8)]
    asked = [data for kind, data in table.bus.log if kind == "write"]
    assert asked == [b"?01*%04X\n" % binascii.crc_hqx(b"?01", 0xFFFF)]
    answer = b"".join(data for kind, data in table.bus.log if kind == "read")
    body = b"=01;1:123;3:-45;5:"
    assert answer == body + b"*%04X\n" % binascii.crc_hqx(body, 0xFFFF)


# ---------------------------------------------------------------- light, motion, power, rain


def test_ltr390_sensitivity_of_the_datasheet() -> None:
    """LTR-390UV-01 datasheet: 2300 counts for an index point at gain 18 and 20 bit, 0.6 lx a count at gain 1 and
    100 ms.
    """
    chip = LTR390(always(1.0), always(60.0))
    for pair in (b"\x04\x04", b"\x05\x04", b"\x00\x0a"):
        chip.write(0, pair)
    chip.write(400, b"\x10")
    assert int.from_bytes(chip.read(400, 3), "little") == 2300
    for pair in (b"\x04\x22", b"\x05\x00", b"\x00\x02"):
        chip.write(500, pair)
    chip.write(600, b"\x0d")
    assert int.from_bytes(chip.read(600, 3), "little") == 100


@pytest.mark.parametrize(("milli_g", "registers"), [(350, 0x15E0), (-350, 0xEA20), (-1009, 0xC0F0), (0, 0)])
def test_lis3dh_output_registers(milli_g: int, registers: int) -> None:
    """AN3308, table 9: +350 mg is 15E0, -350 mg EA20 at +-2 g; Pololu's LSM303 library (the same 12-bit core): -16144
    is -1009 mg.

    The table's rows for +-1 g, 4000 and C000, contradict them and the 1 mg a digit of the datasheet's table 4; ST's
    own drivers use 1 mg, and so do we.
    """
    chip = LIS3DH(always(milli_g * 9.80665e-3), always(0.0), always(0.0))
    chip.write(0, b"\x20\x57")
    chip.write(0, b"\x23\x88")
    chip.write(20, b"\xa8")
    assert int.from_bytes(chip.read(20, 2), "little") == registers


def test_ina219_example_of_the_datasheet() -> None:
    """SBOS448G, 8.5 and table 8: 12 V and 10 A over 2 milliohm: shunt register 2000 (07D0), bus 11.98 V as 2995 (5D98
    with its flags masked), calibration 5000 (hexadecimal) makes the current register 10000 and power 5990.
    """
    chip = INA219(always(11.98), always(10_000.0), shunt_resistance=2)
    chip.write(0, b"\x05\x50\x00")
    expected = {1: 0x07D0, 2: 0x5D98, 4: 0x2710}
    for register, value in expected.items():
        chip.write(10, bytes([register]))
        assert int.from_bytes(chip.read(10, 2), "big") & ~7 == value & ~7, f"register {register}"
    chip.write(10, b"\x03")
    assert int.from_bytes(chip.read(10, 2), "big") == 5990
    readings = World(driver("ina219"), chip, {"shunt_resistance": 2}).reading()
    assert readings == [(98, 11980, 0), (99, 10000, 0)]


def test_a_battery_through_the_heltec_boards_divider() -> None:
    """Heltec WiFi LoRa 32 V4, schematic, R27 and R28: 390 and 100 kilohm, a factor of 4.9; a battery of 3.0 to 4.2 V is
    615 (612) to 857 mV at the pin (MeshCore, pull request 2689).
    """
    settings = {"battery": True, "upper": 390000, "lower": 100000}
    chip = Divider(always(4.2), upper=390_000, lower=100_000)
    assert chip.microvolts(0) == 857_000
    assert World(driver("adc_supply"), chip, settings).reading() == [(96, round(857 * 4.9), 0)]
    flat = World(driver("adc_supply"), Divider(always(16.0), upper=390_000, lower=100_000), settings)
    assert flat.reading() == [(96, None, 16)], "saturated"
    trimmed = World(driver("adc_supply"), chip, settings | {"gain": 1010})
    assert trimmed.reading() == [(96, round(857 * 4.949), 0)]


def test_the_rain_gauge_as_in_its_data_sheet() -> None:
    """Argent Data Systems, "Weather sensor assembly p/n 80422": one contact closure for each 0.011 inch (0.2794
    mm) of rain.
    """
    chip = RainGauge(always(27.94), bucket=279)
    assert chip.count(3_600_000) in (99, 100), "an hour of 27.94 mm/h"
    table = World(driver("rain_gauge"), RainGauge(always(27.94), bucket=279))
    total = sum(value or 0 for _ in range(30) for _, value, _ in table.reading())
    assert total == pytest.approx(279, abs=3), "an hour of readings adds up to what fell, in tenths of a millimetre"


@pytest.mark.parametrize(("an_hour", "seen"), [(3600, 450), (450, 450), (60, 60)])
def test_a_detector_is_blind_after_each_event_as_its_manual_says(an_hour: int, seen: int) -> None:
    """Elegoo, EL-KIT-008 user manual, page 125, example for the HC-SR501 in single trigger mode: high for 5 seconds,
    then 3 seconds in which nothing is detected. Who passes every second is seen every eighth.
    """
    chip = Motion(always(float(an_hour)), dead=8000)
    table = World(driver("motion"), chip)
    total = sum(value or 0 for _ in range(30) for _, value, _ in table.reading())
    assert total == pytest.approx(seen, abs=1), "an hour of readings"


# ---------------------------------------------------------------- satellites


class Sentences(UARTChip):
    """Sends the same lines every second."""

    def __init__(self, lines: str) -> None:
        self._lines = lines.replace("\n", "\r\n").encode()
        self._next = 1000

    def transmit(self, now: int) -> bytes:
        out = b""
        while self._next <= now:
            out += self._lines
            self._next += 1000
        return out


# R/V Sally Ride, 2019-09-16 (NOAA PSL, PISTON 2019 raw files): one second of a real receiver
PISTON = """$GPGGA,195959.00,1813.38282955,N,12606.12767097,E,2,07,1.4,17.2,M,36.5,M,4.0,0129*78
$GPGLL,1813.38282955,N,12606.12767097,E,195959.00,A,D*6D
$GPRMC,195959.00,A,1813.38282955,N,12606.12767097,E,1.31,262.13,160919,3.0,W,D*21
"""


def test_gnss_as_logged_on_a_ship() -> None:
    table = World(driver("gnss"), Sentences(PISTON))
    assert table.reading() == [
        (85, round((18 + 13.38282955 / 60) * 1e6), 0),
        (86, round((126 + 6.12767097 / 60) * 1e6), 0),
        (87, 172, 0),
    ]
    then = datetime(2019, 9, 16, 19, 59, 59, tzinfo=UTC) - datetime(2000, 1, 1, tzinfo=UTC)
    assert table.driver.time == then.total_seconds()


def test_gnss_sentences_carry_the_checksum_that_everybody_quotes() -> None:
    """The GGA sentence of a hundred tutorials ends in 47."""
    body = "GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,"
    assert gnss.sentence(body) == f"${body}*47\r\n".encode()


def test_gnss_without_a_position_still_knows_the_time() -> None:
    table = World(driver("gnss"), gnss.GNSS(always(None), always(None), always(None), start=846_000_000))
    assert table.reading() == [(85, None, 10), (86, None, 10), (87, None, 10)]
    assert table.driver.time is None, "the receiver itself marks it as not valid"
