"""The node's end of the wires to the host, which plays everything outside the microcontroller.

One request, one reply, over two inherited pipes (`--bridge=R,W` in argv names their numbers); each request
carries the node's uptime, so that emulated chips live in the node's time. The host's end, and the table of
operations, is `citymote.testing.bridge`: the numbers here and there are held together by a test.

    request   op u8, handle u8, uptime ms u64, argument u32, length u32, then `length` bytes
    reply     error u8 (an errno, 0 is none), flags u8 (1: the host's next appointment changed), 2 spare, length u32,
              then `length` bytes
"""

import errno
import struct
import sys

HELLO = 1  # -> JSON: what this start of the node is like
TICK = 2  # the clock has reached the host's appointment -> next one, u64, or empty
LOG = 3  # argument level, text
EVENT = 4  # "name\0" + JSON
EXIT = 5  # argument exit code; JSON of reason and report; no reply
OPEN = 6  # argument kind, bus name -> handle u8
NETWORK_TIME = 7  # -> s2000 u64
RTC = 8  # argument 1: set to u64
FLASH_CUT = 9  # the power fails now; there is no reply, ever
I2C_WRITE = 16  # argument address
I2C_READ = 17  # argument address | count << 8
I2C_WRITE_READ = 18  # the same, repeated start in between
UART_WRITE = 24
UART_READ = 25  # argument: at most so many bytes
UART_ANY = 26  # -> u32
ADC_READ = 32  # -> microvolts i32
COUNTER_READ = 33  # -> u64
I2S_READ = 34  # argument: frames * 2, + 1 for both channels
I2S_SCHEDULE = 35  # -> heard u8, until u64
I2S_BETWEEN = 36  # start u64, end u64 -> 17 levels i32, or empty
PIN_SET = 40  # argument level
PIN_GET = 41  # -> u8
KEPT = 44  # argument 1: put this into the memory that lives through sleep; 0: -> what is there
NATIVE = 43  # argument 1: take the native memory of a kind (wifi, ble, tls, i2s), 0: give it back
# Argument 1: join the network in JSON, 0: is it still there? -> reason u8 (SPEC 15.4), 0 yes; ms u16. 2: -> -dBm u8.
JOIN = 45
I2C_LINES = 42  # argument: bit 0 clock, bit 1 data, 1 lets go -> levels u8 in the same bits

KINDS = ("i2c", "uart", "adc", "counter", "i2s", "pin")

_HEADER = 18
_SMALL = 238  # payloads up to this size leave in one write with their header


class Bridge:
    """The two pipes. `clock` is asked for the time and told of the host's appointments."""

    def __init__(self, reader, writer, clock):
        self._r = open("/dev/fd/%d" % reader, "rb")
        self._w = open("/dev/fd/%d" % writer, "wb")
        self._clock = clock
        self._out = bytearray(_HEADER + _SMALL)
        self._in = bytearray(8)
        self._outmv = memoryview(self._out)

    def call(self, op, handle=0, argument=0, data=b"", into=None):
        """Send a request; returns the reply's bytes, or how many of them were put `into` a buffer."""
        n = len(data)
        out = self._out
        struct.pack_into("<BBQII", out, 0, op, handle, self._clock.now, argument, n)
        try:
            if n <= _SMALL:
                out[_HEADER : _HEADER + n] = data
                self._w.write(self._outmv[: _HEADER + n])
            else:
                self._w.write(self._outmv[:_HEADER])
                _write_all(self._w, data)
        except OSError:
            sys.exit(3)  # the host is gone; any other exception would be lived with, for ever
        head = self._in
        self._exactly(head, 8)
        n = struct.unpack_from("<I", head, 4)[0]
        if into is None:
            into = bytearray(n)
            if n:
                self._exactly(into, n)
            got = into
        else:
            if n > len(into):
                raise RuntimeError("the host sent %d bytes, %d fit" % (n, len(into)))
            if n:
                self._exactly(into, n)
            got = n
        if head[1] & 1 and op != TICK:
            self.tick()
        if head[0]:
            raise OSError(head[0])
        return got

    def cast(self, op, argument, data):
        """Say something that needs no answer and outlives this process: the last words before an exit."""
        struct.pack_into("<BBQII", self._out, 0, op, 0, self._clock.now, argument, len(data))
        self._w.write(self._outmv[:_HEADER])
        _write_all(self._w, data)

    def _exactly(self, buf, n):
        got = self._r.readinto(buf, n)
        if got == n:
            return
        mv = memoryview(buf)
        while got:
            more = self._r.readinto(mv[got:n])
            if not more:
                break
            got += more
            if got == n:
                return
        sys.exit(3)  # the host is gone

    def tick(self):
        """Tell the host the time, let it keep its appointments, note the next one."""
        at = self.call(TICK)
        self._clock.limit = struct.unpack("<Q", at)[0] if at else None

    def open(self, kind, name):
        return self.call(OPEN, 0, KINDS.index(kind), name.encode())[0]


