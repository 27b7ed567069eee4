"""Which of the node's modules live together on its heap, and what is there only when it is needed.

`LASTING` units are loaded by a start and stay. `LATER` ones are loaded whole by whoever first asks for one of their
modules: littlefs gives every file a block of 4 KB and an update's index a line, so what is needed together is one file.
`SELDOM` names functions and methods (module.function, module.Class.method) that leave their modules for a unit of their
own: it is loaded for them and let go after, unless somebody keeps a function of it: that keeps all of the unit. The
application works the same with any layout; what belongs where is a matter of how often it runs and what it costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LASTING = {
    "core": (
        "node.app", "node.memory", "node.files", "node.journal", "node.settings", "node.clock", "node.supervisor",
        "node.node", "node.drivers.fault", "node.sensor", "node.sampling", "node.statistics", "node.plausibility",
    ),
    "wire": (
        "citymote_protocol.errors", "citymote_protocol.cbor_write", "citymote_protocol.columns",
        "citymote_protocol.header", "citymote_protocol.times", "citymote_protocol.batch", "citymote_protocol.seal",
        "citymote_protocol.ccm", "citymote_protocol.crypto", "node.crypto", "node.hedge",
    ),
    "keep": ("node.log", "node.batch", "node.dating", "node.store"),
    "link": ("node.telemetry", "node.links.mqtt", "node.health", "citymote_protocol.event"),
    "sound": ("node.sound.meter", "node.sound.engine", "node.sound.interval", "node.sound.decibel"),
}  # fmt: skip

# What is there only for a purpose, and as long as that takes.
LATER = {
    "hkdf": ("citymote_protocol.hkdf", "citymote_protocol.aesccm"),
    # requests: what every session needs, what a handshake needs, and what only some requests do
    "heads": ("citymote_protocol.cbor_read", "citymote_protocol.cbor_bytes"),
    "serve": (
        "citymote_protocol.coap", "citymote_protocol.coap_server", "citymote_protocol.echo",
        "citymote_protocol.handshake", "citymote_protocol.limiter", "citymote_protocol.sessions",
        "citymote_protocol.oscore", "citymote_protocol.oscore_server", "node.access.offers", "node.access.desk",
        "node.access.opening",
    ),
    "edhoc": (
        "citymote_protocol.ccs", "citymote_protocol.edhoc", "citymote_protocol.edhoc_responder",
        "citymote_protocol.oscore_derive",
    ),
    "blocks": ("citymote_protocol.block", "citymote_protocol.block_server", "citymote_protocol.observe"),
    "proof": ("citymote_protocol.sign1", "citymote_protocol.claim", "citymote_protocol.delegation"),
    "bodies": ("node.access.bodies",),
    "tell": ("node.access.tell", "node.access.configure"),
    "owner": ("node.access.admit", "node.access.possess"),
    # whose the node is, and the roads that requests come on
    "door": (
        "node.access.record", "node.access.door", "node.access.service",
    ),
    "air": ("node.access.air", "node.links.serving"),
    "turn": ("node.access.prove", "node.access.wipe", "node.access.outcome"),
    "ble": ("citymote_protocol.coap_gatt", "node.links.ble"),
    "roads": (
        "citymote_protocol.coap_udp", "citymote_protocol.slipmux", "node.links.rpc", "node.links.serial",
        "node.links.udp",
    ),
    # updates
    "suit": ("citymote_protocol.suit", "node.update.judge", "citymote_protocol.keyset", "node.update.trust"),
    "install": ("citymote_protocol.file_index", "node.update.installer"),
    "manager": ("node.update.manager",),
    "carried": ("node.update.resources",),
    "release": ("node.update.state", "node.update.begin", "node.update.window"),
    "poll": ("node.update.poll",),
    "trial": ("node.update.trial", "node.update.image"),
    "sleep": ("node.duty", "node.update.asleep"),
    # links beside MQTT 3.1.1
    "mqtt5": ("node.links.mqtt5",),
    "http": ("node.links.http",),
    "near": ("node.links.bthome", "node.discovery"),
    "narrow": ("node.links.lorawan", "node.narrow", "node.lorawan_settings"),
    "correct": ("citymote_protocol.corrections", "node.correcting"),
}

# Modules of which nothing stays: merged too, so that a start loads few files.
PASSING = {
    "enrol": ("node.enrol", "node.identity", "citymote_protocol.keying"),
    "choose": ("node.settings_table",),
    "fit": ("node.fitting",),
    "registry": ("citymote_protocol.quantities",),
    "open": ("node.recovery",),
    "about": ("node.describe", "citymote_protocol.descriptor", "citymote_protocol.body"),
}

SELDOM: dict[str, tuple[str, ...]] = {
    # a start, step by step
    "begin": (
        "node.app.start", "node.app._identity", "node.app._forget", "node.node.Node._set_out",
        "node.node.Node.__init__", "node.clock.Clock.__init__", "node.clock.Clock.restore",
        "node.supervisor.Supervisor.__init__", "node.node.Node.begin",
    ),
    "attend": (
        "node.settings.Settings.trying", "node.settings.Settings.without", "node.app._place", "node.app._door",
        "node.app._attend", "node.app._local", "node.access.record.Owner.__init__",
        "node.access.record.Trial.__init__", "node.access.record.decide", "node.access.service.Service.__init__",
        "node.access.service.Service.recovering", "node.access.door.Door.__init__", "node.access.door.Door.held",
        "node.access.door.Door.open", "node.access.door.Door.forget", "node.access.door.Door.close",
    ),
    # with whatever link there is
    "air": (
        "node.access.door.Door.busy", "node.access.door.Door.wake", "node.access.door.Door.submit",
        "node.access.door.Door.step", "node.access.door.Door.wake_others", "node.access.door.Door.lost",
        "node.access.door.Door.drop", "node.app._asked",
    ),
    "turn": (
        "node.access.record.Owner.save", "node.access.record.Trial.save", "node.access.record.Trial.answer",
        "node.access.record.pending", "node.access.record.drop", "node.access.service.Service.ask",
        "node.access.service.Service.outage", "node.access.service.Service.count",
    ),
    # What somebody keeps of a unit keeps all of it: what these leave with others lives where it is needed as long, or
    # in a small unit. A unit of their own would take a block of flash, and within a directory half of one.
    "door": ("node.app._reach", "node.app._radio"),
    "sleep": ("node.app._doze",),
    "correct": ("node.fitting._teller",),
    "choose": (
        "node.app._settings", "node.settings.Settings.__init__", "node.settings.Settings._take",
        "node.settings.Settings._load", "node.settings.Settings._merge", "node.settings.Settings.change",
        "node.settings.Settings.secrets", "node.settings.Settings.public",
        "node.journal.Journal.redact",
    ),
    "enrol": (
        "citymote_protocol.seal.Sealer.__init__", "citymote_protocol.seal.Sealer.prepare",
        "citymote_protocol.seal.Sealer.renew",
    ),
    "fit": (
        "node.app._fit", "node.startup.fit", "node.sensor.Sensor.__init__", "node.statistics.Gather.__init__",
        "node.sampling.Sampler.__init__", "node.plausibility.Judge.__init__",
    ),
    "open": (
        "node.app._open", "node.app._connect", "node.startup.open_store", "node.startup.open_link",
        "node.store.Store.__init__", "node.log.Log.__init__",
        "node.log.Log._load", "node.log.Log._tail", "node.batch.OpenBatch.__init__", "node.dating.Dates.__init__",
        "node.files.Pair.__init__", "node.files.Pair.load", "node.telemetry.Telemetry.__init__",
        "citymote_protocol.batch.Encoder.__init__",
    ),
    "about": ("node.app._describe", "node.startup.describe"),
    "meter": ("node.sound.meter.Meter.about",),
    # now and then
    "status": (
        "node.app._report", "node.startup.discover", "node.startup.report", "node.health.Health.__init__",
        "node.health.Health.values", "node.health.Health.report_now", "node.node.Node.alarm",
        "citymote_protocol.event.encode_event", "citymote_protocol.event.encode_status",
    ),
    "rare": (
        "node.clock.Clock.set", "node.store.Store.date", "node.store.Store._dated", "node.dating.Dates.put",
        "node.dating.Dates.settle", "node.dating.Dates._save",
        "node.node.Node._clock_changed", "node.node.Node._ask_time", "node.node.Node.offline",
        "node.files.exists", "node.app._first",
        "node.sensor.Sensor._recover", "node.sensor.Sensor._watch", "node.sensor.Sensor._failed",
        "node.node.Node.report", "node.journal.Journal.lines",
        "node.node.Node._drain", "node.app.count_crash", "node.app._failed",
    ),
    "registry": ("citymote_protocol.header.columns_bytes", "node.plausibility.limits"),
    # once a reading or a row
    "row": (
        "node.sampling.Sampler._close", "node.sampling.Sampler._count_judged", "node.plausibility.Judge.judge",
        "node.plausibility.Judge._one", "node.statistics.Gather.add", "node.statistics.Gather.result",
        "node.sensor.Sensor._add", "node.sensor.Sensor.results", "node.sensor.Sensor.close",
        "node.sensor.Sensor.begin",
    ),
    "append": (
        "node.store.Store._add", "node.batch.OpenBatch.add", "node.batch.OpenBatch._row", "node.batch.OpenBatch._head",
        "node.batch.OpenBatch.room", "node.batch.OpenBatch.begin",
    ),
    "write": ("node.log.Log._write",),
    "join": (
        "node.telemetry.Telemetry._open", "node.telemetry.Telemetry._tls", "node.telemetry.join",
        "node.telemetry.Telemetry._pause", "node.telemetry.Telemetry._lost",
    ),
    "connect": (
        "node.telemetry.Telemetry._greet", "node.telemetry.Telemetry._begin",
        "node.links.mqtt.Client.connect", "node.links.mqtt.connect_packet", "node.links.mqtt.Client._welcome",
        "node.links.mqtt.Client.subscribe", "node.links.mqtt.Client.say", "node.links.mqtt.Client.disconnect",
        "node.links.mqtt.Client._message",
    ),
    "frame": (
        "node.store.Store.flush", "node.store.Store._encode", "citymote_protocol.batch.Encoder.encode",
        "citymote_protocol.batch.Encoder.encode_into", "citymote_protocol.batch.Encoder._check",
        "citymote_protocol.columns.put_column", "citymote_protocol.times.put_interval",
    ),
    "fetch": (
        "node.dating.Dates.get", "node.dating.Dates.known", "node.store.Store.next_pending", "node.log.Log.read",
        "node.log.Log.advance", "node.log.Log._find", "node.log.Log.ack", "node.log.Log.discard", "node.log.Log._lost",
        "node.log.Log._look",
    ),
    "sealing": ("citymote_protocol.seal.Sealer.seal", "citymote_protocol.ccm.crypt", "node.app._well"),
    "heard": (
        "node.sound.meter.Meter.read", "node.sound.interval.Interval.exceeded", "node.sound.interval.Interval.mean",
        "node.sound.interval.Interval.clear", "node.sound.meter.Meter._enter_stretch",
        "node.sound.interval.Interval.add_stretch", "node.sound.interval.Interval.miss",
    ),
    "listen": (
        "node.sound.meter.Meter.__init__", "node.sound.engine.Engine.__init__",
        "node.sound.interval.Interval.__init__",
        "node.sound.engine.Engine.calibrate", "node.sound.engine.Engine.restart",
        "node.sound.engine.Engine._begin_averages",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """`units` by name, the modules of each; `lasting` are those that stay; the rest as the module says."""

    units: Mapping[str, tuple[str, ...]]
    lasting: tuple[str, ...]
    passing: tuple[str, ...]
    seldom: Mapping[str, tuple[str, ...]]
    raw: tuple[str, ...] = ()
    public: tuple[str, ...] = ()  # files whose names others ask for
    facades: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    attributes: frozenset[str] = frozenset()
    stages: str = "node.stages"
    later: tuple[str, ...] = ()  # units that whoever asks first loads
    values: tuple[str, ...] = ()  # modules known to be handed about as values; others are found, which takes time
    _of: dict[str, str] = field(default_factory=dict[str, str], init=False)

    def __post_init__(self) -> None:
        self._of.update({module: unit for unit, modules in self.units.items() for module in modules})

    def unit(self, module: str) -> str:
        """Where a module's definitions live: in its own file where nothing is said of it."""
        return self._of.get(module, module)

    def is_asked_for(self, unit: str) -> bool:
        """Whether a function's own import of something in there is what loads it."""
        return "." in unit or unit in self.later

    def is_driver(self, module: str) -> bool:
        """Whether this is a chip's driver: it stays in its own file, and what only makes it is apart."""
        return module.startswith("node.drivers.") and module not in self._of


# The driver contract (firmware/node/drivers/README.md): a driver of somebody's own has these.
_CONTRACT = "DRIVER BUS BAUDRATE QUANTITIES ACCUMULATES LEAD RATE WANTS ADDRESS start read stop run know time code text"
DRIVERS = frozenset(_CONTRACT.split())

APPLICATION = Layout(
    {**LASTING, **LATER, **PASSING},
    tuple(LASTING),
    tuple(PASSING),
    SELDOM,
    later=tuple(LATER),
    raw=("node/hal/", "main.py", "boot.py", "slots.py"),
    public=("node/drivers/fault.py", "citymote_protocol/quantities.py", "node/selftest.py", "node/sound/calibrate.py"),
    facades={"node/app.py": ("main",), "node/drivers/fault.py": ("Fault",), "citymote_protocol/quantities.py": ()},
    attributes=DRIVERS,
    values=("citymote_protocol.primitives", "node.stages"),
)

# Files in which what has a default is a setting of a board description, given by its name.
NAMED_ARGUMENTS = ("node/drivers/", "node/sound/")
