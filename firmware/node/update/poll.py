"""Asks a file server now and then for an update: at random times, so that a city of nodes does not come at once.

`<update_url>/nodes/<node id>.suit` is the envelope, `<update_url>/keys` the key set, and the files
lie under `<update_url>/files/<digest>`: nothing that a static file server cannot do.
"""

import asyncio
from hashlib import sha256

from node.files import load, remove
from node.journal import WARNING, reason

_PATIENCE = 60000  # ms
_MOST_KEYS = 2048  # bytes of a key set's statement (SPEC 14.7.1)
_ASKED = "/config/asked"  # the envelope that is judged


def pause(interval, draw):
    """ms until the next question: between half and one and a half times the interval (s), by two random bytes."""
    return interval * 500 + interval * 1000 * (draw[0] << 8 | draw[1]) // 65536


async def _get(road, name, take, most):
    # An answer, piece by piece; whether there is one.
    size = await asyncio.wait_for_ms(road.get(name), _PATIENCE)
    if size is None:
        return False
    if size > most:
        raise OSError(7, "%s has %d bytes" % (name, size))
    while road.left:
        take(await asyncio.wait_for_ms(road.read(512), _PATIENCE))
    return True


async def _ask(node, url, refused):
    # (key set, eight bytes of the digest of what is offered, of that and the keys, whether it lies there to be judged)
    from .state import MOST, State, server

    road = server(node, url)
    name = "nodes/%s.suit" % node.name.hex()
    keys = bytearray()
    found = sha256()
    offer = b""
    try:
        await _get(road, "keys", keys.extend, _MOST_KEYS)
        if await _get(road, name, found.update, MOST):
            offer = found.digest()[:8]
        seen = sha256(keys + offer).digest()[:8]
        state = node.updating.state if node.updating else State()
        news = state.again() if offer == state.offer else bool(offer) and seen != refused
        if news:
            found = sha256()
            with open(_ASKED, "wb") as f:

                def keep(piece):
                    f.write(piece)
                    found.update(piece)

                await _get(road, name, keep, MOST)
            if found.digest()[:8] != offer:
                raise OSError(11, "the offer has changed meanwhile")
    finally:
        road.close()
    return keys, offer, seen, news


async def look(node, record, refused=b""):
    """Once: is there something new? Eight bytes of the digest of the answer, where nothing more is to be done about it.

    `refused`: what that was last time. A signature costs a small chip a second, and a file server goes on offering. The
    answer is hashed as it comes: an envelope is kept only if it is news, and on flash.
    """
    from .state import clear

    url = node.settings["update_url"].rstrip("/")
    try:
        if node.updating is None:
            found = await _ask(node, url, refused)
        else:
            async with node.updating.road:
                found = await _ask(node, url, refused)
        clear(node)
        keys, offer, seen, news = found
        if seen != refused and keys:
            await _trust(node, keys)
        if news:
            again = await _take(node, record, offer, url + "/files")
            return b"" if again else seen
        _also(node, offer, url + "/files")
        return seen
    finally:
        remove(_ASKED)


async def _trust(node, keys):
    from .state import KEYS, Refused, clear

    have = load(KEYS)
    if have and have in keys:  # the set that it has; a signature costs much
        return
    from .trust import take_keys

    try:
        await take_keys(node, keys)
    except Refused:
        pass  # an envelope by a key that it does not have is refused by itself
    take_keys = None
    clear(node)


async def _take(node, record, offer, files):
    # Whether the same answer is worth another look.
    from .state import Refused, take

    try:
        await take(node, record, _ASKED, offer, files, True)
    except Refused as e:
        node.log(WARNING, "updates: %s" % e)
        return e.word == "trial"
    return False


def _also(node, offer, files):
    # What somebody has begun to push goes on from the server.
    from .state import State

    if node.updating is not None:
        if offer == node.updating.state.offer:
            node.updating.also(files)
    else:
        state = State()
        if offer == state.offer:
            state.also(files)


async def poll(node, record):
    """For ever."""
    from .state import clear

    refused = b""
    while True:
        await asyncio.sleep_ms(pause(node.settings["update_interval"], node.hal.random(2)))
        if record.state or not node.hal.joined():  # nothing is begun in a trial
            continue
        try:
            refused = await look(node, record, refused)
        except (OSError, EOFError, asyncio.TimeoutError) as e:
            node.log(WARNING, "updates: %s" % (reason(e) if str(e) else "no answer in time"))
        except MemoryError:
            clear(node)  # before anything else is said
            node.log(WARNING, "updates: not enough memory now")
        clear(node)
