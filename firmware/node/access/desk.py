"""The node's CoAP server with its resources (SPEC 16.2), while somebody talks to it; loaded with the first
message, or with the radio when that opens for service.

What is offered is in `offers`. A desk knows the node as far as it runs (`node` is None until it does), and lets work
that outlives a request go on as tasks of the loop.
"""

# The hooks of server and sessions are set here.
# pyright: reportAttributeAccessIssue=false
import asyncio

from node import files
from node.crypto import NodeCrypto

from citymote_protocol.coap import GET, MAX_AGE, UNAVAILABLE, Message
from citymote_protocol.coap_server import OPEN, Server
from citymote_protocol.handshake import PATH, Handshakes
from citymote_protocol.limiter import Limiter
from citymote_protocol.sessions import Sessions

from .offers import ANYBODY, TABLE
from .opening import PASSING

_RESTART = 2000  # ms from an answer to the restart that it announces
_TRIES = 3  # wrong claims or delegations of one session

_METHODS = ("get", "post", "put", "delete", "fetch", "patch", "ipatch")


class Desk:
    """`door` has everything that outlives it."""

    def __init__(self, door):
        self.door = door
        self.hal = hal = door.hal
        self.log = door.log
        self.settings = door.settings
        self.owner = door.owner
        self.name = door.name
        self.nonces = {}
        self.wrong = {}
        self.ready = False  # keep a pair ready for the next handshake
        self.blinking = None
        self._preparing = None
        self._worked = False
        self._leases = {}
        self.crypto = crypto = NodeCrypto(hal.random)
        self.public = self.secrets()[1]
        self.sessions = sessions = Sessions(Limiter())
        self.server = server = Server(crypto, sessions)
        sessions.ended = self._ended
        self.shakes = Handshakes(
            crypto, server, sessions, lambda: self.secrets()[0], self.public, door.name, lambda kid: None, self._met
        )
        server.permit = self._permit
        server.report = self.report
        server.add(PATH, OPEN, post=self.shakes.post)
        for path, flags, methods in TABLE:
            self.add(path, flags, methods)

    def add(self, path, flags, methods):
        """Offer a resource: (method, least role, function of desk and request) each."""
        offered = {}
        for method, role, function in methods:
            offered[method] = self._answer(function)
            self._leases[path, _METHODS.index(method) + 1] = role
        self.server.add(path, flags, **offered)

    def _answer(self, function):
        def answer(request):
            if self.owner.wipe and request.message.code != GET:
                # What was said to be durable would go with what the wipe takes.
                return Message(UNAVAILABLE, b"", [(MAX_AGE, b"\x03")])
            return function(self, request)

        return answer

    def secrets(self):
        """(private key, public key, claim secret), from the flash each time, so that they are nowhere else."""
        for name in ("identity.bin", "identity.bak"):
            data = files.load("/config/" + name, 128)
            if data is not None and len(data) == 85:
                return data[4:36], data[36:69], data[69:]
        raise OSError(2, "the identity cannot be read")

    def report(self, error):
        """A fault of ours is told in the log."""
        from node.journal import ERROR, place, reason

        self.log(ERROR, "request: %s; %s" % (reason(error), place(error)))

    # Roles

    def _permit(self, request):
        least = self._leases[request.path, request.message.code]
        if self.role(request.session):
            self.door.served = self.hal.uptime_ms()
        if not self.owner.key and request.path != "claim":
            return b"unowned"
        return least == ANYBODY or self.role(request.session) >= least

    def role(self, session):
        """What a session may do: ANYBODY, READER, INSTALLER or OWNER of `offers`."""
        return session.claims[0] if session is not None else ANYBODY

    def _met(self, session, credential):
        from citymote_protocol import ccs

        session.claims = (ANYBODY, 0, ccs.read(credential)[0])

    def admit(self, session, role, epoch):
        """A session has a role from now on, by a delegation of that epoch."""
        session.claims = (role, epoch, session.claims[2])
        self.sessions.admit(session)
        self.wrong.pop(session.recipient_id, None)

    def wronged(self, session):
        """A claim or a delegation of this session was wrong: the third ends it."""
        count = self.wrong.get(session.recipient_id, 0) + 1
        self.wrong[session.recipient_id] = count
        if count >= _TRIES and not session.claims[0]:
            self.sessions.remove(session)

    def _ended(self, session):
        self.nonces.pop(session.recipient_id, None)
        self.wrong.pop(session.recipient_id, None)
        self.server.drop(session=session)

    def end_others(self, session, epoch=None):
        """End every session but this one; with an epoch, those that are there by an older delegation."""
        for other in self.sessions.all():
            if other is not session and (epoch is None or other.claims[1] < epoch):
                self.sessions.remove(other)

    # Work

    def clock(self):
        """The running node's clock, or None."""
        return self.door.node.clock if self.door.node else None

    def step(self, now):
        """Some 20 ms of work; True while there is more."""
        if self.server.step(now):
            self._worked = True
            return True
        if self.ready:
            # A pair for the first handshake, while nobody waits for it; what it takes goes with that handshake.
            if self._preparing is None:
                self._preparing = self.shakes.prepare_steps()
            try:
                next(self._preparing)
                return True
            except StopIteration:
                self.ready = False
        if self._worked and not self.shakes.pending and not self.server.paused:
            self._worked = False
            self.door.forget(PASSING)
        return False

    def restart(self):
        """Start anew when the answer has had its time to arrive."""
        asyncio.create_task(self._restart())

    async def _restart(self):
        await asyncio.sleep_ms(_RESTART)
        if self.door.node and self.door.node.store:
            self.door.node.store.flush()
        self.hal.reset()
