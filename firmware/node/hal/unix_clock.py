"""Virtual uptime, and what happens when nothing on the node can run.

Time stands still while anything can run. When nothing can, it jumps to the next timer at once, unless a reply
from a real peer is expected (`expect`): then real sockets are waited for, with virtual time frozen, for `grace`
real milliseconds; after that one timer at a time may pass, each after a short look at the sockets, until
something arrives. A socket that nobody expects anything from is served before each jump. At a `speed`, time
passes in step with real time instead, as long as the machine keeps up: what it was behind is not caught up with,
because timers would run out before whoever talks to the node had their share of the time.
"""

import time

GRACE = 5000  # real ms that an expected reply is waited for before virtual time goes on
BEHIND = 50  # real ms that may be caught up with
IMPATIENT = 20  # real ms for each further timer once the grace has passed in silence


class Clock:
    """Virtual uptime, and who decides about it. One object, `clock`."""

    def __init__(self):
        self.now = 0
        self.expected = 0
        self.grace = GRACE
        self.speed = 0  # 0: as fast as it goes; else virtual ms per real ms
        self.limit = None  # the host has something to do at this instant: stop there and call `reached`
        self.reached = None
        self.patient = True
        self._ticks = 0
        self._debt = 0

    def ticks(self):
        return self.now

    def expect(self, n):
        """A reply from a real peer is (n > 0) or is no longer (n < 0) awaited."""
        self.expected += n
        if n > 0:
            self.patient = True

    def begin(self):
        self._ticks = time.ticks_ms()
        self._debt = 0

    def _elapsed(self):
        # real ms since the last call, times speed
        t = time.ticks_ms()
        d = time.ticks_diff(t, self._ticks) * self.speed
        self._ticks = t
        return d

    def idle(self, queue, io):
        """Nothing can run: let something happen. False if nothing ever can."""
        task = queue.head
        until = None if task is None else task.ph_key
        if self.limit is not None and (until is None or self.limit <= until):
            until = self.limit
        if self.speed:
            return self._pace(until, io)
        if io.map:
            if self.expected > 0 or io.writers:
                if io.serve(self.grace if self.patient else IMPATIENT):
                    self.patient = True
                    return True
                self.patient = False
                if until is None:
                    return True
            elif io.serve(0 if until is not None else self.grace):
                return True
        if until is None:
            return bool(io.map)
        self._pass(until)
        return True

    def _pass(self, until):
        if until > self.now:
            self.now = until
        if self.limit is not None and self.now >= self.limit:
            self.limit = None
            self.reached()

    def _pace(self, until, io):
        # Slices of a second at most, so that the host can be heard and a vanished host be noticed.
        self._debt = min(self._debt + self._elapsed(), BEHIND * self.speed)
        while until is None or self.now + self._debt < until:
            if until is None and not io.map:
                return False
            wait = 1000 if until is None else min(1000, (until - self.now - self._debt) // self.speed + 1)
            woken = io.serve(int(wait))
            self._debt += self._elapsed()
            if woken or until is None or self.now + self._debt < until:
                step = int(self._debt)
                if until is not None:
                    step = min(step, until - self.now)
                self.now += step
                self._debt -= step
                if self.reached and self.limit is None:
                    self.reached()
                return True
        self._debt -= max(0, until - self.now)
        self._pass(until)
        return True


clock = Clock()
