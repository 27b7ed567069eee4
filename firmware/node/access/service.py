"""When the node's BLE is in the air, and in which state (SPEC 16.7 and 16.8).

Radios take turns: for a window the uplink is closed, and opened again after it; the node samples meanwhile, and rows
wait in the store. Without an owner or a proven configuration there is no end to it. `radio()` makes the link.
"""

# The node is there when it is used.
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
import asyncio
import struct

from node.files import load, save
from node.journal import ERROR, INFO, WARNING, place, reason

from . import record
from .door import unproven

ASKED, FAILED_TRIAL, LOST, RECOVERING, SAFE = 1, 2, 3, 4, 5

_LOOK = 1000  # ms
_PRESSED = 250  # ms between looks at the button
_SHORT = 2000  # ms that a press may take
_MINUTE = 60000
_WINDOW = 5 * _MINUTE
_PRESS = 15 * _MINUTE
_HOUR = 60 * _MINUTE
_WATCHDOG = 300000  # ms
_AGAIN = 60000  # ms until a radio that could not be switched on is tried again
_LEAVE = 2000  # ms for the answer to what ends a window


class Service:
    def __init__(self, hal, log, door, radio, purpose):
        self._hal = hal
        self._log = log
        self._door = door
        self._radio = radio
        self._purpose = purpose
        self._until = 0  # uptime to which the owner has asked for service mode
        self._left = False
        self._good = hal.uptime_ms()  # uptime at which the uplink worked last
        self._windows = -_HOUR  # uptime of the last hourly window
        self._minutes = None  # of a recovery, still to go
        self._counted = 0
        self._button = None
        self._down = None
        self.state = None
        self.node = None

    # What the desk asks for

    def ask(self, minutes):
        """Service mode for so many minutes; 0: no longer."""
        now = self._hal.uptime_ms()
        self._until = now + minutes * _MINUTE if minutes else 0
        self._left = not minutes

    def recovering(self):
        """A recovery has begun or ended."""
        data = load(record.RECOVERY, 64)
        self._minutes = None if data is None or len(data) != 4 else struct.unpack("<I", data)[0]
        self._counted = self._hal.uptime_ms()
        self._windows = -_HOUR

    # What it does

    def outage(self):
        """A node that sleeps between its rows has failed for an hour to reach its uplink: a window, awake."""
        asyncio.create_task(self._air((LOST, self._why()), _WINDOW))

    async def run(self):
        """For ever."""
        while True:
            try:
                await self._run()
            except Exception as e:
                self._log(ERROR, "service: %s; %s" % (reason(e), place(e)))
                await asyncio.sleep_ms(_AGAIN)

    async def _run(self):
        self.recovering()
        if "button" in (self._hal.board().get("pins") or {}):
            self._button = self._hal.pin("button")
        trial = self._door.trial
        if self._purpose in (record.UNOWNED, record.UNPROVEN, record.CORRECTING):
            self._hal.watchdog(_WATCHDOG)
            await self._air(self._standing(), None)
        if self._purpose == record.RETURNING:
            await self._air((FAILED_TRIAL, trial.detail), _PRESS)
        while True:
            await asyncio.sleep_ms(_PRESSED if self._button else _LOOK)
            now = self._hal.uptime_ms()
            self._door.rest(now)
            await self._count(now)
            due = self._due(now)
            if due:
                await self._air(*due)

    async def _count(self, now):
        # A recovery goes on while there is power; at its end nothing of the owner is left.
        if self._minutes is None or now - self._counted < _MINUTE:
            return
        gone = (now - self._counted) // _MINUTE
        self._counted += gone * _MINUTE
        before = self._minutes
        self._minutes = max(0, before - gone)
        if self._minutes == 0:
            owner = self._door.owner
            owner.wipe, owner.key, owner.epoch = record.FACTORY, b"", 0
            owner.save()
            self._log(WARNING, "the recovery is over: this node has no owner")
            self._hal.reset()
        elif before // 60 != self._minutes // 60 or gone >= 60:
            try:
                save(record.RECOVERY, struct.pack("<I", self._minutes))
            except OSError as e:
                self._log(ERROR, "recovery: " + reason(e))

    def _press(self, now):
        # A short press has ended just now.
        if self._button is None:
            return False
        if not self._button.value():
            if self._down is None:
                self._down = now
            return False
        down, self._down = self._down, None
        return down is not None and now - down <= _SHORT

    def _due(self, now):
        # ((state, detail), ms) of a window that begins now, or None: the table of SPEC 16.8.
        telemetry = self.node.telemetry if self.node else None
        if telemetry is None or telemetry.connected or self._door.trial.state == record.RUNNING:
            self._good = now
        pressed = self._press(now)
        hourly = now - self._windows >= _HOUR
        if self._minutes is not None and hourly:
            self._windows = now
            return self._recovered(), _WINDOW
        if self._until > now:
            return (ASKED, 0), self._until - now
        if pressed:
            return (ASKED, 0), _PRESS
        if self.node and self.node.safe and hourly:
            self._windows = now
            return (SAFE, 0), _WINDOW
        if now - self._good >= _HOUR and hourly and telemetry is not None:
            self._windows = now
            return (LOST, self._why()), _WINDOW
        return None

    def _recovered(self):
        return RECOVERING, min(255, (self._minutes + 59) // 60)

    def _standing(self):
        # (state, detail) of a radio that is open without an end.
        if self._minutes is not None:
            return self._recovered()
        return unproven(self._door.trial) if self._door.owner.key else (0, 0)

    def _why(self):
        from .outcome import detail

        telemetry = self.node.telemetry
        return detail(telemetry.stage, telemetry.failed, self.node.clock.known)

    async def _air(self, state, lasts):
        # In the air in that state, for so many ms or for ever.
        hal = self._hal
        self._log(INFO, "service: state %d, reason %d" % state)
        hal.event("service", {"state": state[0], "detail": state[1]})
        again = self._purpose == record.RETURNING
        if self.node:
            if self.node.nearby:
                self.node.nearby.quiet = True  # its advertisements would stand in for the link's
            again = await self.node.offline()
            self.node.awake = True
        else:
            hal.leave()
        self.state = state
        end = None if lasts is None else hal.uptime_ms() + lasts
        self._left = False
        while end is None or self._goes_on(end):
            link = self._radio(self._door)
            link.state(*self.state)
            self._door.links.append(link)
            self._door.open().ready = True
            task = asyncio.create_task(self._keep(link))
            try:
                while (end is None or self._goes_on(end)) and not task.done():
                    await asyncio.sleep_ms(_LOOK if self._button is None else _PRESSED)
                    if end is None:
                        hal.feed()
                    await self._count(hal.uptime_ms())
                    if self._press(hal.uptime_ms()) and end is not None:
                        end = hal.uptime_ms() + _PRESS
                    if end is None and self.state != self._standing():
                        self.state = self._standing()
                        link.state(*self.state)
                if task.done():
                    await asyncio.sleep_ms(_AGAIN)
            finally:
                task.cancel()
                self._door.links.remove(link)
                await asyncio.sleep_ms(0)
        if self._left:
            self._until = 0
        self.state = None
        self._door.close()
        hal.event("service", {"state": None})
        self._purpose = record.WORKING
        if self.node:
            self.node.awake = False
            if self.node.nearby:
                self.node.nearby.quiet = False
            if again:
                self.node.online()

    async def _keep(self, link):
        try:
            await link.run()
        except OSError as e:
            self._log(ERROR, "bluetooth: " + reason(e))

    def _goes_on(self, end):
        now = self._hal.uptime_ms()
        if self._left:
            return now - self._door.used < _LEAVE
        return now < max(end, self._until) or self._door.busy(now)
