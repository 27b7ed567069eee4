"""Claims and delegations of the golden vectors, and what a node that knows this much judges of each: SPEC 13.8, 13.9.

Signatures are made with numbers that follow from key and digest, so that they can be made again to the byte.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from citymote_protocol import cbor as _cbor
from citymote_protocol import claim as _claim
from citymote_protocol import delegation as _delegation
from citymote_protocol import p256 as _p256
from citymote_protocol import sign1 as _sign1
from session_parties import CRYPTO, HOST, KID, LABEL_SECRET, NODE, OWNER, SESSIONS, Case, public

# Untyped, because the node runs them too.
cbor: Any = _cbor
claim: Any = _claim
delegation: Any = _delegation
p256: Any = _p256
sign1: Any = _sign1


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
