"""Carries a release to a node over a session, whatever road that takes: BLE on a ladder, serial, UDP, a broker.

The node says which file it wants next and from which byte on (SPEC 16.5); what it has from another road is not sent
again, and a road that breaks is gone on from another. What the envelope is worth the node settles itself, so whoever
carries it need not be trusted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from citymote.answers import Refused
from citymote.errors import CitymoteError

from .bundle import Bundle
from .member import TOLD, State, reason

CHUNK = 2048
"""Bytes of one request: some seconds over BLE, and what is lost when the road breaks."""
IDLE = 1.0
"""Seconds between two looks at a node that has something to do for itself."""
PATIENCE = 120.0
"""Seconds in which a node has to want something, or say how it ends."""


class CarryError(CitymoteError):
    """A node that does not take a release."""

    whose = "peer"


class Receiver(Protocol):
    """A node as this asks for it; `citymote.Node` is one."""

    @property
    def id(self) -> str: ...
    async def update_state(self) -> list[Any]: ...
    async def offer_update(self, envelope: bytes) -> None: ...
    async def put_update_keys(self, statement: bytes) -> None: ...
    async def put_update_file(self, digest: bytes, offset: int, data: bytes) -> int: ...


@dataclass(frozen=True)
class Progress:
    """How far one node is: `sent` bytes over this road so far."""

    node: str
    state: State
    percent: int
    sent: int


Told = Callable[[Progress], None]


async def carry(
    node: Receiver,
    bundle: Bundle,
    envelope: bytes,
    *,
    keys: bytes | None = None,
    told: Told | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> int:
    """Offer it, send what the node wants until it wants nothing more and is verified or starts it; bytes sent.

    CarryError where the node fails or wants what the release does not have. Errors of the road are the session's own:
    call this again, over any road, and it goes on where the node is.
    """
    if keys is not None:
        await node.put_update_keys(keys)
    await node.offer_update(envelope)
    sent, waited = 0, 0.0
    while True:
        state, why, percent, wanted, offset, total = _checked(node, await node.update_state())
        if told and state is not None:
            told(Progress(node.id, state, percent, sent))
        if state in (State.FAILED, State.ROLLED_BACK):
            raise CarryError(f"node {node.id} does not take the release", reason(why))
        if state in (State.VERIFIED, State.TRIAL, State.CONFIRMED):
            return sent
        if wanted is None:
            if waited >= PATIENCE:
                raise CarryError(f"node {node.id} wants nothing and does not say why", "", "Look into its log.")
            await sleep(IDLE)
            waited += IDLE
            continue
        waited = 0.0
        sent += await _file(node, bundle, wanted, offset, total)


def _checked(node: Receiver, told: list[Any]) -> tuple[State | None, int, int, bytes | None, int, int]:
    """(state, reason, per cent, wanted digest, offset, total) of an answer."""
    whole = len(told) == 7 and all(isinstance(told[k], int) for k in (0, 1, 2, 3, 5, 6))
    if not whole or not isinstance(told[4], bytes | None) or not 0 <= told[0] < len(TOLD):
        raise CarryError(f"node {node.id}: the state of its update cannot be read", "", "Is its firmware newer?")
    state: State | None = TOLD[int(told[0])]
    return state, told[1], told[3], told[4], told[5], told[6]


async def _file(node: Receiver, bundle: Bundle, digest: bytes, offset: int, total: int) -> int:
    blob = bundle.blobs.get(digest.hex())
    if blob is None or len(blob) != total or not 0 <= offset < total:
        why = f"file {digest.hex()[:12]} of {total} bytes from byte {offset}"
        raise CarryError(f"node {node.id} wants what this release does not have", why, "Was it offered another one?")
    sent = 0
    while offset < total:
        piece = blob[offset : offset + CHUNK]
        try:
            due = await node.put_update_file(digest, offset, piece)
        except Refused as error:
            if error.code == "file":  # no longer the one that is due: ask what is
                return sent
            raise
        if not 0 <= due <= total:
            raise CarryError(f"node {node.id} asks for byte {due} of {total}")
        if due != offset + len(piece):
            return sent  # it has had it from elsewhere, or has begun anew: ask what it wants
        sent += len(piece)
        offset = due
    return sent
