"""Manifests of updates: ours are SUIT for others too; what is outside of the profile, or not signed, is refused."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from citymote.delegate import OwnerKey
from citymote.update.manifest import VENDOR_ID, Signer, class_id, envelope, manifest
from citymote_protocol import keyset as _keyset
from citymote_protocol import p256 as _p256
from citymote_protocol import suit as _suit
from citymote_protocol.errors import FrameError

suit: Any = _suit
keyset: Any = _keyset
p256: Any = _p256
INDEX = b"not read by the manifest" * 20
CLASS = class_id("rv32imc")


class Crypto:
    sha256 = staticmethod(hashlib.sha256)


def key_id(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:6]


class Key:
    """A release key."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        self.signer = Signer(key_id(self.public), self.sign)

    def sign(self, digest: bytes) -> bytes:
        r, s = utils.decode_dss_signature(self.private.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


@pytest.fixture(scope="module")
def good(key: Key) -> bytes:
    return envelope(INDEX, 5, CLASS, [key.signer])


def opened(data: bytes, *keys: tuple[bytes, int]) -> Any:
    return p256.run(suit.open_steps(Crypto(), io.BytesIO(data), keys, key_id))


def refused(data: bytes, *keys: tuple[bytes, int]) -> str:
    with pytest.raises(FrameError) as caught:
        opened(data, *keys)
    code: Any = caught.value
    return str(code.code)


def test_what_was_signed_is_what_a_node_reads(key: Key, good: bytes) -> None:
    found = opened(good, (key.public, suit.RELEASE))
    assert (found.sequence, found.class_id, found.vendor_id) == (5, CLASS, VENDOR_ID)
    assert found.index().read(found.size) == INDEX
    assert (found.role, found.signer) == (suit.RELEASE, key.signer.kid)


def test_the_same_release_has_the_same_manifest() -> None:
    assert manifest(INDEX, 5, CLASS) == manifest(INDEX, 5, CLASS)


def test_another_class_is_another_chip_or_another_form_of_code() -> None:
    assert len({class_id(name) for name in ("rv32imc", "xtensawin", "x86")}) == 3


def test_an_independent_cose_implementation_opens_our_signature(key: Key, good: bytes) -> None:
    algorithms: Any = importlib.import_module("pycose.algorithms")
    headers: Any = importlib.import_module("pycose.headers")
    keys: Any = importlib.import_module("pycose.keys")
    messages: Any = importlib.import_module("pycose.messages")

    class Esp256(algorithms.Es256):  # ES256 of RFC 9864's name; pycose is older
        identifier = -9
        fullname = "ESP256"

    algorithms.CoseAlgorithm.register_attribute()(Esp256)
    outer = cbor2.loads(good)
    assert outer.tag == 107
    digest, block = cbor2.loads(outer.value[2])
    protected, unprotected, _, signature = cbor2.loads(block).value
    message = messages.Sign1Message.from_cose_obj(
        [protected, dict(unprotected), digest, signature], allow_unknown_attributes=True
    )
    numbers = key.private.public_key().public_numbers()
    message.key = keys.EC2Key(crv=keys.curves.P256, x=numbers.x.to_bytes(32, "big"), y=numbers.y.to_bytes(32, "big"))
    assert message.phdr == {headers.Algorithm: Esp256}
    assert message.verify_signature()
    algorithm, value = cbor2.loads(digest)
    assert (algorithm, value) == (-16, hashlib.sha256(cbor2.dumps(outer.value[3])).digest())


def test_the_manifest_is_what_the_draft_says_element_by_element(good: bytes) -> None:
    elements = cbor2.loads(cbor2.loads(good).value[3])
    assert list(elements) == [1, 2, 3, 7, 20]
    common = cbor2.loads(elements[3])
    assert common[2] == [[b"application"]]
    shared = cbor2.loads(common[4])
    digest = cbor2.dumps([-16, hashlib.sha256(INDEX).digest()])
    assert shared == [20, {1: VENDOR_ID, 2: CLASS, 3: digest, 14: len(INDEX)}, 1, 15, 2, 15]
    assert cbor2.loads(elements[7]) == [3, 15]
    assert cbor2.loads(elements[20]) == [20, {21: "#index"}, 21, 2, 3, 15]


def test_an_independent_suit_implementation_makes_the_same_manifest() -> None:
    taylor: Any = pytest.importorskip("taylor", reason="taylor-suit is not installed: it comes with citymote[peers]")
    parameters = {
        "vendor-id": VENDOR_ID.hex(),
        "class-id": CLASS.hex(),
        "image-digest": {"algorithm": "sha256", "digest": hashlib.sha256(INDEX).hexdigest()},
        "image-size": len(INDEX),
    }
    described = {
        "version": 1,
        "sequence-number": 5,
        "suit-common": {
            "suit-components": [[b"application".hex()]],
            "suit-shared-sequence": [
                {"suit-directive-override-parameters": parameters},
                {"suit-condition-vendor-identifier": 15},
                {"suit-condition-class-identifier": 15},
            ],
        },
        "sequence": {
            "image-validation": [{"suit-condition-image-match": 15}],
            "payload-installation": [
                {"suit-directive-override-parameters": {"uri": "#index"}},
                {"suit-directive-fetch": 2},
                {"suit-condition-image-match": 15},
            ],
        },
    }
    theirs = cbor2.loads(taylor.encode_manifest(described))
    ours = manifest(INDEX, 5, CLASS)
    assert len(theirs) == len(ours)

    def opened(data: bytes) -> list[Any]:
        elements = cbor2.loads(data)
        common = cbor2.loads(elements[3])
        return [list(elements.items())[:2], common[2], cbor2.loads(common[4]), elements[7], elements[20]]

    # Theirs writes parameters in the order in which it was told; ours in CBOR's deterministic one.
    assert opened(theirs) == opened(ours)


def examples() -> Iterator[tuple[str, bytes]]:
    folder = Path(os.environ.get("CITYMOTE_DATA") or Path(__file__).parents[3] / "shared" / "data")
    for path in sorted((folder / "vectors" / "suit").glob("example*.txt")):
        for form, text in zip(
            ("bare", "signed"), re.findall(r"~~~\n([0-9a-f\n]+)\n~~~", path.read_text()), strict=False
        ):
            yield f"{path.stem}-{form}", bytes.fromhex(text.replace("\n", ""))


@pytest.mark.parametrize(("name", "data"), list(examples()))
def test_the_drafts_examples_are_outside_of_the_profile_and_refused(key: Key, name: str, data: bytes) -> None:
    assert refused(data, (key.public, suit.RELEASE)) in ("envelope", "too_large", "signature", "type")


def test_the_drafts_digest_is_over_the_wrapped_manifest_as_ours_is() -> None:
    found = dict(examples())
    if not found:
        pytest.skip("no real data beside the checkout")
    outer = cbor2.loads(found["example1-signed"]).value
    digest = cbor2.loads(cbor2.loads(outer[2])[0])
    assert digest[1] == hashlib.sha256(cbor2.dumps(outer[3])).digest()


# The public half of the key that the draft's appendix B signs its examples with.
DRAFT_KEY = bytes.fromhex("028496811aae0baaabd26157189eecda26beaa8bf11b6f3fe6e2b5659c85dbc0ad")


@pytest.mark.parametrize(("name", "data"), [item for item in examples() if item[0].endswith("signed")])
def test_the_drafts_signatures_hold_by_our_sig_structure_and_curve(name: str, data: bytes) -> None:
    digest, block = cbor2.loads(cbor2.loads(data).value[2])
    protected, _, payload, signature = cbor2.loads(block).value
    assert payload is None
    # ES256 there; ESP256 is the same computation under a name of its own
    signed = hashlib.sha256(suit.to_be_signed(digest, protected)).digest()
    assert p256.verify(DRAFT_KEY, signed, signature)


def test_the_draft_has_been_looked_at() -> None:
    if not dict(examples()):
        pytest.skip("no real data beside the checkout")
    assert len(dict(examples())) == 12


def changed(data: bytes, path: list[Any], value: Any) -> bytes:
    """A manifest's element replaced, digest and signature left as they were."""
    outer = cbor2.loads(data)
    elements = cbor2.loads(outer.value[3])
    elements[path[0]] = value
    parts = dict(outer.value)
    parts[3] = cbor2.dumps(elements)
    return cbor2.dumps(cbor2.CBORTag(107, parts))


def test_a_changed_manifest_is_refused_before_it_is_parsed(key: Key, good: bytes) -> None:
    assert refused(changed(good, [2], 6), (key.public, 1)) == "digest"
    assert refused(changed(good, [3], "not even bytes"), (key.public, 1)) == "digest"


def test_another_index_under_a_good_signature_is_refused(key: Key, good: bytes) -> None:
    assert refused(good.replace(b"not read", b"not seen"), (key.public, 1)) == "digest"


def test_a_signature_by_an_unknown_key_and_a_forged_one_are_told_apart_from_nothing(key: Key, good: bytes) -> None:
    other = Key()
    assert refused(good, (other.public, 1)) == "signature"
    forged = envelope(INDEX, 5, CLASS, [Signer(key.signer.kid, other.sign)])
    assert refused(forged, (key.public, 1)) == "signature"


def test_one_of_several_signatures_is_enough(key: Key) -> None:
    other = Key()
    both = envelope(INDEX, 5, CLASS, [other.signer, key.signer])
    assert opened(both, (key.public, suit.EMERGENCY)).role == suit.EMERGENCY
    assert opened(both, (other.public, suit.RELEASE)).role == suit.RELEASE


def signed(key: Key, elements: dict[int, Any], index: bytes = INDEX) -> bytes:
    """An envelope over any manifest, rightly signed: the key's holder may be careless, or worse."""
    made = cbor2.dumps(elements)
    digest = cbor2.dumps([-16, hashlib.sha256(cbor2.dumps(made)).digest()])
    protected = cbor2.dumps({1: -9})
    structure = cbor2.dumps(["Signature1", protected, b"", digest])
    block = cbor2.CBORTag(18, [protected, {4: key.signer.kid}, None, key.sign(hashlib.sha256(structure).digest())])
    authentication = cbor2.dumps([digest, cbor2.dumps(block)])
    return cbor2.dumps(cbor2.CBORTag(107, {2: authentication, 3: made, "#index": index}))


def elements_of(data: bytes) -> dict[int, Any]:
    found: dict[int, Any] = cbor2.loads(cbor2.loads(data).value[3])
    return found


def with_install(data: bytes, commands: list[Any]) -> dict[int, Any]:
    return elements_of(data) | {20: cbor2.dumps(commands)}


@pytest.mark.parametrize(
    ("what", "commands"),
    [
        ("a try-each", [15, [cbor2.dumps([3, 15])], 21, 2, 3, 15]),
        ("a nested sequence", [32, cbor2.dumps([21, 2]), 21, 2, 3, 15]),
        ("another place to fetch from", [20, {21: "http://x"}, 21, 2, 3, 15]),
        ("no image match", [20, {21: "#index"}, 21, 2]),
        ("an image match before the fetch", [20, {21: "#index"}, 3, 15, 21, 2]),
        ("a second parameter", [20, {21: "#index", 22: 0}, 21, 2, 3, 15]),
        ("one command more", [20, {21: "#index"}, 21, 2, 3, 15, 3, 15]),
    ],
)
def test_no_command_but_the_one_straight_line_is_accepted(
    key: Key, good: bytes, what: str, commands: list[Any]
) -> None:
    assert refused(signed(key, with_install(good, commands)), (key.public, 1)) in ("commands", "too_long", "type"), what


@pytest.mark.parametrize("element", [1, 2, 3, 7, 20])
def test_no_element_may_be_missing(key: Key, good: bytes, element: int) -> None:
    elements = elements_of(good)
    del elements[element]
    assert refused(signed(key, elements), (key.public, 1)) == "commands"


def test_an_element_more_is_refused(key: Key, good: bytes) -> None:
    assert refused(signed(key, elements_of(good) | {23: b""}), (key.public, 1)) in ("commands", "too_long")


def test_nothing_longer_than_eight_kilobytes_is_looked_at(key: Key) -> None:
    assert refused(bytes(8193), (key.public, 1)) == "too_large"
    with pytest.raises(ValueError, match="8192"):
        envelope(bytes(8000), 1, CLASS, [key.signer])


@given(st.data())
def test_a_damaged_envelope_is_never_accepted(data: Any) -> None:
    key = _KEY
    whole = _GOOD
    at = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = bytearray(whole)
    damaged[at] ^= 1 << bit
    refused(bytes(damaged), (key.public, 1))


_KEY = Key()
_GOOD = envelope(b"i", 1, CLASS, [_KEY.signer])


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_with_a_code(data: bytes) -> None:
    assert refused(data, (_KEY.public, 1))


def test_a_truncated_envelope_is_refused_at_every_length() -> None:
    for size in range(len(_GOOD)):
        refused(_GOOD[:size], (_KEY.public, 1))


@pytest.mark.parametrize(
    ("vendor", "class_", "sequence", "floor", "code"),
    [
        (VENDOR_ID, CLASS, 5, 4, None),
        (VENDOR_ID, CLASS, 5, 0, None),
        (bytes(16), CLASS, 5, 4, "vendor"),
        (VENDOR_ID, bytes(16), 5, 4, "class"),
        (VENDOR_ID, CLASS, 5, 5, "sequence"),
        (VENDOR_ID, CLASS, 5, 6, "sequence"),
        (VENDOR_ID, CLASS, (1 << 16) + 5, 4, "sequence"),
        (VENDOR_ID, CLASS, (1 << 16) + 4, 4, None),
    ],
)
def test_only_what_is_for_this_node_and_comes_next_is_taken(
    key: Key, vendor: bytes, class_: bytes, sequence: int, floor: int, code: str | None
) -> None:
    found = opened(envelope(INDEX, sequence, CLASS, [key.signer]), (key.public, 1))
    if code is None:
        suit.judge(found, vendor, class_, floor)
        return
    with pytest.raises(FrameError) as caught:
        suit.judge(found, vendor, class_, floor)
    assert caught.value.code == code


# -- key sets ---------------------------------------------------------------------------------------------------------


def key_set(root: OwnerKey, epoch: int, *keys: tuple[bytes, int]) -> bytes:
    return root.statement(keyset.write(epoch, keys), keyset.PURPOSE)


def root_key() -> OwnerKey:
    return OwnerKey.from_private(bytes(range(1, 33)))


def taken(statement: bytes, root: OwnerKey, epoch: int = 0) -> Any:
    return p256.run(keyset.open_steps(Crypto(), statement, root.public, epoch))


def test_a_key_set_of_the_root_is_taken(key: Key) -> None:
    root = root_key()
    found = taken(key_set(root, 3, (key.public, suit.RELEASE)), root, 2)
    assert (found.epoch, found.keys) == (3, ((key.public, suit.RELEASE),))


@pytest.mark.parametrize("epoch", [3, 4])
def test_a_key_set_that_is_not_newer_brings_no_revoked_key_back(key: Key, epoch: int) -> None:
    root = root_key()
    with pytest.raises(FrameError) as caught:
        taken(key_set(root, 3, (key.public, suit.RELEASE)), root, epoch)
    assert caught.value.code == "epoch"


def test_a_release_key_cannot_make_itself_a_key_set(key: Key) -> None:
    other = OwnerKey(key.public, key.sign)
    with pytest.raises(FrameError) as caught:
        taken(key_set(other, 9, (key.public, suit.RELEASE)), root_key())
    assert caught.value.code == "signature"


def test_a_statement_of_another_kind_is_no_key_set(key: Key) -> None:
    root = root_key()
    with pytest.raises(FrameError) as caught:
        taken(root.statement(keyset.write(1, ((key.public, 1),)), b"citymote delegation 1"), root)
    assert caught.value.code == "signature"


@pytest.mark.parametrize(
    "payload",
    [[1, []], [1], [1, [[b"\x02" + bytes(31), 1]]], [1, [[b"\x04" + bytes(32), 1]]], [1, [[b"\x02" + bytes(32), 0]]],
     [1, [[b"\x02" + bytes(32), 3]]], [1, [[b"\x02" + bytes(32), 1]] * 2], [1, [[b"\x02" + bytes(32), 1]] * 9]],
)  # fmt: skip
def test_a_key_set_that_is_not_exactly_one_is_refused(payload: Any) -> None:
    root = root_key()
    with pytest.raises(FrameError):
        taken(root.statement(cbor2.dumps(payload), keyset.PURPOSE), root)
