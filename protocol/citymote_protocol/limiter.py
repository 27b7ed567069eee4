"""How often a node lets strangers make it work (SPEC 13.6): a limit on first messages, without clock or lock-out.

Anybody in range can send message_1, and each costs a node a second of arithmetic. `first` says whether one is worked
on. Every line below ends by itself, so the longest that silence has to last before a node listens again is `DEADLINE`;
while somebody floods it, a newcomer's chance is that of being first when a place falls free.

What is done with a first message (the first line that fits decides):

    1  less than SPACING since the last that was worked on               refused
    2  the bucket is empty: CAPACITY at once, one more each REFILL       refused
    3  a handshake of the same peer is pending                           it starts over: the pending one is dropped
    4  a handshake is pending, or a session without a claim              refused until it ends or DEADLINE has passed
    5  otherwise                                                         worked on
"""

SPACING = 2_000  # ms
CAPACITY = 10
REFILL = 6_000  # ms: ten a minute
DEADLINE = 20_000  # ms from message_1 to a valid claim, or to a request of somebody who is known

_FULL = (CAPACITY - 1) * REFILL


class Limiter:
    def __init__(self):
        self._last = None  # when the last first message was worked on
        self._spent = 0  # when the bucket will be full again
        self._peer = None
        self._until = None  # when the pending handshake is dropped

    def wait(self, peer, now):
        """0 if a first message of this peer would be worked on now, else the milliseconds until it may be."""
        wait = 0
        if self._last is not None:
            wait = max(0, self._last + SPACING - now)
        wait = max(wait, self._spent - _FULL - now)
        if self._until is not None and self._peer != peer:
            wait = max(wait, self._until - now)
        return wait

    def first(self, peer, now):
        """Take a first message: True, and the handshake of this peer is pending from now on, or False."""
        if self.wait(peer, now):
            return False
        self._last = now
        self._spent = max(self._spent, now) + REFILL
        self._peer = peer
        self._until = now + DEADLINE
        return True

    def pending(self, peer, now):
        """Whether this peer's handshake, or session without a claim, may still go on."""
        return self._until is not None and self._peer == peer and now < self._until

    def expired(self, now):
        """Whether what is pending has to be dropped now."""
        return self._until is not None and now >= self._until

    def end(self):
        """What was pending has succeeded, failed or been dropped."""
        self._until = self._peer = None
