"""Stories of sensors that fail: for each kind of bus a node's sensors, and the faults that it lives through in turn.

A fault says what happens on the wire or in the chip, how it ends, and what the reading must say meanwhile: a value or
none, and the quality code. The chips are the emulators, with taps between them and the bus.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from citymote.testing.bridge import Wiring
from citymote.testing.emul.anemometer import Anemometer
from citymote.testing.emul.base import AnalogInput, I2CChip, PulseInput, Timeout, UARTChip
from citymote.testing.emul.bh1750 import BH1750
from citymote.testing.emul.lines import StuckLines
from citymote.testing.emul.pms5003 import PMS5003
from citymote.testing.emul.scd4x import SCD4x
from citymote.testing.emul.sht4x import SHT4x
from citymote.testing.emul.wind_vane import WindVane

START = 850000080  # s2000, a multiple of the interval
INTERVAL = 120_000

Damage = Callable[[bytes], bytes]


class Sources:
    """What the chips measure; tests change it."""

    def __init__(self, **values: float | None) -> None:
        self.values = values

    def __getitem__(self, name: str) -> Callable[[int], float | None]:
        return lambda now: self.values[name]


class Tapped(I2CChip):
    """A wire on which bytes from the chip can be changed, or the clock held too long."""

    def __init__(self, chip: I2CChip) -> None:
        self.chip = chip
        self.address = chip.address
        self.damage: Damage | None = None
        self.stretching = False
        self.glitches = 0

    def power_up(self, now: int = 0) -> None:
        self.chip.power_up(now)

    def write(self, now: int, data: bytes) -> None:
        if self.stretching:
            raise Timeout
        self.chip.write(now, data)

    def read(self, now: int, count: int) -> bytes:
        if self.stretching:
            raise Timeout
        got = self.chip.read(now, count)
        if self.glitches:
            self.glitches -= 1
            return bytes(byte ^ 1 for byte in got)
        return self.damage(got) if self.damage else got


class TappedUART(UARTChip):
    """The same for a serial line."""

    def __init__(self, chip: UARTChip) -> None:
        self.chip = chip
        self.baudrate = chip.baudrate
        self.damage: Damage | None = None

    def power_up(self, now: int = 0) -> None:
        self.chip.power_up(now)

    def receive(self, now: int, data: bytes) -> None:
        self.chip.receive(now, data)

    def transmit(self, now: int) -> bytes:
        got = self.chip.transmit(now)
        return self.damage(got) if self.damage and got else got


class Volts(AnalogInput):
    """A voltage that replaces the sensor's."""

    def __init__(self, value: int) -> None:
        self.value = value

    def microvolts(self, now: int) -> int:
        return self.value


class Bouncing(PulseInput):
    """A contact that bounces as no wind makes it."""

    def count(self, now: int) -> int:
        return now * 10


@dataclass
class Fault:
    """What is done to the wiring before a row, and undone after it; what the row must then say of one quantity."""

    name: str
    quantity: str
    begin: Callable[[], object]
    end: Callable[[], object]
    quality: str
    value: float | None = None
    rows: int = 1  # a chip that is asked for longer than its usual time says so in the row after


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 0x10]) + data[1:]


def other_byte(data: bytes) -> bytes:
    return data[:9] + b"\xff" + data[10:]


def silence(data: bytes) -> bytes:
    return bytes(len(data))


