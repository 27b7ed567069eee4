"""Readings from a file: whatever answers on a UART with rows of the registry's integers, one for each question.

For quantities whose chip is not on the table, for whole recorded days, for teaching. On a real board a serial adapter
and any program that speaks the lines below take the chip's place; on a virtual node the emulator `replay` does. It is
a driver like any other: the node cannot tell.

The protocol, ASCII, 115200 baud, 8N1, one line each way, ended by LF (CR before it is ignored):

    question   ?NN*CCCC             NN: two hexadecimal digits that change with every question
    answer     =NN;Q:V;Q:V*CCCC     Q: quantity id, V: integer at the registry's resolution, both decimal, V may be
                                    negative; V empty or Q left out: absent; "Q:V/S" gives the reading quality S
    answer     !NN;T*CCCC           no row: T is a sentence for the log

CCCC is CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF; "123456789" gives 29B1) over everything before the
asterisk, in four hexadecimal digits, upper case. An answer is at most 255 bytes with its LF, what a UART of a small
chip buffers. A line that is damaged, late (other NN) or too long is dropped, and the question asked again.
"""

from citymote_protocol.quantities import by_name, decimals

from .fault import BAD_CHECKSUM, NO_ANSWER, OK, SHORT_READ, WARMING_UP, WRONG_CHIP, Fault

_REPLY_TIME = 50  # 255 bytes at 115200 baud take 22 ms
_TRIES = 5
_LINE = 255

_NEW, _ASKED, _READY = range(3)

# CRC of one nibble shifted through the polynomial
_NIBBLE = (
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
    0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF,
)  # fmt: skip


class Replay:
    """`quantities` names what the other side is asked for, by name or id, in the order of the readings; at most 24."""

    BUS = "uart"
    BAUDRATE = 115200
    QUANTITIES = ()

    def __init__(self, bus, quantities=()):
        ids = []
        for item in quantities:
            number = by_name(item) if isinstance(item, str) else item
            if number is None or decimals(number) is None:
                raise ValueError("unknown quantity %s" % item)
            if number in ids:
                raise ValueError("quantity %s twice" % item)
            ids.append(number)
        if not 1 <= len(ids) <= 24:
            raise ValueError("quantities are 1 to 24 names or ids")
        self.QUANTITIES = tuple(ids)
        self._bus = bus
        self._values = list(self.QUANTITIES)  # as many integers; replaced by each answer
        self._qualities = bytearray(len(ids))
        self._question = bytearray(b"?00*0000\n")
        self._chunk = bytearray(64)
        self._line = bytearray(_LINE)
        self._filled = 0
        self._at = 0
        self._number = 0
        self._tries = 0
        self._damage = NO_ANSWER
        self._state = _NEW

    def start(self):
        state = self._state
        self._state = _NEW
        if state == _READY:
            self._state = _READY
            return 0
        if state == _NEW:
            self._tries = _TRIES
            self._damage = NO_ANSWER
        elif self._receive():
            self._state = _READY
            return 0
        if not self._tries:
            raise Fault(self._damage, "no whole answer came back")
        self._tries -= 1
        self._ask()
        self._state = _ASKED
        return _REPLY_TIME

    def read(self):
        state = self._state
        self._state = _NEW
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        result = []
        for i in range(len(self._values)):
            result.append((self.QUANTITIES[i], self._values[i], self._qualities[i]))
        return result

    def stop(self):
        self._state = _NEW
        return 0

    def _ask(self):
        self._drain()
        self._filled = 0
        self._number = (self._number + 1) & 0xFF
        question = self._question
        question[1] = _digit(self._number >> 4)
        question[2] = _digit(self._number & 15)
        crc = crc16(question, 3)
        for i in range(4):
            question[4 + i] = _digit(crc >> (12 - 4 * i) & 15)
        self._bus.write(question)

    def _drain(self):
        for _ in range(64):
            if not self._bus.any():
                return
            self._bus.readinto(self._chunk)
        raise Fault(WRONG_CHIP, "endless bytes: nobody listens to the questions")

    def _receive(self):
        """Take what has arrived; True once a whole, right line that answers this question was among it."""
        for _ in range(32):
            if not self._bus.any():
                break
            count = self._bus.readinto(self._chunk)
            if not count:
                break
            for i in range(count):
                byte = self._chunk[i]
                if byte == 10:
                    good = self._answer(self._filled)
                    self._filled = 0
                    if good:
                        return True
                elif byte != 13:
                    if self._filled == _LINE:
                        self._filled = 0  # too long: what follows is no line either
                        self._damage = WRONG_CHIP
                    self._line[self._filled] = byte
                    self._filled += 1
        if self._filled:
            self._damage = SHORT_READ
        return False

    def _answer(self, length):
        line = self._line
        if length < 8 or line[length - 5] != 42 or crc16(line, length - 5) != _hex(line, length - 4, 4):
            self._damage = BAD_CHECKSUM
            return False
        if _hex(line, 1, 2) != self._number or line[0] not in b"=!":
            return False  # a late answer to an earlier question, or somebody else's line
        if line[0] == 33:
            raise Fault(NO_ANSWER, "the other side has no row")
        return self._parse(3, length - 5)

    def _parse(self, at, end):
        line = self._line
        for i in range(len(self._values)):
            self._values[i] = None
            self._qualities[i] = NO_ANSWER
        self._at = at
        while self._at < end:
            if line[self._at] != 59:  # ;
                return self._not_ours()
            quantity = self._integer()
            if quantity is None or line[self._at] != 58:  # :
                return self._not_ours()
            value = self._integer()
            quality = OK if value is not None else NO_ANSWER
            if line[self._at] == 47:  # /
                quality = self._integer()
                if quality is None or not 0 <= quality <= 23:
                    return self._not_ours()
            for i in range(len(self._values)):
                if self.QUANTITIES[i] == quantity:
                    self._values[i] = value
                    self._qualities[i] = quality
        return self._at == end or self._not_ours()

    def _integer(self):
        """The decimal integer behind the byte at the cursor, None where there is none; the asterisk ends every line."""
        line = self._line
        at = self._at + 1
        negative = line[at] == 45
        if negative:
            at += 1
        first = at
        value = 0
        while 48 <= line[at] <= 57 and at - first < 9:
            value = value * 10 + line[at] - 48
            at += 1
        self._at = at
        if at == first:
            return None
        return -value if negative else value

    def _not_ours(self):
        self._damage = WRONG_CHIP  # a right checksum over another grammar
        return False


def crc16(data, count):
    """CRC-16/CCITT-FALSE over the first `count` bytes."""
    crc = 0xFFFF
    for i in range(count):
        byte = data[i]
        crc = (crc << 4) & 0xFFFF ^ _NIBBLE[(crc >> 12) ^ (byte >> 4)]
        crc = (crc << 4) & 0xFFFF ^ _NIBBLE[(crc >> 12) ^ (byte & 15)]
    return crc


def _digit(value):
    return value + (48 if value < 10 else 55)


def _hex(line, at, count):
    """`count` hexadecimal digits in upper case, or -1."""
    value = 0
    for i in range(at, at + count):
        byte = line[i]
        if 48 <= byte <= 57:
            byte -= 48
        elif 65 <= byte <= 70:
            byte -= 55
        else:
            return -1
        value = value << 4 | byte
    return value


DRIVER = Replay
