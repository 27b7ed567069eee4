"""A driver and an emulated chip on one table in CPython: machine-shaped buses, a clock, and wires that do damage.

`World` does what the node's sampler does, by the driver contract: wait as long as start() says, read. Time is a number.
"""

from __future__ import annotations

import errno
import importlib
import random
from typing import Any

from citymote.testing.bridge import I2C_TIMEOUT
from citymote.testing.emul.base import AnalogInput, BusFault, I2CChip, Nak, Part, PulseInput, Timeout, UARTChip

INTERVAL = 120_000
"""ms from the start of an accumulating driver to its reading."""

Reading = tuple[int, "int | None", int]


def driver(name: str) -> Any:
    """The driver's class, out of the node's own folder."""
    return importlib.import_module(f"node.drivers.{name}").DRIVER


class Clock:
    def __init__(self) -> None:
        self.now = 0


class Wire:
    """Damage on a wire. `plan` is a random generator, `rate` how many bytes in a thousand suffer."""

    def __init__(self, plan: random.Random | None = None, rate: int = 0) -> None:
        self.plan = plan
        self.rate = rate
        self.damaged = 0
        self.broken: int | None = None  # an errno: every transfer fails with it

    def carry(self, data: bytes) -> bytes:
        if self.plan is None or not self.rate:
            return data
        out = bytearray()
        for byte in data:
            if self.plan.randrange(1000) >= self.rate:
                out.append(byte)
                continue
            self.damaged += 1
            match self.plan.randrange(4):
                case 0:
                    out.append(byte ^ 1 << self.plan.randrange(8))
                case 1:
                    pass  # dropped
                case 2:
                    out += bytes([byte, byte])
                case _:
                    out.append(self.plan.randrange(256))
        return bytes(out)

    def check(self) -> None:
        if self.broken is not None:
            raise OSError(self.broken, "broken wire")


class Script(I2CChip):
    """A chip that answers with given bytes, whatever it is asked, one reply a read."""

    def __init__(self, address: int, replies: list[bytes]) -> None:
        self.address = address
        self.replies = replies

    def write(self, now: int, data: bytes) -> None:
        pass

    def read(self, now: int, count: int) -> bytes:
        return self.replies.pop(0)


class LocalI2C:
    def __init__(self, clock: Clock, chips: list[I2CChip], wire: Wire) -> None:
        self.clock, self.chips, self.wire = clock, chips, wire
        self.log: list[tuple[str, bytes]] = []
        self.timeout = I2C_TIMEOUT

    def _chip(self, address: int) -> I2CChip:
        self.wire.check()
        for chip in self.chips:
            if chip.address == address:
                if chip.stretch(self.clock.now) > self.timeout:
                    raise OSError(errno.ETIMEDOUT, "clock held low")
                return chip
        raise OSError(errno.ENODEV, "nobody at this address")

    def writeto(self, address: int, buf: bytes) -> int:
        try:
            self._chip(address).write(self.clock.now, self.wire.carry(bytes(buf)))
        except Nak:
            self.log.append(("nak", bytes(buf)))
            raise OSError(errno.ENODEV, "not acknowledged") from None
        except Timeout:
            raise OSError(errno.ETIMEDOUT, "clock held low") from None
        except BusFault:
            raise OSError(errno.EIO, "stuck") from None
        self.log.append(("write", bytes(buf)))
        return len(buf)

    def readfrom_into(self, address: int, buf: bytearray) -> None:
        try:
            got = self._chip(address).read(self.clock.now, len(buf))
        except Nak:
            self.log.append(("nak", b""))
            raise OSError(errno.ENODEV, "not acknowledged") from None
        except Timeout:
            raise OSError(errno.ETIMEDOUT, "clock held low") from None
        except BusFault:
            raise OSError(errno.EIO, "stuck") from None
        buf[:] = self.wire.carry(got)[: len(buf)].ljust(len(buf), b"\xff")
        self.log.append(("read", bytes(buf)))

    def readfrom_mem_into(self, address: int, memaddr: int, buf: bytearray) -> None:
        self.writeto(address, bytes([memaddr]))
        self.readfrom_into(address, buf)

    def writeto_mem(self, address: int, memaddr: int, buf: bytes) -> None:
        self.writeto(address, bytes([memaddr]) + bytes(buf))


