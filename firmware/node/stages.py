"""In which order a start loads the node's modules, and which of them it lets go again.

An import inside an import inside an import takes the C stack of a small chip (16 KB on an ESP32), so each module is
loaded when all that it imports is there already; and code that is needed once leaves the heap when it has been used. A
test holds both lists to the sources. Modules whose classes live on in somebody's hands only lose their name.
"""

# What stays: loaded early, so that it lies together and what comes and goes leaves no holes in between.
LASTING = (
    "citymote_protocol.errors",
    "citymote_protocol.cbor_write",
    "node.batch",
    "node.dating",
    "node.log",
)
IDENTITY = (
    "citymote_protocol.errors",
    "citymote_protocol.cbor_write",
    "citymote_protocol.crypto",
    "citymote_protocol.keying",
    "node.crypto",
    "node.hedge",
    "node.identity",
    "node.enrol",
)
IDENTITY_GONE = (
    "node.settings_table",
    "node.enrol",
    "node.identity",
    "node.hedge",
    "node.crypto",
    "citymote_protocol.p256",
    "citymote_protocol.keying",
    "citymote_protocol.primitives",
    "citymote_protocol.crypto",
    "citymote_protocol.hkdf",
    "citymote_protocol.aesccm",
)
FIT = (
    "node.drivers.fault",
    "citymote_protocol.quantities",
    "node.statistics",
    "node.plausibility",
    "node.sensor",
    "node.sampling",
    "node.clock",
    "node.supervisor",
    "node.node",
    "node.fitting",
    "node.startup",
)
FIT_GONE = ("node.fitting", "citymote_protocol.quantity_names")
STORE = (
    "citymote_protocol.columns",
    "citymote_protocol.header",
    "citymote_protocol.times",
    "citymote_protocol.batch",
    "node.batch",
    "node.dating",
    "node.log",
    "node.recovery",
    "node.store",
)
STORE_GONE = ("node.recovery",)
LINK = ("node.links.mqtt", "node.telemetry")
ABOUT = ("citymote_protocol.body", "citymote_protocol.descriptor", "node.version", "node.describe")
ABOUT_GONE = (
    "node.version",
    "node.describe",
    "citymote_protocol.body",
    "citymote_protocol.descriptor",
    "citymote_protocol.quantity_names",
)
STATUS = ("citymote_protocol.event", "node.health")
GONE = ("node.console", "node.describe", "node.startup", "node.stages", "citymote_protocol.quantity_names")