def cut_short(data: bytes) -> bytes:
    return data[: len(data) // 2]


def set_to(part: Any, **attributes: Any) -> Callable[[], None]:
    def change() -> None:
        for name, value in attributes.items():
            setattr(part, name, value)

    return change


class I2CStory:
    """Four chips on one bus."""

    sensors = (
        {"driver": "sht4x", "bus": "i2c0"},
        {"driver": "bh1750", "bus": "i2c0"},
        {"driver": "scd4x", "bus": "i2c0", "quantities": ["co2"]},
    )

    def __init__(self) -> None:
        air = Sources(temperature=21.5, humidity=45.0, illuminance=500.0, co2=600.0)
        self.chip = SHT4x(air["temperature"], air["humidity"])
        self.co2 = SCD4x(air["co2"], air["temperature"], air["humidity"])
        self.tap = Tapped(self.chip)
        self.wiring = wiring = Wiring({"i2c0": [self.tap, BH1750(air["illuminance"]), self.co2]})
        whole = set_to(self.tap, damage=None, stretching=False)
        free = lambda: wiring.stick("i2c0", None)  # noqa: E731
        self.faults = [
            Fault(
                "a wire pulled",
                "temperature",
                lambda: wiring.disconnect("i2c0", 0x44),
                lambda: wiring.connect("i2c0", self.tap),
                "no_answer",
            ),
            Fault("a wrong checksum", "temperature", set_to(self.tap, damage=flipped), whole, "bad_checksum"),
            Fault("a reply cut short", "humidity", set_to(self.tap, damage=cut_short), whole, "bad_checksum"),
            Fault(
                "another chip",
                "temperature",
                lambda: (set_to(self.chip, serial=0)(), set_to(self.tap, glitches=2)()),
                set_to(self.chip, serial=7),
                "wrong_chip",
            ),
            Fault("a clock held too long", "temperature", set_to(self.tap, stretching=True), whole, "stuck_bus"),
            Fault(
                "a bus stuck in a zero",
                "temperature",
                lambda: wiring.stick("i2c0", StuckLines(0x00, 3)),
                free,
                "unchecked",
                21.5,
            ),
            Fault(
                "a bus stuck in an acknowledge",
                "illuminance",
                lambda: wiring.stick("i2c0", StuckLines(None, 8)),
                free,
                "unchecked",
                500,
            ),
            Fault(
                "a data line shorted",
                "illuminance",
                lambda: wiring.stick("i2c0", StuckLines(shorted=True)),
                free,
                "stuck_bus",
            ),
            Fault(
                "a broken wire",
                "temperature",
                lambda: wiring.fault("i2c0", errno.EIO),
                lambda: wiring.fault("i2c0", None),
                "stuck_bus",
            ),
            Fault(
                "more than the chip stands for",
                "temperature",
                lambda: air.values.update(temperature=126.0),
                lambda: air.values.update(temperature=21.5),
                "out_of_range",
                126,
            ),
            Fault(
                "more light than it can count",
                "illuminance",
                lambda: air.values.update(illuminance=150000.0),
                lambda: air.values.update(illuminance=500.0),
                "saturated",
            ),
            Fault(
                "a chip that hangs", "co2", set_to(self.co2, hang=True), set_to(self.co2, hang=False), "frozen", rows=2
            ),
        ]


class UARTStory:
    sensors = ({"driver": "pms5003", "bus": "uart0", "settings": {"start_up": 30000}},)

    def __init__(self) -> None:
        dust = Sources(pm=12.0)
        self.chip = PMS5003(dust["pm"], dust["pm"], dust["pm"])
        self.tap = TappedUART(self.chip)
        self.wiring = wiring = Wiring({"uart0": self.tap})
        whole = set_to(self.tap, damage=None)
        self.faults = [
            Fault(
                "a wire pulled",
                "pm2_5",
                lambda: wiring.disconnect("uart0"),
                lambda: wiring.connect("uart0", self.tap),
                "no_answer",
            ),
            Fault("a wrong sum", "pm2_5", set_to(self.tap, damage=other_byte), whole, "bad_checksum"),
            Fault("a frame cut short", "pm2_5", set_to(self.tap, damage=cut_short), whole, "short_read"),
            Fault("noise", "pm2_5", set_to(self.tap, damage=silence), whole, "no_answer"),
            Fault(
                "a chip that reports an error",
                "pm2_5",
                set_to(self.chip, error=1),
                set_to(self.chip, error=0),
                "likely_invalid",
                12,
            ),
            Fault(
                "more than its range",
                "pm2_5",
                lambda: dust.values.update(pm=1200.0),
                lambda: dust.values.update(pm=12.0),
                "out_of_range",
                1200,
            ),
            Fault(
                "a broken wire",
                "pm2_5",
                lambda: wiring.fault("uart0", errno.EIO),
                lambda: wiring.fault("uart0", None),
                "stuck_bus",
            ),
        ]


class ADCStory:
    sensors = ({"driver": "wind_vane", "bus": "adc0"},)

    def __init__(self) -> None:
        wind = Sources(direction=90.0)
        self.chip = WindVane(wind["direction"])
        self.wiring = wiring = Wiring({"adc0": self.chip})
        whole = lambda: wiring.connect("adc0", self.chip)  # noqa: E731
        self.faults = [
            Fault("a wire cut", "wind_direction", lambda: wiring.disconnect("adc0"), whole, "no_answer"),
            Fault(
                "a saturated converter",
                "wind_direction",
                lambda: wiring.connect("adc0", Volts(3_300_000)),
                whole,
                "saturated",
            ),
            Fault(
                "a broken wire",
                "wind_direction",
                lambda: wiring.fault("adc0", errno.EIO),
                lambda: wiring.fault("adc0", None),
                "stuck_bus",
            ),
        ]


class CounterStory:
    sensors = ({"driver": "anemometer", "bus": "counter0", "settings": {"calm_limit": 1}},)

    def __init__(self) -> None:
        wind = Sources(speed=4.0)
        self.chip = Anemometer(wind["speed"])
        self.wiring = wiring = Wiring({"counter0": self.chip})
        whole = lambda: wiring.connect("counter0", self.chip)  # noqa: E731
        self.faults = [
            Fault(
                "a contact that bounces",
                "wind_speed",
                lambda: wiring.connect("counter0", Bouncing()),
                whole,
                "out_of_range",
            ),
            Fault(
                "a broken wire",
                "wind_speed",
                lambda: wiring.fault("counter0", errno.EIO),
                lambda: wiring.fault("counter0", None),
                "stuck_bus",
            ),
        ]


STORIES: dict[str, Callable[[], Any]] = {"i2c": I2CStory, "uart": UARTStory, "adc": ADCStory, "counter": CounterStory}
