"""Writes protocol/vectors/sealed-*.json: key agreement, envelopes and bad envelopes of SPEC chapter 5.

The keys in these files are published and therefore worthless: each private key is SHA-256 of a sentence. Golden files
are never edited in place; so this only writes what is not there, and fails when what is there differs.
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "protocol"), str(TOP / "host_sdk")]

from citymote.crypto import HostCrypto  # noqa: E402
from citymote_protocol import cose as _cose  # noqa: E402
from citymote_protocol import p256 as _p256  # noqa: E402
from citymote_protocol import plain as _plain  # noqa: E402
from citymote_protocol import sealing as _sealing  # noqa: E402
from golden import VECTORS, write  # noqa: E402

# Untyped, because the node runs them too.
cose: Any = _cose
p256: Any = _p256
plain: Any = _plain
sealing: Any = _sealing

CRYPTO = HostCrypto()


def private(sentence: str) -> bytes:
    return sha256(sentence.encode()).digest()


NODES = [private(f"citymote test node {i}") for i in (1, 2)]
COLLECTORS = [private(f"citymote test collector {i}") for i in (1, 2)]


def public(key: bytes) -> bytes:
    return p256.public_key(key, None)


def name(key: bytes) -> bytes:
    return sealing.node_id(sha256, public(key))


def derivation(node: bytes, collector: bytes, boot_counter: int, random8: bytes) -> dict[str, Any]:
    boot_id = boot_counter.to_bytes(4, "big") + random8
    secret = p256.ecdh(node, public(collector), None)
    hashed = sha256(public(collector)).digest()
    key, base_iv = sealing.derive(CRYPTO, secret, boot_id, name(node), hashed)
    return {
        "node_private": node.hex(),
        "node_public": public(node).hex(),
        "node": name(node).hex(),
        "collector_private": collector.hex(),
        "collector_public": public(collector).hex(),
        "boot_counter": boot_counter,
        "random": random8.hex(),
        "boot_id": boot_id.hex(),
        "secret": secret.hex(),
        "key_context": sealing.kdf_context(name(node), hashed, False).hex(),
        "iv_context": sealing.kdf_context(name(node), hashed, True).hex(),
        "key": key.hex(),
        "base_iv": base_iv.hex(),
    }


def keys() -> list[dict[str, Any]]:
    made = [
        derivation(NODES[0], COLLECTORS[0], 1, bytes.fromhex("0123456789abcdef")),
        derivation(NODES[0], COLLECTORS[0], 2, bytes.fromhex("0123456789abcdef")),
        derivation(NODES[0], COLLECTORS[1], 1, bytes.fromhex("0123456789abcdef")),
        derivation(NODES[1], COLLECTORS[0], 0xFFFFFFFF, bytes.fromhex("00ff00ff00ff00ff")),
    ]
    names = ("first boot", "next boot, same random bytes", "another collector", "another node, last boot")
    return [{"name": n, **m} for n, m in zip(names, made, strict=True)]


def sealer(form: int, next_piv: int = 0) -> Any:
    made = sealing.Sealer(
        CRYPTO, name(NODES[0]), NODES[0], public(COLLECTORS[0]), 1, bytes.fromhex("0123456789abcdef"), form
    )
    made._next = next_piv
    return made


def frames() -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    context = derivation(NODES[0], COLLECTORS[0], 1, bytes.fromhex("0123456789abcdef"))
    sizes = ((0, 1), (1, 15), (23, 16), (24, 17), (255, 51), (256, 150), (65535, 247), (65536, 248), (0x7FFFFF, 32))
    for form, label in ((sealing.MINIMAL, "minimal"), (sealing.STANDARD, "standard")):
        for piv, size in sizes:
            frame = sha256(b"citymote frame %d" % size).digest() * 8
            envelope = sealer(form, piv).seal(frame[:size])
            out.append(
                {
                    "name": f"{label}, {size} bytes, number {piv}",
                    "key": 0,
                    "form": label,
                    "partial_iv": piv,
                    "nonce": cose.nonce(bytes.fromhex(context["base_iv"]), sealing.partial_iv_bytes(piv)).hex(),
                    "aad": cose.enc_structure(b"" if form == sealing.MINIMAL else b"\xa1\x01\x0a").hex(),
                    "frame": frame[:size].hex(),
                    "envelope": envelope.hex(),
                }
            )
    return out


def bad() -> list[dict[str, Any]]:
    """Inputs whose error is decided by their bytes alone, and some that the key decides."""
    good = sealer(sealing.MINIMAL).seal(b"a frame")
    tagged = sealer(sealing.STANDARD).seal(b"a frame")
    kid, boot = b"\x04\x46" + name(NODES[0]), b"\x0a\x4c" + good[16:28]
    piv, text = b"\x06\x41\x00", good[28:]
    assert good == b"\x83\x40\xa3" + kid + piv + boot + text

    def array(*parts: bytes, protected: bytes = b"\x40", pairs: int = 3) -> bytes:
        return b"\x83" + protected + bytes((0xA0 + pairs,)) + b"".join(parts)

    def flip(data: bytes, place: int) -> bytes:
        return data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]

    big = sealing.MAX_ENVELOPE + 1
    cases: list[tuple[str, bytes, str]] = [
        ("nothing", b"", "truncated"),
        ("cut in the ciphertext", good[:-1], "truncated"),
        ("cut in the headers", good[:12], "truncated"),
        ("one byte more", good + b"\0", "trailing"),
        ("long form of a length", array(b"\x04\x58\x06" + kid[2:], piv, boot, text), "not_shortest"),
        ("long form of the tag", b"\xd8\x10" + tagged[1:], "not_shortest"),
        ("indefinite array", b"\x9f" + good[1:] + b"\xff", "indefinite"),
        ("reserved head", b"\x9c" + good[1:], "reserved"),
        ("a float for the ciphertext", array(kid, piv, boot, b"\xf9\x00\x00"), "float"),
        ("another tag", b"\xd1" + tagged[1:], "tag"),
        ("tagged twice", b"\xd0" + tagged, "type"),
        ("a map", b"\xa0", "type"),
        ("array of four", b"\x84" + good[1:] + b"\xf6", "encrypt0"),
        ("array of two", b"\x82" + good[1:28], "encrypt0"),
        ("protected header as a map", array(kid, piv, boot, text, protected=b"\xa0"), "type"),
        ("protected header as text", array(kid, piv, boot, text, protected=b"\x60"), "type"),
        ("protected empty map spelled out", array(kid, piv, boot, text, protected=b"\x41\xa0"), "protected"),
        ("protected header without alg", array(kid, piv, boot, text, protected=b"\x43\xa1\x03\x0a"), "protected"),
        ("unprotected header as an array", b"\x83\x40\x80" + text, "type"),
        ("ciphertext detached", array(kid, piv, boot, b"\xf6"), "type"),
        ("kid as text", array(b"\x04\x66abcdef", piv, boot, text), "type"),
        ("a negative label", array(kid, piv, boot, b"\x20\x40", text, pairs=4), "type"),
        ("a label twice", array(kid, kid, piv, boot, text, pairs=4), "duplicate_key"),
        ("labels out of order", array(piv, kid, boot, text), "key_order"),
        ("five headers", array(kid, piv, boot, b"\x0b\x40\x0c\x40", text, pairs=5), "too_long"),
        ("an unknown label", array(b"\x03\x40", kid, piv, boot, text, pairs=4), "label"),
        ("an IV as well", array(kid, b"\x05\x4d" + bytes(13), piv, boot, text, pairs=4), "label"),
        ("a tag on the minimal form", b"\xd0" + good, "form"),
        ("the standard form without its tag", tagged[1:], "form"),
        ("AES-CCM with 256 bits", tagged[:5] + b"\x0b" + tagged[6:], "algorithm"),
        ("AES-GCM", tagged[:5] + b"\x01" + tagged[6:], "algorithm"),
        ("no kid", array(piv, boot, text, pairs=2), "kid"),
        ("kid of five bytes", array(b"\x04\x45" + kid[2:7], piv, boot, text), "kid"),
        ("no kid context", array(kid, piv, text, pairs=2), "kid_context"),
        ("kid context of eleven bytes", array(kid, piv, b"\x0a\x4b" + boot[2:13], text), "kid_context"),
        ("no Partial IV", array(kid, boot, text, pairs=2), "partial_iv"),
        ("empty Partial IV", array(kid, b"\x06\x40", boot, text), "partial_iv"),
        ("Partial IV with a leading zero", array(kid, b"\x06\x42\x00\x01", boot, text), "partial_iv"),
        ("Partial IV of 2^23", array(kid, b"\x06\x43\x80\x00\x00", boot, text), "partial_iv"),
        ("Partial IV of four bytes", array(kid, b"\x06\x44\x01\x00\x00\x00", boot, text), "partial_iv"),
        ("a tag around nothing", array(kid, piv, boot, b"\x48" + bytes(8)), "ciphertext"),
        ("no ciphertext", array(kid, piv, boot, b"\x40"), "ciphertext"),
        ("a length over the limit", array(kid, piv, boot, b"\x59\x20\x09"), "too_long"),
        ("altered tag", flip(good, len(good) - 1), "authentication"),
        ("altered ciphertext", flip(good, 29), "authentication"),
        ("another Partial IV", flip(good, 13), "authentication"),
        ("another boot counter", flip(good, 19), "authentication"),
        ("other random bytes", flip(good, 22), "authentication"),
        ("the standard form's header on a minimal ciphertext", tagged[:6] + good[2:], "authentication"),
        ("the minimal form's header on a standard ciphertext", b"\x83\x40" + tagged[6:], "authentication"),
        ("a node nobody knows", flip(good, 5), "unknown_node"),
    ]
    out: list[dict[str, Any]] = [{"name": n, "envelope": data.hex(), "error": error} for n, data, error in cases]
    # Too long to print: a repeated byte.
    out.append({"name": "longer than any envelope", "repeat": "83", "times": big, "error": "too_large"})
    return out


def whole() -> list[dict[str, Any]]:
    """From envelope to frame, or to the one code that says why not: what a collector does with a message (SPEC 7.1)."""
    golden = json.loads((VECTORS / "frames.json").read_text(encoding="utf-8"))["cases"]
    chosen = [golden[0], *(case for case in golden if case["frame"]["kind"] != "batch")]
    named = name(NODES[0]).hex()
    cases: list[tuple[str, bytes, dict[str, Any]]] = []
    for index, case in enumerate(chosen):
        node = None if index % 2 else named
        said = {**case["frame"], "node": node}
        what = case["name"] + (", node left to the envelope" if node is None else ", node said twice")
        cases.append((what, plain.from_plain(said), {"frame": said}))
    other = plain.from_plain({**golden[0]["frame"], "node": name(NODES[1]).hex()})
    frame = plain.from_plain({**golden[0]["frame"], "node": None})
    assert frame[1] == 0x02
    cases += [
        ("another node inside", other, {"error": "inner_node"}),
        ("a frame and a byte", frame + b"\0", {"error": "trailing"}),
        ("a frame cut short", frame[:-1], {"error": "truncated"}),
        ("a frame of version 2", frame[:1] + b"\x18\x42" + frame[2:], {"error": "version"}),
        ("an envelope in an envelope", sealer(sealing.MINIMAL).seal(frame), {"error": "sealed"}),
        ("text", b"21.5 degrees", {"error": "type"}),
    ]
    out: list[dict[str, Any]] = []
    for number, (what, data, expected) in enumerate(cases):
        form = sealing.STANDARD if number % 3 == 2 else sealing.MINIMAL
        out.append({"name": what, "key": 0, "envelope": sealer(form, number).seal(data).hex(), **expected})
    return out


def main() -> int:
    good = [
        write("sealed-keys.json", "SPEC 5.2 to 5.4: from two key pairs and a boot id to key and Base IV.", keys()),
        write("sealed-frames.json", "SPEC 5.5 and 5.6: envelopes; `key` is the case in sealed-keys.json.", frames()),
        write("sealed-bad.json", "SPEC 5.9: what a collector that knows the nodes of sealed-keys.json refuses.", bad()),
        write("sealed-whole.json", "SPEC 7.1: from envelope to frame, or to the code why not.", whole()),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
