"""In which order a desk's modules are loaded, for the short stack of a small chip, and when they go: PASSING after the
requests that wanted them, all three with the desk. tests/firmware/test_stages.py holds the lists to the sources.
"""

# What a request or a handshake has loaded and the next one seldom needs
PASSING = (
    "node.access.bodies",
    "citymote_protocol.cbor",
    "node.access.admit",
    "node.access.tell",
    "node.access.configure",
    "node.access.possess",
    "node.settings_table",
    "node.version",
    "citymote_protocol.claim",
    "citymote_protocol.delegation",
    "citymote_protocol.sign1",
    "citymote_protocol.event",
    "citymote_protocol.edhoc_responder",
    "citymote_protocol.edhoc",
    "citymote_protocol.ccs",
    "citymote_protocol.oscore_derive",
    "citymote_protocol.keying",
    "citymote_protocol.p256",
    "citymote_protocol.primitives",
    "citymote_protocol.aesccm",
    "citymote_protocol.hkdf",
)
SERVE = (
    "citymote_protocol.errors",
    "citymote_protocol.limits",
    "citymote_protocol.cbor_write",
    "citymote_protocol.cbor_read",
    "citymote_protocol.cbor_bytes",
    "citymote_protocol.coap",
    "citymote_protocol.crypto",
    "citymote_protocol.coap_server",
    "citymote_protocol.handshake",
    "citymote_protocol.limiter",
    "citymote_protocol.sessions",
    "node.crypto",
    "node.access.offers",
    "node.access.desk",
)
# What goes with the desk, beside these two: it is loaded where a message asks for it
CLOSED = (
    "citymote_protocol.echo",
    "citymote_protocol.oscore",
    "citymote_protocol.oscore_server",
    "citymote_protocol.block",
    "citymote_protocol.block_server",
    "citymote_protocol.observe",
    "citymote_protocol.quantity_names",
    "node.access.opening",
    "node.describe",
    "citymote_protocol.descriptor",
    "citymote_protocol.body",
    "node.update.resources",
    "node.sound.calibrate",
)
