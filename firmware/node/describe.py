"""What the node is: the descriptor frame that it sends when it has started. Forgotten once it is in the store."""

from citymote_protocol.descriptor import Descriptor, Sensor, encode_descriptor
from citymote_protocol.errors import NO_ROOM, EncodeError

from .version import firmware, runtime


def _about(entry, driver):
    """What the board description says of a sensor, and, stronger, what its driver knows of itself."""
    found = dict(entry.get("about") or {})
    about = getattr(driver, "about", None)
    if about:
        found.update(about())
    return found


def _encode(node, board, epoch, seq, facts):
    """The frame; `facts` says whether with what the board description knows beside what the node sees for itself."""
    entries = board.get("sensors", ())
    about = dict(board.get("about") or {}) if facts else {}
    for setting, field in (("station", "station"), ("place", "position")):  # its owner's to say
        if node.settings[setting]:
            about[field] = node.settings[setting]
    descriptor = Descriptor(
        model=board.get("board", "unknown"),
        firmware=firmware(),
        runtime=runtime(),
        sensors=tuple(
            Sensor(
                driver=sensor.name,
                columns=tuple(sorted(sensor.columns)),
                **(_about(entries[sensor.index], sensor.driver) if facts else {}),
            )
            for sensor in node.sensors
        ),
        batch_columns=node.sampler.columns,
        corrections=(node.sampler.correct.facts or None) if node.sampler.correct else None,
        **about,
    )
    descriptor.node = node.name
    descriptor.epoch = epoch
    descriptor.seq = seq
    if node.clock.known:
        descriptor.time = node.clock.now()
        descriptor.clock = node.clock.state
    try:
        return encode_descriptor(descriptor, 128 + 64 * len(node.sensors))  # what one without facts mostly takes
    except EncodeError as e:
        if e.code != NO_ROOM:
            raise
        return encode_descriptor(descriptor, 2048)


def describe(node, board):
    """A maker of this node's descriptor frame for `Store.put`, or None: without sensors there is nothing to say."""
    if not node.sensors:
        return None

    def make(epoch, seq):
        # Serials, dates, classes: a description that no frame can carry costs what it says, not the start of the node.
        try:
            return _encode(node, board, epoch, seq, True)
        except (ValueError, TypeError, AttributeError, MemoryError):
            return _encode(node, board, epoch, seq, False)

    return make
