"""RFC 9529, section 3: the trace for method 3 and suite 2, and both its parties, for the tests of EDHOC.

Keys, credentials, messages and secrets are those of the standard. Plain functions, since MicroPython runs this, too.
"""

import sys

from citymote_protocol.edhoc import EdhocError
from citymote_protocol.edhoc_initiator import Initiator
from citymote_protocol.edhoc_responder import Responder
from citymote_protocol.p256 import run

if sys.implementation.name == "micropython":
    from node.crypto import NodeCrypto as Crypto
else:
    from citymote.crypto import HostCrypto as Crypto


def random_bytes(count):
    return bytes(range(0xA7 - count, 0xA7))


CRYPTO = Crypto(random_bytes)


def unhex(text):
    return bytes.fromhex(text)


# RFC 9529, section 3
X = unhex("368ec1f69aeb659ba37d5a8d45b21bdc0299dceaa8ef235f3ca42ce3530f9525")
G_X = unhex("8af6f430ebe18d34184017a9a11bf511c8dff8f834730b96c1b7c8dbca2fc3b6")
Y = unhex("e2f4126777205e853b437d6eaca1e1f753cdcc3e2c69fa884b0a1a640977e418")
G_Y = unhex("419701d7f00a26c2dc587a36dd752549f33763c893422c8ea0f955a13a4ff5d5")
SK_R = unhex("72cc4761dbd4c78f758931aa589d348d1ef874a7e303ede2f140dcf3e6aa4aac")
SK_I = unhex("fb13adeb6518cee5f88417660841142e830a81fe334380a953406a1305e8706b")
CRED_R = unhex(
    "a2026b6578616d706c652e65647508a101a501020241322001215820bbc34960526ea4d32e940cad2a234148ddc21791"
    "a12afbcbac93622046dd44f02258204519e257236b2a0ce2023f0931f1f386ca7afda64fcde0108c224c51eabf6072"
)
CRED_I = unhex(
    "a2027734322d35302d33312d46462d45462d33372d33322d333908a101a5010202412b2001215820ac75e9ece3e50bfc8ed6039988952240"
    "5c47bf16df96660a41298cb4307f7eb62258206e5de611388a4b8a8211334ac7d37ecb52a387d257e6db3c2a93df21ff3affc8"
)
MESSAGE_1_FIRST = unhex("03065820741a13d7ba048fbb615e94386aa3b61bea5b3d8f65f32620b749bee8d278efa90e")
ERROR = unhex("0202")
MESSAGE_1 = unhex("0382060258208af6f430ebe18d34184017a9a11bf511c8dff8f834730b96c1b7c8dbca2fc3b637")
MESSAGE_2 = unhex("582b419701d7f00a26c2dc587a36dd752549f33763c893422c8ea0f955a13a4ff5d59862a1eef9e0e7e1886fcd")
MESSAGE_3 = unhex("52e562097bc417dd5919485ac7891ffd90a9fc")
MESSAGE_4 = unhex("4828c966b7ca304f83")
PRK_EXPORTER = unhex("e14d06699cee248c5a04bf9227bbcd4ce394de7dcb56db43555474171e6446db")
MASTER_SECRET = unhex("f9868f6a3aca78a05d1485b35030b162")
MASTER_SALT = unhex("ada24c7dbfc85eeb")

G_X_OTHER = "5820741a13d7ba048fbb615e94386aa3b61bea5b3d8f65f32620b749bee8d278efa9"

PAIR_X = (X, b"\x03" + G_X)
PAIR_Y = (Y, b"\x02" + G_Y)


def find(kid):
    return CRED_I if kid == b"\x2b" else None


def new_responder(**more):
    return Responder(CRYPTO, SK_R, CRED_R, b"\x32", PAIR_Y, (b"\x27", b"\x26"), find, **more)


def new_initiator(**more):
    if "by_value" not in more:
        more["by_value"] = False
    return Initiator(CRYPTO, SK_I, CRED_I, b"\x2b", PAIR_X, b"\x37", **more)


def refused(steps):
    """The EdhocError that a generator ends with."""
    try:
        run(steps)
    except EdhocError as error:
        return error
    raise AssertionError("nothing was refused")


def whole(initiator, responder, expected=None, change=None):
    """Both sides to the end; `change(number, message)` stands in between. Returns (initiator's keys, responder)."""
    change = change or (lambda number, message: message)
    message = change(2, run(responder.message_1_steps(change(1, initiator.message_1()))))
    run(initiator.message_2_steps(message))
    message = change(4, run(responder.message_3_steps(change(3, run(initiator.message_3_steps(expected or CRED_R))))))
    return initiator.message_4(message), responder
