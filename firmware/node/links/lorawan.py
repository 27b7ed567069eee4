"""LoRaWAN through an AT modem of the RAK3172's class: commands as lines out, statuses and events as lines in.

RAKwireless, "RUI3 AT Command Manual" (UART 115200/8-N-1). The modem keeps keys and counters; this sets it up, joins
over the air, and sends. A status ends every command; `+EVT:` lines come when they like. Manuals and firmware differ in
small things (`SEND_CONFIRMED_OK` or `SEND CONFIRMED OK`, an echoed command, a value with or without its name), so
lines are compared without them. Who sends what, and when, is `node.narrow`.
"""

import asyncio
from binascii import hexlify

BAUDRATE = 115200
_POLL = 20  # ms between looks at the receive buffer, which takes 256 bytes
_REPLY = 2000  # ms for a command's status
_JOIN = 60000  # ms: eight attempts of an accept delay and back-off
_CONFIRM = 60000  # ms: with every repetition, at the slowest data rate
_LONGEST = 600  # characters of a line; 242 bytes of downlink in hexadecimal and what stands around them

_LORA = b"\x33\x33\x33\x73\xde\xde"  # largest payload by data rate 0 to 5: EU868, KR920, IN865, AU915 and kin
_US915 = b"\x0b\x35\x7d\xf2\xf2"
_AS923 = b"\x00\x00\x0b\x35\x7d\xde"  # under the limit of dwell time


class ModemError(OSError):
    """The modem refuses, or is silent. Two arguments as any OSError has: a number and the status."""


_BUSY = 1
_NOT_JOINED = 2
_SILENT = 3
_REFUSED = 4
_RESET = 5
_STATUSES = (
    ("AT BUSY ERROR", _BUSY),
    ("AT DUTYCYCLE RESTRICTED", _BUSY),
    ("AT DUTYCYLE RESTRICTED", _BUSY),
    ("RESTRICTED WAIT", _BUSY),
    ("AT NO NETWORK JOINED", _NOT_JOINED),
    ("AT ", _REFUSED),
)


def numbers(text):
    """Every whole number in a text."""
    found = []
    digits = ""
    for c in text + " ":
        if "0" <= c <= "9":
            digits += c
        elif digits:
            found.append(int(digits))
            digits = ""
    return found


