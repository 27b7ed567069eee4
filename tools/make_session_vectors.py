"""Writes protocol/vectors/{coap,edhoc,oscore,claims,delegations,session}-*.json: SPEC chapters 12 and 13.

Everything in them is made again to the byte each time: private keys, ephemeral keys and the numbers of signatures are
SHA-256 of sentences, published and therefore worthless. Golden files are never edited in place; so this only writes
what is not there, and fails when what is there differs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "protocol"), str(TOP / "host_sdk")]

from citymote.crypto import HostCrypto  # noqa: E402
from citymote_protocol import cbor as _cbor  # noqa: E402
from citymote_protocol import ccs as _ccs  # noqa: E402
from citymote_protocol import claim as _claim  # noqa: E402
from citymote_protocol import coap as _coap  # noqa: E402
from citymote_protocol import coap_client as _coap_client  # noqa: E402
from citymote_protocol import coap_udp as _coap_udp  # noqa: E402
from citymote_protocol import delegation as _delegation  # noqa: E402
from citymote_protocol import edhoc as _edhoc  # noqa: E402
from citymote_protocol import oscore as _oscore  # noqa: E402
from citymote_protocol import oscore_client as _oscore_client  # noqa: E402
from citymote_protocol import oscore_server as _oscore_server  # noqa: E402
from citymote_protocol import p256 as _p256  # noqa: E402
from citymote_protocol import sign1 as _sign1  # noqa: E402
from citymote_protocol.edhoc_initiator import Initiator as _Initiator  # noqa: E402
from citymote_protocol.edhoc_responder import Responder as _Responder  # noqa: E402
from citymote_protocol.errors import FrameError  # noqa: E402
from golden import write  # noqa: E402

# Untyped, because the node runs them too.
cbor: Any = _cbor
ccs: Any = _ccs
claim: Any = _claim
coap: Any = _coap
coap_udp: Any = _coap_udp
delegation: Any = _delegation
edhoc: Any = _edhoc
oscore: Any = _oscore
p256: Any = _p256
sign1: Any = _sign1
coap_client: Any = _coap_client
oscore_client: Any = _oscore_client
oscore_server: Any = _oscore_server
request: Any = coap_client.request
Initiator: Any = _Initiator
Responder: Any = _Responder
protect_request: Any = oscore_client.protect_request
open_request: Any = oscore_server.open_request

CRYPTO: Any = HostCrypto()
Case = dict[str, Any]


def secret(sentence: str) -> bytes:
    return sha256(sentence.encode()).digest()


def public(private: bytes) -> bytes:
    return p256.public_key(private, None)


def pair(sentence: str) -> tuple[bytes, bytes]:
    return secret(sentence), public(secret(sentence))


NODE = pair("citymote test node 1")
KID = sha256(NODE[1]).digest()[:6]
HOST = pair("citymote test host 1")
HOST_KID = sha256(HOST[1]).digest()[:6]
OWNER = pair("citymote test owner 1")
LABEL_SECRET = secret("citymote test label 1")[:16]


def plain(message: Any) -> Case:
    return {
        "code": message.code,
        "token": message.token.hex(),
        "options": [[number, value.hex()] for number, value in message.options],
        "payload": message.payload.hex(),
    }


# CoAP


def messages() -> list[Case]:
    message = coap.Message
    path = coap.path_options
    made: list[tuple[str, int, int, Any]] = [
        ("RFC 7252, figure 16, request", 0, 0x7D34, message(1, b"", path("temperature"))),
        ("RFC 7252, figure 16, response", 2, 0x7D34, message(0x45, b"", [], b"22.3 C")),
        ("RFC 7252, figure 17, request", 0, 0x7D35, message(1, b"\x20", path("temperature"))),
        ("empty acknowledgement", 2, 0x7D38, message(0)),
        ("reset", 3, 1, message(0)),
        ("a handshake's first message, in outline", 0, 2, message(2, b"\x01", path(".well-known/edhoc"), b"\xf5")),
        ("an option in each form of delta", 1, 3, message(1, b"", [(12, b""), (25, b""), (294, b""), (700, b"")])),
        ("an option in each form of length", 1, 4, message(3, b"", [(11, bytes(n)) for n in (0, 12, 13, 268, 269)])),
        ("the highest option number", 1, 5, message(1, b"", [(65535, b"x")])),
        ("24 options", 1, 6, message(1, b"", [(11, b"")] * 24)),
        ("a token of 8 bytes", 0, 7, message(0x45, b"12345678", [(12, b"\x3c")], b"\xa0")),
        ("1152 bytes", 0, 8, message(0x45, b"", [], bytes(1147))),
        ("Block2 2/1/128 and Size2", 2, 9,
         message(0x45, b"t", [(4, b"etag"), (23, b"\x2b"), (28, b"\x01\x2c")], b"b" * 128)),
        ("Observe and Echo", 0, 10, message(1, b"t", [(6, b""), (252, b"0123456789ab")])),
    ]  # fmt: skip
    return [
        {"name": name, "hex": coap_udp.encode(kind, mid, each).hex(), "type": kind, "mid": mid, **plain(each)}
        for name, kind, mid, each in made
    ]


def bad_messages() -> list[Case]:
    head = "40010000"
    cases: list[tuple[str, str, str]] = [
        ("nothing", "", "truncated"),
        ("three bytes", "400100", "truncated"),
        ("version 0", "00010000", "coap_version"),
        ("version 2", "80010000", "coap_version"),
        ("a token of 9 bytes", "49010000" + "00" * 9, "token_length"),
        ("a token of 15 bytes", "4f010000" + "00" * 15, "token_length"),
        ("a token cut short", "44010000000000", "truncated"),
        ("an empty message with a token", "4100000000", "empty_message"),
        ("an empty message with a payload", "40000000ff00", "empty_message"),
        ("code 1.00", "40200000", "code_class"),
        ("code 6.00", "40c00000", "code_class"),
        ("code 7.31", "40ff0000", "code_class"),
        ("a marker and no payload", head + "ff", "marker"),
        ("a marker behind an option and no payload", head + "b161ff", "marker"),
        ("a delta of 15", head + "f0", "option_head"),
        ("a length of 15", head + "0f", "option_head"),
        ("a delta without its byte", head + "d0", "truncated"),
        ("a delta without its second byte", head + "e000", "truncated"),
        ("a length without its byte", head + "0d", "truncated"),
        ("a value cut short", head + "b261", "truncated"),
        ("65804 bytes announced", head + "beffff", "truncated"),
        ("option 65804", head + "e0ffff", "option_number"),
        ("option 65535 and one more", head + "e0fef210", "option_number"),
        ("25 options", head + "00" * 25, "options"),
    ]
    cases.append(("1153 bytes", head + "ff" + "00" * 1148, "too_large"))
    return [{"name": name, "hex": data, "error": error} for name, data, error in cases]


# EDHOC


class Session:
    """One session with everything in it: what it says, and the keys it ends with."""

    def __init__(self, name: str, i_value: bool, r_value: bool = False, suites: tuple[int, ...] = ()) -> None:
        self.name = name
        self.x, self.y = pair(f"citymote test ephemeral I, {name}"), pair(f"citymote test ephemeral R, {name}")
        self.c_i, self.c_r = b"\x0e", b"\x27"
        self.i_value, self.r_value, self.suites = i_value, r_value, suites
        self.cred_i, self.cred_r = ccs.write(HOST_KID, HOST[1]), ccs.write(KID, NODE[1])

    def initiator(self) -> Any:
        return Initiator(
            CRYPTO, HOST[0], self.cred_i, HOST_KID, self.x, self.c_i, by_value=self.i_value, suites=self.suites
        )

    def responder(self) -> Any:
        find = {HOST_KID: self.cred_i}.get
        return Responder(
            CRYPTO, NODE[0], self.cred_r, KID, self.y, (self.c_r, b"\x00"), find, by_value=self.r_value
        )  # fmt: skip

    def run(self) -> tuple[list[bytes], Any, Any]:
        initiator, responder = self.initiator(), self.responder()
        said = [initiator.message_1()]
        said.append(p256.run(responder.message_1_steps(said[0])))
        p256.run(initiator.message_2_steps(said[1]))
        said.append(p256.run(initiator.message_3_steps(self.cred_r)))
        said.append(p256.run(responder.message_3_steps(said[2])))
        return said, initiator.message_4(said[3]), responder

    def case(self) -> Case:
        said, keys, _ = self.run()
        client = keys.oscore(True)
        return {
            "name": self.name,
            "initiator_private": HOST[0].hex(),
            "initiator_credential": self.cred_i.hex(),
            "initiator_by_value": self.i_value,
            "initiator_kid": HOST_KID.hex(),
            "initiator_ephemeral": self.x[0].hex(),
            "initiator_suites": list(self.suites),
            "responder_private": NODE[0].hex(),
            "responder_credential": self.cred_r.hex(),
            "responder_by_value": self.r_value,
            "responder_kid": KID.hex(),
            "responder_ephemeral": self.y[0].hex(),
            "c_i": self.c_i.hex(),
            "c_r": self.c_r.hex(),
            **{f"message_{number}": message.hex() for number, message in enumerate(said, 1)},
            "master_secret": keys.exporter(0, b"", 16).hex(),
            "master_salt": keys.exporter(1, b"", 8).hex(),
            "exporter_32768": keys.exporter(32768, b"", 32).hex(),
            "initiator_sender_key": client.sender_key.hex(),
            "responder_sender_key": client.recipient_key.hex(),
            "common_iv": client.common_iv.hex(),
        }


SESSIONS = [
    Session("a host by value: a claim", True),
    Session("a host by reference", False),
    Session("both by value", True, True),
    Session("a host that prefers suite 6", True, suites=(6,)),
]


def refused(steps: Any) -> tuple[str, bytes]:
    try:
        p256.run(steps)
    except edhoc.EdhocError as error:
        return error.code, error.message
    raise AssertionError("a bad message was taken")


def bad_edhoc() -> list[Case]:
    session = SESSIONS[0]
    said, _, _ = session.run()
    first, third = said[0], said[2]
    g_x = first[2:36]
    ones: list[tuple[str, bytes]] = [
        ("nothing", b""),
        ("an array around it", b"\x84" + first),
        ("cut in G_X", first[:20]),
        ("without C_I", first[:-1]),
        ("method 0", b"\x00" + first[1:]),
        ("method 4", b"\x04" + first[1:]),
        ("suite 0", b"\x03\x00" + first[2:]),
        ("suite 3", b"\x03\x03" + first[2:]),
        ("suite 2 preferred to 6", b"\x03\x82\x02\x06" + first[2:]),
        ("suite 2 twice", b"\x03\x82\x02\x02" + first[2:]),
        ("an array of one suite", b"\x03\x81\x02" + first[2:]),
        ("nine suites", b"\x03\x89" + bytes(8) + b"\x02" + first[2:]),
        ("G_X of 31 bytes", b"\x03\x02\x58\x1f" + g_x[3:] + b"\x0e"),
        ("G_X over the prime", b"\x03\x02\x58\x20" + b"\xff" * 32 + b"\x0e"),
        ("G_X off the curve", b"\x03\x02\x58\x20" + bytes(31) + b"\x01\x0e"),
        ("C_I as a byte string", first[:-1] + b"\x41\x0e"),
        ("C_I of 8 bytes", first[:-1] + b"\x48" + bytes(8)),
        ("a long form of METHOD", b"\x18\x03" + first[1:]),
        ("a critical item that nobody knows", first + b"\x39\xfd\xe8"),
        ("five items", first + bytes(5)),
        ("text for an item", first + b"\x60"),
        ("an item of 65 bytes", first + b"\x00\x58\x41" + bytes(65)),
        ("513 bytes", first + bytes(513 - len(first))),
    ]
    made: list[Case] = []
    for name, data in ones:
        code, message = refused(session.responder().message_1_steps(data))
        made.append({"name": name, "message_1": data.hex(), "error": code, "answer": message.hex()})

    def flip(data: bytes, place: int) -> bytes:
        return data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]

    threes: list[tuple[str, bytes]] = [
        ("no message_3", b""),
        ("message_3 with a byte behind it", third + b"\x00"),
        ("message_3 without ciphertext", b"\x48" + bytes(8)),
        ("message_3 altered", flip(third, 10)),
        ("the tag of message_3 altered", flip(third, len(third) - 1)),
    ]

    def inside(name: str, change: Callable[[Any], None]) -> None:
        initiator = session.initiator()
        initiator.message_1()
        p256.run(initiator.message_2_steps(said[1]))
        change(initiator)
        threes.append((name, p256.run(initiator.message_3_steps(session.cred_r))))

    def other_key(initiator: Any) -> None:
        initiator._private = secret("another key")

    def stranger(initiator: Any) -> None:
        initiator._kid = b"\x2c"

    def no_point(initiator: Any) -> None:
        initiator._credential = ccs.write(HOST_KID, bytes(31) + b"\x01")

    def no_key(initiator: Any) -> None:
        initiator._credential = b"\xa1\x02\x61a"

    def critical(initiator: Any) -> None:
        initiator.ead_3 = b"\x24"

    inside("the key of somebody else", other_key)
    inside("a kid that nobody knows", stranger)
    inside("a credential off the curve", no_point)
    inside("a credential without a key", no_key)
    inside("a critical item in EAD_3", critical)
    for name, data in threes:
        responder = session.responder()
        p256.run(responder.message_1_steps(first))
        code, message = refused(responder.message_3_steps(data))
        case = {"name": name, "session": 0, "message_3": data.hex(), "error": code, "answer": message.hex()}
        made.append(case)
    return made


# OSCORE


def only(context: Any) -> Callable[[Any, Any], Any]:
    """A server's look-up of contexts, where there is one."""

    def find(_kid: Any, _about: Any) -> Any:
        return context

    return find


