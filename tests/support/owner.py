"""An owner's or installer's side of a session in a few lines, for tests of the node: the SDK does it in earnest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

import citymote
from citymote.crypto import HostCrypto
from citymote.nearby import Sighting
from citymote.transports.base import Channel, Transport
from citymote.transports.ble import BleTransport
from citymote_protocol import cbor, ccs, claim, coap, delegation, keying, p256, sign1
from citymote_protocol.coap_client import Watch, request, request_steps
from citymote_protocol.edhoc_initiator import Initiator
from citymote_protocol.handshake_client import Busy, handshake_steps

CRYPTO: Any = HostCrypto()
ROLES = {"reader": 1, "installer": 2, "owner": 3}


class Key:
    """A P-256 key pair: `public` compressed."""

    def __init__(self) -> None:
        self.private, self.public = p256.run(CRYPTO.key_pair_steps())
        self.id = keying.node_id(CRYPTO.sha256, self.public).hex()

    def statement(self, payload: bytes, purpose: str) -> bytes:
        """A COSE_Sign1 of SPEC 13.9.1."""
        digest = CRYPTO.sha256(sign1.to_be_signed(payload, purpose.encode())).digest()
        key = ec.derive_private_key(int.from_bytes(self.private, "big"), ec.SECP256R1())
        r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
        return sign1.write(payload, r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def delegation(self, peer: Key, scope: str, audience: str | list[str], **claims: Any) -> bytes:
        """What lets `peer` in with that scope."""
        made: dict[int, Any] = {
            1: self.id,
            3: audience,
            4: claims.get("exp", delegation.UNIX_2000 + 2_000_000_000),
            5: claims.get("nbf"),
            7: b"test",
            8: cbor.Pairs([(1, cbor.Pairs([(1, 2), (-1, 1), (-2, peer.public[1:])]))]),
            9: scope,
            39: claims.get("nonce"),
            -65537: claims.get("epoch", 0),
        }
        payload = cbor.dumps(cbor.Pairs([(label, value) for label, value in made.items() if value is not None]))
        return self.statement(payload, "citymote delegation 1")


class Refused(AssertionError):
    """The node has refused: CoAP code such as "4.03", and its word."""

    def __init__(self, code: int, payload: bytes) -> None:
        self.code = f"{code >> 5}.{code & 31:02d}"
        self.word = payload.decode().partition(":")[0]
        super().__init__(f"{self.code} {payload.decode(errors='replace')}")


class Session:
    """An OSCORE session with a node over a channel."""

    def __init__(self, channel: Channel, keys: Any, key: Key) -> None:
        self.channel = channel
        self.keys = keys
        self.key = key
        self.context = keys.oscore(True)

    @classmethod
    async def begin(cls, channel: Channel, public: bytes, key: Key | None = None) -> Session:
        """EDHOC with the node of that public key."""
        key = key or Key()
        kid = keying.node_id(CRYPTO.sha256, public)
        expected = ccs.write(kid, public)
        while True:
            initiator: Any = Initiator(
                CRYPTO, key.private, ccs.write(b"host", key.public), None, p256.run(CRYPTO.key_pair_steps()), b"\x00"
            )
            try:
                keys = await channel.run(handshake_steps(initiator, lambda it, _: expected if it == kid else None))
            except Busy as busy:
                await asyncio.sleep(busy.seconds)
                continue
            return cls(channel, keys, key)

    async def raw(self, code: int, path: str, body: bytes = b"", query: str = "") -> Any:
        """The whole answer, whatever its code."""
        message = request(code, path, body)
        for part in filter(None, query.split("&")):
            coap.put_option(message.options, coap.URI_QUERY, part.encode())
        return await self.channel.run(request_steps(CRYPTO, self.context, message, self.channel.room), timeout=60)

    async def ask(self, code: int, path: str, value: Any = b"", query: str = "") -> Any:
        """The answer's body, decoded; Refused where the code is no success."""
        body = value if isinstance(value, bytes) else cbor.dumps(plain(value))
        answer = await self.raw(code, path, body, query)
        if answer.code >> 5 != 2:
            raise Refused(answer.code, bytes(answer.payload))
        if answer.option(coap.CONTENT_FORMAT) == b"\x3c":
            return tables(cbor.loads(answer.payload, 6))
        return bytes(answer.payload)

    async def claim(self, secret: bytes, owner: Key) -> Any:
        """SPEC 13.8."""
        tag = claim.claim_tag(CRYPTO, claim.claim_key(CRYPTO, secret), claim.exported(self.keys), owner.public)
        return await self.ask(coap.POST, "claim", claim.write(owner.public, tag))

    async def access(self, owner: Key, node: str, scope: str = "owner", **claims: Any) -> Any:
        """Show a delegation of the owner for this session's key."""
        return await self.ask(coap.POST, "access", owner.delegation(self.key, scope, claims.pop("aud", node), **claims))

    async def info(self) -> dict[int, Any]:
        return await self.ask(coap.GET, "info")

    async def trial(self, number: int, seconds: int = 60) -> Any:
        return await self.ask(coap.POST, "config/trial", [number, seconds])

    async def config(self, values: dict[str, Any], query: str = "") -> None:
        await self.ask(coap.IPATCH, "config", values, query)

    def watch(self, path: str) -> Any:
        """A `coap_client.Watch`."""
        return Watch(CRYPTO, self.context, request(coap.GET, path), self.channel.room)


def plain(value: Any) -> Any:
    """Dicts as what the CBOR of the protocol writes as maps."""
    if isinstance(value, dict):
        return cbor.Pairs([(key, plain(each)) for key, each in value.items()])
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


def tables(value: Any) -> Any:
    """And back."""
    if isinstance(value, list):
        if value and isinstance(value[0], tuple):
            return {key: tables(each) for key, each in value}
        return [tables(each) for each in value]
    return value


async def sighted(adapter: Any, node: str, seconds: float = 60, state: int | None = None) -> Sighting:
    """That node in the air, in that state."""
    async for sighting in citymote.scan(seconds, radio=adapter):
        if sighting.node == node and (state is None or sighting.state == state):
            return sighting
    raise AssertionError(f"{node} was not heard in state {state} within {seconds:g} s")


@contextlib.asynccontextmanager
async def near(adapter: Any, public: bytes, key: Key | None = None, state: int | None = None) -> AsyncIterator[Session]:
    """A session over BLE."""
    sighting = await sighted(adapter, keying.node_id(CRYPTO.sha256, public).hex(), state=state)
    async with over(BleTransport(sighting, radio=adapter), public, key) as session:
        yield session


@contextlib.asynccontextmanager
async def over(transport: Transport, public: bytes, key: Key | None = None) -> AsyncIterator[Session]:
    """A session over any transport."""
    async with Channel(transport) as channel:
        yield await Session.begin(channel, public, key)