class Modem:
    """One modem on a UART. `received(port, bytes)` is called for downlinks, if anyone has set it.

    An error's number is `BUSY` when the modem cannot send yet, `REFUSED` when it does not take a command.
    """

    BUSY = _BUSY
    REFUSED = _REFUSED

    def __init__(self, uart, uptime):
        self._uart = uart
        self._uptime = uptime
        self._line = bytearray()
        self._lines = []
        self.received = None
        self.rssi = None

    def payloads(self, band):
        """The largest payload of each data rate in that band (the number that AT+BAND takes)."""
        if band == 5:
            return _US915
        return _AS923 if 8 <= band <= 11 else _LORA

    def airtime(self, size, rate, band):
        """Milliseconds on air of an uplink of `size` bytes: Semtech AN1200.13, coding rate 4/5, 13 bytes of LoRaWAN."""
        wide = band == 5 and rate == 4  # 500 kHz
        spread = 8 if wide else (10 if band == 5 else 12) - min(rate, 5)
        symbol = (1 << spread) * (2 if wide else 8)  # us
        slow = 1 if spread > 10 and not wide else 0
        bits = 8 * (size + 13) - 4 * spread + 44
        by = 4 * (spread - 2 * slow)
        symbols = 8 + (max(0, bits) + by - 1) // by * 5
        return (symbol * (49 + 4 * symbols) // 4 + 999) // 1000

    def _read(self):
        # What has arrived, as whole lines.
        while self._uart.any():
            for byte in self._uart.read() or b"":
                if byte in b"\r\n":
                    if self._line:
                        self._lines.append(str(self._line, "ascii") if max(self._line) < 128 else "")
                        self._line = bytearray()
                elif len(self._line) < _LONGEST:
                    self._line.append(byte)

    async def _next(self, until):
        # The next line, events in one spelling; an error when none comes by the uptime `until`.
        while True:
            self._read()
            if self._lines:
                line = self._lines.pop(0)
                if line.startswith("+EVT:"):
                    line = "+" + line[5:].replace("_", " ")
                    self._downlink(line)
                elif "Work Mode" in line:
                    raise ModemError(_RESET, "the modem has started anew")
                return line
            if self._uptime() >= until:
                raise ModemError(_SILENT, "the modem does not answer")
            await asyncio.sleep_ms(_POLL)

    def _downlink(self, line):
        # "RX 1:-70:8:UNICAST:2:0102": window, signal, ratio, kind, port, payload
        parts = line.split(":")
        if not line.startswith("+RX") or len(parts) != 6:
            return
        try:
            self.rssi = int(parts[1])
            if self.received:
                self.received(int(parts[4]), bytes(int(parts[5][i : i + 2], 16) for i in range(0, len(parts[5]), 2)))
        except ValueError:
            pass

    async def idle(self):
        """Take in what the modem has said by itself."""
        try:
            while True:
                await self._next(0)
        except ModemError as e:
            if e.errno == _RESET:
                raise

    async def command(self, text, wait=_REPLY):
        """Give a command; what it says, without its name. ModemError with the status where that is not OK."""
        await self.idle()
        self._uart.write(text + "\r\n")
        name = text.split("=")[0]
        value = ""
        until = self._uptime() + wait
        while True:
            line = await self._next(until)
            if line == "OK":
                return value
            plain = line.replace("_", " ").upper()
            for status, code in _STATUSES:
                if plain.startswith(status):
                    raise ModemError(code, "%s: %s" % (name, line))
            if line.startswith(name + "=") and line != text:
                value = line[len(name) + 1 :]
            elif not line.startswith(("AT", "+")):
                value = line

    async def event(self, wait, *names):
        """Wait for one of these events; which it was, and what it said."""
        until = self._uptime() + wait
        while True:
            line = await self._next(until)
            for name in names:
                if line.startswith("+" + name):
                    return name, line

    async def set_up(self, s):
        """Bands, keys and modes, from the setting `lorawan`."""
        for left in range(3, 0, -1):
            try:
                await self.command("AT")
                break
            except ModemError:  # starting, asleep, or an unfinished line before it
                if left == 1:
                    raise
        await self.command("AT+NWM=1", 5000)
        await self.command("AT+NJM=1")
        await self.command("AT+CLASS=A")
        await self.command("AT+BAND=%d" % s.get("band", 4))
        if s.get("dev_eui"):
            await self.command("AT+DEVEUI=" + s["dev_eui"])
        await self.command("AT+APPEUI=" + s["join_eui"])
        await self.command("AT+APPKEY=" + s["app_key"])
        await self.command("AT+CFM=1")
        await self.command("AT+RETY=%d" % s.get("retries", 3))
        if s.get("adr", True):
            await self.command("AT+ADR=1")
        else:
            await self.choose(s.get("dr", 0), False)

    async def choose(self, rate, adaptive):
        """Send at this data rate, from now on or (`adaptive`) until the network asks for another."""
        await self.command("AT+ADR=0")
        await self.command("AT+DR=%d" % rate)
        if adaptive:
            await self.command("AT+ADR=1")

    async def joined(self):
        """Whether the modem has a session."""
        return await self.command("AT+NJS=?") == "1"

    async def join(self):
        """Join over the air; ModemError when nobody lets us in."""
        await self.command("AT+JOIN=1:0:10:2")
        name, line = await self.event(_JOIN, "JOINED", "JOIN FAILED")
        if name != "JOINED":
            raise ModemError(_NOT_JOINED, line[1:])

    async def rate(self):
        """The data rate that the next uplink will have."""
        return numbers(await self.command("AT+DR=?"))[0]

    async def send(self, port, payload):
        """A confirmed uplink; whether the network has acknowledged it."""
        text = "AT+SEND=%d:%s" % (port, str(hexlify(payload), "ascii"))
        await self.command(text, 5000)
        name, _ = await self.event(_CONFIRM, "SEND CONFIRMED OK", "SEND CONFIRMED FAILED")
        return name == "SEND CONFIRMED OK"

    async def pause(self):
        """Seconds until the duty cycle lets it send again, as far as the modem says."""
        try:
            found = numbers(await self.command("AT+DUTYTIME=?"))
        except ModemError as e:
            if e.errno != _REFUSED:
                raise
            found = ()
        return found[0] if found else 0

    async def time(self):
        """Ask the network for the time with the next uplink."""
        await self.command("AT+TIMEREQ=1")

    async def clock(self):
        """(year, month, day, hour, minute, second) by the modem's clock, UTC; None while it is not set."""
        found = numbers(await self.command("AT+LTIME=?"))
        if len(found) != 6:
            return None
        hour, minute, second, a, b, c = found
        year, month, day = (a, b, c) if a > 31 else (c, a, b)
        return (year, month, day, hour, minute, second) if year >= 2026 else None