class LocalUART:
    LIMIT = 256

    def __init__(self, clock: Clock, chip: UARTChip | None, wire: Wire) -> None:
        self.clock, self.chip, self.wire = clock, chip, wire
        self._waiting = bytearray()
        self.log: list[tuple[str, bytes]] = []

    def write(self, buf: bytes) -> int:
        self.wire.check()
        self.log.append(("write", bytes(buf)))
        if self.chip is not None:
            self.chip.receive(self.clock.now, self.wire.carry(bytes(buf)))
        return len(buf)

    def any(self) -> int:
        self.wire.check()
        if self.chip is not None:
            self._waiting += self.wire.carry(self.chip.transmit(self.clock.now))
            del self._waiting[self.LIMIT :]
        self.log.append(("any", len(self._waiting).to_bytes(2, "big")))
        return len(self._waiting)

    def readinto(self, buf: bytearray, nbytes: int | None = None) -> int | None:
        self.any()
        count = min(len(buf) if nbytes is None else nbytes, len(self._waiting))
        buf[:count] = self._waiting[:count]
        del self._waiting[:count]
        self.log.append(("read", bytes(buf[:count])))
        return count or None

    def flush(self) -> None:
        self.log.append(("flush", b""))


class LocalADC:
    def __init__(self, clock: Clock, chip: AnalogInput | None, wire: Wire) -> None:
        self.clock, self.chip, self.wire = clock, chip, wire
        self.log: list[tuple[str, int]] = []

    def read_uv(self) -> int:
        self.wire.check()
        value = self.chip.microvolts(self.clock.now) if self.chip is not None else 0
        if self.wire.plan is not None and self.wire.plan.randrange(1000) < self.wire.rate:
            self.wire.damaged += 1
            value = self.wire.plan.randrange(5_000_000)
        self.log.append(("value", value))
        return value


class LocalCounter:
    def __init__(self, clock: Clock, chip: PulseInput | None, wire: Wire) -> None:
        self.clock, self.chip, self.wire = clock, chip, wire
        self.log: list[tuple[str, int]] = []

    def value(self) -> int:
        self.wire.check()
        value = self.chip.count(self.clock.now) if self.chip is not None else 0
        if self.wire.plan is not None and self.wire.plan.randrange(1000) < self.wire.rate:
            self.wire.damaged += 1
            value += self.wire.plan.randrange(100_000) - 50_000
        self.log.append(("value", value))
        return value


class World:
    """One driver on one wire with one chip."""

    def __init__(
        self, driver: Any, part: Part | None, settings: dict[str, Any] | None = None, wire: Wire | None = None
    ) -> None:
        self.clock = Clock()
        self.wire = wire or Wire()
        self.part = part
        bus: Any
        kind = driver.BUS if isinstance(driver.BUS, str) else driver.BUS[0]
        if kind == "i2c":
            bus = LocalI2C(self.clock, [part] if isinstance(part, I2CChip) else [], self.wire)
        elif kind == "uart":
            assert part is None or isinstance(part, UARTChip)
            bus = LocalUART(self.clock, part, self.wire)
        elif kind == "adc":
            assert part is None or isinstance(part, AnalogInput)
            bus = LocalADC(self.clock, part, self.wire)
        else:
            assert part is None or isinstance(part, PulseInput)
            bus = LocalCounter(self.clock, part, self.wire)
        self.bus = bus
        self.driver = driver(bus, **(settings or {}))

    def unplug(self) -> None:
        if isinstance(self.bus, LocalI2C):
            self.bus.chips = []
        else:
            self.bus.chip = None

    def plug(self, part: Part) -> None:
        if isinstance(self.bus, LocalI2C):
            assert isinstance(part, I2CChip)
            self.bus.chips = [part]
        else:
            self.bus.chip = part

    def ready(self) -> int:
        """start() until it says 0; returns how long that took."""
        began = self.clock.now
        for _ in range(getattr(self.driver, "STEPS", 32)):
            wait = self.driver.start()
            if not wait:
                return self.clock.now - began
            self.clock.now += wait
        raise AssertionError("start() did not return 0 within its calls")

    def reading(self) -> list[Reading]:
        self.ready()
        if getattr(self.driver, "ACCUMULATES", False):
            self.clock.now += INTERVAL
        return list(self.driver.read())

    def stop(self) -> None:
        for _ in range(32):
            wait = self.driver.stop()
            if not wait:
                return
            self.clock.now += wait
        raise AssertionError("stop() did not return 0 within 32 calls")
