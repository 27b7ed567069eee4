"""Particulate matter: Nova Fitness SDS011 on a UART.

Nova Fitness "Laser Dust Sensor Control Protocol V1.3" of 2015-07-20 (sections cited as CP) and "SDS011 specification
V1.3" (SP). The chip is put into query mode, so that each value was measured after the question. Its frames carry an
8-bit sum. The laser lasts some 8000 hours (SP 6): a node that reads rarely should stop() in between.
"""

from citymote_protocol.quantities import PM2_5, PM10

from .fault import BAD_CHECKSUM, NO_ANSWER, OK, OUT_OF_RANGE, SHORT_READ, WARMING_UP, WRONG_CHIP, Fault

_COMMAND_TIME = 100  # not in CP; 19 bytes there and 10 back take 30 ms at 9600 baud
_REPEATS = 6  # questions that may be repeated for one reading, all steps together

# CP 3: what the second data byte of an answer C5 repeats
_MODE = 0x02
_QUERY = 0x04
_WORK = 0x06
_VERSION = 0x07

_STEPS = (_WORK, _MODE, _VERSION, _QUERY)
_MEASURE = 3
_END = 4


class SDS011:
    """`start_up` is the time in ms from starting the fan to the first reading that is used (SP 6: 30 s)."""

    BUS = "uart"
    BAUDRATE = 9600
    QUANTITIES = (PM2_5, PM10)
    LEAD = 800  # ms: a reading whose question has to be repeated takes 700

    def __init__(self, bus, start_up=30000):
        if not 1000 <= start_up <= 120000:
            raise ValueError("start_up is 1000 to 120000 ms")
        self._bus = bus
        self._start_up = start_up
        self._questions = (
            command(_WORK, 1, 1),  # set, work
            command(_MODE, 1, 1),  # set, report only when asked
            command(_VERSION, 0, 0),
            command(_QUERY, 0, 0),
        )
        self._sleep = command(_WORK, 1, 0)
        self._chunk = bytearray(32)
        self._frame = bytearray(10)
        self.version = None  # year, month, day of the chip's firmware, once identified
        self._reset()

    def start(self):
        step = self._step
        asked = self._asked
        repeats = self._repeats
        self._reset()  # until this step has succeeded
        if step == _END:
            self._step = _END
            return 0
        if asked:
            damage = self._receive(_STEPS[step])
            if damage:
                if repeats == _REPEATS:
                    raise Fault(damage, "no whole answer to command %02x" % _STEPS[step])
                return self._ask(step, repeats + 1)
            if step == 2:
                self.version = (self._frame[3], self._frame[4], self._frame[5])
            step += 1
            if step == _END:
                self._step = _END
                return 0
            if step == _MEASURE:
                self._step = step
                return self._start_up
        return self._ask(step, repeats)

    def read(self):
        step = self._step
        self._reset()
        if step != _END:
            raise Fault(WARMING_UP, "read before start had returned 0")
        self._step = _MEASURE
        return (self._reading(PM2_5, 2), self._reading(PM10, 4))

    def stop(self):
        self._reset()
        self._bus.write(self._sleep)
        return 0

    def _reset(self):
        self._step = 0
        self._asked = False
        self._repeats = 0

    def _ask(self, step, repeats):
        self._drain()
        self._bus.write(self._questions[step])
        self._step = step
        self._asked = True
        self._repeats = repeats
        return _COMMAND_TIME

    def _reading(self, quantity, at):
        # CP 3.2: low byte first, tenths of ug/m3; SP 3: range 0.0 to 999.9
        value = self._frame[at] | self._frame[at + 1] << 8
        return (quantity, value, OK if value <= 9999 else OUT_OF_RANGE)

    def _drain(self):
        for _ in range(64):
            if not self._bus.any():
                return
            self._bus.readinto(self._chunk)
        raise Fault(WRONG_CHIP, "endless bytes: not the chip or not its baud rate")

    def _receive(self, wanted):
        """Look for the answer to a command in what has arrived; OK, or what was found instead."""
        damage = NO_ANSWER
        frame = self._frame
        filled = 0
        for _ in range(32):
            if not self._bus.any():
                break
            count = self._bus.readinto(self._chunk)
            if not count:
                break
            for i in range(count):
                frame[filled] = self._chunk[i]
                filled += 1
                if filled == 10 and frame[9] == 0xAB and self._sum() == frame[8]:
                    if (frame[1] == 0xC0 and wanted == _QUERY) or (frame[1] == 0xC5 and frame[2] == wanted):
                        return OK
                    filled = 0  # an answer to something else
                elif filled == 10:
                    damage = BAD_CHECKSUM
                    filled = self._shift(filled)
                while filled and not (frame[0] == 0xAA and (filled < 2 or frame[1] in b"\xc0\xc5")):
                    filled = self._shift(filled)
        return SHORT_READ if filled and damage == NO_ANSWER else damage

    def _shift(self, filled):
        """Drop the first byte."""
        for i in range(1, filled):
            self._frame[i - 1] = self._frame[i]
        return filled - 1

    def _sum(self):
        total = 0
        for i in range(2, 8):
            total += self._frame[i]
        return total & 0xFF


def command(code, set_, value):
    """Nineteen bytes to any chip (CP 1, CP 2: device id FF FF)."""
    body = bytes((code, set_, value)) + bytes(10) + b"\xff\xff"
    return b"\xaa\xb4" + body + bytes((sum(body) & 0xFF, 0xAB))


DRIVER = SDS011
