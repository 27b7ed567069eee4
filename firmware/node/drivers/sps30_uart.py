"""Particulate matter: Sensirion SPS30 on a UART (SEL pin left open), for cables longer than 20 cm.

Datasheet "SPS30", version 1.0 of March 2020, chapter 5 (sections cited as DS): the SHDLC protocol, in which the node
asks and the chip answers; a frame carries an 8-bit sum. The same values as on I2C (`sps30.py`), with the counts
always there.
"""

from citymote_protocol.quantities import (
    PARTICLES_0_5,
    PARTICLES_1_0,
    PARTICLES_2_5,
    PARTICLES_4_0,
    PARTICLES_10,
    PM1,
    PM2_5,
    PM4,
    PM10,
)

from .fault import (
    BAD_CHECKSUM,
    FROZEN,
    NO_ANSWER,
    OK,
    OUT_OF_RANGE,
    REJECTED,
    SHORT_READ,
    SUSPICIOUS,
    WARMING_UP,
    WRONG_CHIP,
    Fault,
)

# DS 5.3: commands
_START = 0x00
_STOP = 0x01
_VALUES = 0x03
_WAKE = 0x11
_SLEEP = 0x10
_CLEANING_INTERVAL = 0x80
_INFORMATION = 0xD0
_VERSION = 0xD1
_STATUS = 0xD2
_REPLY_TIME = 50  # DS 5.3: the chip answers within 20 ms; 48 bytes at 115200 baud take 4 ms
_POLL = 250
_POLLS = 6
_REPEATS = 6  # questions that may be repeated for one reading, all steps together
_STATE_NOT_ALLOWED = 0x43  # DS 5.2: the command is not allowed in the present state

_STEPS = (_WAKE, _INFORMATION, _VERSION, _STOP, _CLEANING_INTERVAL, _START, _VALUES, _STATUS)
_MEASURE = 6  # the step from which a running chip goes on
_END = 8


