"""What every link of the CoAP server does: hand messages to the server, and what it answers to the carrier, in turn.

A carrier (BLE, UDP, a serial line) says what it has heard with `hear`, which an interrupt may call; a message layer of
`citymote_protocol` (`coap_gatt`, `coap_udp`) knows about acknowledgements; the server works in short steps, between
which everything else on the node runs. A subclass says how bytes go out (`_say`).
"""

# A subclass brings `async _say(peer, data)`.
# pyright: reportAttributeAccessIssue=false
import asyncio

_WAITING = 4  # values that wait for the loop; more are not kept, and their senders repeat them


class Serving:
    def __init__(self, hal, layer, server):
        self._now = hal.uptime_ms
        self.layer = layer
        self._server = server
        self._inbox = []
        self._flag = asyncio.ThreadSafeFlag()

    def hear(self, peer, data):
        """Something has come in; True when there was room for it."""
        if len(self._inbox) >= _WAITING:
            return False
        self._inbox.append((peer, data))
        self._flag.set()
        return True

    def wake(self):
        """There may be work, or something to be said."""
        self._flag.set()

    def _patience(self, now):
        """Milliseconds until the carrier itself has something to do, or None."""

    async def _turn(self, now):
        """The carrier's own business, once a round."""

    async def _flush(self):
        for peer, data in self.layer.take():
            await self._say(peer, data)

    async def serve(self):
        """Do that for ever."""
        while True:
            now = self._now()
            waits = [w for w in (self.layer.wait(now), self._patience(now)) if w is not None]
            if not self._inbox:
                try:
                    if waits:
                        await asyncio.wait_for_ms(self._flag.wait(), min(waits))
                    else:
                        await self._flag.wait()
                except asyncio.TimeoutError:
                    pass
            await self._turn(self._now())
            while self._inbox:
                peer, data = self._inbox.pop(0)
                message = self.layer.receive(peer, data, self._now())
                if message:
                    self._server.submit(self.layer, peer, message, self._now())
            self.layer.tick(self._now())
            await self._flush()
            while self._server.step(self._now()):
                await self._flush()
                await asyncio.sleep_ms(0)
            await self._flush()
            self._server.lost(self.layer)
