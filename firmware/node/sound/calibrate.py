"""Calibrates the sound level meter with a tone of known level or against a reference meter; loaded only for that.

With a calibrator (94 dB at 1 kHz, IEC 60942) ten seconds are heard, and they have to be a steady tone of 1 kHz: A, C
and Z agree there and nowhere else, a tone's peak lies 3 dB above its level, and its level does not move. Against a
reference meter it is one minute of any steady sound well above the microphone's own noise, and the level that the
reference shows for it. What is found is one offset; it is refused where it would hide a blocked port or a wrong
alignment. Nothing that is heard meanwhile enters a reading, nor what is heard in the seconds after it, in which
somebody takes the calibrator off.

`calibrate(node, number, request)` works on a node that runs, `alone(hal, request)` on one that does not, at its prompt.
"""

import asyncio

from . import calibration

CALIBRATOR = "calibrator"
REFERENCE = "reference"
_SECONDS = {CALIBRATOR: 10, REFERENCE: 60}
_SETTLE = 2  # seconds heard that do not count
_LATE = 6000  # ms more than that until nobody is waited for any longer
_STEADY = {CALIBRATOR: 20, REFERENCE: 300}  # 0.01 dB from the quietest second to the loudest
_APART = 30  # 0.01 dB between A and C; 1 kHz +-8 %
_APART_Z = 60  # what wind and traffic add to Z below the tone
_CREST = 301
_CREST_OFF = 80
_PLAUSIBLE = 600  # 0.01 dB: twice the widest tolerance of a data sheet
_ABOVE_NOISE = 2000
_GRACE = 20000  # ms
_LOWEST, _HIGHEST = 3000, 13000
_TEXT = 64  # bytes, as a descriptor has them
_FAULTS = (
    "",
    "silent",
    "one word for ever",
    "a stuck bit",
    "dc",
    "no clock",
    "it is in the other channel",
)  # of `signal`


class Refused(Exception):
    """No calibration came of it; the text says why and what to do."""


class _Ear:
    # Takes the place of the meter's interval: seconds are kept here, and in no reading.
    def __init__(self, offsets):
        self.offsets = offsets
        self.seconds = []

    def add_second(self, engine, q, blocks, fast_max, fast_min, slow_max, peak):
        if blocks == 200:
            self.seconds.append(tuple(engine.second))


def _check(request):
    kind = request.get("kind", CALIBRATOR)
    if kind not in _SECONDS:
        raise Refused("kind: calibrator or reference")
    level = request.get("level")
    if type(level) is not int or not _LOWEST <= level <= _HIGHEST:
        raise Refused("level: 30 to 130 dB")
    if type(request.get("day")) is not int:
        raise Refused("day: a number of days since 2000")
    for name in ("instrument", "operator"):
        text = request.get(name)
        if type(text) is not str or not text or len(text.encode()) > _TEXT:
            raise Refused("%s: a text of at most %d bytes" % (name, _TEXT))
    return kind, level


