"""The steps of a node's start, in the order in which the application takes them; forgotten when they are done."""

import asyncio

from .describe import describe as make_descriptor
from .fitting import board_rules, build_sensors
from .health import Health
from .journal import ERROR, INFO, WARNING, reason
from .sampling import Sampler
from .store import Store, store_epoch

CONFIG = "/config"
STORE = "/store"


def fitted(node, hal):
    """The board description less what the settings switch off."""
    board = dict(hal.board())
    if node.settings["sound"] == "off":
        board["sensors"] = [s for s in board.get("sensors", ()) if s.get("driver") != "sound_meter"]
    return board


async def climb(steps):
    """Curve arithmetic in small steps, so that the rest of the node goes on."""
    while True:
        try:
            next(steps)
        except StopIteration as e:
            return e.value
        await asyncio.sleep_ms(0)


async def identify(node, hal):
    """Who this node is: key, id, boot counter."""
    from .crypto import NodeCrypto
    from .identity import open_steps

    try:
        await hal.join(None)  # the radio feeds the random generator
    except OSError as e:
        node.log(WARNING, "radio: " + reason(e))
    node.crypto = NodeCrypto(hal.random)
    node.identity = identity = await climb(open_steps(CONFIG, node.crypto))
    if not identity.persisted:
        node.log(ERROR, "the boot counter cannot be written: /config is worn or full")
    node.log(INFO, "node %s, boot %d, %s" % (identity.node_id.hex(), identity.boots, hal.reset_cause()))
    hal.event("identity", {"node": identity.node_id.hex(), "public_key": identity.public.hex()})


def fit(node, hal):
    """The sensors of the board."""
    board = fitted(node, hal)
    node.sensors, _ = build_sensors(board, hal, node.log)
    settings = node.settings
    rules = board_rules(board, node.sensors)
    node.sampler = Sampler(node.sensors, node.clock, hal, settings["interval"], node.keep, node.log, rules)


def open_store(node, hal):
    """What was measured before, and room for what comes."""
    s = node.settings
    interval = s["interval"]
    batch = s["batch"]
    if s["max_delay"]:
        batch = max(1, min(batch, s["max_delay"] // interval))
    node.store = store = Store(
        STORE,
        store_epoch(STORE, CONFIG + "/epoch"),
        node.identity.node_id,
        node.sampler.columns,
        batch,
        s["batch_backlog"],
        interval,
        s["store_capacity"],
        s["packed"],
        node.identity.boots,
    )
    store.date(node.clock.shift, node.clock.state)
    node.log(INFO, "store: epoch %d, %d frames waiting" % (store.epoch, store.pending))


async def open_link(node, hal):
    """The way to the collector, with the key that seals for it."""
    from .telemetry import Telemetry, Unsealable

    key = node.settings["collector_key"]
    seal = None
    if key:
        try:
            seal = await sealer(node, key)
        except (ValueError, OSError, RuntimeError) as e:
            seal = Unsealable(node.log, reason(e))
    node.telemetry = Telemetry(node.store, node.settings, hal, node.identity.node_id.hex(), node.log, seal)


async def sealer(node, key):
    """What seals a frame for the collector that has this public key."""
    from citymote_protocol.sealing import Sealer

    identity = node.identity
    random8 = node.crypto.random(8)
    made = Sealer(node.crypto, identity.node_id, identity.private_key(), bytes.fromhex(key), identity.boots, random8)
    await climb(made.prepare())
    return made.seal_renewing


def describe(node, hal):
    """Say what this node is and how it starts."""
    s = node.settings
    node.health = Health(node, hal, s["status_interval"])
    if s["status_interval"]:
        frame = make_descriptor(node, hal.board().get("board", "unknown"))
        if frame:
            node.store.put(frame)
        node.health.report()