def oscore_messages() -> list[Case]:
    _, keys, responder = SESSIONS[0].run()
    client, server = keys.oscore(True), responder.keys.oscore(False)
    made: list[Case] = []
    asked: list[tuple[str, int, Any, Any]] = [
        ("a claim", 0, request(2, "claim", b"body"), coap.Message(0x44)),
        ("a configuration, with Uri-Host outside", 1, request(3, "config", b"{}", [(3, b"node"), (12, b"\x3c")]),
         coap.Message(0x44)),
        ("an error answer", 0xFF, request(1, "nothing"), coap.Message(0x84, b"", [(14, b"")], b"no such thing")),
        ("a block of an answer", 0x100, request(1, "log", b"", [(23, b"\x12")]),
         coap.Message(0x45, b"", [(4, b"etag"), (23, b"\x1a")], b"l" * 64)),
        ("a demand for Echo", 0x0FFFFE, request(2, "reset"), coap.Message(0x81, b"", [(252, b"0123456789ab")])),
        ("the last number", 0x0FFFFF, request(2, "reset", b"", [(252, b"0123456789ab")]), coap.Message(0x44)),
    ]  # fmt: skip
    for mid, (name, number, message, answer) in enumerate(asked, 1):
        client.sequence = number
        message.token = answer.token = bytes((mid,))
        outer, _ = protect_request(CRYPTO, client, message)
        _, binding = open_request(CRYPTO, only(server), outer)
        made.append(
            {
                "name": name,
                "session": 0,
                "number": number,
                "request": coap_udp.encode(0, mid, message).hex(),
                "protected_request": coap_udp.encode(0, mid, outer).hex(),
                "response": coap_udp.encode(2, mid, answer).hex(),
                "protected_response": coap_udp.encode(2, mid, binding.protect(CRYPTO, answer)).hex(),
            }
        )
    client.sequence = 7
    server.newest, server.seen = -1, 0
    message = request(1, "live", b"", [(6, b"")])
    message.token = b"o"
    outer, _ = protect_request(CRYPTO, client, message)
    _, binding = open_request(CRYPTO, only(server), outer)
    told: list[Case] = []
    for count in range(3):
        answer = coap.Message(0x45, b"o", [(6, coap.uint_bytes(count))], b"%d" % count)
        told.append(
            {
                "notification": coap_udp.encode(1, 100 + count, answer).hex(),
                "protected": coap_udp.encode(1, 100 + count, binding.protect(CRYPTO, answer)).hex(),
            }
        )
    made.append(
        {
            "name": "an observation",
            "session": 0,
            "number": 7,
            "request": coap_udp.encode(0, 99, message).hex(),
            "protected_request": coap_udp.encode(0, 99, outer).hex(),
            "notifications": told,
        }
    )
    return made


