"""CoAP over UDP (RFC 7252, section 3; SPEC 15.5): it carries bytes, nothing more.

For a node in its owner's network, and for tests against other people's clients. Addresses of datagrams can be forged,
so the server asks for Echo before it does much for one (`needs_echo`).
"""

import asyncio
import socket

from node.hal.stream import Readable

from citymote_protocol.coap_udp import Udp

from .serving import Serving

PORT = 5683
_LONGEST = 1152
_PEERS = 8


class UdpLink(Serving):
    """`hal.random` numbers the messages: where it wants a radio, there has to be one."""

    def __init__(self, hal, server, port=PORT, host="0.0.0.0"):
        layer = Udp(hal.random, _PEERS)
        layer.needs_echo = True
        Serving.__init__(self, hal, layer, server)
        self._host = host
        self._port = port

    async def run(self):
        """Listen until cancelled."""
        at = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_DGRAM)[0]
        self._s = s = socket.socket(at[0], socket.SOCK_DGRAM)
        listening = None
        try:
            s.setblocking(False)
            s.bind(at[-1])
            listening = asyncio.create_task(self._listen(s))
            await self.serve()
        finally:
            if listening:
                listening.cancel()
            s.close()

    async def _listen(self, s):
        while True:
            await Readable(s)
            try:
                data, peer = s.recvfrom(_LONGEST + 1)
            except OSError:
                continue  # what a peer's closed port says of a datagram of ours
            if len(data) <= _LONGEST:
                self.hear(peer, data)

    async def _say(self, peer, data):
        try:
            self._s.sendto(data, peer)
        except OSError:
            pass  # a full buffer or no way there: as lost as on the way
