"""aiocoap as a client of a citymote node: runs in a process of its own, with aiocoap's folder on PYTHONPATH.

Gets one JSON object on stdin (port, the node's credential, its own key and how it sends its credential) and prints what
it saw as one JSON object.
"""

import asyncio
import json
import logging
import sys

import cbor2
from aiocoap import GET, POST, PUT, Context, Message, error
from aiocoap.edhoc import CoseKeyForEdhoc, EdhocCredentials


async def run(given):
    uri = f"coap://127.0.0.1:{given['port']}/"
    saw = {}
    context = await Context.create_client_context()
    key = CoseKeyForEdhoc.from_map({1: 2, -1: 1, -4: bytes.fromhex(given["private"])})
    credentials = EdhocCredentials(
        suite=2,
        method=3,
        own_cred_style=given["style"],
        own_cred={14: cbor2.loads(bytes.fromhex(given["own"]))},
        peer_cred={14: cbor2.loads(bytes.fromhex(given["node"]))},
        private_key=key.secret_to_map(),
        use_combined_edhoc=False,
    )
    plain = Message(code=GET, uri=uri + "plain")
    answer = await context.request(plain).response
    saw["plain"] = answer.payload.decode()
    answer = await context.request(Message(code=GET, uri=uri + "hello")).response
    saw["unprotected"] = str(answer.code)
    remote = answer.remote

    # What establish_context sends first may be answered by 4.01 and an Echo, which it does not repeat by itself.
    wire = Wire(context)
    established = await credentials.establish_context(
        wire=wire,
        underlying_address=remote,
        underlying_proxy_scheme=None,
        underlying_uri_host=None,
        logger=logging.getLogger("peer"),
    )
    saw["messages"] = wire.sizes
    context.client_credentials[uri + "*"] = established

    async def ask(code, path, payload=b"", **options):
        message = Message(code=code, uri=uri + path, payload=payload)
        for name, value in options.items():
            setattr(message.opt, name, value)
        return await context.request(message).response

    saw["hello"] = (await ask(GET, "hello")).payload.decode()
    saw["missing"] = str((await ask(GET, "missing")).code)
    body = bytes(i * 11 & 255 for i in range(given["body"]))
    saw["put"] = str((await ask(PUT, "store", body)).code)
    saw["got"] = (await ask(GET, "store")).payload == body
    saw["slow"] = (await ask(GET, "slow")).payload.decode()
    saw["reset"] = str((await ask(POST, "reset")).code)
    watching = context.request(Message(code=GET, uri=uri + "live", observe=0))
    seen = [(await watching.response).payload.decode()]
    notifications = watching.observation.__aiter__()
    for _ in range(3):
        await ask(POST, "live")
        seen.append((await notifications.__anext__()).payload.decode())
    saw["observed"] = seen
    watching.observation.cancel()
    await context.shutdown()
    return saw


class Wire:
    """The context, for establish_context: repeats a first message with the Echo that was asked for."""

    def __init__(self, context):
        self.context = context
        self.sizes = []

    def request(self, message):
        wire = self

        class Answer:
            @property
            async def response_raising(self):
                wire.sizes.append(len(message.payload))
                again = message.copy()
                again.remote = message.remote
                answer = await wire.context.request(message).response
                if answer.opt.echo is not None:
                    again.opt.echo = answer.opt.echo
                    answer = await wire.context.request(again).response
                if not answer.code.is_successful():
                    raise error.ResponseWrappingError(answer)
                wire.sizes.append(len(answer.payload))
                return answer

        return Answer()


print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))
