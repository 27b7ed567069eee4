"""Observations on the server (RFC 7641; SPEC 12.4): who is to be told when a resource changes.

An observation is the request that began it, kept; when its resource changes the request is answered anew. Every tenth
notification is confirmable, so that a client that is gone is found out (section 4.5 asks for one a day at least).
"""

from .coap import Message

CONFIRM_EACH = 10


class Observation:
    __slots__ = ("binding", "count", "due", "link", "mid", "path", "peer", "request", "sequence", "session")

    def __init__(self, link, peer, path, request, binding, session, sequence):
        self.link = link
        self.peer = peer
        self.path = path
        self.request = request
        self.binding = binding
        self.session = session
        self.sequence = sequence
        self.count = 0
        self.due = False  # a notification is waiting to be made
        self.mid = None  # of the last notification, by which a reset names it


class Observations:
    """At most `most`; a further one is refused, which the client sees as an answer without Observe."""

    def __init__(self, most=4):
        self._most = most
        self.all = []

    def _find(self, link, peer, token):
        for each in self.all:
            if each.link is link and each.peer == peer and each.request.token == token:
                return each
        return None

    def register(self, link, peer, path, request, binding, session):
        """The Observation for this request, or None where there is no room. One with its token it replaces."""
        found = self._find(link, peer, request.token)
        sequence = 0
        if found is not None:
            sequence = found.sequence
            self.all.remove(found)
        elif len(self.all) >= self._most:
            return None
        kept = Message(request.code, request.token, request.options, request.payload)
        made = Observation(link, peer, path, kept, binding, session, sequence)
        self.all.append(made)
        return made

    def cancel(self, link, peer, token):
        """End the observation with this token, or whose last notification had this message id."""
        self.all = [
            each
            for each in self.all
            if each.link is not link or each.peer != peer or token not in (each.request.token, each.mid)
        ]

    def drop(self, link=None, peer=None, session=None):
        """End all observations of a link, of a peer on it, or of a session."""
        self.all = [
            each
            for each in self.all
            if not (
                session is not None
                and each.session is session
                or link is not None
                and each.link is link
                and (peer is None or each.peer == peer)
            )
        ]

    def of(self, path):
        return [each for each in self.all if each.path == path]
