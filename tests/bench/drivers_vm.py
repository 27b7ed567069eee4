"""Runs in MicroPython: what a driver costs there. Arguments: heap MODULES.. | time WHOSE:NAME ROUNDS CANNED

`CANNED` is a file of lines "kind key reply" in hexadecimal: what a chip answers to which command (c), register (r) or
serial command (u), so that our drivers and others' meet the same bus; `s` is the length of a command. Sleeps take no
time here.
"""

import gc
import sys
import time

ticks_us, ticks_diff = time.ticks_us, time.ticks_diff


class Awake:
    """`time` without sleep."""

    def __getattr__(self, name):
        return getattr(time, name)

    def sleep(self, _):
        pass

    sleep_ms = sleep_us = sleep


class Machine:
    """`machine`, of which the drivers only want the names."""

    I2C = SoftI2C = UART = Pin = SPI = object


sys.modules["time"] = sys.modules["utime"] = Awake()


class Bus:
    """An I2C or serial chip that always has the same answer ready."""

    def __init__(self, path):
        self.replies = {}
        self.cells = bytearray(256)
        self.size = 2  # bytes of a command
        self.frame = b""
        self.frames = {}
        self.waiting = 0
        self.last = b""
        with open(path) as lines:  # noqa: PTH123
            for line in lines:
                kind, key, reply = line.split()
                if kind == "c":
                    self.replies[bytes.fromhex(key)] = bytes.fromhex(reply)
                elif kind == "r":
                    at = int(key, 16)
                    data = bytes.fromhex(reply)
                    self.cells[at : at + len(data)] = data
                elif kind == "u":
                    self.frames[int(key, 16)] = bytes.fromhex(reply)
                else:
                    self.size = int(key)

    def scan(self):
        return list(range(8, 120))

    def writeto(self, address, buf, stop=True):
        self.last = bytes(buf)[: self.size]
        return len(buf)

    def writeto_mem(self, address, memaddr, buf, addrsize=8):
        self.last = bytes((memaddr >> 8, memaddr & 255)) if addrsize == 16 else bytes((memaddr,))

    def readfrom_into(self, address, buf, stop=True):
        reply = self.replies[self.last]
        for i in range(len(buf)):
            buf[i] = reply[i]

    def readfrom(self, address, count, stop=True):
        return self.replies[self.last][:count]

    def readfrom_mem_into(self, address, memaddr, buf, addrsize=8):
        memaddr &= 0x7F if self.cells[0x0F] == 0x33 else 0xFF
        for i in range(len(buf)):
            buf[i] = self.cells[memaddr + i % 6 if len(buf) > 32 else memaddr + i]

    def readfrom_mem(self, address, memaddr, count, addrsize=8):
        if addrsize == 16:
            return self.replies[bytes((memaddr >> 8, memaddr & 255))][:count]
        memaddr &= 0x7F if self.cells[0x0F] == 0x33 else 0xFF
        return bytes(self.cells[memaddr : memaddr + count])

    def write(self, buf):
        self.frame = self.frames.get(buf[2], b"")
        self.waiting = len(self.frame)
        return len(buf)

    def any(self):
        return self.waiting

    def read(self, count=None):
        at = len(self.frame) - self.waiting
        if not self.waiting:
            return None
        count = self.waiting if count is None else min(count, self.waiting)
        self.waiting -= count
        return self.frame[at : at + count]

    def readinto(self, buf, count=None):
        got = self.read(len(buf))
        if got is None:
            return None
        for i in range(len(got)):
            buf[i] = got[i]
        return len(got)


def citymote(name):
    def make(bus):
        module = __import__("node.drivers." + name, None, None, ("DRIVER",))
        driver = module.DRIVER(bus)

        def reading():
            while driver.start():
                pass
            return driver.read()

        return reading

    return make


def sht4x(bus):
    from micropython_sht4x import sht4x

    chip = sht4x.SHT4X(bus)
    return lambda: chip.measurements


def scd30(bus):
    from scd30 import SCD30

    chip = SCD30(bus, 0x61)

    def reading():
        while chip.get_status_ready() != 1:
            pass
        return chip.read_measurement()

    return reading


def sgp40(bus):
    from sgp40 import SGP40

    chip = SGP40(bus)
    return lambda: chip.measure_raw(25, 50)


def lis3dh(bus):
    from micropython_lis3dh import lis3dh

    chip = lis3dh.LIS3DH(bus)

    def reading():
        for _ in range(32):  # ours reads the 32 samples of the chip's FIFO
            found = chip.acceleration
        return found

    return reading


def bme280(bus):
    from bme280 import BME280

    chip = BME280(i2cBus=bus)
    return chip.readForced


def pms5003(bus):
    from pms5003 import PMS5003

    return PMS5003(uart=bus, pin_enable=None, pin_reset=None, mode="passive").read


def heap(modules):
    gc.collect()
    before = gc.mem_alloc()
    for name in modules:
        __import__(name)
    gc.collect()
    print(gc.mem_alloc() - before)


def spent(make, rounds, path):
    reading = make(Bus(path))
    reading()
    gc.collect()
    before = gc.mem_alloc()
    gc.disable()
    found = reading()
    allocated = gc.mem_alloc() - before
    gc.enable()
    best = 1 << 28
    for _ in range(rounds):
        gc.collect()
        began = ticks_us()
        for _ in range(5):
            reading()
        best = min(best, ticks_diff(ticks_us(), began))
    print(best / 5, allocated, found)


Machine.I2C = Machine.SoftI2C = Bus
sys.modules["machine"] = Machine
if sys.argv[1] == "heap":
    heap(sys.argv[2:])
else:
    makers = {"sht4x": sht4x, "scd30": scd30, "sgp40": sgp40, "lis3dh": lis3dh, "bme280": bme280, "pms5003": pms5003}
    who, _, name = sys.argv[2].partition(":")
    spent(citymote(name) if who == "citymote" else makers[name], int(sys.argv[3]), sys.argv[4])
