"""Particulate matter: Plantower PMS5003, PMS7003 and PMSA003 on a UART (same protocol, 32-byte data frame).

Plantower "PMS5003 series data manual", V2.3 (appendices cited as DM). The driver keeps the chip in passive mode and
asks for each reading, so that what it returns was measured after the question. The chip's resolution is 1 ug/m3. Its
frames carry a 16-bit sum; there is no identification but the frame's length, which differs in the PMS3003.
"""

from citymote_protocol.quantities import PM1, PM2_5, PM10

from .fault import (
    BAD_CHECKSUM,
    LIKELY_INVALID,
    NO_ANSWER,
    OK,
    OUT_OF_RANGE,
    SHORT_READ,
    WARMING_UP,
    WRONG_CHIP,
    Fault,
)

# DM appendix II: 42 4D, command, two bytes of data, sum of the five
_WAKE = b"\x42\x4d\xe4\x00\x01\x01\x74"
_SLEEP = b"\x42\x4d\xe4\x00\x00\x01\x73"
_PASSIVE = b"\x42\x4d\xe1\x00\x00\x01\x70"
_READ = b"\x42\x4d\xe2\x00\x00\x01\x71"
_LENGTH = 28  # DM appendix I: thirteen data words and the sum
_ANSWER = 4  # the chip repeats a mode command in a frame of this length
_COMMAND_TIME = 100  # not given in DM; eight bytes take 9 ms
_REPLY_TIME = 200  # not given in DM; 32 bytes take 34 ms
_REPLY_TRIES = 5

_NEW, _WOKEN, _WARM, _ASKED, _READY = range(5)


class PMS5003:
    """`start_up` is the time in ms from waking the fan to the first reading that is used (DM: 30 s at least).

    `environment` atmospheric (data 4 to 6) or standard (data 1 to 3, "CF = 1", as for industrial dust).
    """

    BUS = "uart"
    BAUDRATE = 9600
    QUANTITIES = (PM1, PM2_5, PM10)
    LEAD = 1300  # ms: a reading whose question has to be repeated takes 1200

    def __init__(self, bus, start_up=30000, environment="atmospheric"):
        if not 1000 <= start_up <= 120000:
            raise ValueError("start_up is 1000 to 120000 ms")
        if environment not in ("atmospheric", "standard"):
            raise ValueError("environment is atmospheric or standard")
        self._bus = bus
        self._start_up = start_up
        self._first = 10 if environment == "atmospheric" else 4
        self._chunk = bytearray(32)
        self._frame = bytearray(32)
        self._state = _NEW
        self._tries = 0
        self._filled = 0  # bytes of a possible frame so far
        self._damage = 0  # the worst that was seen while looking for a frame, as a quality code

    def start(self):
        state = self._state
        self._state = _NEW  # until this step has succeeded
        if state == _READY:
            self._state = _READY
            return 0
        if state == _NEW:
            self._bus.write(_WAKE)
            self._state = _WOKEN
            return self._start_up
        if state == _WOKEN:
            self._bus.write(_PASSIVE)
            self._state = _WARM
            return _COMMAND_TIME
        if state == _WARM:
            self._drain()
            self._tries = _REPLY_TRIES
            self._filled = 0
            self._damage = NO_ANSWER
        elif self._receive():
            self._state = _READY
            return 0
        if not self._tries:
            raise Fault(self._damage, "no whole data frame came back")
        self._tries -= 1
        self._bus.write(_READ)
        self._state = _ASKED
        return _REPLY_TIME

    def read(self):
        state = self._state
        self._state = _NEW
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        self._state = _WARM
        frame = self._frame
        # DM appendix I, data 13: version in the high byte, error code in the low; its bits are not explained there
        quality = LIKELY_INVALID if frame[29] else OK
        return (
            self._reading(PM1, self._first, quality),
            self._reading(PM2_5, self._first + 2, quality),
            self._reading(PM10, self._first + 4, quality),
        )

    def stop(self):
        self._state = _NEW
        self._bus.write(_SLEEP)
        return 0

    def _reading(self, quantity, at, quality):
        value = self._frame[at] << 8 | self._frame[at + 1]
        if value > 1000 and not quality:  # DM 1: maximum range 1000 ug/m3 or more, effective range 0 to 500
            quality = OUT_OF_RANGE
        return (quantity, value * 10, quality)

    def _drain(self):
        for _ in range(64):  # 2 KB: more than any receive buffer holds
            if not self._bus.any():
                return
            self._bus.readinto(self._chunk)
        raise Fault(WRONG_CHIP, "endless bytes: not the chip or not its baud rate")

    def _receive(self):
        """Look for a data frame in what has arrived; frames in which the chip repeats commands are passed over."""
        frame = self._frame
        filled = self._filled
        for _ in range(16):
            if not self._bus.any():
                break
            count = self._bus.readinto(self._chunk)
            if not count:
                break
            for i in range(count):
                frame[filled] = self._chunk[i]
                filled = self._sift(filled + 1)
                if filled == 32:
                    if self._sum(30) == frame[30] << 8 | frame[31]:
                        return True
                    self._damage = BAD_CHECKSUM
                    filled = self._resync(32)
        self._filled = filled  # the rest may be under way
        if filled >= 4:
            self._damage = SHORT_READ
        return False

    def _sift(self, filled):
        """Keep `filled` bytes while they can begin a data frame."""
        while filled and not self._plausible(filled):
            filled = self._shift(filled)
        return filled

    def _plausible(self, filled):
        frame = self._frame
        if frame[0] != 0x42 or (filled > 1 and frame[1] != 0x4D):
            return False
        if filled < 4:
            return True
        if frame[2] == 0 and frame[3] == _LENGTH:
            return True
        if frame[3] != _ANSWER or frame[2]:
            self._damage = WRONG_CHIP
        return False

    def _shift(self, filled):
        """Drop the first byte."""
        for i in range(1, filled):
            self._frame[i - 1] = self._frame[i]
        return filled - 1

    def _resync(self, filled):
        return self._sift(self._shift(filled))

    def _sum(self, count):
        total = 0
        for i in range(count):
            total += self._frame[i]
        return total


DRIVER = PMS5003
