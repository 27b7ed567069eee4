"""One fitted sensor: its driver, and everything that can go wrong between the two. `fitting` makes them.

The sampler calls `measure` before the instants that count; whatever the driver raises becomes a quality code for each
of its quantities, a counter and a line in the log, and never more than that. How long a chip takes from its first
`start()` to its reading is learned from the last time, so that the next reading ends when its interval does. Where
memory is short a driver's code leaves it between two readings; what the driver knows stays.
"""

import sys
from asyncio import sleep_ms

from .drivers.fault import LIKELY_INVALID, NO_ANSWER, REJECTED, STUCK_BUS, WARMING_UP, Fault
from .journal import DETAIL, WARNING, reason
from .memory import PLENTY, drop

_STUCK = (110, 116, 5)  # ETIMEDOUT, on an ESP32 another number, and EIO: the wire, not the chip
_STEPS = 32  # calls of start() or stop() after which a driver does not come to an end, where it names no other
_SHORT = 1000  # ms; a chip that answers within can be asked again before the interval ends
_TRIES = 3
_POWER_UP = 250  # ms from switching a sensor's supply on until its chip is sure to answer
_MARGIN = 150  # ms between the end of a reading and the instant that dates it
# A fan or heater is switched off between readings when it would rest this long, and many times as long as it warms up.
_REST = 300000
_REST_FACTOR = 4
_WARM = 5000  # ms; what warms up longer is a fan or a heater
_DRIVERS = "node.drivers."
# What others ask a driver for at any time. One that has it stays as it is.
_ASKED = ("run", "about", "know", "time")


def driver_class(name):
    """The driver of that name."""
    return getattr(__import__(_DRIVERS + name).drivers, name).DRIVER


def counts(code):
    """Whether a reading with this quality is one of those that the health report counts: all but sound and doubtful."""
    return code >= NO_ANSWER or code == REJECTED or code == LIKELY_INVALID