def _judge(seconds, kind, noise):
    """The level in 0.01 dB, or Refused."""
    for second in seconds:
        if second[10]:
            raise Refused("the microphone is not right: " + _FAULTS[second[10]])
        if second[9]:
            raise Refused("sound was lost: the node is too busy, try again")
        if second[7]:
            raise Refused("too loud for this microphone")
    levels = [second[0] for second in seconds]
    if max(levels) - min(levels) > _STEADY[kind]:
        raise Refused("not steady: %s to %s dB" % (_db(min(levels)), _db(max(levels))))
    level = (sum(levels) + len(levels) // 2) // len(levels)
    if level * 10 < noise + 10 * _ABOVE_NOISE:
        raise Refused("too quiet: %s dB are not 20 dB above the microphone's own noise" % _db(level))
    if kind == CALIBRATOR:
        a, c, z, _, _, _, peak = [sum(column) // len(seconds) for column in zip(*seconds)][:7]
        if abs(a - c) > _APART or abs(z - c) > _APART_Z or abs(peak - c - _CREST) > _CREST_OFF:
            raise Refused(
                "that is no steady tone of 1 kHz: A %s, C %s, Z %s, peak %s dB" % (_db(a), _db(c), _db(z), _db(peak))
            )
    return level


def _db(level):
    return "%s%d.%02d" % ("-" if level < 0 else "", abs(level) // 100, abs(level) % 100)


async def measure(meter, kind):
    """Listen with the meter, whose task runs, and give it back afterwards: the level in 0.01 dB."""
    engine = meter.engine
    interval = engine.interval
    ear = engine.interval = _Ear(engine.offsets)
    engine.clear()
    wanted = _SECONDS[kind] + _SETTLE
    left = wanted * 1000 + _LATE
    try:
        while len(ear.seconds) < wanted and left > 0:
            await asyncio.sleep_ms(250)
            left -= 250
        if len(ear.seconds) < wanted:
            raise Refused("no sound comes from the microphone")
        return _judge(ear.seconds[_SETTLE:], kind, engine.noise)
    finally:
        asyncio.create_task(_give_back(engine, interval))


async def _give_back(engine, interval):
    await asyncio.sleep_ms(_GRACE)
    interval.clear()
    if engine.bank:
        engine.bank.clear()
    interval.offsets = engine.offsets
    engine.interval = interval
    engine.clear()


async def run(meter, bus, request):
    """Measure, judge, store; what came of it, in 0.01 dB. The meter uses the new offset at once."""
    kind, level = _check(request)
    before = meter.engine.calibration
    heard = await measure(meter, kind)
    offset = before + level - heard
    if not -_PLAUSIBLE <= offset <= _PLAUSIBLE:
        raise Refused(
            "%s dB away from the data sheet: look for a blocked port, a coupler that does not sit tight, or another "
            "microphone than %s" % (_db(offset), meter.microphone)
        )
    record = {
        "version": calibration.VERSION,
        "microphone": meter.microphone,
        "kind": kind,
        "level": level,
        "offset": offset,
        "day": request["day"],
        "instrument": request["instrument"],
        "operator": request["operator"],
    }
    calibration.keep(bus, record)
    meter.engine.calibrate(offset)
    return {"heard": heard, "level": level, "before": before, "offset": offset, "microphone": meter.microphone}


def meters(board):
    """The sound level meters of a board description."""
    return [entry for entry in board.get("sensors", ()) if entry.get("driver") == "sound_meter"]


async def calibrate(node, number, request):
    """Calibrate meter `number` (0: the first) of a node that runs, and say so in a new descriptor."""
    found = [sensor for sensor in node.sensors if sensor.name == "sound_meter"]
    if not 0 <= number < len(found):
        raise Refused("this node has %d sound level meters" % len(found))
    meter = found[number].driver
    result = await run(meter, meter.port.name, request)
    from node.describe import describe
    from node.memory import drop
    from node.startup import fitted

    frame = describe(node, fitted(node))
    if frame:
        node.store.put(frame)
    for name in ("node.describe", "node.startup", "citymote_protocol.descriptor", "citymote_protocol.body"):
        drop(name)
    return result


async def _alone(hal, request):
    from .meter import Meter, Port

    entries = meters(hal.board())
    number = request.get("number", 0)
    if not 0 <= number < len(entries):
        raise Refused("this board has %d sound level meters" % len(entries))
    entry = entries[number]
    meter = Meter(Port(hal, entry["bus"]), **(entry.get("settings") or {}))
    task = asyncio.create_task(meter.run())
    try:
        return await run(meter, entry["bus"], request)
    finally:
        task.cancel()


async def _answer(hal, request):
    try:
        return await _alone(hal, request)
    except Refused as e:
        return {"refused": str(e)}


def alone(hal, request):
    """Calibrate a node whose application does not run; the last line that this prints is the answer as JSON."""
    import json

    hal.mount()
    print(json.dumps(hal.run(_answer(hal, request))))