def bad_oscore() -> list[Case]:
    _, keys, _ = SESSIONS[0].run()
    client = keys.oscore(True)
    good, _ = protect_request(CRYPTO, client, request(2, "claim", b"body"))
    kid = client.sender_id
    flipped = bytes((good.payload[0] ^ 1,)) + good.payload[1:]
    cases: list[tuple[str, bytes, bytes, str]] = [
        ("a reserved flag", b"\x29\x00" + kid, good.payload, oscore.OPTION),
        ("a Partial IV of 6 bytes", b"\x0e" + bytes(6) + kid, good.payload, oscore.OPTION),
        ("a Partial IV with a leading zero", b"\x0a\x00\x01" + kid, good.payload, oscore.OPTION),
        ("a Partial IV cut short", b"\x0b\x01", good.payload, oscore.OPTION),
        ("a kid context cut short", b"\x19\x00\x05" + kid, good.payload, oscore.OPTION),
        ("flags of zero, spelled out", b"\x00", good.payload, oscore.OPTION),
        ("no kid", b"\x01\x00", good.payload, oscore.OPTION),
        ("no Partial IV", b"\x08" + kid, good.payload, oscore.OPTION),
        ("no payload", b"\x09\x00" + kid, b"", oscore.OPTION),
        ("another kid", b"\x09\x00\x05", good.payload, oscore.NO_CONTEXT),
        ("a kid context", b"\x19\x00\x01\x00" + kid, good.payload, oscore.NO_CONTEXT),
        ("an altered ciphertext", b"\x09\x00" + kid, flipped, oscore.DECRYPTION),
        ("another number", b"\x09\x01" + kid, good.payload, oscore.DECRYPTION),
        ("a tag around nothing", b"\x09\x00" + kid, bytes(8), oscore.DECRYPTION),
    ]
    return [
        {
            "name": name,
            "session": 0,
            "request": coap_udp.encode(0, 1, coap.Message(2, b"t", [(9, option)], payload)).hex(),
            "error": error,
        }
        for name, option, payload, error in cases
    ]


