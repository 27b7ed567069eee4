"""Rows of readings at instants that every node of a city shares: multiples of the interval on the clock.

A row's time is the end of its interval, and nothing is measured after it: each sensor is woken as long before as it
needs (`sensor`), what accumulates is closed at the instant itself. A sensor that fails or is late leaves an absent
value and the reason; a row is made at every instant, whatever happens to the sensors, because absent is a statement
too. While the time is unknown the instants are multiples of the uptime, and the rows say so.
"""

from asyncio import create_task, sleep_ms

from .journal import INFO
from .plausibility import Judge
from .sensor import counts

_SOON = 500  # ms; an instant nearer than this is not worth trying for
_LATE = 1000  # ms; a clock that moved by more within an interval dates the row by what it says now


class Sampler:
    """Makes rows for `keep(time, clock state, values, quality)`; `time` as `Store.append` wants it."""

    def __init__(self, sensors, clock, hal, interval, keep, log, rules=None, correct=None):
        self.sensors = sensors
        self.correct = correct  # fills in its columns of a row, see `correcting`; None on most boards
        columns = [column for sensor in sensors for column in sensor.columns]
        self.columns = tuple(sorted(columns + (correct.columns if correct else [])))
        if correct:
            correct.place(self.columns)
        self.rows = 0
        self.last = None  # time of the last row, by the clock as it was then
        self._clock = clock
        self._hal = hal
        self._interval = interval
        self._keep = keep
        self._log = log
        self.values = [None] * len(self.columns)  # of the last row
        self.quality = bytearray(len(self.columns))
        self._judge = Judge(self.columns, interval, rules)

    def warm_up(self):
        """Wake every sensor and read it once, to learn what it needs; called when the node starts."""
        for sensor in self.sensors:
            if sensor.accumulates:
                sensor.begin()
            else:
                create_task(sensor.measure(True))

    def _plan(self):
        time = self._clock.next_multiple(self._interval, _SOON)
        if self.last is not None and time == self.last:
            time += self._interval  # the clock was set back a little: that row is there already
        return time

    async def run(self, until=0):
        """Sample for ever, or up to and with the instant `until`."""
        self._log(INFO, "sampling %d columns every %d s" % (len(self.columns), self._interval))
        while True:
            time = self._plan()
            if until and time > until and self._clock.known:
                return
            await self.row(time)

    async def row(self, time):
        """Take the row of the instant `time`, which lies ahead."""
        interval = self._interval
        end = self._clock.until(time)
        number = time // interval
        for sensor in self.sensors:
            if not sensor.accumulates and number % sensor.every == 0:
                create_task(sensor.follow(end, interval * 1000))
        wait = end - self._hal.uptime_ms()
        if wait > 0:
            await sleep_ms(wait)
        self._keep(*self._close(time, end, number))

    def _count_judged(self, told, quality):
        """Values that stand still or cannot be were read without an error; their sensors have one all the same."""
        for sensor in self.sensors:
            for column in sensor.columns:
                at = self.columns.index(column)
                if quality[at] != told[at] and counts(quality[at]):
                    sensor.errors += 1
                    break

    def _close(self, time, end, number):
        # The row, as `keep` wants it.
        if abs(self._clock.until(time) - end) > _LATE:
            time = self._clock.at(end)  # the time became known, or jumped, within this interval
        values = self.values
        quality = self.quality
        for sensor in self.sensors:
            if sensor.accumulates:
                sensor.close()
            due = number % sensor.every == 0
            for column, value, code in sensor.results(due, number):
                at = self.columns.index(column)
                values[at] = value
                quality[at] = code if due else 0
        told = bytes(quality)
        self._judge.judge(values, quality)
        self._count_judged(told, quality)
        if self.correct:
            self.correct(values, quality)
        self.last = time
        self.rows += 1
        state = self._clock.state
        return time if self._clock.known else (end + 500) // 1000, state, values, quality
