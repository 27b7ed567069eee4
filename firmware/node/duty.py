"""The duty-cycled profile (setting `profile`: "sleep"): asleep between samples, awake to sample and to send.

A deep sleep ends with a start from nothing. What a start could not know lies in the memory that the chip keeps while it
sleeps (2 KB at most): uptime and clock, which go on as if nothing had happened; who this node is, so that neither the
boot counter nor anything else is written to flash; the sealing's secret and its next number; what each sensor
needs to warm up; what plausibility has seen. It is taken out of that memory when it is read, and believed only after
a sleep: a node that lost power, was reset or bitten by its watchdog starts as any other, with a boot id of its own, so
that no number of a key is ever used twice. Rows are in the store's open batch on flash, as always.

Every sensor rests while the node sleeps. The uplink is joined when a frame waits, and left when none does any more; an
update is asked for and fetched while it is there. All of that goes on beside the sampling: what takes longer than the
time to the next row costs no row, and each part of it has its bounds.
"""

import asyncio
import json
import struct
from binascii import crc32, hexlify, unhexlify

from .clock import ESTIMATED, NETWORK
from .journal import ERROR, INFO, WARNING, reason
from .supervisor import stop

VERSION = 1
_MOST = 2048  # bytes that an ESP32 keeps
_LEAST = 3000  # ms; a shorter sleep is none
_MARGIN = 2000  # ms between waking and the first sensor that has to be woken; more where starts turn out to be slower
_TRIES = 3  # of a quick sensor, as in `sensor`
_QUICK = 1000
_ALL = 150
_CONTACT = 60000  # ms that the frames of a contact may take
_LOOK = 1000  # ms between two looks at whether the node can sleep
_AGAIN = 120000  # ms to the next contact after one that failed; doubled up to the longest
_LONGEST = 3600000
_KNOWN_FOR = 86400000  # ms for which a clock that ran through sleep counts as known
_DATELESS = 6  # contacts without a time after which rows go out undated
_FEED = 120000
_WATCHDOG = 300000


class Mute:
    """In place of a sealer where none may be: nothing is sent bare."""

    def __call__(self, frame):
        raise OSError(1, "frames cannot be sealed: no collector_key")


def wake(hal, settings):
    """What the last sleep left, or None where this start is not the end of one. It can be had once."""
    data = hal.kept()
    if data:
        hal.kept(b"")
    if hal.reset_cause() != "sleep" or len(data) < 5:
        return None
    if struct.unpack("<I", data[:4])[0] != crc32(data[4:]):
        return None
    try:
        kept = json.loads(data[4:])
        if kept["v"] != VERSION or kept["collector"] != settings["collector_key"]:
            return None
    except (ValueError, KeyError, TypeError):
        return None
    hal.resume(kept["up"] + max(0, hal.clock_ms() - kept["at"]))
    return kept


def who(hal, settings, kept, bare):
    """(node id, boots, seal) as `enrol` gives them, without curve arithmetic and without a write."""
    name = unhexlify(kept["name"])
    boots = kept["boots"]
    if not kept["seal"]:
        return name, boots, None if bare else Mute()
    from citymote_protocol.seal import Sealer

    from .crypto import NodeCrypto

    boot, secret, number = kept["seal"]
    sealer = Sealer(NodeCrypto(hal.random), name, b"", unhexlify(kept["collector"]), boots, unhexlify(boot)[4:])
    sealer._secret = unhexlify(secret)
    sealer._next = number
    return name, boots, sealer


def restore(node, kept):
    """Clock, sensors and judgement go on where they were."""
    clock = node.clock
    clock._offset, clock.state, clock.jumps, clock.drift_ppm, clock.error, clock._set_at, clock._saved = kept["clock"]
    if clock.known and node.hal.uptime_ms() - clock._set_at > _KNOWN_FOR:
        clock.state = ESTIMATED
    sampler = node.sampler
    for sensor, told in zip(node.sensors, kept["sensors"]):
        sensor.cold, sensor.errors, sensor.good_at, sensor.fault = told
        sensor.lead = sensor.cold
    sampler.last = kept["last"]
    judge = sampler._judge
    if kept.get("judge") and len(kept["judge"][0]) == len(sampler.columns):
        judge._last, judge._same = kept["judge"]


