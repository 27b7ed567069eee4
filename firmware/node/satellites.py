"""Sets the clock by a satellite receiver on the board; loaded only where there is one.

A sentence comes up to a second after the second that it tells, so that a network's time is better while the two agree.
What the clock does not believe (weeks that have rolled over) changes nothing.
"""

from .clock import NETWORK, SATELLITE
from .journal import INFO

_AGREE = 2  # s


class Listener:
    """`hear` takes the seconds since 2000 of each reading that knew them."""

    def __init__(self, clock, hal, log):
        self._clock = clock
        self._hal = hal
        self._log = log

    def hear(self, seconds):
        clock = self._clock
        before = clock.state
        if before == NETWORK and abs(clock.now() - seconds) <= _AGREE:
            return
        try:
            error = clock.hear(seconds, SATELLITE)
        except ValueError:
            return
        self._hal.rtc(clock.now())
        if before != SATELLITE:
            self._log(INFO, "time from satellites, %d ms off" % error)
