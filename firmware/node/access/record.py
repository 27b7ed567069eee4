"""Whose node this is, and how far its configuration has proved itself: the records in /config behind SPEC 16.7.

Each record is one file and each change one atomic write; what takes several steps (a wipe, a configuration that comes
into force) is written down first and done again after a cut. An owner record that cannot be read is that of an owner
whom nobody can be: a damaged file must not make a node anybody's.
"""

import json
import struct

from node.files import exists, load, remove, save

OWNER = "/config/owner"
TRIAL = "/config/trial"
PENDING = "/config/pending"
OFFER = "/config/offer"
RECOVERY = "/config/recovery"
OWNER_TIME = "/config/ownertime"

# What a wipe that was begun takes along
NO_WIPE, READINGS, SETTINGS, FACTORY = range(4)

# Of a trial
NONE, RUNNING, SUCCEEDED, FAILED, APPLYING = range(5)
UNKNOWN = 255  # its detail, until there is one
OTHER = 15
STARTS = 3

# What a start is for (SPEC, table 16.7)
UNOWNED, TRYING, CORRECTING, RETURNING, UNPROVEN, WORKING = range(6)

_OWNER = "<BI33s"
_TRIAL = "<IHBBBIBBB"
MAX_PENDING = 6144


class Owner:
    """`key`: the owner's signing key, b"" where there is none; `epoch`: of the delegations that hold; `wipe`."""

    def __init__(self):
        self.key = b""
        self.epoch = 0
        self.wipe = NO_WIPE
        self.time = None  # of the owner, see `admit.owner_time`
        self.time_at = self.time_kept = 0
        data = load(OWNER, 128)
        if data is None:
            if exists(OWNER):
                self.key = bytes(33)
        elif len(data) == struct.calcsize(_OWNER):
            self.wipe, self.epoch, key = struct.unpack(_OWNER, data)
            if any(key):
                self.key = key
        else:
            self.key = bytes(33)

    def save(self):
        """Durable on return."""
        save(OWNER, struct.pack(_OWNER, self.wipe, self.epoch, self.key))


class Trial:
    """The last trial: `number`, `seconds` that it may take, `starts` that were begun in it, `state`, `detail` (byte 7
    of SPEC 15.4), `took` seconds; `near`: asked for over BLE; `told`: its failure has had its window; `proven`: one
    has succeeded since the claim."""

    def __init__(self):
        data = load(TRIAL, 128)
        found = (0, 0, 0, NONE, UNKNOWN, 0, 0, 0, 0)
        if data is not None and len(data) == struct.calcsize(_TRIAL):
            found = struct.unpack(_TRIAL, data)
        self.number, self.seconds, self.starts, self.state, self.detail, self.took = found[:6]
        self.near, self.told, self.proven = found[6:]

    def save(self):
        """Durable on return."""
        numbers = (self.number, self.seconds, self.starts, self.state, self.detail, self.took)
        save(TRIAL, struct.pack(_TRIAL, *numbers, self.near, self.told, self.proven))

    def answer(self):
        """[number, detail, seconds], as SPEC 16.7 tells it."""
        return [self.number, 0 if self.state in (SUCCEEDED, APPLYING) else self.detail, self.took]


def pending():
    """The configuration that waits for its trial: {key: value}, None where nothing waits."""
    data = load(PENDING, MAX_PENDING + 64)
    if data is None:
        return None
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if type(found) is dict else None


def drop(path):
    """Forget a record, and what a cut may have left beside it."""
    remove(path + ".new")  # first: it would stand for the record
    remove(path)


def decide(owner, trial):
    """What this start is for: the first line of table 16.7 that fits. Counts the start of a trial."""
    if not owner.key:
        return UNOWNED
    if trial.state == RUNNING:
        if trial.starts < STARTS:
            trial.starts += 1
            trial.save()
            return TRYING
        trial.state, trial.detail, trial.took = FAILED, OTHER, trial.seconds
        trial.save()
    if trial.state == FAILED:
        if not trial.proven:
            return CORRECTING
        if trial.near and not trial.told:
            trial.told = 1
            trial.save()
            return RETURNING
    return WORKING if trial.proven else UNPROVEN
