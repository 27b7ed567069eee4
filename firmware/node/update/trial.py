"""A new application proves itself, or gives the slot back: what runs beside everything else during a trial.

The proof is that of a node at work: the sensors give as many values as they gave the application before (or all that
this one has, if it could make every sensor of the board), the uplink is reached, and the collector has acknowledged a
frame. Where no uplink is configured, rows are all there is to prove. The sequence becomes the floor with the
confirmation, not before.
"""

import asyncio
import struct

from node.journal import INFO, WARNING

from .state import CONFIRMED, TRIAL, VERIFIED, tell

PATIENCE = 1800  # seconds, and two intervals, in which everything has to have happened
_LOOK = 5000  # ms


def expected(node, before):
    """How many columns have to have a value, where the application before had so many.

    One that has fewer columns may have them on purpose; not where it cannot make a sensor of its board.
    """
    from node.startup import fitted

    whole = len(node.sensors) >= len(fitted(node).get("sensors", ()))
    return min(before, len(node.sampler.columns)) if whole else before


def lacking(node, seen, wanted):
    """What has not been seen to work yet, in words; "" when everything has.

    `seen` gathers the columns that had a value in any row so far; `wanted`: how many have to have one.
    """
    sampler = node.sampler
    if not sampler.rows:
        return "no row sampled"
    for at, value in enumerate(sampler.values):
        if value is not None:
            seen.add(at)
    if len(seen) < wanted:
        return "%d values of %d" % (len(seen), wanted)
    s = node.settings
    if (s["broker_host"] or s["lorawan"]) and not (node.telemetry and node.telemetry.acked > 0):
        return "no frame acknowledged"
    return ""


async def prove(node, state, patience=PATIENCE):
    """Wait until everything has been seen to work: "", or what is lacking when `patience` (s) is over."""
    seen = set()
    node.awake = True  # the starts of a sleeping node are not those of one that fails
    begin = node.hal.uptime_ms()
    patience = 1000 * (patience + 2 * node.settings["interval"])
    wanted = expected(node, state.readings)
    while True:
        why = lacking(node, seen, wanted)
        if not why:
            node.awake = False
            return why
        if node.hal.uptime_ms() - begin > patience:
            return why
        await asyncio.sleep_ms(_LOOK)


def sequence(root="/app"):
    """The manifest's sequence number of the application that runs."""
    with open(root + "/whole", "rb") as f:
        return struct.unpack("<I", f.read(4))[0]


def confirm(found):
    """This application stays."""
    import slots

    found.state, found.starts, found.why = slots.CONFIRMED, 0, slots.NOTHING
    found.floor = max(found.floor, sequence())
    found.save()


def give_back(found):
    """The other one starts next."""
    import slots

    found.slot ^= 1
    found.state, found.starts, found.why = slots.CONFIRMED, 0, slots.GIVEN_BACK
    found.save()


async def watch(found, node, hal, log, state, patience=PATIENCE):
    """Runs until the trial is decided; a node that gives back is reset."""
    log(INFO, "on trial, start %d" % found.starts)
    if state.state == VERIFIED:
        state.state = TRIAL
        state.save()
        tell(node, state)
    why = await prove(node, state, patience)
    if why:
        log(WARNING, "trial failed: " + why)
        give_back(found)
        hal.reset()
        return
    confirm(found)
    log(INFO, "trial passed: sequence %d is confirmed" % found.floor)
    hal.event("confirmed", {"sequence": found.floor})
    if state.state == TRIAL:
        state.state, state.reason = CONFIRMED, 0
        state.save()
        tell(node, state)
