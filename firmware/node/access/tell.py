"""What a node tells, and what it does to be found and calibrated: info, live, log, identify, calibrate (SPEC 16.5)."""

# What a body holds is found out as it is read.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false
import asyncio

from node.version import firmware, runtime

from citymote_protocol.cbor import Pairs
from citymote_protocol.coap import CHANGED, CONFLICT, CONTENT, MAX_AGE, TEXT, UNAVAILABLE, Message, uint_bytes

from .bodies import changed, content, integer, refuse, table
from .record import PENDING, RECOVERY, load

_BLINK = 250  # ms
_LONGEST = 120


def info(desk, request):
    """GET info."""
    node, hal, owner = desk.door.node, desk.hal, desk.owner
    told = [
        (0, desk.name),
        (1, hal.board().get("board", "unknown")),
        (2, "citymote " + firmware()),
        (3, runtime()),
        (4, desk.door.boots),
        (5, hal.uptime_ms() // 1000),
        (8, hal.reset_cause()),
        (14, desk.public),
        (15, desk.role(request.session)),
        (16, owner.epoch),
        (19, bool(desk.door.trial.proven)),
        (20, load(PENDING, 16384) is not None),
    ]
    if node is not None:
        clock = node.clock
        if clock.known:
            told.append((6, clock.now()))
        told.append((7, clock.state))
        if node.store:
            told.append((12, node.store.open_rows))
            told.append((13, node.store.pending))
        if node.boot is not None:
            from node.update.resources import told as update

            told.append((17, update(node)))
    if desk.door.state is not None:
        told.append((9, desk.door.state[0]))
        if desk.door.state[1]:
            told.append((10, desk.door.state[1]))
    if desk.settings["station"]:
        told.append((11, desk.settings["station"]))
    if desk.door.trial.number:
        told.append((18, desk.door.trial.answer()))
    if load(RECOVERY, 64) is not None:
        from .possess import hours_left

        told.append((21, hours_left()))
    return content(Pairs(told))


def live(desk, request):
    """GET live: the latest row."""
    last = desk.door.node.live() if desk.door.node and desk.door.node.sampler else None
    if last is None:
        wait = desk.settings["interval"]
        return Message(UNAVAILABLE, b"", [(MAX_AGE, uint_bytes(wait))], b"no_row")
    from citymote_protocol.event import encode_event

    time, columns, values, quality = last
    frame = encode_event(desk.name, 0, 0, time, desk.door.node.clock.state, columns, values, quality)
    return CONTENT, bytes(frame)


def log(desk, request):
    """GET log."""
    lines = ["%d %d %s\n" % line for line in desk.log.lines()]
    return CONTENT, "".join(lines).encode(), TEXT


def identify(desk, request):
    """POST identify: blink."""
    from citymote_protocol.cbor_read import Heads

    reader = Heads(request.payload)
    seconds = integer(reader.uint(), 0, _LONGEST)
    reader.finish()
    desk.hal.event("identify", {"seconds": seconds})
    light = _part(desk.hal, "led")
    if light is None and not desk.hal.deployed():
        refuse(CONFLICT, "part: no light")
    if desk.blinking is not None:
        desk.blinking.cancel()
    if light is not None:
        desk.blinking = asyncio.create_task(_blink(light, seconds))
    return CHANGED


def _part(hal, name):
    return hal.pin(name) if name in (hal.board().get("pins") or {}) else None


async def _blink(light, seconds):
    try:
        for at in range(seconds * 1000 // _BLINK):
            light.value(at & 1 ^ 1)
            await asyncio.sleep_ms(_BLINK)
    finally:
        light.value(0)


def calibrate(desk, request):
    """POST calibrate: the answer is there when the node has listened; other requests wait so long."""
    asked = table(request.payload)
    number = asked.pop("number", 0)
    try:
        from node.sound import calibrate as work
    except ImportError:
        refuse(CONFLICT, "part: no sound level meter")
    if desk.door.node is None or type(number) is not int:
        refuse(CONFLICT, "part: no sound level meter")
    done = []

    async def run():
        try:
            done.append(await work.calibrate(desk.door.node, number, asked))
        except work.Refused as e:
            done.append(e)
        except Exception as e:
            desk.report(e)
            done.append(e)
        desk.server.paused = False
        desk.door.wake()

    desk.server.paused = True
    asyncio.create_task(run())
    while not done:
        yield
    found = done[0]
    if isinstance(found, Exception):
        refuse(CONFLICT, "calibration: %s" % found)
    return changed(Pairs([(key, found[key]) for key in sorted(found)]))
