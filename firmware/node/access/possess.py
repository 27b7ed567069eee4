"""Reset, and how a node comes to another owner: transfer and recovery (SPEC 16.9, 16.10)."""

import struct

from node.files import load, save
from node.journal import INFO, WARNING

from citymote_protocol.cbor_read import Heads
from citymote_protocol.coap import CHANGED, DELETED, FORBIDDEN, SERVER_ERROR
from citymote_protocol.errors import RANGE, FrameError

from . import record
from .bodies import changed, numbers, refuse
from .offers import OWNER

_TRANSFER = b"citymote transfer 1"
_CONFIRM = b"citymote confirm 1"
RESTART, READINGS, FACTORY, OPEN_PROMPT, SHUT_PROMPT, LEAVE, ENTER = range(7)
_INSTALLERS = (RESTART, LEAVE, ENTER)
_DAY = 1440


def reset(desk, request):
    """POST reset."""
    kind = _kind(request.payload)
    minutes = 0
    if kind == ENTER:
        _, minutes = numbers(request.payload, (ENTER, ENTER), (1, _DAY))
    else:
        numbers(request.payload, (RESTART, LEAVE))
    if kind not in _INSTALLERS and desk.role(request.session) < OWNER:
        refuse(FORBIDDEN, "")
    desk.log(INFO, "reset %d was asked for" % kind)
    if kind == RESTART:
        desk.restart()
    elif kind == READINGS:
        _wipe(desk, record.READINGS)
    elif kind == FACTORY:
        _wipe(desk, record.FACTORY)
        desk.end_others(request.session)
    elif kind in (OPEN_PROMPT, SHUT_PROMPT):
        from node.console import reopen, shut

        try:
            (reopen if kind == OPEN_PROMPT else shut)()
        except OSError:
            refuse(SERVER_ERROR, "storage")
    elif desk.door.service is not None:
        desk.door.service.ask(minutes)
    return CHANGED


def _kind(data):
    reader = Heads(data)
    reader.array(2)
    return reader.uint()


def _wipe(desk, what):
    owner = desk.owner
    before = owner.wipe, owner.key, owner.epoch
    owner.wipe = max(owner.wipe, what)
    if what == record.FACTORY:
        owner.key, owner.epoch = b"", 0
    try:
        owner.save()
    except OSError:
        owner.wipe, owner.key, owner.epoch = before
        refuse(SERVER_ERROR, "storage")
    desk.restart()


# Transfer


def offer(desk, request):
    """PUT owner: the old owner's statement, kept until it is taken."""
    found = yield from _offered(desk, request.payload)
    if found is None:
        raise FrameError("epoch", "of another epoch")
    try:
        save(record.OFFER, bytes(request.payload))
    except OSError:
        refuse(SERVER_ERROR, "storage")
    desk.log(INFO, "the owner offers this node to another one")
    return CHANGED


def _offered(desk, statement):
    # The new owner's key of a statement of this owner for this node in this epoch; None where the epoch is over.
    from citymote_protocol import sign1

    payload = yield from sign1.open_steps(desk.crypto, statement, desk.owner.key, _TRANSFER)
    reader = Heads(payload)
    if reader.array(3) != 3:
        raise FrameError(RANGE, "not a transfer")
    node = reader.bytes(6)
    key = reader.bytes(33)
    epoch = reader.uint()
    reader.finish()
    if node != desk.name:
        raise FrameError("audience", "for another node")
    if len(key) != 33 or key[0] not in (2, 3):
        raise FrameError("owner_key", "")
    return key if epoch == desk.owner.epoch else None


def take(desk, request):
    """POST owner: the new owner confirms in a session of its own."""
    from citymote_protocol import claim, sign1

    session = request.session
    keys = desk.sessions.keys(session)
    if keys is None:
        refuse(FORBIDDEN, "admitted")
    statement = load(record.OFFER, 1400)
    key = None
    if statement is not None:
        key = yield from _offered(desk, statement)
    if key is None:
        refuse(FORBIDDEN, "offer")
    try:
        payload = yield from sign1.open_steps(desk.crypto, request.payload, key, _CONFIRM)
        reader = Heads(payload)
        if reader.array(2) != 2 or reader.bytes(6) != desk.name or reader.bytes(32) != claim.exported(keys):
            raise FrameError("claim", "of another session")
        reader.finish()
    except FrameError:
        desk.wronged(session)
        raise
    owner = desk.owner
    before = owner.wipe, owner.key, owner.epoch
    owner.wipe, owner.key, owner.epoch = record.SETTINGS, key, 0
    try:
        owner.save()
    except OSError:
        owner.wipe, owner.key, owner.epoch = before
        refuse(SERVER_ERROR, "storage")
    desk.log(WARNING, "this node has another owner")
    desk.hal.event("transferred")
    desk.end_others(session)
    desk.admit(session, OWNER, 0)
    desk.restart()
    return changed([0])


# Recovery


def hours_left():
    """Hours that a recovery still takes, or None where none runs."""
    data = load(record.RECOVERY, 64)
    return None if data is None or len(data) != 4 else (struct.unpack("<I", data)[0] + 59) // 60


def recover(desk, request):
    """POST recovery: the table of SPEC 16.10.2."""
    from citymote_protocol import claim

    if not desk.owner.key:
        refuse(FORBIDDEN, "unowned")
    hours = desk.settings["recovery_hours"]
    if not hours:
        refuse(FORBIDDEN, "disabled")
    if not desk.door.held():
        refuse(FORBIDDEN, "hands")
    session = request.session
    keys = desk.sessions.keys(session)
    if keys is None:
        refuse(FORBIDDEN, "admitted")
    try:
        claim.check(desk.crypto, desk.secrets()[2], claim.exported(keys), request.payload)
    except FrameError:
        desk.wronged(session)
        raise
    left = hours_left()
    if left is None:
        try:
            save(record.RECOVERY, struct.pack("<I", hours * 60))
        except OSError:
            refuse(SERVER_ERROR, "storage")
        left = hours
        desk.log(WARNING, "somebody recovers this node: %d hours until it has no owner" % hours)
        desk.hal.event("recovery", {"hours": hours})
        if desk.door.service is not None:
            desk.door.service.recovering()
    return changed([left])


def veto(desk, request):
    """DELETE recovery: the owner is there."""
    if load(record.RECOVERY, 64) is not None:
        record.drop(record.RECOVERY)
        desk.log(INFO, "the owner ends the recovery")
        desk.hal.event("veto")
    if desk.door.service is not None:
        desk.door.service.recovering()
    return DELETED
