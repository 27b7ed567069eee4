"""When the node's BLE is in the air: without an owner or a proven configuration always, else for a window now and then.

This much looks for an occasion as long as the node works, so it is small; what happens in a window is `air`, loaded
for it (SPEC 16.7 and 16.8). `radio(door)` makes the link.
"""

# The node is there when it is used.
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
import asyncio
import struct

from node.files import load, save
from node.journal import ERROR, WARNING, place, reason
from node.memory import let_go

from . import record

ASKED, FAILED_TRIAL, LOST, RECOVERING, SAFE = 1, 2, 3, 4, 5

LOOK = 1000  # ms
PRESSED = 250  # ms between looks at the button
AGAIN = 60000  # ms until a radio that could not be switched on is tried again
_SHORT = 2000  # ms that a press may take
_MINUTE = 60000
_WINDOW = 5 * _MINUTE
PRESS = 15 * _MINUTE
_HOUR = 60 * _MINUTE
_WATCHDOG = 300000  # ms


class Service:
    def __init__(self, hal, log, door, radio, purpose):
        self.hal = hal
        self.log = log
        self.door = door
        self.radio = radio
        self.purpose = purpose
        self.until = 0  # uptime to which the owner has asked for service mode
        self.left = False
        self.minutes = None  # of a recovery, still to go
        self.button = hal.pin("button") if "button" in (hal.board().get("pins") or {}) else None
        self.state = None  # (state, detail) that the radio tells
        self.node = None
        self._good = hal.uptime_ms()  # uptime at which the uplink worked last
        self._windows = -_HOUR  # uptime of the last hourly window
        self._counted = 0
        self._down = None
        self.recovering()

    # What the desk asks for

    def ask(self, minutes):
        """Service mode for so many minutes; 0: no longer."""
        now = self.hal.uptime_ms()
        self.until = now + minutes * _MINUTE if minutes else 0
        self.left = not minutes

    def recovering(self):
        """A recovery has begun or ended."""
        data = load(record.RECOVERY, 64)
        self.minutes = None if data is None or len(data) != 4 else struct.unpack("<I", data)[0]
        self._counted = self.hal.uptime_ms()
        self._windows = -_HOUR

    # What it does

    def outage(self):
        """A node that sleeps between its rows has failed for an hour to reach its uplink: a window, awake."""
        asyncio.create_task(self._air(LOST, _WINDOW))

    async def run(self):
        """For ever."""
        while True:
            try:
                await self._run()
            except Exception as e:
                self.log(ERROR, "service: %s; %s" % (reason(e), place(e)))
                await asyncio.sleep_ms(AGAIN)

    async def _run(self):
        if self.purpose in (record.UNOWNED, record.UNPROVEN, record.CORRECTING):
            self.hal.watchdog(_WATCHDOG)
            await self._air(None, None)
        if self.purpose == record.RETURNING:
            await self._air(FAILED_TRIAL, PRESS)
        while True:
            await asyncio.sleep_ms(PRESSED if self.button else LOOK)
            now = self.hal.uptime_ms()
            self.door.rest(now)
            if self.counts(now):
                self.count(now)
            due = self._due(now)
            if due:
                await self._air(*due)

    async def _air(self, state, lasts):
        from .air import window

        try:
            await window(self, state, lasts)
        finally:
            window = None
            if not self.door.links:  # what is left of the air are the other links
                let_go(("node.access.air", "node.access.outcome"))

    def counts(self, now):
        """Whether a recovery is under way, and a minute of it over."""
        return self.minutes is not None and now - self._counted >= _MINUTE

    def count(self, now):
        """A recovery goes on while there is power; at its end nothing of the owner is left."""
        gone = (now - self._counted) // _MINUTE
        self._counted += gone * _MINUTE
        before = self.minutes
        self.minutes = max(0, before - gone)
        if self.minutes == 0:
            owner = self.door.owner
            owner.wipe, owner.key, owner.epoch = record.FACTORY, b"", 0
            owner.save()
            self.log(WARNING, "the recovery is over: this node has no owner")
            self.hal.reset()
        elif before // 60 != self.minutes // 60 or gone >= 60:
            try:
                save(record.RECOVERY, struct.pack("<I", self.minutes))
            except OSError as e:
                self.log(ERROR, "recovery: " + reason(e))

    def pressed(self, now):
        """Whether a short press has ended just now."""
        if self.button is None:
            return False
        if not self.button.value():
            if self._down is None:
                self._down = now
            return False
        down, self._down = self._down, None
        return down is not None and now - down <= _SHORT

    def _due(self, now):
        # (state, ms) of a window that begins now, or None: the table of SPEC 16.8.
        telemetry = self.node.telemetry if self.node else None
        if telemetry is None or telemetry.connected or self.door.trial.state == record.RUNNING:
            self._good = now
        pressed = self.pressed(now)
        hourly = now - self._windows >= _HOUR
        if self.minutes is not None and hourly:
            self._windows = now
            return RECOVERING, _WINDOW
        if self.until > now:
            return ASKED, self.until - now
        if pressed:
            return ASKED, PRESS
        if self.node and self.node.safe and hourly:
            self._windows = now
            return SAFE, _WINDOW
        if now - self._good >= _HOUR and hourly and telemetry is not None:
            self._windows = now
            return LOST, _WINDOW
        return None
