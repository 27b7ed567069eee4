"""The running node: what its tasks share, and the small tasks that belong to no part alone.

The parts (sampler, store, telemetry, health) know nothing of each other; here a row goes from one to the next, the
clock's news reach the store, and what the end of a virtual node's run means is decided. `startup` makes the parts,
`app` makes this.
"""

# The parts are there when they are used.
# pyright: reportAttributeAccessIssue=false
import asyncio

from .clock import NETWORK, Clock
from .journal import INFO, WARNING, reason
from .supervisor import Supervisor, stop

CONFIG = "/config"
_FIRST_TIME = 20000  # ms that the first row waits for the time to become known
_ASK_AGAIN = 5000  # ms to the second question for the time; doubled up to ten minutes
_ASK_LONGEST = 600000
_RELEASE = 3600000  # ms of connection after which undated rows are sent as they are
_FEED = 120000
_WATCHDOG = 300000


class Node:
    """A node that runs. `run()` returns only on a virtual node, when its run has an end."""

    safe = False  # it is whole

    def __init__(self, hal, log, settings, name, boots):
        self.hal = hal
        self.log = log
        self.settings = settings
        self.name = name  # the six bytes of the node id
        self.boots = boots
        self.supervisor = Supervisor(hal, log)
        self.clock = Clock(hal.uptime_ms, CONFIG + "/clock", settings["time_earliest"])
        self.clock.restore(hal.rtc())
        self.clock.changed = self._clock_changed
        self.uplink = True  # the network may be used
        self._link = None
        self.duty = None  # who runs it, where it sleeps between samples
        self.signal = None  # dBm at the last contact of a node that sleeps between samples
        self.awake = False  # set while something is under way that no deep sleep may cut short
        self.asked = asyncio.Event()  # the network has been asked for the time once
        self.boot = None  # the boot's record, on a board with slots; the only one, because it writes a log
        self.updating = None  # the update that is under way
        self.door = None  # who is told when a resource changes, on a node that has an owner
        self.nearby = None  # told each row, where readings are broadcast
        self.outage = None  # called when a sleeping node's uplink is lost
        self.sensors = ()
        self.store = self.sampler = self.telemetry = self.health = None

    def keep(self, time, state, values, quality):
        # A row has been made: it is safe when this returns.
        try:
            if values:  # a node none of whose sensors could be made still reports its health
                self.store.append(time, state, values, quality)
        except OSError as e:
            self.supervisor.failed("store", e)
            return
        self.clock.note()
        self.supervisor.alive("sampling")
        self.health.tick()
        if self.nearby:
            self.nearby.row(values)
        if self.door:
            self.door.notify("live")
        if self.settings["discovery"] and self.telemetry:
            self.telemetry.wake()

    def _clock_changed(self):
        if self.store:
            self.store.date(self.clock.shift, self.clock.state)

    async def _tell_time(self):
        # Ask until somebody knows, then now and then.
        wait = _ASK_AGAIN
        while self.settings["time_source"] == "network" and not self.settings["lorawan"]:  # that brings its own time
            pause = wait
            if self.uplink:
                if await self._ask_time():
                    pause = self.settings["time_interval"] * 1000
                    wait = _ASK_AGAIN
                else:
                    wait = min(wait * 2, _ASK_LONGEST)
                self.asked.set()
            await asyncio.sleep_ms(pause)

    async def _ask_time(self):
        # Whether the network knew. A node that has just been switched on joins it for this: its first row is due on the
        # stroke, and the link runs only when everything else does.
        try:
            if self._link is None and self.settings["network"]:
                from .telemetry import join

                await join(self.hal, self.settings["network"])
            error = self.clock.hear(await self.hal.network_time(), NETWORK)
            self.hal.rtc(self.clock.now())
            self.log(INFO, "time from the network, %d ms off" % error)
        except (OSError, ValueError) as e:
            self.log(WARNING, "no time from the network: " + reason(e))
            return False
        return True

    async def _release(self):
        # A link without a time: what waits for a date is sent as it is, in the end.
        while not self.clock.known:
            await asyncio.sleep_ms(_FEED)
            since = self.telemetry.connected_at
            if self.telemetry.connected and self.hal.uptime_ms() - since >= _RELEASE:
                self.store.release()
                self.telemetry.wake()
                return

    async def begin(self):
        """The sensors are fitted: start what they and the clock need, and wait a little for the time."""
        keep = self.supervisor.start
        keep("time", self._tell_time)
        for sensor in self.sensors:
            if hasattr(sensor.driver, "run"):
                keep(sensor.name, sensor.driver.run)
            if hasattr(sensor.driver, "time"):
                from .satellites import Listener

                sensor.timed = Listener(self.clock, self.hal, self.log).hear
        s = self.settings
        if self.uplink and s["time_source"] == "network" and not (self.clock.known or s["lorawan"]):
            try:
                await asyncio.wait_for_ms(self.asked.wait(), _FIRST_TIME)
            except asyncio.TimeoutError:
                pass

    def live(self):
        """The last row: (its time, columns, integers or None, quality codes), or None before the first one."""
        last = self.sampler
        return None if last.last is None else (last.last, last.columns, last.values, last.quality)

    def moment(self):
        """The time of something that happens now, as a frame says it: (time, clock state)."""
        if self.clock.known:
            return self.clock.now(), self.clock.state
        return self.hal.uptime_ms() // 1000, 0

    def alarm(self, column, value, code):
        """A reading has left what is usual, or is back in it: that does not wait for its row."""
        from citymote_protocol.event import encode_event

        time, state = self.moment()

        def make(epoch, seq):
            return encode_event(self.name, epoch, seq, time, state, (column,), (value,), (code,))

        try:
            self.store.put(make)
        except OSError as e:
            self.supervisor.failed("store", e)

    def online(self):
        """Let the uplink run."""
        self.uplink = True
        if self._link is None and self.telemetry:
            self._link = self.supervisor.start("link", self.telemetry.run)

    async def offline(self):
        """Close the uplink, and switch its radio off; whether it was open."""
        self.uplink = False
        link, self._link = self._link, None
        if link:
            await stop(link)
        self.hal.leave()
        return link is not None

    async def run(self):
        """Sample and send; ends only where the settings name an end."""
        if self.settings["status_interval"]:
            self.health.report_now()
        self._set_out()
        until = self.settings["until"]
        await self.supervisor.start("sampling", lambda: self.sampler.run(until))
        self.supervisor.done("sampling")
        await self._drain()

    def _set_out(self):
        # Everything beside the samples.
        alarm = self.alarm
        for sensor in self.sensors:
            sensor.alarm = alarm
        self.sampler.warm_up()
        if self.uplink:
            self.online()
        keep = self.supervisor.start
        keep("release", self._release)
        self.supervisor.promise("sampling", 3 * self.settings["interval"] * 1000 + _WATCHDOG)
        keep("watchdog", self._feed)

    def _feed(self):
        # A method, because what a task is made of stays, with the unit that it is in.
        return self.supervisor.feed(_FEED, _WATCHDOG)

    async def _drain(self):
        # Only the run of a virtual node ends: what is left goes out, within bounds.
        self.store.flush()
        end = self.hal.uptime_ms() + self.settings["drain"] * 1000
        there = self.settings["broker_host"] or self.settings["lorawan"]
        while self.store.pending and there and self.hal.uptime_ms() < end:
            await asyncio.sleep_ms(1000)

    def report(self):
        """What a run came to, for whoever started it."""
        store = self.store
        return {
            "node": self.name.hex(),
            "reason": "pending" if store.pending else "done",
            "epoch": store.epoch,
            "next_seq": store.next_seq,
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
