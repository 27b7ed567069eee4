"""Adapters that let other people's drivers talk to our emulated chips: the makers' transceiver, CircuitPython's
busio, pyserial.

Their sleeps are turned into our clock.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tests.emul.wires import Clock

from citymote.testing.emul.base import I2CChip, Nak, UARTChip


class Transceiver:
    """`sensirion_i2c_driver`'s transceiver API, version 1."""

    API_VERSION = 1
    description = "emulated"
    channel_count = None

    def __init__(self, chip: I2CChip, clock: Clock) -> None:
        self._chip = chip
        self._clock = clock

    def transceive(
        self, slave_address: int, tx_data: bytes | None, rx_length: int | None, read_delay: float, timeout: float
    ) -> tuple[int, Exception | None, bytes]:
        received = b""
        try:
            if slave_address != self._chip.address:
                raise Nak
            if tx_data is not None:
                self._chip.write(self._clock.now, tx_data)
            self._clock.now += -int(-read_delay * 1000 // 1)
            if rx_length:
                received = self._chip.read(self._clock.now, rx_length)
        except Nak as nak:
            return 2, nak, b""
        return 0, None, received


class BusIO:
    """`busio.I2C` as `adafruit_bus_device` uses it."""

    def __init__(self, chip: I2CChip, clock: Clock) -> None:
        self._chip = chip
        self._clock = clock

    def try_lock(self) -> bool:
        return True

    def unlock(self) -> None:
        pass

    def _check(self, address: int) -> None:
        if address != self._chip.address:
            raise OSError(19, "nobody there")

    def writeto(self, address: int, buf: Any, *, start: int = 0, end: int | None = None) -> None:
        self._check(address)
        try:
            self._chip.write(self._clock.now, bytes(buf)[start:end])
        except Nak:
            raise OSError(19, "not acknowledged") from None

    def readfrom_into(self, address: int, buf: Any, *, start: int = 0, end: int | None = None) -> None:
        self._check(address)
        count = len(buf[start:end])
        try:
            buf[start : start + count] = self._chip.read(self._clock.now, count).ljust(count, b"\xff")
        except Nak:
            raise OSError(19, "not acknowledged") from None

    def writeto_then_readfrom(
        self,
        address: int,
        out: Any,
        into: Any,
        *,
        out_start: int = 0,
        out_end: int | None = None,
        in_start: int = 0,
        in_end: int | None = None,
    ) -> None:
        self.writeto(address, out, start=out_start, end=out_end)
        self.readfrom_into(address, into, start=in_start, end=in_end)


class Serial:
    """`serial.Serial`: a read waits, up to its timeout, for as many bytes as were asked for."""

    def __init__(self, chip: UARTChip, clock: Clock, timeout: float = 4) -> None:
        self._chip = chip
        self._clock = clock
        self._waiting = b""
        self.timeout = timeout

    def read(self, size: int = 1) -> bytes:
        deadline = self._clock.now + int(self.timeout * 1000)
        while len(self._waiting) < size and self._clock.now < deadline:
            self._waiting += self._chip.transmit(self._clock.now)
            if len(self._waiting) < size:
                self._clock.now += 10
        got, self._waiting = self._waiting[:size], self._waiting[size:]
        return got

    def write(self, data: bytes) -> int:
        self._chip.receive(self._clock.now, bytes(data))
        return len(data)

    @property
    def in_waiting(self) -> int:
        self._waiting += self._chip.transmit(self._clock.now)
        return len(self._waiting)

    def flush(self) -> None:
        pass

    def flushInput(self) -> None:  # noqa: N802 - pyserial's name
        self._chip.transmit(self._clock.now)
        self._waiting = b""

    reset_input_buffer = flushInput

    def close(self) -> None:
        pass


def sleeper(clock: Clock) -> Callable[[float], None]:
    """A sleep that moves the clock."""

    def sleep(seconds: float) -> None:
        clock.now += -int(-seconds * 1000 // 1)

    return sleep


def sensirion_channel(chip: I2CChip, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A channel for the maker's own drivers."""
    driver = pytest.importorskip("sensirion_i2c_driver", reason="the maker's driver is not installed")
    adapter = pytest.importorskip("sensirion_driver_adapters.i2c_adapter.i2c_channel")
    monkeypatch.setattr("time.sleep", sleeper(clock))
    crc = driver.CrcCalculator(8, 0x31, 0xFF, 0x00)
    return adapter.I2cChannel(driver.I2cConnection(Transceiver(chip, clock)), slave_address=chip.address, crc=crc)


def circuitpython(name: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a CircuitPython driver into CPython: `micropython.const`, names of types and our clock are what it
    misses.
    """
    stub = ModuleType("micropython")
    stub.__dict__["const"] = lambda value: value
    monkeypatch.setitem(sys.modules, "micropython", stub)
    for types in ("busio", "digitalio", "circuitpython_typing", "circuitpython_typing.device_drivers"):
        monkeypatch.setitem(sys.modules, types, anything(types))
    module = pytest.importorskip(name, reason=f"{name} is not installed")
    if hasattr(module, "sleep"):
        monkeypatch.setattr(module, "sleep", sleeper(clock))
    monkeypatch.setattr("time.sleep", sleeper(clock))
    return module


def anything(name: str) -> ModuleType:
    """A module whose every name is a thing that can be called and looked into."""

    class Thing:
        def __init__(self, *_: Any, **__: Any) -> None: ...
        def __call__(self, *_: Any, **__: Any) -> Any:
            return Thing(), 0

        def __getattr__(self, _: str) -> Any:
            return Thing()

    module = ModuleType(name)
    module.__dict__["__getattr__"] = lambda key: Thing()
    return module
