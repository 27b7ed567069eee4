"""The node's long tasks: each is started again when it fails, later each time, and none takes the node down with it.

The watchdog is fed here, and only while every task that has promised progress shows it: a task calls `alive` with its
name when it has done something real, and says how long it may be silent. A task that hangs lets the watchdog bite.
"""

import asyncio

from .journal import ERROR, place, reason

_FIRST = 1000  # ms before the first restart
_LONGEST = 300000
_HEALTHY = 600000  # ms without a failure after which the wait is short again
_TURNS = 8  # of the loop in which a cancelled task mostly comes to its end
_STOPPING = 10  # ms, from then on


async def stop(task):
    """Cancel a task and wait until it has ended.

    One cancellation is not always enough: MicroPython hands it on to whatever the task waits for, and a `wait_for`
    whose time has just run out keeps it for itself.
    """
    turns = 0
    while not task.done():
        task.cancel()
        turns += 1
        await asyncio.sleep_ms(0 if turns < _TURNS else _STOPPING)


class Supervisor:
    def __init__(self, hal, log):
        self._hal = hal
        self._log = log
        self.restarts = 0
        self.failures = {}  # name: failures since boot
        self._promises = {}  # name: (uptime by which it has to be alive again, patience in ms)

    def start(self, name, make):
        """Keep `make()`, a coroutine, running under that name for ever."""
        return asyncio.create_task(self._keep(name, make))

    async def _keep(self, name, make):
        wait = _FIRST
        while True:
            begin = self._hal.uptime_ms()
            try:
                await make()
                return
            except Exception as e:
                self.failed(name, e)
            if self._hal.uptime_ms() - begin > _HEALTHY:
                wait = _FIRST
            await asyncio.sleep_ms(wait)
            wait = min(wait * 2, _LONGEST)
            self.restarts += 1

    def failed(self, name, error):
        """Count and log a failure."""
        self.failures[name] = self.failures.get(name, 0) + 1
        self._log(ERROR, "task %s: %s; %s" % (name, reason(error), place(error)))
        if isinstance(error, MemoryError):
            import gc

            gc.collect()

    def promise(self, name, patience):
        """From now on `name` is alive at least every `patience` ms."""
        self._promises[name] = (self._hal.uptime_ms() + patience, patience)

    def alive(self, name):
        """`name` has done something real."""
        promise = self._promises.get(name)
        if promise:
            self._promises[name] = (self._hal.uptime_ms() + promise[1], promise[1])

    def done(self, name):
        """`name` has come to its end: no sign of life is expected any more."""
        self._promises.pop(name, None)

    def late(self):
        """The names that have broken their promise."""
        now = self._hal.uptime_ms()
        return sorted(name for name in self._promises if self._promises[name][0] < now)

    async def feed(self, period, patience):
        """Feed the watchdog every `period` ms while nobody is late."""
        self._hal.watchdog(patience)
        complained = False
        while True:
            late = self.late()
            if not late:
                self._hal.feed()
                complained = False
            elif not complained:
                complained = True
                self._log(ERROR, "no progress: " + ", ".join(late))
            await asyncio.sleep_ms(period)
