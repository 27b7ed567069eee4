"""The host's end of a virtual node's wires: it plays everything outside the microcontroller.

A virtual node asks, over two pipes, for every byte on a bus; a thread per node answers from the emulated parts that
are connected to the bus of that name. The format of requests is described where the node writes them,
`firmware/node/hal/unix_bridge.py`. While the host has not answered, the node stands still and with it the node's
time; so an appointment (`Bridge.at`) happens at an exact virtual instant, however long it takes here.

What happens on the wires is all here: broken wires, wrong line speeds, full receive buffers. What a chip answers is
the chip's business (`citymote.testing.emul`), processes and files are `citymote.testing.vm`'s.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import json
import os
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .emul.base import AnalogInput, BusFault, I2CChip, Microphone, Nak, Part, Pin, PulseInput, Timeout, UARTChip
from .emul.lines import StuckLines
from .ledger import Ledger
from .wifi import WiFi

HELLO, TICK, LOG, EVENT, EXIT, OPEN, NETWORK_TIME, RTC, FLASH_CUT = range(1, 10)
I2C_WRITE, I2C_READ, I2C_WRITE_READ = 16, 17, 18
UART_WRITE, UART_READ, UART_ANY = 24, 25, 26
ADC_READ, COUNTER_READ, I2S_READ, I2S_SCHEDULE, I2S_BETWEEN = 32, 33, 34, 35, 36
PIN_SET, PIN_GET, I2C_LINES = 40, 41, 42
KINDS = ("i2c", "uart", "adc", "counter", "i2s", "pin")
NATIVE, KEPT, JOIN = 43, 44, 45
KEPT_SIZE = 2048
"""Bytes that an ESP32 keeps through deep sleep for MicroPython (machine.RTC.memory)."""

I2C_TIMEOUT = 200
"""ms that a chip may hold an I2C bus's clock (hal/esp32.py's)."""
RX_BUFFER = 256
"""Bytes that a node's UART keeps unread (machine.UART's default); what arrives after that is lost."""

_REQUEST = struct.Struct("<BBQII")
_REPLY = struct.Struct("<BBxxI")
_U64 = struct.Struct("<Q")
_SCHEDULE = struct.Struct("<BQ")
_SPAN = struct.Struct("<QQ")


class PowerCut(Exception):
    """The node's power failed in the middle of an operation on its flash; it must be killed unanswered."""


@dataclass(slots=True)
class Event:
    """What the firmware said with `hal.event(name, data)`, at `now` ms of the node's story."""

    now: int
    name: str
    data: Any


@dataclass(slots=True)
class LogLine:
    """A line of the node's log: level 0 error, 1 warning, 2 information, 3 detail."""

    now: int
    level: int
    text: str


@dataclass(slots=True)
class _Line:
    # A serial line: what the node has not read yet, and at which speed it listens.
    chip: UARTChip
    baudrate: int = 0
    waiting: bytearray = field(default_factory=bytearray)
    lost: int = 0


