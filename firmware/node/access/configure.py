"""The configuration: what is in force, what is pending, and the trial that makes one of the other (SPEC 16.6, 16.7)."""

# What a body holds is found out as it is read.
# pyright: reportArgumentType=false, reportIndexIssue=false
import json

from node.files import save
from node.settings import SettingsError

from citymote_protocol.coap import BAD_REQUEST, CHANGED, CONFLICT, FORBIDDEN, SERVER_ERROR, TOO_LARGE_ENTITY

from . import record
from .bodies import changed, content, numbers, pairs, refuse, table
from .offers import OWNER

# What reaches beyond an installer's errand: whom readings are for, who signs updates, who else gets in
OWNERS = (
    "collector_key",
    "unsealed",
    "update_root",
    "update_hss",
    "recovery_hours",
    "site",
    "udp",
    "udp_port",
    "discovery",
    "nearby",
)


def get(desk, request):
    """GET config, GET config?pending."""
    if request.query("pending") is None:
        return content(pairs(desk.settings.public()))
    from node.settings_table import row

    found = record.pending() or {}
    told = [(key, found[key] not in (None, "") if row(key)[5] else found[key]) for key in sorted(found)]
    return content(pairs(told))


def patch(desk, request):
    """iPATCH config: put pairs over what is pending."""
    from node.settings_table import check, row

    asked = table(request.payload)
    request.payload = b""  # 4 KB that the rest of this can use
    found = {} if request.query("fresh") is not None else record.pending() or {}
    owner = desk.role(request.session) >= OWNER
    try:
        for key in sorted(asked):
            row(key)
            if key in OWNERS and not owner:
                refuse(FORBIDDEN, "owner: " + key)
            found[key] = None if asked[key] is None else check(key, asked[key])
    except SettingsError as e:
        refuse(BAD_REQUEST, "setting: %s" % e)
    asked = None
    text = json.dumps(found)
    found = None
    if len(text) > record.MAX_PENDING:
        refuse(TOO_LARGE_ENTITY, "pending")
    try:
        save(record.PENDING, text.encode())
    except OSError:
        refuse(SERVER_ERROR, "storage")
    return CHANGED


def _uplink(settings, found):
    # Whether the configuration names a way out, and for whom frames are sealed, or that they need not be.
    def value(key):
        if found.get(key) is not None:
            return found[key]
        return settings.without(key) if key in found else settings[key]

    return value("lorawan") or (value("broker_host") and (value("collector_key") or value("unsealed")))


def trial(desk, request):
    """POST config/trial: the table of SPEC 16.7."""
    number, seconds = numbers(request.payload, (1, 0xFFFFFFFF), (30, 900))
    last = desk.door.trial
    if number == last.number:
        return changed(last.answer())
    if last.state == record.RUNNING:
        refuse(CONFLICT, "trial")
    if not _uplink(desk.settings, record.pending() or {}):
        refuse(CONFLICT, "incomplete")
    begun = record.Trial()
    begun.number, begun.seconds, begun.starts = number, seconds, 0
    begun.state, begun.detail, begun.took, begun.told = record.RUNNING, record.UNKNOWN, 0, 0
    begun.near = int(desk.door.state is not None)
    begun.proven = last.proven
    try:
        begun.save()
    except OSError:
        refuse(SERVER_ERROR, "storage")
    desk.door.trial = begun
    desk.hal.event("trial", {"number": number})
    desk.restart()
    return changed(begun.answer())