# Claims and delegations


def claims() -> list[Case]:
    _, keys, _ = SESSIONS[0].run()
    bound = claim.exported(keys)
    key = claim.claim_key(CRYPTO, LABEL_SECRET)
    tag = claim.claim_tag(CRYPTO, key, bound, OWNER[1])
    body = claim.write(OWNER[1], tag)
    common = {"secret": LABEL_SECRET.hex(), "exported": bound.hex()}
    good = {"name": "a claim in session 0", **common, "key": key.hex(), "owner": OWNER[1].hex(), "tag": tag.hex()}
    made: list[Case] = [{**good, "body": body.hex()}]
    other = claim.claim_tag(CRYPTO, key, bytes(32), OWNER[1])
    bad: list[tuple[str, bytes, str]] = [
        ("T of another session", claim.write(OWNER[1], other), claim.REFUSED),
        ("T for another owner", claim.write(HOST[1], tag), claim.REFUSED),
        ("T altered", body[:-1] + bytes((body[-1] ^ 1,)), claim.REFUSED),
        ("version 2", b"\x83\x02" + body[2:], "range"),
        ("an array of two", b"\x82" + body[1:37], "range"),
        ("a key with 04 in front", body.replace(b"\x58\x21" + OWNER[1][:1], b"\x58\x21\x04"), claim.OWNER),
        ("a key of 32 bytes", b"\x83\x01\x58\x20" + OWNER[1][1:] + body[37:], claim.OWNER),
        ("T of 31 bytes", claim.write(OWNER[1], tag[:31]), "range"),
        ("a byte behind it", body + b"\x00", "trailing"),
        ("cut short", body[:-1], "truncated"),
    ]
    return made + [{"name": name, **common, "body": data.hex(), "error": error} for name, data, error in bad]