class Wiring:
    """Which part hangs on which bus. Outlives restarts of the node; change it while the node runs as you like."""

    def __init__(self, parts: Mapping[str, Part | list[I2CChip]] | None = None) -> None:
        self.i2c: dict[str, dict[int, I2CChip]] = {}
        self.uart: dict[str, UARTChip] = {}
        self.adc: dict[str, AnalogInput] = {}
        self.counter: dict[str, PulseInput] = {}
        self.i2s: dict[str, Microphone] = {}
        self.pin: dict[str, Pin] = {}
        self.broken: dict[str, int] = {}
        self.stuck: dict[str, StuckLines] = {}
        self.timeouts: dict[str, int] = {}
        """For how many ms a chip on an I2C bus may hold the clock, where it is not `I2C_TIMEOUT`."""
        for bus, part in (parts or {}).items():
            for one in part if isinstance(part, list) else [part]:
                self.connect(bus, one)

    def connect(self, bus: str, part: Part) -> None:
        """Connect a part to a bus, in place of what was there (on I2C: at the same address)."""
        match part:
            case I2CChip():
                self.i2c.setdefault(bus, {})[part.address] = part
            case UARTChip():
                self.uart[bus] = part
            case AnalogInput():
                self.adc[bus] = part
            case PulseInput():
                self.counter[bus] = part
            case Microphone():
                self.i2s[bus] = part
            case Pin():
                self.pin[bus] = part

    def disconnect(self, bus: str, address: int | None = None) -> None:
        """Pull the wire: of the chip at `address` on an I2C bus, or of whatever hangs on the bus."""
        if address is None:
            for table in (self.i2c, self.uart, self.adc, self.counter, self.i2s, self.pin):
                table.pop(bus, None)
        else:
            self.i2c.get(bus, {}).pop(address, None)

    def fault(self, bus: str, error: int | None) -> None:
        """Let every use of a bus fail with this errno (EIO for a stuck line, ETIMEDOUT ...); None repairs it."""
        if error is None:
            self.broken.pop(bus, None)
        else:
            self.broken[bus] = error

    def stick(self, bus: str, lines: StuckLines | None) -> None:
        """Let an interrupted chip hold an I2C bus: transfers time out until it is clocked free. None: it lost power."""
        if lines is None:
            self.stuck.pop(bus, None)
        else:
            self.stuck[bus] = lines

    def parts(self) -> list[Part]:
        """Everything connected, each once."""
        found: dict[int, Part] = {}
        tables: list[Mapping[str, Part]] = [self.uart, self.adc, self.counter, self.i2s, self.pin]
        for chips in self.i2c.values():
            found.update((id(chip), chip) for chip in chips.values())
        for table in tables:
            found.update((id(part), part) for part in table.values())
        return list(found.values())


