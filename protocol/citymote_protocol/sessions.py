"""The OSCORE contexts of a server (SPEC 13.7), and how long each may live.

At most one session is without rights: it is there for a claim or for a delegation, and is dropped when the limiter's
deadline has passed. Those that the application has admitted stay, at most `most`, the one unused longest goes first.
All lie in RAM: after a power cut there are none, and every client runs EDHOC again.
"""

MOST = 4  # an owner's host, a collector, an installer, and one that is just being replaced


class Sessions:
    def __init__(self, limiter, most=MOST):
        self.limiter = limiter
        self._most = most
        self._admitted = []  # the one used last is last
        self._stranger = None
        self._stranger_keys = None
        self.ended = None  # set to a function(context): hears of contexts that are dropped

    def find(self, kid, kid_context=None):
        """The context with this recipient id; what `oscore_server` asks for."""
        if kid_context is not None:
            return None
        for context in self._admitted:
            if context.recipient_id == kid:
                return self._usable(context)
        if self._stranger is not None and self._stranger.recipient_id == kid:
            return self._usable(self._stranger)
        return None

    def _usable(self, context):
        if context.worn():
            self.remove(context)
            return None
        return context

    def used(self, context):
        """An admitted context has been used: it is the last to go."""
        if context in self._admitted:
            self._admitted.remove(context)
            self._admitted.append(context)

    def free_ids(self, random):
        """Two recipient ids that no context here has: of the 48 that travel as one byte, at random."""
        taken = [context.recipient_id for context in self._admitted]
        if self._stranger is not None:
            taken.append(self._stranger.recipient_id)
        free = []
        for number in range(48):
            each = bytes((number if number < 24 else number + 8,))
            if each not in taken:
                free.append(each)
        at = random(2)
        first = free.pop(at[0] % len(free))
        return first, free[at[1] % len(free)]

    def begin(self, context, keys=None):
        """A session that may do nothing yet; the one before it is dropped. `keys` are kept until it is admitted."""
        if self._stranger is not None:
            self.remove(self._stranger)
        self._stranger = context
        self._stranger_keys = keys

    def keys(self, context):
        """The EDHOC keys of the session without rights, for the claim's exporter value; None for any other."""
        return self._stranger_keys if context is self._stranger else None

    def is_stranger(self, context):
        return context is self._stranger

    def admit(self, context):
        """The application knows who this is: its context stays."""
        if context is not self._stranger:
            return
        self._stranger = self._stranger_keys = None
        self.limiter.end()
        if len(self._admitted) >= self._most:
            self.remove(self._admitted[0])
        self._admitted.append(context)

    def all(self):
        """Every context, the one without rights last."""
        return self._admitted + ([self._stranger] if self._stranger is not None else [])

    def remove(self, context):
        if context is self._stranger:
            self._stranger = self._stranger_keys = None
            self.limiter.end()
        elif context in self._admitted:
            self._admitted.remove(context)
        if self.ended is not None:
            self.ended(context)

    def clear(self):
        """Drop all: the owner has changed."""
        for context in self.all():
            self.remove(context)

    def tick(self, now):
        """Drop the session without rights when its time is over."""
        if self.limiter.expired(now):
            if self._stranger is not None:
                self.remove(self._stranger)
            else:
                self.limiter.end()
