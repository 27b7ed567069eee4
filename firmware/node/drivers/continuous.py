"""The life of a Sensirion chip that measures by itself once it has been started: SCD30, SCD4x, SEN5x, SEN6x."""

from .fault import FROZEN, WARMING_UP, Fault
from .sensirion import check, put_word, word

_PRELUDE, _IDENTIFY, _SETTINGS, _POLL, _POLLED, _FETCHED, _CHECKED, _READY, _STOPPED = range(9)
_AGAIN = 99


def command(code, *words):
    """A command and its arguments as bytes, for settings made once."""
    out = bytearray(2 + 3 * len(words))
    out[0] = code >> 8
    out[1] = code & 0xFF
    for i in range(len(words)):
        put_word(out, 2 + 3 * i, words[i])
    return bytes(out)


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
                try:
                    self._command(self.SLEEP)
                except OSError:
                    pass  # a kind that has no sleep, as the SCD40; it is idle
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
