"""CoAP on a serial line (Slipmux; SPEC 15.6): it carries bytes, nothing more.

`uart` is a machine.UART, or whatever has its `read` and `write` and never blocks. There is one peer, whoever holds the
other end of the cable; text goes beside the messages with `log`.
"""

import asyncio

from citymote_protocol.coap_udp import Udp
from citymote_protocol.slipmux import COAP, TEXT, Slipmux, frame

from .serving import Serving

_PEER = 0
_LOOK = 5  # ms between looks at the receive buffer: at 115200 baud 58 of its 256 bytes


class SerialLink(Serving):
    def __init__(self, hal, server, uart):
        Serving.__init__(self, hal, Udp(hal.random, 2), server)
        self._uart = uart
        self._reader = Slipmux()

    def log(self, text):
        """A line of text for people."""
        self._uart.write(frame(TEXT, text.encode()))

    async def run(self):
        """Listen until cancelled."""
        listening = asyncio.create_task(self._listen())
        try:
            await self.serve()
        finally:
            listening.cancel()

    async def _listen(self):
        while True:
            data = self._uart.read()
            if data:
                for kind, content in self._reader.feed(data):
                    if kind == COAP:
                        self.hear(_PEER, content)
            else:
                await asyncio.sleep_ms(_LOOK)

    async def _say(self, peer, data):
        data = memoryview(frame(COAP, data))
        while data:
            sent = self._uart.write(data) or 0
            data = data[sent:]
            if data:
                await asyncio.sleep_ms(_LOOK)
