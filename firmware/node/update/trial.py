"""A new application proves itself, or gives the slot back: what runs beside everything else during a trial.

The proof is that of a node at work: rows are sampled, the uplink is reached, and the collector has acknowledged a
frame. Where no uplink is configured, rows are all there is to prove. The sequence becomes the floor with the
confirmation, not before, so that a bad release can be followed by its predecessor under a higher number only.
"""

import asyncio
import struct

from node.journal import INFO, WARNING

from .state import CONFIRMED, TRIAL, VERIFIED, tell

PATIENCE = 1800  # seconds of uptime in which everything has to have happened
_LOOK = 5000  # ms


def proven(node):
    """Whether everything has been seen to work."""
    if not node.sampler.rows:
        return False
    return not node.settings["broker_host"] or node.telemetry.acked > 0


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
    while not proven(node):
        if hal.uptime_ms() > patience * 1000:
            log(WARNING, "trial failed: %s" % ("no frame acknowledged" if node.sampler.rows else "no row sampled"))
            give_back(found)
            hal.reset()
            return
        await asyncio.sleep_ms(_LOOK)
    confirm(found)
    log(INFO, "trial passed: sequence %d is confirmed" % found.floor)
    hal.event("confirmed", {"sequence": found.floor})
    if state.state == TRIAL:
        state.state, state.reason = CONFIRMED, 0
        state.save()
        tell(node, state)