def sign(private: bytes, digest: bytes) -> bytes:
    """ECDSA with a number that follows from key and digest: for published keys, so that it can be made again."""
    n: int = p256.N
    k = int.from_bytes(sha256(private + digest).digest(), "big") % n
    r = int.from_bytes(public(k.to_bytes(32, "big"))[1:], "big") % n
    d, z = int.from_bytes(private, "big"), int.from_bytes(digest, "big")
    s = pow(k, -1, n) * (z + r * d) % n
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def statement(payload: bytes, purpose: bytes = delegation.PURPOSE, key: bytes = OWNER[0]) -> bytes:
    return sign1.write(payload, sign(key, sha256(sign1.to_be_signed(payload, purpose)).digest()))


def delegations() -> list[Case]:
    node = KID.hex()
    given: Case = {
        "owner": OWNER[1].hex(),
        "issuer": sha256(OWNER[1]).digest()[:6].hex(),
        "node": node,
        "site": "harbour",
        "epoch": 3,
        "x": HOST[1][1:].hex(),
        "now": 848_000_000,
        "nonce": None,
    }
    cnf = cbor.Pairs([(1, cbor.Pairs([(1, 2), (-1, 1), (-2, HOST[1][1:])]))])
    right: dict[int, Any] = {
        1: given["issuer"],
        3: node,
        4: 848_000_000 + delegation.UNIX_2000 + 3600,
        5: 848_000_000 + delegation.UNIX_2000 - 3600,
        7: b"12345678",
        8: cnf,
        9: "installer",
        -65537: 3,
    }

    def cwt(**changes: Any) -> bytes:
        numbers = {
            "iss": 1,
            "aud": 3,
            "exp": 4,
            "nbf": 5,
            "cti": 7,
            "cnf": 8,
            "scope": 9,
            "cnonce": 39,
            "epoch": -65537,
        }
        claims = {**right, **{numbers.get(name, 6): value for name, value in changes.items()}}
        return cbor.dumps(cbor.Pairs([(label, value) for label, value in claims.items() if value is not None]))

    good = statement(cwt())
    unix = delegation.UNIX_2000
    late, early = right[4] - unix, right[5] - unix - 1
    cases: list[tuple[str, bytes, Case, str | None, str | None]] = [
        ("for one node", good, {}, "installer", None),
        ("for a site and others", statement(cwt(aud=["000000000000", "site:harbour"])), {}, "installer", None),
        ("to read", statement(cwt(scope="reader")), {}, "reader", None),
        ("without a beginning", statement(cwt(nbf=None)), {"now": early}, "installer", None),
        ("a higher epoch", statement(cwt(epoch=4)), {}, "installer", None),
        ("for a nonce", statement(cwt(cnonce=b"nonce123")), {"nonce": b"nonce123".hex()}, "installer", None),
        ("at a node that does not know the time", good, {"now": None}, "installer", None),
        ("not a statement", good[1:], {}, None, "type"),
        ("ES256 instead of ESP256", good.replace(b"\xa1\x01\x28", b"\xa1\x01\x26"), {}, None, sign1.HEADER),
        ("another key", statement(cwt(), key=HOST[0]), {}, None, sign1.SIGNATURE),
        ("another purpose", statement(cwt(), b"citymote transfer 1"), {}, None, sign1.SIGNATURE),
        ("an altered payload", good.replace(b"installer", b"inspector"), {}, None, sign1.SIGNATURE),
        ("a signature of 63 bytes", good[:-66] + b"\x58\x3f" + good[-63:], {}, None, sign1.SIGNATURE),
        ("a byte behind it", good + b"\x00", {}, None, "trailing"),
        ("an unknown claim", statement(cwt(other=1)), {}, None, "critical"),
        ("no role", statement(cwt(scope=None)), {}, None, "missing"),
        ("no epoch", statement(cwt(epoch=None)), {}, None, "missing"),
        ("another owner's", good, {"issuer": "000000000000"}, None, delegation.ISSUER),
        ("of an epoch that is over", good, {"epoch": 4}, None, delegation.EPOCH),
        ("for another node", good, {"node": "000000000000"}, None, delegation.AUDIENCE),
        ("for another site", statement(cwt(aud="site:hill")), {}, None, delegation.AUDIENCE),
        ("for another peer", good, {"x": NODE[1][1:].hex()}, None, delegation.CONFIRMATION),
        ("for a role that is none", statement(cwt(scope="god")), {}, None, delegation.SCOPE),
        ("for another nonce", statement(cwt(cnonce=b"nonce124")), {"nonce": b"nonce123".hex()}, None, delegation.NONCE),
        ("expired", good, {"now": late}, None, delegation.EXPIRED),
        ("early", good, {"now": early}, None, delegation.EARLY),
    ]
    return [
        {"name": name, "statement": data.hex(), **given, **changes, **({"role": role} if role else {"error": error})}
        for name, data, changes, role, error in cases
    ]