def _write_all(f, data):
    mv = memoryview(data)
    done = 0
    while done < len(mv):
        done += f.write(mv[done:])


class I2C:
    """As much of machine.I2C as drivers use."""

    def __init__(self, bridge, name):
        self._call = bridge.call
        self._h = bridge.open("i2c", name)
        self._reg = bytearray(2)

    def writeto(self, address, buf, stop=True):
        self._call(I2C_WRITE, self._h, address, buf)
        return len(buf)

    def writevto(self, address, vector, stop=True):
        return self.writeto(address, b"".join(bytes(v) for v in vector), stop)

    def readfrom_into(self, address, buf, stop=True):
        self._call(I2C_READ, self._h, address | len(buf) << 8, b"", buf)

    def readfrom(self, address, nbytes, stop=True):
        buf = bytearray(nbytes)
        self.readfrom_into(address, buf)
        return bytes(buf)

    def _address(self, memaddr, addrsize):
        if addrsize == 8:
            self._reg[0] = memaddr
            return memoryview(self._reg)[:1]
        self._reg[0] = memaddr >> 8
        self._reg[1] = memaddr & 0xFF
        return self._reg

    def readfrom_mem_into(self, address, memaddr, buf, *, addrsize=8):
        self._call(I2C_WRITE_READ, self._h, address | len(buf) << 8, self._address(memaddr, addrsize), buf)

    def readfrom_mem(self, address, memaddr, nbytes, *, addrsize=8):
        buf = bytearray(nbytes)
        self.readfrom_mem_into(address, memaddr, buf, addrsize=addrsize)
        return bytes(buf)

    def writeto_mem(self, address, memaddr, buf, *, addrsize=8):
        self._call(I2C_WRITE, self._h, address, bytes(self._address(memaddr, addrsize)) + bytes(buf))

    def scan(self):
        found = []
        for address in range(8, 0x78):
            try:
                self._call(I2C_WRITE, self._h, address)
                found.append(address)
            except OSError as e:
                if e.errno != errno.ENODEV:
                    raise
        return found


class UART:
    """As much of machine.UART as drivers use; reads never block: what has arrived, or None."""

    def __init__(self, bridge, name, baudrate):
        self._call = bridge.call
        self._h = bridge.open("uart", name + "@" + str(baudrate))

    def any(self):
        return struct.unpack("<I", self._call(UART_ANY, self._h))[0]

    def read(self, nbytes=0xFFFF):
        got = self._call(UART_READ, self._h, nbytes)
        return bytes(got) if got else None

    def readinto(self, buf, nbytes=None):
        return self._call(UART_READ, self._h, len(buf) if nbytes is None else min(nbytes, len(buf)), b"", buf) or None

    def write(self, buf):
        if isinstance(buf, str):
            buf = buf.encode()
        self._call(UART_WRITE, self._h, 0, buf)
        return len(buf)

    def flush(self):
        pass


class ADC:
    def __init__(self, bridge, name):
        self._call = bridge.call
        self._h = bridge.open("adc", name)

    def read_uv(self):
        return struct.unpack("<i", self._call(ADC_READ, self._h))[0]


class Counter:
    def __init__(self, bridge, name):
        self._call = bridge.call
        self._h = bridge.open("counter", name)
        self._zero = 0

    def value(self, value=None):
        count = struct.unpack("<Q", self._call(COUNTER_READ, self._h))[0]
        was = count - self._zero
        if value is not None:
            self._zero = count - value
        return was


class I2S:
    """Sound comes in as fast as it sounds: a read takes the time that its samples last."""

    def __init__(self, bridge, name, rate, stereo=False):
        self._call = bridge.call
        self._clock = bridge._clock
        self._h = bridge.open("i2s", name)
        self._call(NATIVE, 0, 1, b"i2s")
        self._rate = rate
        self._stereo = 1 if stereo else 0
        self._rest = 0

    async def readinto(self, buf):
        import asyncio

        frames = len(buf) >> 2 + self._stereo
        lasts = frames * 1000 + self._rest
        self._rest = lasts % self._rate
        await asyncio.sleep_ms(lasts // self._rate)
        return self._call(I2S_READ, self._h, frames << 1 | self._stereo, b"", buf)

    def schedule(self):
        """(heard, until): is sound rendered now, and up to which uptime does that hold. No board has this."""
        return struct.unpack("<BQ", self._call(I2S_SCHEDULE, self._h))

    def between(self, start, end):
        """The levels of a time that was not rendered, or None when the microphone is not there. No board has this."""
        got = self._call(I2S_BETWEEN, self._h, 0, struct.pack("<QQ", start, end))
        return struct.unpack("<%di" % (len(got) // 4), got) if got else None

    def deinit(self):
        self._call(NATIVE, 0, 0, b"i2s")


class Pin:
    def __init__(self, bridge, name):
        self._call = bridge.call
        self._h = bridge.open("pin", name)

    def value(self, x=None):
        if x is None:
            return self._call(PIN_GET, self._h)[0]
        self._call(PIN_SET, self._h, 1 if x else 0)
        return None

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)
