"""Wall time on a chip that has none: uptime plus an offset, and how well that offset is known.

The uptime never jumps; every adjustment is a new offset, so that a row taken earlier can be dated later. States are
the wire's (SPEC 3.2): never, ble, network, satellite, estimated. After a restart the last time that was written down,
or the RTC where it ran on, makes an estimate; only a real source makes it known. Times are whole seconds since 2000:
they leave MicroPython's 31-bit small integers in January 2034 (slower by an object a value, nothing else) and 32 bits
in 2136; NTP's era change of 2036 is the HAL's to resolve.
"""

import struct

from .files import load, save

NEVER, BLE, NETWORK, SATELLITE, ESTIMATED = range(5)
KNOWN = (BLE, NETWORK, SATELLITE)

EARLIEST = 820454400  # 2026-01-01: a source that says less is wrong
LATEST = 0xFFFFFFFF
JUMP = 2000  # ms; a correction beyond it is a jump, below it drift
_SAVE_EVERY = 3600  # seconds of wall time between two notes on flash
_DRIFT_AFTER = 600000  # ms between two sources that make a drift worth telling


class Clock:
    """`uptime` gives milliseconds since boot; no source is believed that says less than `earliest` (s2000)."""

    def __init__(self, uptime, path=None, earliest=EARLIEST):
        self._uptime = uptime
        self._earliest = earliest
        self._path = path
        self._offset = 0  # ms since 2000 at uptime 0
        self.state = NEVER
        self.jumps = 0
        self.drift_ppm = 0  # how much faster than the source this node's uptime runs, in millionths; last seen
        self.error = 0  # s that a known clock was ahead when it was last set
        self._set_at = None  # uptime of the last setting
        self._saved = 0
        self.changed = None  # called after the time has become known or has jumped

    def restore(self, rtc=None):
        """After a start: estimate from the RTC if it ran on, else from the note on flash."""
        data = load(self._path) if self._path else None
        noted = struct.unpack("<I", data)[0] if data is not None and len(data) == 4 else 0
        best = max(noted, rtc or 0)
        if self._earliest <= best <= LATEST:
            self._offset = best * 1000 - self._uptime()
            self.state = ESTIMATED
            self._saved = noted

    @property
    def known(self):
        return self.state in KNOWN

    @property
    def shift(self):
        """The wall time of uptime 0, in s2000."""
        return (self._offset + 500) // 1000

    def now_ms(self):
        """Wall time in ms since 2000; without any idea of the time, the uptime."""
        return self._uptime() + self._offset

    def now(self):
        return self.now_ms() // 1000

    def until(self, seconds):
        """Uptime in ms of a wall time."""
        return seconds * 1000 - self._offset

    def at(self, uptime):
        """Wall time, to the nearest second, of an uptime in ms."""
        return (uptime + self._offset + 500) // 1000

    def next_multiple(self, interval, least=0):
        """The first multiple of `interval` (s) that lies more than `least` ms ahead."""
        return ((self.now_ms() + least) // 1000 // interval + 1) * interval

    def set(self, ms, state):
        """A source says that it is `ms` since 2000 now. Returns the correction in ms; ValueError where it cannot be."""
        if not self._earliest * 1000 <= ms <= LATEST * 1000:
            raise ValueError("a time before the earliest believable one, or after 2136")
        uptime = self._uptime()
        correction = ms - uptime - self._offset
        before = self.known
        if before and self._set_at is not None and uptime - self._set_at >= _DRIFT_AFTER and abs(correction) <= JUMP:
            self.drift_ppm = -correction * 1000 // ((uptime - self._set_at) // 1000)
        if before:
            seconds = (abs(correction) + 500) // 1000
            self.error = -seconds if correction > 0 else seconds
        self._offset += correction
        self.state = state
        self._set_at = uptime
        jump = abs(correction) > JUMP
        if before and jump:
            self.jumps += 1
        self.note(True)
        if self.changed and (jump or not before):
            self.changed()
        return correction

    def hear(self, seconds, state):
        """A source tells whole seconds: a known clock that shows the same second is right as it is."""
        ms = seconds * 1000
        return self.set(max(ms, min(self.now_ms(), ms + 999)) if self.known else ms, state)

    def note(self, now=False):
        """Write the time down for the next start, once an hour or `now`."""
        seconds = self.now()
        if self._path and self.state != NEVER and (now or not 0 <= seconds - self._saved < _SAVE_EVERY):
            if seconds != self._saved and 0 <= seconds <= LATEST:
                save(self._path, struct.pack("<I", seconds))
                self._saved = seconds
