"""What a start does about updates: a trial is watched, an interrupted download goes on, an end is told (SPEC 14.8).

Once a start; it leaves nothing on the heap of a node that has nothing to do.
"""

from node.journal import WARNING

from .state import APPLICATION, CONFIRMED, DOWNLOADING, IMAGE, ROLLED_BACK, TRIAL, VERIFIED, State, tell


def begin(node, partition):
    """Start whatever this node's update needs. Without slots, as on a developer's board, that is nothing."""
    device = partition("boot")
    if device is None:
        return
    import slots

    node.boot = record = slots.Record(device)
    state = State()
    if record.state == slots.TRIAL:
        from .trial import watch

        node.supervisor.start("trial", lambda: watch(record, node, node.hal, node.log, state))
    elif state.kind == IMAGE and (state.state == TRIAL or state.state == VERIFIED and _runs(node, state)):
        from .image import watch_runtime

        node.supervisor.start("trial", lambda: watch_runtime(node, state))
    elif state.state in (VERIFIED, TRIAL) and state.kind == APPLICATION and record.turn != state.turn:
        _ended(node, state, record)
    elif state.state in (VERIFIED, DOWNLOADING) and node.duty is None:
        resume(node, record)
    if node.duty is not None:
        _sleeping(node, state, record)
    elif node.settings["update_url"]:
        from .poll import poll

        node.supervisor.start("updates", lambda: poll(node, record))


def _sleeping(node, state, record):
    # One that sleeps goes on at a contact, or when the window opens: nothing is done here that keeps it awake.
    duty = node.duty
    duty.record = record
    if duty.look is None:
        from .poll import pause

        duty.look = (node.hal.uptime_ms() + pause(node.settings["update_interval"], node.hal.random(2))) // 1000
    if state.state == VERIFIED and not record.state:
        from .asleep import opens

        duty.opens = opens(node, state)


def _runs(node, state):
    # Whether the runtime that was verified is the one that runs: the power failed after the switch.
    return node.hal.images().running() == state.turn


def _ended(node, state, record):
    from .trial import sequence

    if sequence() == state.sequence:  # the power failed between the confirmation and the note of it
        state.state = CONFIRMED
    else:
        state.state, state.reason = ROLLED_BACK, record.why
        node.log(WARNING, "update %d: rolled back, reason %d" % (state.sequence, record.why))
    state.save()
    tell(node, state)


def resume(node, record):
    """Go on with what was offered."""
    from .manager import Manager

    Manager(node, record).launch()
