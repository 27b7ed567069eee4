"""Observations on the server (RFC 7641; SPEC 12.4): who is to be told when a resource changes.

An observation is the request that began it, kept; when its resource changes the request is answered anew. Every tenth
notification is confirmable, so that a client that is gone is found out (section 4.5 asks for one a day at least).
"""

from .coap import OBSERVE, body_size, put_option, uint_bytes

CONFIRM_EACH = 10


class Observation:
    def __init__(self, request, binding, sequence):
        self.request = request
        self.binding = binding
        self.sequence = sequence
        self.count = 0
        self.due = False  # a notification is waiting to be made
        self.mid = None  # of the last notification, by which a reset names it


class Observations:
    """Those of one server, at most `most`: a further one is refused, and its client sees an answer without Observe."""

    def __init__(self, server, most=4):
        self._server = server
        self._most = most
        self.all = []

    def wish(self, request, binding, answer):
        """Begin (Observe 0) or end (1) what a request asks for; an answer that begins one says so."""
        token = request.message.token
        found = None
        for each in self.all:
            other = each.request
            if other.link is request.link and other.peer == request.peer and other.message.token == token:
                found = each
        if found is not None:
            self.all.remove(found)
        if request.message.option(OBSERVE) or len(self.all) >= self._most:
            return
        self.all.append(Observation(request, binding, found.sequence if found is not None else 0))
        put_option(answer.options, OBSERVE, uint_bytes(self.all[-1].sequence))

    def cancel(self, link, peer, token):
        """End the observation with this token, or whose last notification had this message id."""
        self.all = [
            each
            for each in self.all
            if each.request.link is not link
            or each.request.peer != peer
            or token not in (each.request.message.token, each.mid)
        ]

    def drop(self, link=None, peer=None, session=None):
        """End all observations of a link, of a peer on it, or of a session."""
        self.all = [
            each
            for each in self.all
            if not (
                (session is not None and each.request.session is session)
                or (link is not None and each.request.link is link and (peer is None or each.request.peer == peer))
            )
        ]

    def changed(self, path):
        """The work of telling all who observe a path: a list of generators."""
        work = []
        for each in self.all:
            if each.request.path == path and not each.due:
                each.due = True
                work.append(self._tell(each))
        return work

    def _tell(self, observation):
        """Answer a kept request anew, and send that as a notification."""
        observation.due = False
        server = self._server
        request = observation.request
        if observation not in self.all:
            return
        answer = yield from server.call(server.resources[request.path][1][request.message.code - 1], request)
        if observation not in self.all:
            return
        room = server.room(request, observation.binding)
        if body_size(answer) > room:
            answer = server.transfers().cut(request.session or request.peer, request.message, answer, room)
        if answer.code >> 5 == 2:
            observation.sequence = observation.sequence + 1 & 0xFFFFFF
            put_option(answer.options, OBSERVE, uint_bytes(observation.sequence))
        else:
            self.all.remove(observation)  # an error ends it (section 4.2)
        observation.count += 1
        confirmable = observation.count % CONFIRM_EACH == 0
        observation.mid = server.send(request, answer, observation.binding, confirmable)
