"""Place and time: any GNSS receiver that sends NMEA 0183 sentences on a UART.

NMEA 0183 (IEC 61162-1) sentences GGA and RMC, of whichever system the talker names (GP, GN, GL, GA, GB). The position
comes from GGA, date and time from RMC of the same second; each sentence carries an 8-bit checksum. Nothing is sent to
the receiver, so its own settings stay.
"""

from citymote_protocol.quantities import ALTITUDE, LATITUDE, LONGITUDE

from .fault import BAD_CHECKSUM, NO_ANSWER, OK, SHORT_READ, WARMING_UP, Fault

_LINE = 120  # 82 by the standard; receivers of high precision send longer ones
_POLL = 150
_POLLS = 28  # 4 s: a receiver speaks once a second

_GGA = 1
_RMC = 2
_BOTH = 3

_NEW, _LISTENING, _READY = range(3)


class GNSS:
    """`satellites` is how many a position must rest on to be used, 3 to 12.

    `time` is the UTC of the last reading in seconds since 2000, None while the receiver does not know it.
    """

    BUS = "uart"
    BAUDRATE = 9600
    QUANTITIES = (LATITUDE, LONGITUDE, ALTITUDE)

    def __init__(self, bus, satellites=4):
        if not 3 <= satellites <= 12:
            raise ValueError("satellites is 3 to 12")
        self._bus = bus
        self._least = satellites
        self._chunk = bytearray(64)
        self._line = bytearray(_LINE)
        self.time = None
        self._reset()

    def start(self):
        state = self._state
        if state == _READY:
            return 0
        if state == _NEW:
            self._reset()
            self._drain()
            self._state = _LISTENING
            return _POLL
        polls = self._polls
        self._state = _NEW  # until this step has succeeded
        self._listen()
        if self._have == _BOTH:
            self._state = _READY
            return 0
        if polls == _POLLS:
            raise Fault(self._damage, "no position and time within %d ms" % (_POLL * _POLLS))
        self._polls = polls + 1
        self._state = _LISTENING
        return _POLL

    def read(self):
        state = self._state
        self._state = _NEW
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        if not self._fix:
            return ((LATITUDE, None, WARMING_UP), (LONGITUDE, None, WARMING_UP), (ALTITUDE, None, WARMING_UP))
        return ((LATITUDE, self._latitude, OK), (LONGITUDE, self._longitude, OK), (ALTITUDE, self._altitude, OK))

    def stop(self):
        """Receivers have no common command to sleep: what feeds them must be switched."""
        self._state = _NEW
        return 0

    def _reset(self):
        self._state = _NEW
        self._polls = 0
        self._have = 0
        self._second = -1
        self._fix = False
        self._filled = -1  # before the first dollar sign
        self._damage = NO_ANSWER
        self._latitude = 0
        self._longitude = 0
        self._altitude = 0

    def _drain(self):
        for _ in range(64):
            if not self._bus.any():
                return
            self._bus.readinto(self._chunk)
        raise Fault(NO_ANSWER, "endless bytes: not a receiver or not its baud rate")

    def _listen(self):
        for _ in range(32):
            if not self._bus.any():
                break
            count = self._bus.readinto(self._chunk)
            if not count:
                break
            for i in range(count):
                byte = self._chunk[i]
                if byte == 36:  # $
                    self._filled = 0
                elif byte in b"\r\n":
                    if self._filled > 0:
                        self._sentence(self._filled)
                        if self._have == _BOTH:
                            return
                    self._filled = -1
                elif self._filled == _LINE:
                    self._filled = -1
                elif self._filled >= 0:
                    self._line[self._filled] = byte
                    self._filled += 1
        if self._filled > 0 and self._damage == NO_ANSWER:
            self._damage = SHORT_READ

    def _sentence(self, length):
        line = self._line
        total = 0
        for i in range(length - 3):
            total ^= line[i]
        if length < 9 or line[length - 3] != 42 or total != _hex(line[length - 2]) << 4 | _hex(line[length - 1]):
            self._damage = BAD_CHECKSUM
            return
        end = length - 3
        line[end] = 44  # every field now ends with a comma
        if line[2] == 71 and line[3] == 71 and line[4] == 65:
            self._gga(end)
        elif line[2] == 82 and line[3] == 77 and line[4] == 67:
            self._rmc(end)

    def _gga(self, end):
        """Time, latitude, N/S, longitude, E/W, quality, satellites, dilution, altitude."""
        self._belongs(self._number(self._field(1, end), 0))
        self._fix = False
        quality = self._number(self._field(6, end), 0)
        satellites = self._number(self._field(7, end), 0)
        if 1 <= quality <= 5 and satellites >= self._least:
            latitude = self._angle(self._field(2, end))
            longitude = self._angle(self._field(4, end))
            altitude = self._field(9, end)
            below = self._line[altitude] == 45
            height = self._number(altitude + 1 if below else altitude, 1)
            if 0 <= latitude <= 90000000 and 0 <= longitude <= 180000000 and height >= 0:
                self._latitude = -latitude if self._line[self._field(3, end)] == 83 else latitude
                self._longitude = -longitude if self._line[self._field(5, end)] == 87 else longitude
                self._altitude = -height if below else height
                self._fix = True
        self._have |= _GGA

    def _rmc(self, end):
        """Time, status, ..., date as the ninth."""
        clock = self._number(self._field(1, end), 0)
        date = self._number(self._field(9, end), 0)
        self._belongs(clock)
        self.time = None
        if self._line[self._field(2, end)] == 65 and clock >= 0 and date >= 0:
            self.time = _seconds(date, clock)
        self._have |= _RMC

    def _belongs(self, clock):
        """Forget the other sentence unless it is of the same second."""
        if clock != self._second:
            self._second = clock
            self._have = 0
            self._fix = False

    def _field(self, number, end):
        """Where a field begins; behind the last one, a comma."""
        at = 0
        while number and at < end:
            if self._line[at] == 44:
                number -= 1
            at += 1
        return end if number else at

    def _number(self, at, places):
        """The decimal number at a field's begin, times ten to the places; what lies beyond is cut off; -1 for none."""
        line = self._line
        first = at
        value = 0
        while 48 <= line[at] <= 57 and at - first < 8:
            value = value * 10 + line[at] - 48
            at += 1
        if at == first:
            return -1
        dot = line[at] == 46
        for _ in range(places):
            if dot and 48 <= line[at + 1] <= 57:
                at += 1
                value = value * 10 + line[at] - 48
            else:
                dot = False
                value *= 10
        return value

    def _angle(self, at):
        """ddmm.mmmmm or dddmm.mmmmm in millionths of a degree, rounded to nearest; -1 for none."""
        whole = self._number(at, 0)
        if whole < 0:
            return -1
        dot = at
        while 48 <= self._line[dot] <= 57:
            dot += 1
        minutes = whole % 100 * 100000
        if self._line[dot] == 46:
            scale = 10000
            dot += 1
            while scale and 48 <= self._line[dot] <= 57:
                minutes += (self._line[dot] - 48) * scale
                scale //= 10
                dot += 1
        return whole // 100 * 1000000 + (minutes + 3) // 6


def _hex(byte):
    if 48 <= byte <= 57:
        return byte - 48
    return byte - 55 if 65 <= byte <= 70 else 256


def _seconds(date, clock):
    """ddmmyy and hhmmss in seconds since 2000 (2000 to 2099, when every fourth year is a leap year)."""
    day, month, year = date // 10000, date // 100 % 100, date % 100
    if not (1 <= month <= 12 and 1 <= day <= 31 and clock < 240000):
        return None
    days = year * 365 + (year + 3) // 4 + day - 1
    for m in range(1, month):
        days += 28 if m == 2 else 30 if m in (4, 6, 9, 11) else 31
    if month > 2 and year % 4 == 0:
        days += 1
    return days * 86400 + clock // 10000 * 3600 + clock // 100 % 100 * 60 + clock % 100


DRIVER = GNSS
