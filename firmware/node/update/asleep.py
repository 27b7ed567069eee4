"""What a node that sleeps does about updates: it asks at a contact, and is awake for one only while that gets on.

The question, the download and the wait for a window are each cut off where they lead nowhere; what was begun is on
flash (`installer`, `state`) and goes on at a later contact, or when the window opens. `duty` samples meanwhile. The
trial that follows is the one thing that a node stays awake for to its end (`trial`), because the boot counts starts.
"""

import asyncio

from node.journal import WARNING, reason

from .state import DOWNLOADING, EMERGENCY, VERIFIED, State

_ASKING = 60000  # ms that the question and the answer's signature may take
_MOST = 600000  # ms of downloading in one contact
_STALLED = 60000  # ms without a byte after which waiting is left for another time
_AGAIN = 3600  # s to the next attempt at most, where something has been begun
_LOOK = 1000  # ms


async def ask(node, record, refused):
    """One contact's part: (what was refused, as `poll.look` has it; seconds to the next time)."""
    from .begin import resume
    from .poll import look, pause

    wait = pause(node.settings["update_interval"], node.hal.random(2)) // 1000
    if record.state:  # nothing is begun in a trial
        return refused, wait
    try:
        refused = await asyncio.wait_for_ms(look(node, record, refused), _ASKING)
    except (OSError, EOFError, asyncio.TimeoutError) as e:
        node.log(WARNING, "updates: %s" % (reason(e) if str(e) else "no answer in time"))
    if node.updating is None:
        state = State()
        if state.state == DOWNLOADING and state.url:
            resume(node, record)
    await tend(node, _MOST)
    if State().state == DOWNLOADING:
        wait = min(wait, _AGAIN)
    return refused, wait


async def tend(node, most=None):
    """Until the update that is under way is over, or gets nowhere, or has taken `most` ms; then it is left."""
    begin = node.hal.uptime_ms()
    while node.updating is not None:
        made = node.updating
        now = node.hal.uptime_ms()
        idle = made.waits is not None and (made.state.state == VERIFIED or now - made.waits >= _STALLED)
        if idle or most and now - begin >= most:
            await made.stop()
            break
        await asyncio.sleep_ms(_LOOK)
    node.duty.opens = opens(node, State())


def opens(node, state):
    """The uptime, in ms, from which a verified update may be started; None where there is none."""
    if state.state != VERIFIED:
        return None
    from .window import wait

    now = node.hal.uptime_ms()
    return now + (0 if state.role == EMERGENCY else wait(node.settings["update_window"], node.clock, now))
