"""What Sensirion's chips share: two-byte words, each followed by a CRC-8, floats cut into such words, and the life of a
chip that measures by itself once it has been started.

CRC-8 as every one of their I2C datasheets gives it (for example SHT4x section 4.4, SPS30 section 6.2): polynomial
0x31, start value 0xFF, no reflection, no final xor; the bytes BE EF give 92. Nothing here allocates.
"""

from .fault import BAD_CHECKSUM, FROZEN, SHORT_READ, STUCK_BUS, WARMING_UP, Fault

# crc of one nibble shifted through the polynomial
_NIBBLE = b"\x00\x31\x62\x53\xc4\xf5\xa6\x97\xb9\x88\xdb\xea\x7d\x4c\x1f\x2e"


def crc8(data, start, end):
    """CRC-8 over data[start:end]."""
    crc = 0xFF
    for i in range(start, end):
        crc ^= data[i]
        crc = ((crc << 4) & 0xFF) ^ _NIBBLE[crc >> 4]
        crc = ((crc << 4) & 0xFF) ^ _NIBBLE[crc >> 4]
    return crc


def check(data, count):
    """Refuse the first `count` bytes unless each word's CRC is right, saying which kind of damage it looks like."""
    for i in range(0, count, 3):
        if not intact(data, i):
            break
    else:
        return
    # A released line reads ones, a line held low reads zeros; neither can carry a right CRC.
    if _all(data, count - 3, count, 0xFF):
        raise Fault(SHORT_READ, "the chip stopped sending before the end")
    if _all(data, 0, count, 0x00):
        raise Fault(STUCK_BUS, "only zeros: the data line is held low")
    raise Fault(BAD_CHECKSUM, "wrong CRC in word %d" % (i // 3))


def intact(data, at):
    """Whether the word at byte `at` has its right CRC."""
    return crc8(data, at, at + 2) == data[at + 2]


def _all(data, start, end, value):
    for i in range(start, end):
        if data[i] != value:
            return False
    return True


def word(data, at):
    """The word that starts at byte `at` of a reply."""
    return data[at] << 8 | data[at + 1]


def put_word(data, at, value):
    """Write a word and its CRC into a command."""
    data[at] = value >> 8
    data[at + 1] = value & 0xFF
    data[at + 2] = crc8(data, at, at + 2)


def command(code, *words):
    """A command and its arguments as bytes, for settings made once."""
    out = bytearray(2 + 3 * len(words))
    out[0] = code >> 8
    out[1] = code & 0xFF
    for i in range(len(words)):
        put_word(out, 2 + 3 * i, words[i])
    return bytes(out)


def scaled_float(data, at, scale):
    """The IEEE 754 single in the two words at byte `at`, times `scale` (1, 10 or 100), rounded half away from zero.

    None when it is not a number or 2^28 and more. In integers: an ESP32's float has no digits to spare, and is an
    object. 24 bits of mantissa times 10 stay below 2^30; for 100 the mantissa loses its last 2 bits (2^-22 of the
    value).
    """
    high = data[at] << 8 | data[at + 1]
    exponent = (high >> 7) & 0xFF
    if exponent == 255:
        return None
    if exponent == 0:
        return 0  # zero, or a subnormal far below any resolution
    mantissa = 0x800000 | (high & 0x7F) << 16 | data[at + 3] << 8 | data[at + 4]
    shift = 150 - exponent
    if scale > 10:
        mantissa >>= 2
        shift -= 2
    if shift < 1:
        return None
    if shift > 29:
        return 0
    value = (mantissa * scale + (1 << (shift - 1))) >> shift
    return -value if high & 0x8000 else value


def signed(data, at):
    """The word at byte `at` as a two's complement number."""
    value = data[at] << 8 | data[at + 1]
    return value - 0x10000 if value & 0x8000 else value


def rounded(value, by):
    """value / by to the nearest integer, ties away from zero."""
    return (value + by // 2) // by if value >= 0 else -((by // 2 - value) // by)


_PRELUDE, _IDENTIFY, _SETTINGS, _POLL, _POLLED, _FETCHED, _CHECKED, _READY, _STOPPED = range(9)
_AGAIN = 99


class Continuous:
    """A chip on I2C that is started once and then has a new set of values every few seconds.

    A chip's own class names its commands as (code, ms until the reply may be read or the next command given) and says
    in _identify, _ready and _convert what replies mean. `settings` are commands with arguments, as bytes, and their ms.
    """

    BUS = "i2c"
    ADDRESS = 0
    PRELUDE = (
        (0x0104, 10),
    )  # commands that bring it from any state to idle; asleep or already idle it may refuse them
    IDENTITY = (0, 0)
    START = b""  # as bytes, with its argument
    READY = (0, 0)
    VALUES = (0, 0)
    STATUS = None
    STOP = (0, 0)
    SLEEP = None
    IDENTITY_LENGTH = 9
    VALUES_LENGTH = 9
    POLL = 1000  # how soon to ask again for new values
    POLLS = 8  # how often, until it must be called frozen

    def __init__(self, bus, first, settings=()):
        self._bus = bus
        self._first = first  # ms from start to the first reading that is used
        self._settings = settings
        self._pointer = bytearray(2)
        self._identity = bytearray(self.IDENTITY_LENGTH)
        self._flag = bytearray(3)
        self._status = bytearray(6)
        self._values = bytearray(self.VALUES_LENGTH)
        self._reset()

    def start(self):
        state = self._state
        index = self._index
        self._reset()  # until this step has succeeded
        if state == _READY:
            self._state = _READY
            return 0
        if state == _STOPPED:
            state = _PRELUDE
        if state == _PRELUDE:
            if index < len(self.PRELUDE):
                code, duration = self.PRELUDE[index]
                try:
                    self._command(code)
                except OSError:
                    pass  # a chip that is not there is found at the next step
                return self._next(_PRELUDE, index + 1, duration)
            self._command(self.IDENTITY[0])
            return self._next(_IDENTIFY, 0, self.IDENTITY[1])
        if state == _IDENTIFY:
            self._receive(self._identity)
            self._identify(self._identity)
            state = _SETTINGS
        if state == _SETTINGS:
            if index < len(self._settings):
                setting, duration = self._settings[index]
                self._bus.writeto(self.ADDRESS, setting)
                return self._next(_SETTINGS, index + 1, duration)
            self._bus.writeto(self.ADDRESS, self.START)
            return self._next(_POLL, 0, self._first)
        if state == _POLL:
            self._command(self.READY[0])
            return self._next(_POLLED, index, self.READY[1])
        if state == _POLLED:
            self._receive(self._flag)
            if not self._ready(word(self._flag, 0)):
                if index == self.POLLS:
                    raise Fault(FROZEN, "no new values within %d ms" % (self.POLL * self.POLLS))
                return self._next(_POLL, index + 1, self.POLL)
            self._command(self.VALUES[0])
            return self._next(_FETCHED, 0, self.VALUES[1])
        if state == _FETCHED:
            self._receive(self._values)
            if self.STATUS:
                self._command(self.STATUS[0])
                return self._next(_CHECKED, 0, self.STATUS[1])
        if state == _CHECKED:
            self._receive(self._status)
        self._state = _READY
        return 0

    def read(self):
        state = self._state
        self._reset()
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        self._state = _POLL
        return self._convert(self._values)

    def stop(self):
        state = self._state
        index = self._index
        self._reset()
        if state == _STOPPED:
            if self.SLEEP:
                self._command(self.SLEEP)
            return 0
        try:
            self._command(self.STOP[0])
        except OSError:
            if state < _POLL:
                return 0  # asleep, idle, or not there
            if index == _AGAIN:
                raise
            return self._next(_POLL, _AGAIN, 100)  # busy with the last command
        return self._next(_STOPPED, 0, self.STOP[1])

    def _identify(self, reply):
        """Raise WRONG_CHIP unless the reply is this chip's."""

    def _ready(self, flag):
        return flag & 1

    def _convert(self, values):
        return ()

    def _reset(self):
        self._state = _PRELUDE
        self._index = 0

    def _next(self, state, index, duration):
        self._state = state
        self._index = index
        return duration

    def _command(self, code):
        self._pointer[0] = code >> 8
        self._pointer[1] = code & 0xFF
        self._bus.writeto(self.ADDRESS, self._pointer)

    def _receive(self, reply):
        self._bus.readfrom_into(self.ADDRESS, reply)
        check(reply, len(reply))
