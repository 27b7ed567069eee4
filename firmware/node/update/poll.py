"""Asks a file server now and then for an update: at random times, so that a city of nodes does not come at once.

`<update_url>/nodes/<node id>.suit` is the envelope, `<update_url>/keys` the key set, and the files
lie under `<update_url>/files/<digest>`: nothing that a static file server cannot do.
"""

import asyncio
import gc
import sys
from hashlib import sha256

from node.journal import WARNING, reason

_PATIENCE = 60000  # ms
_MOST = 8192

# What a question or a signature loads. Whoever is still at work with one of them has it in hand.
_GONE = (
    "node.update.manager",
    "node.update.installer",
    "node.links.http",
    "citymote_protocol.file_index",
    "citymote_protocol.suit",
    "citymote_protocol.keyset",
    "citymote_protocol.sign1",
    "citymote_protocol.lms",
    "citymote_protocol.p256",
)


def pause(interval, draw):
    """ms until the next question: between half and one and a half times the interval (s), by two random bytes."""
    return interval * 500 + interval * 1000 * (draw[0] << 8 | draw[1]) // 65536


async def _get(road, name):
    size = await asyncio.wait_for_ms(road.get(name), _PATIENCE)
    if size is None:
        return None
    if size > _MOST:
        raise OSError(7, "%s has %d bytes" % (name, size))
    data = bytearray(size)  # taken once: an answer that grows takes twice its size
    at = 0
    while road.left:
        got = await asyncio.wait_for_ms(road.read(512), _PATIENCE)
        data[at : at + len(got)] = got
        at += len(got)
    return data


def clear():
    """Let go of what was loaded for it; also after a failure, which may have been for want of memory."""
    for name in _GONE:
        sys.modules.pop(name, None)
    gc.collect()


async def look(node, record, refused=b""):
    """Once: is there something new? b"", or eight bytes of the digest of an answer that is not for this node.

    `refused`: what it was last time. A signature costs a small chip a second, and a file server goes on offering.
    """
    from node.links.http import Http
    from node.telemetry import der

    s = node.settings
    tls = {"ca": der(s["broker_ca"])} if s["broker_ca"] else None
    url = s["update_url"].rstrip("/")
    road = Http(node.hal.connect, url, tls)
    try:
        keys = await _get(road, "keys")
        envelope = await _get(road, "nodes/%s.suit" % node.name.hex())
    finally:
        road.close()
    if envelope is None:
        return b""
    if node.updating is not None:
        if node.updating.offered(envelope):
            node.updating.also(url + "/files")
        return refused
    offered = sha256(keys or b"")
    offered.update(envelope)  # the two together would be one more copy
    offered = offered.digest()[:8]
    if offered == refused:
        return refused
    road = Http = None
    clear()
    from .manager import Manager, Refused, take_keys

    if keys is not None:
        try:
            await take_keys(s, keys)
        except Refused:
            pass  # mostly the set that it has; an envelope by a key that it does not have is refused by itself
    try:
        await Manager(node, record).begin(envelope, url + "/files")
    except Refused as e:
        node.log(WARNING, "updates: %s" % e)
        return b"" if e.word == "trial" else offered
    return b""


async def poll(node, record):
    """For ever."""
    refused = b""
    while True:
        await asyncio.sleep_ms(pause(node.settings["update_interval"], node.hal.random(2)))
        if record.state or not node.hal.joined():  # nothing is begun in a trial
            continue
        if node.updating is not None and node.updating.state.url:
            continue
        try:
            refused = await look(node, record, refused)
        except (OSError, EOFError, asyncio.TimeoutError) as e:
            node.log(WARNING, "updates: %s" % (reason(e) if str(e) else "no answer in time"))
        except MemoryError:
            clear()  # before anything else is said
            node.log(WARNING, "updates: not enough memory now")
        clear()