class Sensor:
    """A driver and the columns it fills, `gather`; `entry` is its part of the board description.

    `driver` is None while its code is not there: `wake` brings it back.
    """

    # What most sensors are at most times takes no memory of each of them.
    timed = None  # called with the time of a reading, in s2000, where the driver learns it
    tell = None  # called with each reading, or None, for the drivers that want to know it
    alarms = None  # quantity -> (lowest, highest) of what is usual, where the board description has some
    rare = ()  # quantity -> rows in its period, of those that have a longer one than the row's
    alarm = None  # called with (column, value, quality) when a reading leaves the usual, and when one is back
    stuck = ()  # what clocks its I2C bus free, and the bus, where there is one
    fault = None  # the code of the last failure, None while all is well
    errors = 0  # readings that failed or came too late, and those that say what is wrong with a value
    steps = _STEPS
    lead = cold = 0  # ms from the first start() to the reading, as it was last time; the same from power-down
    _known = None  # what the driver knew when its code was let go
    _power = None
    _unusual = ()

    def __init__(self, index, entry, driver, instance, gather, uptime, log, power=None):
        self.index = index
        self.name = entry["driver"]
        self.instance = instance
        self.driver = driver
        self._stays = any([hasattr(driver, name) for name in _ASKED])
        self.accumulates = getattr(driver, "ACCUMULATES", False)
        self.reads = entry.get("reads", 1)
        self.every = entry.get("every", 1)  # rows from one reading to the next
        if hasattr(driver, "STEPS"):
            self.steps = driver.STEPS
        if power:
            self._power = power
        self._uptime = uptime
        self._log = log
        self.gather = gather  # (source quantity, Gather, column)
        self.least = getattr(driver, "LEAD", 0)  # ms below which the lead is not learned: the driver says so
        self.busy = False
        self.on = False
        self.good_at = None  # uptime of the last reading that had a value

    @property
    def columns(self):
        return [column for _, _, column in self.gather]

    def wake(self):
        """The driver, as it was; its code is loaded where it has been let go."""
        driver = self.driver
        if driver is None:
            driver = object.__new__(driver_class(self.name))
            known = self._known
            for name in known:
                setattr(driver, name, known[name])
            self.driver = driver
        return driver

    def let_go(self):
        """The driver is at rest: where memory is short its code leaves it."""
        if PLENTY or self._stays or self.driver is None:
            return
        if self._known is None:
            self._known = {}
        self._known.update(self.driver.__dict__)  # where it was before, so that it breaks no heap into pieces
        self.driver = None
        for name in list(sys.modules):  # and the helpers that it came with; whoever else uses one has it already
            if name.startswith(_DRIVERS) and not name.endswith(".fault"):
                drop(name)

    async def _steps(self, step):
        # Its code is there while the driver works, not while the chip does: many sensors measure at the same time.
        for _ in range(self.steps):
            wait = getattr(self.wake(), step)()
            self.let_go()
            if not wait:
                return
            await sleep_ms(wait)
        raise Fault(NO_ANSWER, "no end to its steps")

    async def _once(self):
        begin = self._uptime()
        if self._power and not self.on:
            self._power.value(1)
            await sleep_ms(_POWER_UP)
        self.on = True
        await self._steps("start")
        readings = self.wake().read()
        self.lead = max(self._uptime() - begin, self.least)
        if not self.cold:
            self.cold = self.lead
        return readings

    async def measure(self, begin=False):
        """One reading, with what follows from its failure. `begin`: the first one, which counts for no row."""
        self.busy = True
        code = None
        try:
            for left in range(_TRIES, 0, -1):
                try:
                    readings = await self._once()
                    break
                except Exception as e:
                    code = self._failed(e)
                    if left == 1 or self.lead > _SHORT or code == WARMING_UP:
                        readings = None
                        break
        finally:
            self.busy = False
            self.let_go()
        if readings and self.alarms:
            self._watch(readings)
        if self.tell:
            self.tell(readings)
        if self.timed and readings and self.driver.time is not None:
            self.timed(self.driver.time)
        if not begin:
            self._add(readings, code)
        return readings is not None

    def _watch(self, readings):
        for quantity, value, code in readings:
            if value is None or quantity not in self.alarms:
                continue
            low, high = self.alarms[quantity]
            unusual = not low <= value <= high
            if unusual != (quantity in self._unusual):
                others = [one for one in self._unusual if one != quantity]
                self._unusual = others + [quantity] if unusual else others
                self.alarm((quantity, self.instance), value, code)

    def _failed(self, error):
        self.errors += 1
        if isinstance(error, Fault):
            code = error.code
        elif isinstance(error, OSError):
            code = STUCK_BUS if error.errno in _STUCK else NO_ANSWER
        else:
            code = NO_ANSWER  # a driver's own mistake
        if code != self.fault:
            self._log(WARNING, "%s %d: %s" % (self.name, self.instance, reason(error)))
        self.fault = code
        self.lead = max(self.cold, self.least)  # the driver begins anew: with a fan, by warming up
        if code == STUCK_BUS and self.stuck:
            self._recover(*self.stuck)  # pyright: ignore[reportGeneralTypeIssues]
        return code

    def _recover(self, recover, bus):
        try:
            freed = recover(bus)
        except OSError:
            freed = False
        self._log(DETAIL, "%s: %s" % (bus, "clocked free" if freed else "stuck"))

    def _add(self, readings, code):
        wrong = False
        for source, gather, column in self.gather:
            if self.reads == 1 and column[0] not in self.rare:
                gather.clear()  # a reading that came too late for its row gives way to this row's own
            found = None
            for reading in readings or ():
                if reading[0] == source:
                    found = reading
            if found is None:
                gather.add(None, NO_ANSWER if code is None else code)
            else:
                gather.add(found[1], found[2])
                if counts(found[2]):
                    wrong = True
                if found[1] is None:
                    wrong = True
                else:
                    self.good_at = self._uptime()
        if wrong:
            self.errors += 1
        if readings is not None:
            if self.fault is not None:
                self._log(DETAIL, "%s %d: answers again" % (self.name, self.instance))
            self.fault = None

    async def follow(self, end, interval):
        """Take this interval's readings, the last one just before the uptime `end`; `interval` in ms."""
        while self.busy:  # still at its last reading, or at its first
            if self._uptime() >= end:
                return
            await sleep_ms(_SHORT)
        if self.on and self._rests(interval):  # since its first reading, which no interval was known for
            await self.rest()
        for k in range(self.reads - 1, -1, -1):
            tries = _TRIES if self.lead <= _SHORT else 1
            at = end - interval * k // self.reads - self.lead * tries - _MARGIN
            wait = at - self._uptime()
            if wait > 0:
                await sleep_ms(wait)
            await self.measure()
            if self._rests(interval):
                await self.rest()

    def _rests(self, interval):
        spare = interval * self.every // self.reads - self.cold
        return self.cold >= _WARM and spare >= _REST and spare >= _REST_FACTOR * self.cold

    async def rest(self):
        """Switch the chip's fan or heater off; the next reading warms it up again."""
        self.busy = True
        try:
            await self._steps("stop")
            if self._power:
                self._power.value(0)
            self.on = False
            self.lead = self.cold
        except Exception as e:
            self._failed(e)
        finally:
            self.busy = False
            self.let_go()

    def begin(self):
        """An accumulating driver's interval begins."""
        try:
            driver = self.wake()
            for _ in range(_STEPS):
                if not driver.start():
                    break
        except Exception as e:
            self._failed(e)
        self.let_go()

    def close(self):
        """An accumulating driver's interval ends, and the next one begins."""
        code = readings = None
        try:
            readings = self.wake().read()
        except Exception as e:
            code = self._failed(e)
        self._add(readings, code)
        self.begin()

    def results(self, due=True, number=0):
        """What the interval came to: (column, integer or None, quality) each; a new interval begins.

        A quantity whose period ends with another row than this one, of that `number`, goes on gathering.

        A reading under way that ends after this instant belongs to the next row, if that has no other. One that was
        `due` and is not there is a failure, too.
        """
        missing = self.fault or WARMING_UP if self.busy else NO_ANSWER
        out = []
        if due and self.gather and self.gather[0][1].empty():
            self.errors += 1
        for _, gather, column in self.gather:
            value, code = None, 0
            if column[0] not in self.rare or not number % self.rare[column[0]]:  # pyright: ignore[reportOperatorIssue]
                value, code = gather.result(missing)
                gather.clear()
            out.append((column, value, code))
        return out
