"""The node's log: a ring of the last lines in RAM, readable over any link, and a line to whoever listens on the
console.

Levels as in the HAL: 0 error, 1 warning, 2 information, 3 detail. Secrets are told to `redact` when they are read
from the settings; from then on their text appears nowhere, whatever an exception or a peer puts into a message.
"""

# The stubs know no StringIO.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
import io
import sys

ERROR = 0
WARNING = 1
INFO = 2
DETAIL = 3

_LINES = 24
_LONGEST = 120


class Journal:
    """`write(level, text)` passes lines on, `now()` gives the uptime in seconds that each line is stamped with."""

    def __init__(self, write, now, level=INFO):
        self._write = write
        self._now = now
        self.level = level
        self._ring = []
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
        if len(self._ring) >= _LINES:
            self._ring.pop(0)
        self._ring.append((self._now(), level, text))
        self._write(level, text)

    def lines(self, level=DETAIL, since=0):
        """(uptime, level, text) of the lines kept, oldest first."""
        return [line for line in self._ring if line[1] <= level and line[0] >= since]


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
