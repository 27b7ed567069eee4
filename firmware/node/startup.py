"""How the parts of a node are made, step by step, in the order in which it starts; forgotten when that is done.

Each step imports what it needs itself: `stages` has loaded it, and lets go what nobody needs after that step.
"""

from .journal import INFO

CONFIG = "/config"
STORE = "/store"
_NO_ROWS = ((102, 0),)  # the shape of batches that there never are: of a node none of whose sensors could be made


def fitted(node):
    """The board description less what the settings switch off."""
    board = dict(node.hal.board())
    if node.settings["sound"] == "off":
        board["sensors"] = [s for s in board.get("sensors", ()) if s.get("driver") != "sound_meter"]
    return board


def fit(node):
    """The sensors of the board."""
    from .fitting import board_rules, build_sensors
    from .sampling import Sampler

    board = fitted(node)
    node.sensors, _ = build_sensors(board, node.hal, node.log)
    settings = node.settings
    rules = board_rules(board, node.sensors)
    correct = None
    if board.get("corrections"):
        from .correcting import Corrector

        columns = [column for sensor in node.sensors for column in sensor.columns]
        correct = Corrector(board["corrections"], columns, board.get("site") or {}, node.log)
    interval = settings["interval"]
    node.sampler = Sampler(node.sensors, node.clock, node.hal, interval, node.keep, node.log, rules, correct)


def open_store(node):
    """What was measured before, and room for what comes."""
    from .recovery import store_epoch
    from .store import Store

    s = node.settings
    interval = s["interval"]
    batch = s["batch"]
    if s["max_delay"]:
        batch = max(1, min(batch, s["max_delay"] // interval))
    node.store = store = Store(
        STORE,
        store_epoch(STORE, CONFIG + "/epoch"),
        None if s["lorawan"] else node.name,  # a network that knows whose uplink it is needs no name in each frame
        node.sampler.columns or _NO_ROWS,
        batch,
        s["batch_backlog"],
        interval,
        s["store_capacity"],
        s["packed"],
        node.boots,
    )
    store.date(node.clock.shift, node.clock.state)
    node.log(INFO, "store: epoch %d, %d frames waiting" % (store.epoch, store.pending))


def open_narrow(node, modem, seal):
    """The way to the collector through a modem of a narrow link."""
    from .narrow import Narrow

    s = node.settings["lorawan"]
    node.telemetry = Narrow(node.store, node.sampler.columns, modem, s, node.hal, node.log, node.clock, seal)


def open_link(node, link, seal):
    """The way to the collector."""
    from .telemetry import Telemetry

    node.telemetry = Telemetry(node.store, node.settings, node.hal, node.name.hex(), node.log, link, seal)


def describe(node):
    """Say what this node is."""
    if node.settings["status_interval"] and not node.settings["lorawan"]:  # longer than any uplink
        from .describe import describe as make_descriptor

        frame = make_descriptor(node, fitted(node))
        if frame:
            node.store.put(frame)


def discover(node):
    """Have it found by Home Assistant, where the owner wants that."""
    if node.settings["discovery"] and not node.settings["lorawan"]:
        from .discovery import Discovery
        from .version import firmware

        node.telemetry.extra = Discovery(node, node.hal.board().get("board", "unknown"), firmware())


def report(node):
    """Say how it starts."""
    from .health import Health

    node.health = Health(node, node.hal, node.settings["status_interval"])
    if node.settings["lorawan"]:
        node.telemetry.slim(node.health)
