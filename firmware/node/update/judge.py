"""What an envelope is worth to this node, before anything that it says is believed (SPEC 14.6).

Loaded to judge one, and let go before it is acted upon. An envelope is judged where it lies on flash: its head is a few
hundred bytes, its index of several KB never comes to the heap in one piece.
"""

import json
from binascii import unhexlify

from citymote_protocol import suit

from .state import (
    APPLICATION,
    DOWNLOADING,
    IMAGE,
    NO_PLACE,
    NO_ROOT,
    REFUSED,
    VERIFIED,
    Refused,
    State,
    fail,
    in_steps,
    no_trial,
)


async def judged(node, record, path):
    """(kind, sequence, role, signer, digest of the index, where it begins, its size) of the envelope that lies there.

    Refused where it is none for this node. Nothing that is returned keeps anything that was loaded to judge it.
    """
    state = node.updating.state if node.updating is not None else State()
    no_trial(record, state)
    try:
        with open(path, "rb") as source:
            return await _verified(node, record.floor, source)
    except Refused as e:
        if state.state not in (DOWNLOADING, VERIFIED):  # what nobody signed ends nothing that runs
            fail(node, state, e.code, str(e))
        raise


async def _verified(node, floor, source):
    from citymote_protocol.file_index import entries

    from .trust import Hashing, key_id, key_set

    s = node.settings
    if not s["update_root"]:
        raise Refused(NO_ROOT, "no update_root is set: nobody may sign updates for this node")
    have = key_set()
    if have is None:
        raise Refused(NO_ROOT, "no key set has come from the root yet")
    with open("/app/release.json") as f:  # what the application that runs says of itself
        about = json.load(f)
    try:
        hss = unhexlify(s["update_hss"])
        manifest = await in_steps(suit.open_steps(Hashing(), source, have.keys, key_id, hss))
        vendor = unhexlify(about["vendor"])
        kind = APPLICATION
        if manifest.class_id != unhexlify(about["class"]):
            kind = _image(node, manifest, vendor)
        suit.judge(manifest, vendor, manifest.class_id, floor)
        for _ in entries(manifest.index().read, manifest.size):
            pass
    except ValueError as e:
        raise Refused(REFUSED, str(e), getattr(e, "code", "index"))
    return kind, manifest.sequence, manifest.role, manifest.signer, manifest.digest, manifest.at, manifest.size


def _image(node, manifest, vendor):
    # What is not for this application may be a runtime for this chip; else it is refused.
    from .image import names_a_runtime

    images = node.hal.images()
    if not names_a_runtime(manifest, vendor, images.build()):
        raise Refused(REFUSED, "for another kind of chip", suit.CLASS)
    if images.place() is None:
        raise Refused(NO_PLACE, "this board has one place for a runtime: update it over USB", suit.CLASS)
    return IMAGE
