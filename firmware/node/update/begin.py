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
    elif state.state in (VERIFIED, DOWNLOADING):
        resume(node, record)
    if node.settings["update_url"]:
        from .poll import poll

        node.supervisor.start("updates", lambda: poll(node, record))


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