# Codes


def errors() -> list[Case]:
    """Every code of chapters 12 and 13 that chapter 8 has not, as their tables have it."""
    made: list[Case] = []
    for name in ("12-requests.md", "13-sessions.md"):
        text = (TOP / "protocol" / "spec" / name).read_text(encoding="utf-8")
        for line in text.splitlines():
            found = re.match(r"\| (1[23]\.\d+\.\d+) \| (.+) \| ((?:`[a-z_0-9]+`|, |those of 1\.2)+) \|$", line)
            if found:
                made += [{"code": code, "clause": found[1]} for code in re.findall(r"`([a-z_0-9]+)`", found[3])]
    made.append({"code": "credential", "clause": "13.2"})
    chapter = (TOP / "protocol" / "spec" / "13-sessions.md").read_text(encoding="utf-8")
    table = chapter.split("## 13.3")[1].split("## 13.4")[0]
    codes = " ".join(re.findall(r"^\| \d \| .+ \| (.+) \| .+ \|$", table, re.MULTILINE))
    made += [{"code": code, "clause": "13.3"} for code in re.findall(r"`([a-z_]+)`", codes)]
    first: dict[str, Case] = {}
    for case in made:
        first.setdefault(case["code"], case)
    return list(first.values())


def resource_errors() -> list[Case]:
    """Every code of chapter 16's table, with its clause and the CoAP code that it comes with."""
    text = (TOP / "protocol" / "spec" / "16-resources.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (16\.11\.\d+) \| (.+) \| `(\d\.\d\d)` \| `([a-z_]+)` \|$", text, re.MULTILINE)
    return [{"code": code, "clause": clause, "coap": coap, "what": what} for clause, what, coap, code in rows]


