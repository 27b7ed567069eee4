"""A wipe that was begun is done to its end, at the start after it, before anything else (SPEC 16.10.3).

The owner record says what goes; it is the last to change, so that a cut anywhere leaves the same wipe to be done again.
What stays in any case: identity and boot counter; the store's epoch and the clock's last time, so that no sequence and
no time come twice; the factory's lock and calibrations, which are the hardware's.
"""

import os

from node.files import remove

from . import record

_SETTINGS = ("settings", "pending", "trial", "offer", "recovery", "ownertime")
_UPDATE = ("updatekeys", "update", "image", "envelope", "asked")


def _empty(path):
    for entry in os.ilistdir(path):
        name = path + "/" + entry[0]
        if entry[1] & 0x4000:
            _empty(name)
            os.rmdir(name)
        else:
            os.remove(name)


def wipe(owner):
    """Do it; OSError where the flash does not take it: the next start tries again."""
    if owner.wipe in (record.READINGS, record.FACTORY):
        _empty("/store")
    if owner.wipe >= record.SETTINGS:
        for name in _SETTINGS + _UPDATE:
            remove("/config/" + name + ".new")
            remove("/config/" + name)
    if owner.wipe == record.FACTORY:
        record.drop(record.OWNER)
    else:
        owner.wipe = record.NO_WIPE
        owner.save()
    owner.wipe = record.NO_WIPE
