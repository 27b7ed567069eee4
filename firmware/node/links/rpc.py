"""CoAP through an MQTT broker (SPEC 16.12): it carries bytes, nothing more.

A peer is a client's name, the last level of the topic that it publishes to. The message layer is UDP's, because a
broker delivers at least once: what comes twice is answered twice and executed once. `publish(peer, data)` sends an
answer over the connection of the moment, if there is one.
"""

from citymote_protocol.coap_udp import Udp

from .serving import Serving

_PEERS = 8
_NAME = 23  # characters of a client's name
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"


def client_of(topic, prefix):
    """The client's name in a topic, None where it is none of ours."""
    if not topic.startswith(prefix):
        return None
    name = topic[len(prefix) :]
    if not 0 < len(name) <= _NAME:
        return None
    for letter in name:
        if letter not in _LETTERS:
            return None
    return name


class RpcLink(Serving):
    def __init__(self, hal, server, publish):
        Serving.__init__(self, hal, Udp(hal.random, _PEERS), server)
        self._publish = publish

    async def run(self):
        """Serve until cancelled."""
        await self.serve()

    async def _say(self, peer, data):
        await self._publish(peer, data)
