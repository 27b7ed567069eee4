"""The one place where the node is put together: hardware, settings, identity, clock, sensors, store, link, health.

Everything below takes what it needs as arguments and knows nothing of the rest; this module knows all of it and does nothing
itself. What fails here at start is logged and lived without where that is possible: a node without its link samples, one
without a sensor reports its absence. Only a flash that cannot hold settings or rows ends in a reset, later each time.
"""

import asyncio

from . import hal
from .clock import NETWORK, Clock
from .journal import ERROR, INFO, WARNING, Journal, reason
from .sampling import Sampler, board_rules, build_sensors
from .settings import Settings
from .store import Store, store_epoch
from .supervisor import Supervisor

CONFIG = "/config"
STORE = "/store"
_FIRST_TIME = 20000  # ms that the first row waits for the time to become known
_ASK_AGAIN = 5000  # ms to the second question for the time; doubled up to ten minutes
_ASK_LONGEST = 600000
_RELEASE = 900000  # ms of connection after which undated rows are sent as they are
_FEED = 60000
_WATCHDOG = 300000


class Node:
    """A node that runs. `run()` returns only on a virtual node, when its run has an end."""

    def __init__(self):
        self.log = log = Journal(hal.log, lambda: hal.uptime_ms() // 1000)
        self.formatted = hal.mount()
        for name in self.formatted:
            log(WARNING, "/%s was blank or damaged: formatted" % name)
        self.board = hal.board()
        self.settings = settings = Settings(CONFIG + "/settings", hal.settings())
        log.level = settings["log_level"]
        log.redact(*settings.secrets())
        for problem in settings.problems:
            log(ERROR, "settings: " + problem)
        self.supervisor = Supervisor(hal, log)
        self.clock = Clock(hal.uptime_ms, CONFIG + "/clock")
        self.clock.restore(hal.rtc())
        self.clock.changed = self._clock_changed
        self.asked = asyncio.Event()  # the network has been asked for the time once
        self.sensors, self.problems = build_sensors(self._fitted(), hal, log)
        self.identity = None
        self.store = None
        self.sampler = None
        self.telemetry = None
        self.health = None

    def _fitted(self):
        # The board description less what the settings switch off.
        board = dict(self.board)
        if self.settings["sound"] == "off":
            board["sensors"] = [s for s in board.get("sensors", ()) if s.get("driver") != "sound_meter"]
        return board

    async def _identify(self):
        from .crypto import NodeCrypto
        from .identity import open_steps

        try:
            await hal.join(None)  # the radio feeds the random generator
        except OSError as e:
            self.log(WARNING, "radio: " + reason(e))
        self.crypto = NodeCrypto(hal.random)
        steps = open_steps(CONFIG, self.crypto)
        self.identity = identity = await self._ladder(steps)
        if not identity.persisted:
            self.log(ERROR, "the boot counter cannot be written: /config is worn or full")
        self.log(INFO, "node %s, boot %d, %s" % (identity.node_id.hex(), identity.boots, hal.reset_cause()))
        hal.event("identity", {"node": identity.node_id.hex(), "public_key": identity.public.hex()})

    async def _ladder(self, steps):
        # Curve arithmetic in small steps, so that the rest of the node goes on.
        while True:
            try:
                next(steps)
            except StopIteration as e:
                return e.value
            await asyncio.sleep_ms(0)

    def _open_store(self):
        s = self.settings
        interval = s["interval"]
        batch = s["batch"]
        if s["max_delay"]:
            batch = max(1, min(batch, s["max_delay"] // interval))
        self.sampler = Sampler(
            self.sensors, self.clock, hal, interval, self._keep, self.log, board_rules(self._fitted(), self.sensors)
        )
        self.store = Store(
            STORE,
            store_epoch(STORE, CONFIG + "/epoch"),
            self.identity.node_id,
            self.sampler.columns,
            batch,
            s["batch_backlog"],
            interval,
            s["store_capacity"],
            s["packed"],
            self.identity.boots,
        )
        self.store.date(self.clock.shift, self.clock.state)
        self.log(INFO, "store: epoch %d, %d frames waiting" % (self.store.epoch, self.store.pending))

    async def _open_link(self):
        from .telemetry import Telemetry, Unsealable

        key = self.settings["collector_key"]
        seal = None
        if key:
            try:
                seal = await self._sealer(key)
            except (ValueError, OSError, RuntimeError) as e:
                seal = Unsealable(self.log, reason(e))
        self.telemetry = Telemetry(
            self.store, self.settings, hal, self.identity.node_id.hex(), self.log, seal
        )

    async def _sealer(self, key):
        from citymote_protocol.sealing import Sealer

        identity = self.identity
        random8 = self.crypto.random(8)
        sealer = Sealer(
            self.crypto, identity.node_id, identity.private_key(), bytes.fromhex(key), identity.boots, random8
        )
        await self._ladder(sealer.prepare())
        return sealer.seal_renewing

    def _keep(self, time, state, values, quality):
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
        from .health import Health

        await self._identify()
        keep = self.supervisor.start
        keep("time", self._tell_time)
        for sensor in self.sensors:
            if hasattr(sensor.driver, "run"):
                keep(sensor.name, sensor.driver.run)
        await self._first_time()
        self._open_store()
        await self.sampler.warm_up()
        await self._open_link()
        self.health = Health(
            hal,
            self.identity.node_id,
            self.identity.boots,
            self.clock,
            self.store,
            self.sampler,
            self.telemetry,
            self.supervisor,
            self.board.get("board", "unknown"),
            self.settings["status_interval"],
        )
        if self.settings["status_interval"]:
            self.health.describe()
            self.health.report()
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
    """Run the node; a failure of its frame resets it, because there is nothing left that could go on."""
    node = None
    try:
        node = Node()
        await node.run()
    except Exception as e:
        log = node.log if node else hal.log
        log(ERROR, "node: " + reason(e))
        hal.event("failed", reason(e))
        await asyncio.sleep_ms(10000)
        hal.reset()
        return
    report = node.report()
    leave = getattr(hal, "exit", None)
    if leave:
        leave(0 if report["reason"] == "done" else 3, report)
