"""Who is in the vectors of sessions: a node, a host and an owner, with keys, and the sessions that they have had.

Private and ephemeral keys are SHA-256 of sentences, published and therefore worthless; so a session is the same to the
byte each time, and vectors of several files can be of one session.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from citymote.crypto import HostCrypto
from citymote_protocol import ccs as _ccs
from citymote_protocol import p256 as _p256
from citymote_protocol.edhoc_initiator import Initiator as _Initiator
from citymote_protocol.edhoc_responder import Responder as _Responder

# Untyped, because the node runs them too.
ccs: Any = _ccs
p256: Any = _p256
Initiator: Any = _Initiator
Responder: Any = _Responder

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
