"""What links hand messages to, whoever's they are: it opens the desk for the first, and closes it when all is quiet.

A node that works for its owner has this much of the server in memory and no more (beside `record` and `service`). The
contexts of sessions go with the desk: who comes back later runs EDHOC again, without asking anybody (SPEC 13.7).
"""

import sys

from node.journal import DETAIL
from node.memory import let_go, load

from . import record

_MINUTE = 60000
_QUIET = 600000  # ms without a message


class Door:
    """`settings`, `owner` and `trial` are what the desk works on."""

    def __init__(self, hal, log, settings, owner, trial):
        self.hal = hal
        self.log = log
        self.settings = settings
        self.owner = owner
        self.trial = trial
        self.name = b""
        self.boots = 0
        self.node = None
        self.service = None
        self.purpose = record.WORKING  # of this start
        self.uplink = True  # this start begins with the uplink open
        self.works = True  # and the node with its sensors runs
        self.console = "console" in (hal.board().get("buses") or {})  # asked early: a description takes much memory
        self.links = []  # each has `wake`
        self.rpc = None  # that of them that goes through the broker, from the first request on
        self.used = 0  # uptime of the last message
        self.served = -_MINUTE  # and of the last request in a session with a role
        self._desk = None
        self._before = ()

    @property
    def state(self):
        """(state, detail) that the radio tells, None while it is silent."""
        return self.service.state if self.service else None

    def held(self):
        """Whether somebody holds the button."""
        return "button" in (self.hal.board().get("pins") or {}) and not self.hal.pin("button").value()

    def open(self):
        """The desk, loaded where it is not there."""
        if self._desk is None:
            self._before = set(sys.modules)
            from .opening import SERVE

            load(SERVE)
            from .desk import Desk

            self._desk = Desk(self)
        return self._desk

    def forget(self, names):
        """Let modules go that a request has loaded."""
        let_go([name for name in names if name in sys.modules and name not in self._before])

    def close(self):
        """Let everything go that was loaded for it."""
        if self._desk is None:
            return
        self._desk = None
        from .opening import CLOSED, PASSING, SERVE

        self.forget(PASSING)
        self.forget(CLOSED)
        self.forget(SERVE)
        self.log(DETAIL, "requests: closed")

    def rest(self, now):
        """Close when nobody has said anything for a while."""
        if self._desk is not None and now - self.used >= _QUIET and not self._desk.server.paused:
            self.close()

    def busy(self, now):
        """Whether somebody with a role has said something within the last minute."""
        return self._desk is not None and now - self.served < _MINUTE

    def wake(self):
        """Every link looks for work."""
        for link in self.links:
            link.wake()

    def notify(self, path):
        """A resource has changed."""
        if self._desk is not None and self._desk.server.observations is not None:
            self._desk.server.notify(path)
            self.wake()

    # What a server is to a link

    def submit(self, link, peer, message, now):
        self.used = now
        desk = self._desk or self.open()
        desk.server.submit(link, peer, message, now)

    def step(self, now):
        if self._desk is None:
            return False
        more = self._desk.step(now)
        if not more and len(self.links) > 1:
            self.wake_others()
        return more

    def wake_others(self):
        for link in self.links:
            if link.layer.waiting():
                link.wake()

    def lost(self, link):
        if self._desk is not None:
            self._desk.server.lost(link)
        else:
            link.lost()  # resets out of nowhere, which nobody would ever fetch

    def drop(self, link, peer):
        if self._desk is not None:
            self._desk.server.drop(link, peer)
            self._desk.shakes.gone(link, peer)
