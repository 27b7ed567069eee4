"""The one place where the node is put together: hardware, settings, identity, clock, sensors, store, link, health.

Everything below takes what it needs as arguments and knows nothing of the rest; this module knows all of it and does nothing
itself. What is needed once is in `startup`. What fails at start is logged and lived without where that is possible: a node
without its link samples, one without a sensor reports its absence. Only a flash that cannot hold settings or rows ends in a
reset, later each time.
"""

import asyncio
import gc
import sys

from . import hal
from .clock import NETWORK, Clock
from .files import load, remove, save
from .journal import ERROR, INFO, WARNING, Journal, place, reason
from .settings import Settings
from .supervisor import Supervisor

CONFIG = "/config"
_FIRST_TIME = 20000  # ms that the first row waits for the time to become known
_ASK_AGAIN = 5000  # ms to the second question for the time; doubled up to ten minutes
_ASK_LONGEST = 600000
_RELEASE = 900000  # ms of connection after which undated rows are sent as they are
_FEED = 60000
_WATCHDOG = 300000
_CRASHES = CONFIG + "/crashes"  # starts in a row that failed
_RESET = 5000  # ms before the first reset after a failed start; doubled up to an hour
_RESET_LONGEST = 3600000
_HOPELESS = 5  # failed starts after which a virtual node gives up

# Modules that only a start needs; their code leaves the heap when it is over.
_ONCE = (
    "node.startup",
    "node.fitting",
    "node.describe",
    "node.settings_table",
    "node.identity",
    "citymote_protocol.descriptor",
    "citymote_protocol.p256",
    "citymote_protocol.quantity_names",
)


def forget(modules):
    """Let these modules go. What they made lives on, with as much of them as it needs."""
    for name in modules:
        if sys.modules.pop(name, None) is not None:
            parent, last = name.rsplit(".", 1)
            try:
                delattr(sys.modules[parent], last)
            except (AttributeError, KeyError):
                pass
    gc.collect()


class Node:
    """A node that runs. `run()` returns only on a virtual node, when its run has an end."""

    def __init__(self):
        self.log = log = Journal(hal.log, lambda: hal.uptime_ms() // 1000)
        for name in hal.mount():
            log(WARNING, "/%s was blank or damaged: formatted" % name)
        self.settings = settings = Settings(CONFIG + "/settings", hal.settings())
        log.level = settings["log_level"]
        log.redact(*settings.secrets())
        for problem in settings.problems:
            log(ERROR, "settings: " + problem)
        self.supervisor = Supervisor(hal, log)
        self.clock = Clock(hal.uptime_ms, CONFIG + "/clock", settings["time_earliest"])
        self.clock.restore(hal.rtc())
        self.clock.changed = self._clock_changed
        self.asked = asyncio.Event()  # the network has been asked for the time once
        self.identity = self.sensors = self.store = self.sampler = self.telemetry = self.health = None

    def keep(self, time, state, values, quality):
        # A row has been made: it is safe when this returns.
        try:
            self.store.append(time, state, values, quality)
        except OSError as e:
            self.supervisor.failed("store", e)
            return
        self.clock.note()
        self.supervisor.alive("sampling")
        self.health.tick()

    def _clock_changed(self):
        if self.store:
            self.store.date(self.clock.shift, self.clock.state)

    async def _tell_time(self):
        # Ask until somebody knows, then now and then.
        wait = _ASK_AGAIN
        while self.settings["time_source"] == "network":
            try:
                seconds = await hal.network_time()
                error = self.clock.set(seconds * 1000, NETWORK)
                hal.rtc(self.clock.now())
                self.log(INFO, "time from the network, %d ms off" % error)
                wait = _ASK_AGAIN
                pause = self.settings["time_interval"] * 1000
            except (OSError, ValueError) as e:
                self.log(WARNING, "no time from the network: " + reason(e))
                pause = wait
                wait = min(wait * 2, _ASK_LONGEST)
            self.asked.set()
            await asyncio.sleep_ms(pause)

    async def _release(self):
        # A link without a time: what waits for a date is sent as it is, in the end.
        while not self.clock.known:
            await asyncio.sleep_ms(_FEED)
            since = self.telemetry.connected_at
            if self.telemetry.connected and hal.uptime_ms() - since >= _RELEASE:
                self.store.release()
                self.telemetry.wake()
                return

    async def _first_time(self):
        if self.settings["time_source"] == "network" and not self.clock.known:
            try:
                await asyncio.wait_for_ms(self.asked.wait(), _FIRST_TIME)
            except asyncio.TimeoutError:
                pass

    async def run(self):
        """Start everything in order, then sample."""
        from . import startup

        keep = self.supervisor.start
        await startup.identify(self, hal)
        startup.fit(self, hal)
        keep("time", self._tell_time)
        for sensor in self.sensors:
            if hasattr(sensor.driver, "run"):
                keep(sensor.name, sensor.driver.run)
        await self._first_time()
        startup.open_store(self, hal)
        self.sampler.warm_up()
        await startup.open_link(self, hal)
        startup.describe(self, hal)
        startup = None
        forget(_ONCE)
        remove(_CRASHES)
        keep("link", self.telemetry.run)
        keep("release", self._release)
        self.supervisor.promise("sampling", 3 * self.settings["interval"] * 1000 + _WATCHDOG)
        keep("watchdog", lambda: self.supervisor.feed(_FEED, _WATCHDOG))
        until = self.settings["until"]
        await keep("sampling", lambda: self.sampler.run(until))
        await self._drain()

    async def _drain(self):
        # Only the run of a virtual node ends: what is left goes out, within bounds.
        self.store.flush()
        end = hal.uptime_ms() + self.settings["drain"] * 1000
        while self.store.pending and self.settings["broker_host"] and hal.uptime_ms() < end:
            await asyncio.sleep_ms(1000)

    def report(self):
        """What a run came to, for whoever started it."""
        store = self.store
        return {
            "node": self.identity.node_id.hex(),
            "reason": "pending" if store.pending else "done",
            "epoch": store.epoch,
            "frames": store.frames,
            "rows": store.rows,
            "readings": store.readings,
            "sent": self.telemetry.sent,
            "sent_bytes": self.telemetry.bytes,
            "acked": self.telemetry.acked,
            "pending": store.pending,
            "discarded_frames": store.discarded[0],
            "discarded_rows": store.discarded[1],
            "damaged": store.damaged,
        }


async def main():
    """Run the node; when its start fails it is reset, because there is nothing left that could go on."""
    node = None
    leave = getattr(hal, "exit", None)  # a virtual node's run has an end
    try:
        node = Node()
        await node.run()
    except Exception as e:
        log = node.log if node else hal.log
        why = reason(e)
        log(ERROR, "node: %s; %s" % (why, place(e)))
        crashes = count_crash()
        if leave and crashes >= _HOPELESS:
            leave(4, {"reason": why})
        await asyncio.sleep_ms(min(_RESET << min(crashes, 10), _RESET_LONGEST))
        hal.reset()
        return
    report = node.report()
    if leave:
        leave(0 if report["reason"] == "done" else 3, report)


def count_crash():
    """One start more that failed in a row; how many that makes. Not being able to write it down must not hurt."""
    try:
        data = load(_CRASHES)
        crashes = min(data[0] if data else 0, 254) + 1
        save(_CRASHES, bytes((crashes,)))
        return crashes
    except OSError:
        return 1