@contextmanager
def refusing() -> Generator[None]:
    try:
        yield
    except FrameError as error:
        raise AssertionError(f"a right case was refused: {error}") from error


FILES: tuple[tuple[str, str, Callable[[], list[Case]]], ...] = (
    ("coap-messages", "SPEC 12.2: messages of UDP, in both directions.", messages),
    ("coap-bad", "SPEC 12.2: what is refused, with its code.", bad_messages),
    ("edhoc-sessions", "SPEC 13.1 to 13.3: whole sessions, in both roles.", lambda: [s.case() for s in SESSIONS]),
    ("edhoc-bad", "SPEC 13.3: what a responder refuses; message_3 comes in the session named.", bad_edhoc),
    ("oscore-messages", "SPEC 12.5: under the keys of a session in edhoc-sessions.json.", oscore_messages),
    ("oscore-bad", "SPEC 12.5: requests that a server with that session's context refuses.", bad_oscore),
    ("claims", "SPEC 13.8: claims at a node with this secret, in the session of this value.", claims),
    ("delegations", "SPEC 13.9: what a node that knows this judges.", delegations),
    ("session-errors", "SPEC chapters 12 and 13: their codes and clauses.", errors),
    ("resource-errors", "SPEC 16.11: their codes and clauses, and the CoAP code of the answer.", resource_errors),
)


def main() -> int:
    with refusing():
        good = [write(f"{name}.json", what, make()) for name, what, make in FILES]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
