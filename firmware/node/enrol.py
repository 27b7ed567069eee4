"""The first step of a start: who this node is, and for whom it seals. Forgotten before the rest of the node is loaded.

Curve arithmetic and the key file are needed once and take room that the running node does not have.
"""

import asyncio
from binascii import unhexlify

from .crypto import NodeCrypto
from .identity import open_steps
from .journal import ERROR, INFO, WARNING, reason


class Unsealable:
    """Stands for a sealer that could not be made: nothing is sent bare in its place."""

    def __init__(self, why):
        self._why = why

    def __call__(self, frame):
        raise OSError(1, "frames cannot be sealed: " + self._why)


async def climb(steps):
    """Curve arithmetic in small steps, so that the rest of the node goes on."""
    while True:
        try:
            next(steps)
        except StopIteration as e:
            return e.value
        await asyncio.sleep_ms(0)


async def enrol(hal, log, directory, collector, unsealed):
    """(node id, boots, seal): `seal` turns a frame into what is published; None, for bare frames, only by leave.

    With neither a collector's key nor leave to go without (SPEC 5.10), rows wait in the store until there is one.
    """
    try:
        await hal.join(None)  # the radio feeds the random generator
    except OSError as e:
        log(WARNING, "radio: " + reason(e))
    crypto = NodeCrypto(hal.random)
    identity = await climb(open_steps(directory, crypto))
    if not identity.persisted:
        log(ERROR, "the boot counter cannot be written: /config is worn or full")
    name = identity.node_id.hex()
    log(INFO, "node %s, boot %d, %s" % (name, identity.boots, hal.reset_cause()))
    hal.event("identity", {"node": name, "public_key": identity.public.hex()})
    seal = None
    if collector:
        try:
            seal = await _sealer(crypto, identity, unhexlify(collector))
        except (ValueError, OSError, RuntimeError) as e:
            log(ERROR, "frames cannot be sealed: " + reason(e))
            seal = Unsealable(reason(e))
    elif not unsealed:
        log(WARNING, "frames wait here: no collector_key is set, and unsealed is not allowed")
        seal = Unsealable("no collector_key")
    return identity.node_id, identity.boots, seal


async def _sealer(crypto, identity, collector):
    from citymote_protocol.seal import Sealer

    random8 = crypto.random(8)
    made = Sealer(crypto, identity.node_id, identity.private_key(), collector, identity.boots, random8)
    await climb(made.prepare())
    return made
