"""The golden vectors of SPEC chapter 5, under both interpreters: derivation, envelopes in both directions, refusals."""

import json
import sys

from citymote_protocol import cose, p256, sealing
from citymote_protocol.errors import FrameError

# Three files of JSON are larger than a node ever holds; this heap is the test's, not the node's.
HEAP = "300k"

if sys.implementation.name == "micropython":
    from node.crypto import NodeCrypto as Crypto

    FOLDER = "protocol/vectors/"
else:
    from citymote.crypto import HostCrypto as Crypto

    FOLDER = __file__.replace("tests/shared/test_sealing_vectors.py", "protocol/vectors/")


def _random(count):
    return bytes(range(1, count + 1))


CRYPTO = Crypto(_random)


def _cases(name):
    with open(FOLDER + name) as file:
        return json.load(file)["cases"]


def _hex(case, name):
    return bytes.fromhex(case[name])


def _key(case):
    return _hex(case, "key"), _hex(case, "base_iv")


def test_both_sides_derive_the_published_keys():
    for case in _cases("sealed-keys.json"):
        node, collector = _hex(case, "node_public"), _hex(case, "collector_public")
        assert p256.run(CRYPTO.public_steps(_hex(case, "node_private"))) == node, case["name"]
        assert sealing.node_id(CRYPTO.sha256, node) == _hex(case, "node"), case["name"]
        for private, public in (("node_private", collector), ("collector_private", node)):
            secret = p256.run(CRYPTO.ecdh_steps(_hex(case, private), public))
            assert secret == _hex(case, "secret"), case["name"]
        hashed = CRYPTO.sha256(collector).digest()
        assert sealing.kdf_context(_hex(case, "node"), hashed, False) == _hex(case, "key_context"), case["name"]
        assert sealing.kdf_context(_hex(case, "node"), hashed, True) == _hex(case, "iv_context"), case["name"]
        made = sealing.derive(CRYPTO, secret, _hex(case, "boot_id"), _hex(case, "node"), hashed)
        assert made == _key(case), case["name"]


def test_a_node_seals_the_published_envelopes():
    keys = _cases("sealed-keys.json")
    sealers = {}
    for case in _cases("sealed-frames.json"):
        key = keys[case["key"]]
        form = sealing.STANDARD if case["form"] == "standard" else sealing.MINIMAL
        if form not in sealers:
            sealers[form] = sealing.Sealer(
                CRYPTO,
                _hex(key, "node"),
                _hex(key, "node_private"),
                _hex(key, "collector_public"),
                key["boot_counter"],
                _hex(key, "random"),
                form,
            )
        sealers[form]._next = case["partial_iv"]
        frame, envelope = _hex(case, "frame"), _hex(case, "envelope")
        assert sealers[form].seal(frame) == envelope, case["name"]
        assert len(envelope) == len(frame) + sealing.overhead(form, case["partial_iv"], len(frame)), case["name"]


def test_a_collector_opens_the_published_envelopes():
    keys = _cases("sealed-keys.json")
    for case in _cases("sealed-frames.json"):
        envelope = sealing.parse(_hex(case, "envelope"))
        assert envelope.tagged == (case["form"] == "standard"), case["name"]
        key = keys[case["key"]]
        assert envelope.kid == _hex(key, "node") and envelope.kid_context == _hex(key, "boot_id"), case["name"]
        assert cose.nonce(_hex(key, "base_iv"), envelope.partial_iv) == _hex(case, "nonce"), case["name"]
        assert cose.enc_structure(envelope.protected) == _hex(case, "aad"), case["name"]
        assert sealing.open_(CRYPTO, envelope, _key(key)) == _hex(case, "frame"), case["name"]


def _refusal(envelope, keys):
    """What a collector says that knows the published nodes: find the node, derive, open."""
    try:
        parsed = sealing.parse(envelope)
        for key in keys:
            if _hex(key, "node") == parsed.kid:
                break
        else:
            return cose.UNKNOWN_NODE
        hashed = CRYPTO.sha256(_hex(key, "collector_public")).digest()
        made = sealing.derive(CRYPTO, _hex(key, "secret"), parsed.kid_context, parsed.kid, hashed)
        sealing.open_(CRYPTO, parsed, made)
    except FrameError as error:
        return error.code
    return None


def test_every_bad_envelope_is_refused_for_the_published_reason():
    keys = _cases("sealed-keys.json")
    seen = set()
    for case in _cases("sealed-bad.json"):
        data = _hex(case, "envelope") if "envelope" in case else _hex(case, "repeat") * case["times"]
        found = _refusal(data, keys)
        assert found == case["error"], "%s: %s instead of %s" % (case["name"], found, case["error"])
        seen.add(found)
    for code in ("ENCRYPT0", "PROTECTED", "ALGORITHM", "LABEL", "FORM", "KEY_ID", "CONTEXT", "PIV", "CIPHERTEXT"):
        assert getattr(cose, code) in seen, "no vector has the code of %s" % code


def test_every_cut_and_every_added_byte_is_refused():
    keys = _cases("sealed-keys.json")
    for case in _cases("sealed-frames.json")[:10:9]:
        envelope = _hex(case, "envelope")
        for end in range(len(envelope)):
            assert _refusal(envelope[:end], keys) == "truncated", "cut at %d" % end
        assert _refusal(envelope + b"\0", keys) == "trailing"
