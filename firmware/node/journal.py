"""The node's log: a ring of the last lines in RAM, readable over any link, and a line to whoever listens on the
console.

Levels as in the HAL: 0 error, 1 warning, 2 information, 3 detail. Secrets are told to `redact` when they are read
from the settings; from then on their text appears nowhere, whatever an exception or a peer puts into a message.
"""

# The stubs know no StringIO.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
import io
import struct
import sys

ERROR = 0
WARNING = 1
INFO = 2
DETAIL = 3

_LINES = 24
_LONGEST = 120
_ROOM = 1024  # bytes of the ring: taken once, so that no line ever breaks a small heap into pieces
_HEAD = "<IBB"  # uptime, level, bytes of text
_HEAD_SIZE = 6


class Journal:
    """`write(level, text)` passes lines on, `now()` gives the uptime in ms; lines are stamped with its seconds."""

    def __init__(self, write, now, level=INFO):
        self._write = write
        self._now = now
        self.level = level
        self._ring = bytearray(_ROOM)
        self._first = self._used = self._count = 0  # where the oldest line begins; bytes and lines in the ring
        self._secrets = []
        self.counts = [0, 0, 0, 0]

    def redact(self, *secrets):
        """Never show these texts again."""
        for secret in secrets:
            if secret and len(secret) > 3 and secret not in self._secrets:
                self._secrets.append(secret)

    def clean(self, text):
        """The text as it may be shown."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, "***")
        return text

    def __call__(self, level, text):
        self.counts[level] += 1
        if level > self.level:
            return
        text = self.clean(text)
        if len(text) > _LONGEST:
            text = text[: _LONGEST - 1] + "~"
        self._keep(level, text)
        self._write(level, text)

    def _keep(self, level, text):
        data = text.encode()
        while len(data) > 255:  # letters of several bytes
            text = text[:-8]
            data = text.encode()
        need = _HEAD_SIZE + len(data)
        ring = self._ring
        while self._used + need > _ROOM or self._count == _LINES:
            gone = _HEAD_SIZE + ring[(self._first + _HEAD_SIZE - 1) % _ROOM]
            self._first = (self._first + gone) % _ROOM
            self._used -= gone
            self._count -= 1
        for part in (struct.pack(_HEAD, self._now() // 1000, level, len(data)), data):
            for byte in part:
                ring[(self._first + self._used) % _ROOM] = byte
                self._used += 1
        self._count += 1

    def lines(self, level=DETAIL, since=0):
        """(uptime, level, text) of the lines kept, oldest first."""
        found = []
        at = self._first
        for _ in range(self._count):
            uptime, kind, size = struct.unpack(_HEAD, self._bytes(at, _HEAD_SIZE))
            if kind <= level and uptime >= since:
                found.append((uptime, kind, str(self._bytes(at + _HEAD_SIZE, size), "utf-8")))
            at += _HEAD_SIZE + size
        return found

    def _bytes(self, at, size):
        return bytes([self._ring[(at + i) % _ROOM] for i in range(size)])


def reason(error):
    """What an exception says, in a few words."""
    text = str(error)
    name = type(error).__name__
    return name + ": " + text if text else name


def place(error):
    """Where an exception came from: the innermost line of its traceback."""
    text = io.StringIO()
    if hasattr(sys, "print_exception"):
        sys.print_exception(error, text)
    lines = [line.strip() for line in text.getvalue().split("\n") if line.strip().startswith("File")]
    return lines[-1] if lines else ""
