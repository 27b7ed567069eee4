"""Safe mode: what a node runs after three starts in a row that failed: no sensors, no store; the uplink and updates.

Whatever is wrong with what has been taken away, a newer release can still arrive, over the file server and over every
link that carries requests: a node that has an owner is at its broker as ever, with nothing to send, and in the air for
the window of SPEC 16.8. After an hour the node tries its whole self again; one more failure brings it back here.
A trial is never in safe mode: its failures end in the application before (SPEC 14.4, 14.11).
"""

import asyncio
import struct

from .clock import NETWORK, Clock
from .files import load, save
from .journal import ERROR, WARNING, reason
from .supervisor import Supervisor

AFTER = 3  # failed starts
_HOUR = 3600000
_LOOK = 10000  # ms
_FEED = 120000
_WATCHDOG = 300000
_INTERVAL = 600  # s between two questions for an update


def crashes(path):
    """Starts in a row that failed, so far."""
    try:
        data = load(path)
    except OSError:
        return 0
    return data[0] if data else 0


class _Idle:
    """In place of a sampler and of a store: false, as there is none, and with nothing in it."""

    rows = oldest = pending = 0
    values = columns = ()
    last = changed = None

    def __bool__(self):
        return False

    def rewind(self):
        pass

    def next_pending(self):
        return None

    def put(self, make):
        pass  # nobody is told from here; the state is kept, and told by the next whole start

    def flush(self):
        pass


class _Patient:
    # The owner's settings, but for how often a node in need asks.
    def __init__(self, settings):
        self._settings = settings

    def __getitem__(self, key):
        if key == "update_interval":
            return min(_INTERVAL, self._settings[key])
        return self._settings[key]


class Safe:
    """Has what updates, requests and the radio's windows ask of a node. `path`: the file that counts crashes."""

    safe = True

    def __init__(self, hal, log, settings, name, boots, path):
        self.hal = hal
        self.log = log
        self.settings = _Patient(settings)
        self.name = name
        self.boots = boots
        self.supervisor = Supervisor(hal, log)
        self.clock = Clock(hal.uptime_ms, "/config/clock", settings["time_earliest"])
        self.sampler = self.store = _Idle()
        self.telemetry = self.health = None
        self.boot = self.updating = self.duty = self.door = None
        self.awake = self.uplink = True
        self.kept = self.outage = self.nearby = None
        self._link = None
        self._path = path

    def moment(self):
        return self.hal.uptime_ms() // 1000, 0

    def live(self):
        return None

    async def run(self):
        """An hour; ends only on a virtual node, where the settings name an end."""
        self.log(ERROR, "safe mode: no sensors, updates and requests only")
        self.hal.event("safe")
        self.supervisor.start("watchdog", lambda: self.supervisor.feed(_FEED, _WATCHDOG))
        until = self.settings["until"]
        if self.uplink:
            self.online()
        while self.hal.uptime_ms() < _HOUR or self.updating is not None:
            if self.uplink:
                await self._join()
            if until and self.clock.known and self.clock.now() > until:
                return
            await asyncio.sleep_ms(_LOOK)
        save(self._path, struct.pack("B", AFTER - 1))
        self.hal.reset()

    def online(self):
        """As a whole node's."""
        self.uplink = True
        if self._link is None and self.telemetry:
            self._link = self.supervisor.start("link", self.telemetry.run)

    async def offline(self):
        """As a whole node's."""
        was, self.uplink = self.uplink, False
        link, self._link = self._link, None
        if link:
            link.cancel()
            await asyncio.sleep_ms(0)
        self.hal.leave()
        return was

    async def _join(self):
        try:
            if not self.hal.joined():
                await self.hal.join(self.settings["network"])
            if not self.clock.known and self.settings["time_source"] == "network":
                self.clock.hear(await self.hal.network_time(), NETWORK)
        except (OSError, ValueError) as e:
            self.log(WARNING, "safe mode: " + reason(e))

    def report(self):
        """What a virtual node's run came to."""
        return {"node": self.name.hex(), "reason": "safe"}