class Bridge:
    """Answers one start of one virtual node, until the node's end of the pipes closes.

    `hello` is what `hal/unix.py` is told (seed, speed, grace, cause, rtc, cut, wear). `start` is the instant of this
    start in ms of the node's story, which is the time that everything here is given in; `wall` is the time of day that
    a network time server tells for story time 0, in ms since 2000; None: no time server answers. `ledger` is the chip's
    memory outside of Python's heap.
    """

    def __init__(
        self,
        wiring: Wiring,
        hello: Mapping[str, Any],
        *,
        start: int = 0,
        wall: int | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_log: Callable[[LogLine], None] | None = None,
        ledger: Ledger | None = None,
        wifi: WiFi | None = None,
    ) -> None:
        self.wiring = wiring
        self.ledger = ledger or Ledger()
        self.wifi = wifi
        self.in_network = wifi is None
        self.kept = b""
        self.hello = dict(hello)
        self.wall = wall
        self.rtc: int | None = self.hello.get("rtc")
        self.start = start
        self.now = start
        self.requests = 0
        self.exit_reason: str | None = None
        self.report: dict[str, Any] = {}
        self.error: BaseException | None = None
        self._on_event = on_event
        self._on_log = on_log
        self._names: list[str] = []
        self._lines: dict[str, _Line] = {}
        self._speeds: dict[str, int] = {}
        self._lock = threading.Lock()
        self._number = itertools.count()
        self._appointments: list[tuple[int, int, Callable[[], None]]] = []
        self._announce = False

    def at(self, now: int, action: Callable[[], None]) -> None:
        """Run `action` when the node's time reaches `now` ms, before the node does anything else at that instant.

        Called from the node's own thread (an action, a chip, an event) it is exact; from another thread the node may
        already be past `now`, and the action then runs at its next request.
        """
        with self._lock:
            heapq.heappush(self._appointments, (now, next(self._number), action))
            self._announce = True

    def appointments(self) -> list[tuple[int, Callable[[], None]]]:
        """What is still to come, in order."""
        with self._lock:
            return [(now, action) for now, _, action in sorted(self._appointments, key=lambda a: a[:2])]

    def due(self, until: int) -> Callable[[], None] | None:
        """The next appointment of a node that sleeps, up to `until`, and its instant in `now`; None: no more."""
        with self._lock:
            if not self._appointments or self._appointments[0][0] > until:
                return None
            now, _, action = heapq.heappop(self._appointments)
            self.now = max(self.now, now)
        return action

    def serve(self, requests: int, replies: int) -> None:
        """Answer requests from one file descriptor to another until the node is gone. Blocks; closes neither."""
        read, buffer, start = os.read, b"", self.start
        size, unpack = _REQUEST.size, _REQUEST.unpack_from
        pack = _REPLY.pack
        while True:
            while len(buffer) < size:
                more = read(requests, 65536)
                if not more:
                    return
                buffer += more
            op, handle, now, argument, length = unpack(buffer)
            now += start
            total = size + length
            while len(buffer) < total:
                more = read(requests, 65536)
                if not more:
                    return
                buffer += more
            data = buffer[size:total]
            buffer = buffer[total:]
            self.now = now
            self.requests += 1
            if self._appointments and self._appointments[0][0] <= now:
                self._keep_appointments(now)
            if op == EXIT:
                said = json.loads(data)
                self.exit_reason, self.report = said["reason"], said["report"]
                continue
            error, body = 0, b""
            try:
                body = self._answer(op, handle, now, argument, data)
            except Nak:
                error = errno.ENODEV
            except Timeout:
                error = errno.ETIMEDOUT
            except BusFault:
                error = errno.EIO
            except OSError as wrong:
                error = wrong.errno or errno.EIO
            flags = 0
            if self._announce and op != TICK:
                flags = 1
            try:
                self._send(replies, pack(error, flags, len(body)) + body)
            except BrokenPipeError:
                return

    @staticmethod
    def _send(fd: int, data: bytes) -> None:
        sent = os.write(fd, data)
        while sent < len(data):
            sent += os.write(fd, data[sent:])

    def _keep_appointments(self, now: int) -> None:
        while True:
            with self._lock:
                if not self._appointments or self._appointments[0][0] > now:
                    self._announce = True
                    return
                action = heapq.heappop(self._appointments)[2]
            action()

    def _answer(self, op: int, handle: int, now: int, argument: int, data: bytes) -> bytes:
        if op == NATIVE:
            (self.ledger.claim if argument else self.ledger.release)(data.decode())
            if data == b"wifi" and not argument:
                self.in_network = self.wifi is None
            return b""
        if op == JOIN:
            return self._join(argument, data)
        if op == KEPT:
            if argument and len(data) > KEPT_SIZE:
                raise OSError(errno.EINVAL, "more than the memory that lives through sleep has")
            self.kept = data if argument else self.kept
            return b"" if argument else self.kept
        if op >= I2C_WRITE:
            name = self._names[handle]
            if self.wiring.broken and name in self.wiring.broken:
                raise OSError(self.wiring.broken[name], "broken wire")
            if op == I2C_LINES:
                return self._lines_of(name, argument)
            if op <= I2C_WRITE_READ:
                return self._i2c(op, name, now, argument, data)
            if op <= UART_ANY:
                return self._uart(op, name, now, argument, data)
            return self._single(op, name, now, argument, data)
        return self._node(op, now, argument, data)

    def _join(self, argument: int, data: bytes) -> bytes:
        if argument == 2:
            return b"" if self.wifi is None else bytes([-self.wifi.signal])
        if self.wifi is None:
            return bytes(3)
        answer = self.wifi.answer(data)
        self.in_network = not answer[0]
        return answer

    def _lines_of(self, name: str, argument: int) -> bytes:
        stuck = self.wiring.stuck.get(name)
        scl, sda = stuck.drive(argument & 1, argument >> 1 & 1) if stuck else (argument & 1, argument >> 1 & 1)
        if stuck and stuck.free:
            self.wiring.stick(name, None)
        return bytes([scl | sda << 1])

    def _i2c(self, op: int, name: str, now: int, argument: int, data: bytes) -> bytes:
        if name in self.wiring.stuck:
            raise Timeout
        try:
            chip = self.wiring.i2c[name][argument & 0x7F]
        except KeyError:
            raise Nak from None
        if chip.stretch(now) > self.wiring.timeouts.get(name, I2C_TIMEOUT):
            raise Timeout
        if op != I2C_READ:
            chip.write(now, data)
            if op == I2C_WRITE:
                return b""
        count = argument >> 8
        got = chip.read(now, count)
        return got if len(got) == count else got[:count].ljust(count, b"\xff")

    def _uart(self, op: int, name: str, now: int, argument: int, data: bytes) -> bytes:
        chip = self.wiring.uart.get(name)
        if chip is None:
            return b"\0\0\0\0" if op == UART_ANY else b""  # an open line is silent
        line = self._lines.get(name)
        if line is None or line.chip is not chip:
            line = self._lines[name] = _Line(chip, self._speeds[name])
        garbled = line.baudrate != chip.baudrate
        sent = chip.transmit(now)
        if sent:
            if garbled:
                sent = bytes(b ^ 0x5A for b in sent)
            room = RX_BUFFER - len(line.waiting)
            line.waiting += sent[:room]
            line.lost += max(0, len(sent) - room)
        if op == UART_ANY:
            return len(line.waiting).to_bytes(4, "little")
        if op == UART_READ:
            got = bytes(line.waiting[:argument])
            del line.waiting[:argument]
            return got
        if not garbled:
            chip.receive(now, data)
        return b""

    def _single(self, op: int, name: str, now: int, argument: int, data: bytes) -> bytes:
        wiring = self.wiring
        try:
            if op == ADC_READ:
                return wiring.adc[name].microvolts(now).to_bytes(4, "little", signed=True)
            if op == COUNTER_READ:
                return _U64.pack(wiring.counter[name].count(now))
            if op == I2S_READ:
                microphone, frames = wiring.i2s[name], argument >> 1
                return microphone.frames(now, frames) if argument & 1 else microphone.samples(now, frames)
            if op == I2S_SCHEDULE:
                heard, until = wiring.i2s[name].schedule(now)
                return _SCHEDULE.pack(heard, max(0, until - self.start))
            if op == I2S_BETWEEN:
                begin, end = _SPAN.unpack(data)
                levels = wiring.i2s[name].between(now, begin + self.start, end + self.start)
                return b"" if levels is None else struct.pack(f"<{len(levels)}i", *levels)
            if op == PIN_SET:
                wiring.pin.setdefault(name, Pin()).set(now, argument)
                return b""
            if op == PIN_GET:
                return bytes([wiring.pin.setdefault(name, Pin()).level])
        except KeyError:
            # An open input: no voltage, no pulses, no sound.
            if op == I2S_SCHEDULE:
                return _SCHEDULE.pack(False, now + 3_600_000 - self.start)
            silence = bytes(4 * (argument >> 1) * (1 + (argument & 1)))
            return {ADC_READ: bytes(4), COUNTER_READ: bytes(8), I2S_READ: silence, I2S_BETWEEN: b""}[op]
        raise OSError(errno.EINVAL, f"the node asked for the unknown operation {op}")

    def _node(self, op: int, now: int, argument: int, data: bytes) -> bytes:
        match op:
            case 1:
                return json.dumps(self.hello).encode()
            case 2:
                with self._lock:
                    self._announce = False
                    return _U64.pack(max(0, self._appointments[0][0] - self.start)) if self._appointments else b""
            case 3:
                if self._on_log:
                    self._on_log(LogLine(now, argument, data.decode(errors="replace")))
            case 4:
                name, _, body = data.partition(b"\0")
                if self._on_event:
                    self._on_event(Event(now, name.decode(), json.loads(body)))
            case 6:
                return self._open(KINDS[argument], data.decode())
            case 7:
                if self.wall is None or not self.in_network:
                    raise OSError(errno.ETIMEDOUT, "no time server answers")
                return _U64.pack((self.wall + now) // 1000)
            case 8:
                self.rtc = _U64.unpack(data)[0] * 1000 - now  # s2000 in ms at story time 0
            case 9:
                raise PowerCut
            case _:
                raise OSError(errno.EINVAL, f"the node asked for the unknown operation {op}")
        return b""

    def _open(self, kind: str, name: str) -> bytes:
        if kind == "uart":
            name, _, speed = name.partition("@")
            self._speeds[name] = int(speed)
            self._lines.pop(name, None)
        elif name in self._names:
            return bytes([self._names.index(name)])
        if len(self._names) > 255:
            raise OSError(errno.EMFILE, "too many buses opened")
        self._names.append(name)
        return bytes([len(self._names) - 1])

    def run(self, requests: int, replies: int, power_cut: Callable[[], None]) -> None:
        """`serve` for a thread: calls `power_cut` when the node's flash asks for it, keeps any error in `error`."""
        try:
            self.serve(requests, replies)
        except PowerCut:
            self.exit_reason = "power cut"
            power_cut()
        except Exception as wrong:  # noqa: BLE001 - an emulator's mistake is the test's to see, not this thread's
            self.error = wrong
            power_cut()
        finally:
            for fd in (requests, replies):
                with contextlib.suppress(OSError):
                    os.close(fd)