class Duty:
    """Runs a node in this profile. `link()` makes its `telemetry`, `report()` its `health`."""

    def __init__(self, node, hal, log, kept, seal, link, report):
        self._node = node
        self._hal = hal
        self._log = log
        self._seal = seal
        self._link = link
        self._report = report
        kept = kept or {}
        self._cold = not kept
        self._margin = kept.get("margin", _MARGIN)
        self._scheduled = kept.get("wake")  # uptime at which this start was to begin
        self._due = kept.get("due", 0)  # uptime in s from which a status is due
        self._next = kept.get("next", 0)  # uptime before which no contact is tried
        self._wait = kept.get("wait", 0)
        self._dateless = kept.get("dateless", 0)
        self._counts = kept.get("counts") or [0] * 7
        self._link_made = node.telemetry is not None
        self._task = None  # a contact, or an update that came over another road
        self._over = asyncio.Event()  # it has ended
        self.record = None  # the boot's, where the node has slots
        self.look = kept.get("look")  # uptime in s from which an update is asked for
        self.opens = None  # uptime in ms from which an update that is verified may be started
        self._refused = unhexlify(kept.get("refused", ""))
        node.duty = self
        if kept:
            store = node.store
            store.frames, store.rows, store.readings = self._counts[:3]
            node.health = self
            node.signal = kept.get("signal")

    def tick(self):
        """In place of `health`, which is loaded when a status is due."""

    def _lead(self):
        # ms before an instant at which the first sensor has to be woken
        most = 0
        interval = self._node.settings["interval"] * 1000
        for sensor in self._node.sensors:
            lead = sensor.lead * (_TRIES if sensor.lead <= _QUICK else 1)
            most = max(most, lead + interval * (sensor.reads - 1) // sensor.reads)
        return most + _ALL

    async def run(self):
        """Sample, send, sleep; ends only where the settings name an end."""
        node = self._node
        hal = self._hal
        node.supervisor.promise("sampling", 3 * node.settings["interval"] * 1000 + _WATCHDOG)
        node.supervisor.start("watchdog", lambda: node.supervisor.feed(_FEED, _WATCHDOG))
        for sensor in node.sensors:
            sensor.alarm = node.alarm
        if self._cold:
            node.sampler.warm_up()
            if node.settings["status_interval"]:
                node.health.report_now()
            self._due = hal.uptime_ms() // 1000 + node.settings["status_interval"]
        elif self._scheduled is not None:
            self._margin = max(_MARGIN, min(30000, 2 * (hal.uptime_ms() - self._scheduled)))
        until = node.settings["until"]
        while True:
            self._begin()
            time = node.sampler._plan()
            if until and time > until and node.clock.known:
                break
            pause = node.clock.until(time) - hal.uptime_ms() - self._lead() - self._margin
            if pause >= _LEAST and not self._cold:
                if self._task or node.awake:
                    await self._busy(min(pause, _LOOK))
                    continue
                if self.opens is not None:
                    pause = max(_LEAST, min(pause, self.opens - hal.uptime_ms()))
                self._sleep(pause)
            await node.sampler.row(time)
            self._cold = False
            for sensor in node.sensors:
                while sensor.busy:
                    await asyncio.sleep_ms(_ALL)
                if sensor.on:
                    await sensor.rest()
            if self._task is None and self._wants():
                self._start(self._contact)
        while self._task:
            await self._busy(_LOOK)
        node.store.flush()
        self._next = 0
        if self._wants():
            await self._send(node.settings["drain"] * 1000)
            hal.leave()
        self._made()

    def _start(self, make):
        # One thing at a time beside the sampling; the node does not sleep before it is over.
        async def whole():
            try:
                await make()
            except Exception as e:
                self._node.supervisor.failed("contact", e)
            self._task = None
            self._over.set()

        self._over.clear()
        self._task = asyncio.create_task(whole())

    async def _busy(self, ms):
        # For so long, or until what is under way has ended.
        try:
            await asyncio.wait_for_ms(self._over.wait(), ms)
        except asyncio.TimeoutError:
            pass
        self._over.clear()

    def _begin(self):
        # An update that has waited for its window starts; one that somebody pushes is looked after.
        node = self._node
        if self._task:
            return
        if node.updating is not None:
            self._start(self._tend)
        elif self.opens is not None and self._hal.uptime_ms() >= self.opens:
            from .update.begin import resume

            self.opens = None
            resume(node, self.record)

    def _made(self):
        if not self._link_made:
            self._link_made = True
            self._link()
            telemetry = self._node.telemetry
            telemetry.sent, telemetry.acked, telemetry.bytes, telemetry.failures = self._counts[3:]

    def _wants(self):
        # Whether there is something to send, and a way that may be tried again by now.
        node = self._node
        now = self._hal.uptime_ms()
        s = node.settings
        if not (s["broker_host"] or s["lorawan"]) or now < self._next:
            return False
        return bool(node.store.pending or (s["status_interval"] and now // 1000 >= self._due))

    async def _contact(self):
        try:
            await self._send(_CONTACT)
            await self._update()
        finally:
            self._node.signal = self._hal.signal()
            self._hal.leave()

    async def _send(self, patience):
        node = self._node
        now = self._hal.uptime_ms()
        status = node.settings["status_interval"]
        self._made()
        if status and now // 1000 >= self._due:
            self._due = now // 1000 + status
            self._report()
        telemetry = node.telemetry
        task = asyncio.create_task(telemetry.run())
        asked = False
        while node.store.pending and self._hal.uptime_ms() < now + patience:
            if telemetry.connected and not asked:
                asked = True
                await self._ask()
            await asyncio.sleep_ms(100)
        await stop(task)
        if node.store.pending:
            self._wait = min(max(2 * self._wait, _AGAIN), _LONGEST)
            self._next = self._hal.uptime_ms() + self._wait
            if self._wait == _LONGEST and node.outage:
                node.outage()
        else:
            self._wait = self._next = 0

    async def _update(self):
        # After the frames, so that what was measured has gone whatever an update does.
        s = self._node.settings
        now = self._hal.uptime_ms() // 1000
        if self.look is None or now < self.look or not s["update_url"] or s["lorawan"] or not self._hal.joined():
            return
        from .update.asleep import ask

        self._refused, wait = await ask(self._node, self.record, self._refused)
        self.look = self._hal.uptime_ms() // 1000 + wait

    async def _tend(self):
        from .update.asleep import tend

        await tend(self._node)

    async def _ask(self):
        # Each contact tells the time: the clock that runs through sleep is not a good one.
        node = self._node
        if node.settings["time_source"] == "network" and not node.settings["lorawan"]:
            try:
                error = node.clock.hear(await self._hal.network_time(), NETWORK)
                self._hal.rtc(node.clock.now())
                self._log(INFO, "time from the network, %d ms off" % error)
            except (OSError, ValueError) as e:
                self._log(WARNING, "no time from the network: " + reason(e))
        if not node.clock.known:
            self._dateless += 1
            if self._dateless >= _DATELESS:
                node.store.release()
                node.telemetry.wake()

    def _sleep(self, pause):
        hal = self._hal
        data = self._pack(pause)
        if data is None:
            return
        hal.kept(data)
        hal.sleep(pause)

    def _pack(self, pause):
        # What `wake` finds; None where it is more than the chip keeps, and the node stays awake.
        node = self._node
        clock = node.clock
        store = node.store
        counts = [store.frames, store.rows, store.readings] + self._counts[3:]
        if self._link_made:
            telemetry = node.telemetry
            counts[3:] = [telemetry.sent, telemetry.acked, telemetry.bytes, telemetry.failures]
        seal = self._seal
        judge = node.sampler._judge
        up = self._hal.uptime_ms()
        told = (clock._offset, clock.state, clock.jumps, clock.drift_ppm, clock.error, clock._set_at, clock._saved)
        content = {
            "v": VERSION,
            "up": up,
            "at": self._hal.clock_ms(),
            "wake": up + pause,
            "name": str(hexlify(node.name), "ascii"),
            "boots": node.boots,
            "collector": node.settings["collector_key"],
            "seal": None,
            "clock": told,
            "sensors": [(sensor.cold, sensor.errors, sensor.good_at, sensor.fault) for sensor in node.sensors],
            "last": node.sampler.last,
            "margin": self._margin,
            "due": self._due,
            "next": self._next,
            "wait": self._wait,
            "dateless": self._dateless,
            "look": self.look,
            "refused": str(hexlify(self._refused), "ascii"),
            "signal": node.signal,
            "counts": counts,
        }
        if hasattr(seal, "boot_id"):
            content["seal"] = (str(hexlify(seal.boot_id), "ascii"), str(hexlify(seal._secret), "ascii"), seal._next)
        for judged in ((judge._last, judge._same), None):
            content["judge"] = judged
            data = json.dumps(content).encode()
            if len(data) + 4 <= _MOST:
                return struct.pack("<I", crc32(data)) + data
        self._log(ERROR, "sleep: %d bytes are more than the chip keeps" % len(data))
        return None


def possible(node, log):
    """Whether these sensors can be slept through: what counts or listens all the time cannot."""
    busy = [sensor.name for sensor in node.sensors if sensor.accumulates or hasattr(sensor.driver, "run")]
    if busy:
        log(ERROR, "profile: no sleep with " + ", ".join(busy))
    return not busy