class SPS30UART:
    """`start_up` is the time in ms from switching the fan on to the first reading that is used (DS 1.1: 8 to 30 s).

    `auto_cleaning_interval` in s, 0 off (DS 4.2; the chip keeps it); None leaves the chip's own (one week).
    """

    BUS = "uart"
    BAUDRATE = 115200
    QUANTITIES = (
        PM1,
        PM2_5,
        PM4,
        PM10,
        PARTICLES_0_5,
        PARTICLES_1_0,
        PARTICLES_2_5,
        PARTICLES_4_0,
        PARTICLES_10,
    )

    def __init__(self, bus, start_up=30000, auto_cleaning_interval=None):
        if not 1000 <= start_up <= 60000:
            raise ValueError("start_up is 1000 to 60000 ms")
        if auto_cleaning_interval is not None and not 0 <= auto_cleaning_interval < 1 << 30:
            raise ValueError("auto_cleaning_interval is 0 to 1073741823 s")
        self._bus = bus
        self._start_up = start_up
        interval = None
        if auto_cleaning_interval is not None:
            interval = shdlc(_CLEANING_INTERVAL, bytes([0]) + auto_cleaning_interval.to_bytes(4, "big"))
        # DS 5.3.7: asleep, one byte 0xFF wakes the interface, and the command must follow within 100 ms
        self._questions = (
            b"\xff" + shdlc(_WAKE, b""),
            shdlc(_INFORMATION, b"\x00"),  # product type
            shdlc(_VERSION, b""),
            shdlc(_STOP, b""),
            interval,
            shdlc(_START, b"\x01\x03"),  # measurement mode, big-endian IEEE 754 floats
            shdlc(_VALUES, b""),
            shdlc(_STATUS, b"\x00"),  # read without clearing
        )
        self._sleep = shdlc(_SLEEP, b"")
        self._chunk = bytearray(32)
        self._reply = bytearray(48)
        self._values = bytearray(40)
        self._health = OK
        self._version = 0
        self._reset()

    def start(self):
        step = self._step
        asked = self._asked
        repeats = self._repeats
        polls = self._polls
        self._reset()  # until this step has succeeded
        if asked:
            damage = self._receive(_STEPS[step])
            if damage:
                if repeats == _REPEATS:
                    raise Fault(damage, "no whole answer to command %02x" % _STEPS[step])
                return self._ask(step, repeats + 1, polls)
            if not self._take(step):  # measuring, but nothing new yet
                if polls == _POLLS:
                    raise Fault(FROZEN, "no new value within %d ms" % (_POLL * _POLLS))
                return self._ask(step, repeats, polls + 1, _POLL)
            step += 1
            if step == _MEASURE:
                self._step = step
                return self._start_up
        if self._questions[step if step < _END else 0] is None:
            step += 1
        if step == _END - 1 and self._version < 0x0202:  # the status register came with firmware 2.2
            step = _END
        if step == _END:
            self._step = _END
            return 0
        return self._ask(step, repeats, polls)

    def read(self):
        step = self._step
        self._reset()
        if step != _END:
            raise Fault(WARMING_UP, "read before start had returned 0")
        self._step = _MEASURE
        result = []
        for i in range(len(self.QUANTITIES)):
            result.append(self._reading(i))
        return result

    def stop(self):
        running = self._step
        self._reset()
        if running >= _MEASURE:
            self._bus.write(self._questions[3])
            self._step = 1
            return _REPLY_TIME
        if running == 1:
            self._bus.write(self._sleep)
        return 0

    def _reset(self):
        self._step = 0
        self._asked = False
        self._repeats = 0
        self._polls = 0

    def _ask(self, step, repeats, polls, wait=_REPLY_TIME):
        self._drain()
        self._bus.write(self._questions[step])
        self._step = step
        self._asked = True
        self._repeats = repeats
        self._polls = polls
        return wait

    def _take(self, step):
        """Use the answer to a step; False where the chip has nothing new."""
        reply = self._reply
        code = _STEPS[step]
        state = reply[2]
        if state & 0x7F and not (state & 0x7F == _STATE_NOT_ALLOWED and code in (_WAKE, _STOP)):
            raise Fault(WRONG_CHIP, "state %02x after command %02x" % (state, code))
        length = reply[3]
        if code == _INFORMATION:
            if length < 8:
                raise Fault(WRONG_CHIP, "no product type")
            for i in range(8):  # DS 5.3.10: "00080000"
                if reply[4 + i] != b"00080000"[i]:
                    raise Fault(WRONG_CHIP, "product type is not 00080000")
        elif code == _VERSION:
            if length < 2:
                raise Fault(WRONG_CHIP, "no version")
            self._version = reply[4] << 8 | reply[5]
        elif code == _VALUES:
            if length != 40:
                return False  # DS 5.3.3: an empty answer, nothing measured since the last
            for i in range(40):
                self._values[i] = reply[4 + i]
            self._health = OK
        elif code == _STATUS:
            # DS 4.4: bit 4 fan, bit 5 laser: no value; bit 21 fan speed: a doubtful one
            if length < 4 or reply[7] & 0x30:
                self._health = REJECTED
            elif reply[5] & 0x20:
                self._health = SUSPICIOUS
        return True

    def _reading(self, i):
        mass = i < 4
        quality = self._health
        value = float_at(self._values, 4 * i, 10 if mass else 100)
        if quality == REJECTED:
            value = None
        elif value is None or value < 0:
            value = None
            quality = OUT_OF_RANGE
        elif value > (10000 if mass else 300000):  # DS 1.1
            quality = OUT_OF_RANGE
        return (self.QUANTITIES[i], value, quality)

    def _drain(self):
        for _ in range(64):
            if not self._bus.any():
                return
            self._bus.readinto(self._chunk)
        raise Fault(WRONG_CHIP, "endless bytes: not the chip or not its baud rate")

    def _receive(self, command):
        """Look for the answer to a command in what has arrived; OK, or what was found instead."""
        damage = NO_ANSWER
        reply = self._reply
        filled = -1  # before the first 7E
        escaped = False
        for _ in range(32):
            if not self._bus.any():
                break
            count = self._bus.readinto(self._chunk)
            if not count:
                break
            for i in range(count):
                byte = self._chunk[i]
                if byte == 0x7E:
                    if filled > 0:
                        damage = self._judge(command, filled)
                        if damage == OK:
                            return OK
                    filled = 0
                    escaped = False
                elif filled < 0:
                    continue
                elif byte == 0x7D:  # DS 5.2: stuffing
                    escaped = True
                elif filled == 48:
                    filled = -1  # longer than any answer
                else:
                    reply[filled] = byte ^ 0x20 if escaped else byte
                    filled += 1
                    escaped = False
        return SHORT_READ if filled > 0 and damage == NO_ANSWER else damage

    def _judge(self, command, filled):
        """DS 5.2: address, command, state, length, data, and the sum's complement."""
        reply = self._reply
        total = 0
        for i in range(filled):
            total += reply[i]
        if filled < 5 or total & 0xFF != 0xFF or reply[3] != filled - 5:
            return BAD_CHECKSUM
        return OK if reply[1] == command and reply[0] == 0 else NO_ANSWER  # a late answer to an earlier question


def shdlc(command, data):
    """A frame to the chip (DS 5.2)."""
    body = bytes((0, command, len(data))) + data
    body += bytes(((sum(body) & 0xFF) ^ 0xFF,))
    out = bytearray(b"\x7e")
    for byte in body:
        if byte in b"\x7e\x7d\x11\x13":
            out.append(0x7D)
            byte ^= 0x20
        out.append(byte)
    out.append(0x7E)
    return bytes(out)


def float_at(data, at, scale):
    """The IEEE 754 single at `at` times 10 or 100, rounded half away from zero; None when it is no number or too large.

    In integers below 2^30, as in `sensirion.scaled_float`: for 100 the mantissa loses its last 2 bits.
    """
    exponent = (data[at] << 1 | data[at + 1] >> 7) & 0xFF
    if exponent == 255:
        return None
    if exponent == 0:
        return 0
    mantissa = 0x800000 | (data[at + 1] & 0x7F) << 16 | data[at + 2] << 8 | data[at + 3]
    shift = 150 - exponent
    if scale > 10:
        mantissa >>= 2
        shift -= 2
    if shift < 1:
        return None
    if shift > 29:
        return 0
    value = (mantissa * scale + (1 << (shift - 1))) >> shift
    return -value if data[at] & 0x80 else value


DRIVER = SPS30UART
