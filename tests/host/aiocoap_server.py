"""aiocoap as a server for our client: runs in a process of its own, with aiocoap's folder on PYTHONPATH.

Gets one JSON object on stdin (its private key and credential, whom it knows, how it sends its credential), prints its
port, and serves until its input ends.
"""

import asyncio
import json
import socket
import sys

import cbor2
from aiocoap import CHANGED, CONTENT, Context, Message, resource
from aiocoap.credentials import CredentialsMap
from aiocoap.oscore_sitewrapper import OscoreSiteWrapper


class Hello(resource.Resource):
    async def render_get(self, request):
        return Message(code=CONTENT, payload=b"hello")


class Store(resource.Resource):
    stored = b""

    async def render_get(self, request):
        return Message(code=CONTENT, payload=self.stored)

    async def render_put(self, request):
        self.stored = request.payload
        return Message(code=CHANGED)

    async def render_post(self, request):
        return Message(code=CHANGED, payload=bytes(reversed(request.payload)))


class Live(resource.ObservableResource):
    ticks = 0

    async def render_get(self, request):
        return Message(code=CONTENT, payload=b"%d" % self.ticks)

    async def render_post(self, request):
        self.ticks += 1
        self.updated_state()
        return Message(code=CHANGED)


def free_port():
    """One that is free for UDP and for TCP: aiocoap serves both."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            try:
                tcp.bind(udp.getsockname())
            except OSError:
                continue
            return udp.getsockname()[1]


async def run(given):
    port = free_port()
    site = resource.Site()
    site.add_resource(["hello"], Hello())
    site.add_resource(["store"], Store())
    site.add_resource(["live"], Live())
    credentials = CredentialsMap()
    origin = f"coap://127.0.0.1:{port}"
    credentials.load_from_dict(
        {
            origin + "/*": {
                "edhoc-oscore": {
                    "suite": 2,
                    "method": 3,
                    "own_cred_style": given["style"],
                    "own_cred": {14: cbor2.loads(bytes.fromhex(given["own"]))},
                    "private_key": {1: 2, -1: 1, -4: bytes.fromhex(given["private"])},
                }
            },
            ":host": {
                "edhoc-oscore": {
                    "suite": 2,
                    "method": 3,
                    "peer_cred": {14: cbor2.loads(bytes.fromhex(given["peer"]))},
                }
            },
        }
    )
    context = await Context.create_server_context(
        OscoreSiteWrapper(site, credentials), server_credentials=credentials, bind=("127.0.0.1", port)
    )
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await context.shutdown()


asyncio.run(run(json.loads(sys.stdin.readline())))
