"""What a key set and an envelope are worth to this node, before anything that they say is believed (SPEC 14.6, 14.7).

Loaded to judge one, and let go. An envelope is judged where it lies on flash: its head is a few hundred bytes, its
index of several KB never comes to the heap in one piece. A key that the root takes back judges once more, and
backwards: what it has signed goes no further, as long as it has not been started.
"""

from binascii import unhexlify
from hashlib import sha256

from node.files import load, save

from citymote_protocol import keyset, suit
from citymote_protocol.file_index import entries

from .state import APPLICATION, IMAGE, NO_PLACE, NO_ROOT, REFUSED, Refused, in_steps

_KEYS = "/config/updatekeys"


class Hashing:
    """All of a crypto provider that a signature's verification asks for."""

    def __init__(self):
        self.sha256 = sha256


def _key_id(key):
    return sha256(key).digest()[:6]


def key_set():
    """The key set that this node trusts, or None."""
    data = load(_KEYS)
    return keyset.read(data) if data else None


def trusted(signer):
    """Whether the key of that id may sign as things are now."""
    have = key_set()
    return have is not None and signer in [_key_id(key) for key, _ in have.keys]


async def take_keys(node, statement, again=False):
    """Trust a newer key set of the root; Refused where it is none. `again`: the one that is trusted may come again."""
    owner = node.settings["update_root"]
    if not owner:
        raise Refused(NO_ROOT, "no update_root is set: nobody may sign updates for this node")
    have = key_set()
    least = have.epoch if have else 0
    try:
        found = await in_steps(keyset.open_steps(Hashing(), statement, unhexlify(owner), least - again if least else 0))
    except ValueError as e:
        raise Refused(REFUSED, str(e), getattr(e, "code", "signature"))
    data = keyset.write(found.epoch, found.keys)
    if found.epoch > least:
        save(_KEYS, data)
        if node.updating is not None:
            await node.updating.doubt()
    elif data != keyset.write(have.epoch, have.keys):
        raise Refused(REFUSED, "another key set of epoch %d" % least, keyset.EPOCH)
    return found.epoch


async def verified(node, about, floor, source):
    """The Manifest of an envelope, an open file; Refused where it is none for this node.

    `about`: what the application that runs says of itself; `floor`: the highest sequence that was confirmed.
    """
    s = node.settings
    if not s["update_root"]:
        raise Refused(NO_ROOT, "no update_root is set: nobody may sign updates for this node")
    have = key_set()
    if have is None:
        raise Refused(NO_ROOT, "no key set has come from the root yet")
    try:
        hss = unhexlify(s["update_hss"])
        manifest = await in_steps(suit.open_steps(Hashing(), source, have.keys, _key_id, hss))
        vendor = unhexlify(about["vendor"])
        manifest.kind = APPLICATION
        if manifest.class_id != unhexlify(about["class"]):
            _image(node, manifest, vendor)
        suit.judge(manifest, vendor, manifest.class_id, floor)
        for _ in entries(manifest.index().read, manifest.size):
            pass
    except ValueError as e:
        raise Refused(REFUSED, str(e), getattr(e, "code", "index"))
    return manifest


def _image(node, manifest, vendor):
    # What is not for this application may be a runtime for this chip; else it is refused.
    from .image import names_a_runtime

    images = node.hal.images()
    if not names_a_runtime(manifest, vendor, images.build()):
        raise Refused(REFUSED, "for another kind of chip", suit.CLASS)
    if images.place() is None:
        raise Refused(NO_PLACE, "this board has one place for a runtime: update it over USB", suit.CLASS)
    manifest.kind = IMAGE
