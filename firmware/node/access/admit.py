"""How a session comes by a role (claim, delegation) and what limits these: epoch and owner's time (SPEC 16.3, 16.4)."""

import struct
from binascii import hexlify

from node.files import load, save
from node.journal import INFO, WARNING

from citymote_protocol.cbor_read import Heads
from citymote_protocol.coap import CHANGED, CONFLICT, CONTENT, FORBIDDEN, SERVER_ERROR
from citymote_protocol.errors import RANGE, FrameError

from .bodies import changed, refuse
from .offers import OWNER
from .record import OWNER_TIME

_ROLES = ("", "reader", "installer", "owner")
_HOUR = 3600


def claim(desk, request):
    """POST claim: the table of SPEC 16.3."""
    from citymote_protocol import claim as rules

    session = request.session
    if desk.role(session):
        if desk.owner.key and desk.role(session) == OWNER and rules.read(request.payload)[0] == desk.owner.key:
            return changed([desk.owner.epoch])  # the answer was lost
        refuse(FORBIDDEN, "admitted")
    keys = desk.sessions.keys(session)
    try:
        key = rules.check(desk.crypto, desk.secrets()[2], rules.exported(keys), request.payload)
    except FrameError:
        desk.wronged(session)
        raise
    owner = desk.owner
    if owner.key and owner.key != key:
        refuse(FORBIDDEN, "owned")
    if not owner.key:
        owner.key, owner.epoch = key, 0
        try:
            owner.save()
        except OSError:
            owner.key = b""
            refuse(SERVER_ERROR, "storage")
        desk.log(INFO, "claimed by owner %s" % _id(desk, key))
        desk.hal.event("claimed", {"owner": str(hexlify(key), "ascii")})
        desk.end_others(session)
    desk.admit(session, OWNER, owner.epoch)
    return changed([owner.epoch])


def _id(desk, key):
    from citymote_protocol.keying import node_id

    return str(hexlify(node_id(desk.crypto.sha256, key)), "ascii")


def nonce(desk, request):
    """GET access."""
    made = desk.crypto.random(16)
    desk.nonces[request.session.recipient_id] = made
    return CONTENT, b"\x50" + made, 60


def access(desk, request):
    """POST access: a delegation's signature, then everything that it says (SPEC 13.9)."""
    from citymote_protocol import delegation

    session = request.session
    who = session.recipient_id
    owner = desk.owner
    peer = session.claims[2]
    try:
        found = yield from delegation.open_steps(desk.crypto, request.payload, owner.key)
        scope = delegation.judge(
            found,
            _id(desk, owner.key),
            str(hexlify(desk.name), "ascii"),
            desk.settings["site"] or None,
            owner.epoch,
            peer,
            owner_time(owner, desk.hal),
            desk.nonces.get(who),
        )
    except FrameError as e:
        desk.wronged(session)
        desk.log(WARNING, "a delegation was refused: %s" % e.code)
        raise
    role = _ROLES.index(scope)
    desk.admit(session, role, found.epoch)
    desk.log(INFO, "%s %s is here, delegation %s" % (scope, _short(peer), str(hexlify(found.cti), "ascii")))
    return changed([role])


def _short(x):
    return str(hexlify(x[:4]), "ascii")


def epoch(desk, request):
    """PUT epoch."""
    reader = Heads(request.payload)
    number = reader.uint()
    reader.finish()
    owner = desk.owner
    if number < owner.epoch:
        refuse(CONFLICT, "epoch")
    if number > owner.epoch:
        before = owner.epoch
        owner.epoch = number
        try:
            owner.save()
        except OSError:
            owner.epoch = before
            refuse(SERVER_ERROR, "storage")
        from .record import OFFER, drop

        drop(OFFER)
        desk.log(INFO, "epoch %d" % number)
        desk.end_others(request.session, number)
    return CHANGED


def time(desk, request):
    """PUT time: the clock, and where the owner has signed it, the owner's time."""
    from node.clock import BLE, KNOWN

    reader = Heads(request.payload)
    if reader.array(2) != 2:
        raise FrameError(RANGE, "not a time and a statement")
    seconds = reader.uint()
    statement = None if reader.is_null() else reader.bytes(1200)
    reader.finish()
    if not desk.settings["time_earliest"] <= seconds:
        refuse(0x80, "time")
    owner = desk.owner
    if statement is not None:
        from citymote_protocol import sign1

        payload = yield from sign1.open_steps(desk.crypto, statement, owner.key, b"citymote time 1")
        reader = Heads(payload)
        signed = reader.uint()
        reader.finish()
        if signed > (owner_time(owner, desk.hal) or 0):
            try:
                _keep(owner, desk.hal, signed)
            except OSError:
                refuse(SERVER_ERROR, "storage")
    clock = desk.clock()
    if clock is not None and not (clock.state in KNOWN and clock.state != BLE):
        try:
            clock.hear(seconds, BLE)
            desk.hal.rtc(clock.now())
        except ValueError:
            refuse(0x80, "time")
    elif clock is None:
        desk.hal.rtc(seconds)  # from which the next start estimates
    return CHANGED


def _keep(owner, hal, seconds):
    save(OWNER_TIME, struct.pack("<I", seconds))
    owner.time, owner.time_at, owner.time_kept = seconds, hal.uptime_ms() // 1000, seconds


def owner_time(owner, hal):
    """The owner's time in s2000: what an owner has signed, and the uptime since; None where none has. Never later than
    the true time, because what passed without power is not counted; kept to the hour when it is judged by."""
    if owner.time is None:
        data = load(OWNER_TIME, 16)
        if data is None or len(data) != 4:
            return None
        owner.time = owner.time_kept = struct.unpack("<I", data)[0]
    now = owner.time + hal.uptime_ms() // 1000 - owner.time_at
    if now - owner.time_kept >= _HOUR:
        try:
            _keep(owner, hal, now)
        except OSError:
            pass  # it is the same by the uptime
    return now
