"""Our envelopes in an independent COSE implementation (pycose), and the COSE working group's examples in ours."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from citymote.crypto import HostCrypto
from citymote.keys import CollectorKey, generate_collector_key, node_id
from citymote_protocol import cose, p256, sealing
from citymote_protocol.cose import SealError

CRYPTO = HostCrypto()
FRAME = bytes(range(150))


class Pair:
    """A node, a collector and the key of one boot."""

    def __init__(self) -> None:
        self.private, self.public = p256.run(CRYPTO.key_pair_steps())
        self.collector: CollectorKey = generate_collector_key()
        self.node = node_id(self.public)
        while True:
            # pycose 1.1 drops leading zero bytes of Base IV XOR Partial IV; it is asked about IVs that have none.
            random8 = os.urandom(8)
            secret = self.collector.agree(self.public)
            boot_id = (9).to_bytes(4, "big") + random8
            self.key, self.base_iv = sealing.derive(CRYPTO, secret, boot_id, self.node, self.collector.hash)
            if self.base_iv[0]:
                break
        self.random8 = random8

    def sealer(self, form: int) -> Any:
        return sealing.Sealer(CRYPTO, self.node, self.private, self.collector.public, 9, self.random8, form)


@pytest.fixture
def pair() -> Pair:
    return Pair()


@pytest.fixture
def pycose() -> Any:
    return pytest.importorskip("pycose", reason="the independent COSE implementation is not installed")


def peer_key(pair: Pair) -> Any:
    from pycose.algorithms import AESCCM1664128
    from pycose.keys import SymmetricKey
    from pycose.keys.keyops import DecryptOp, EncryptOp
    from pycose.keys.keyparam import KpAlg, KpBaseIV, KpKeyOps

    return SymmetricKey(
        k=pair.key,
        optional_params={KpAlg: AESCCM1664128, KpBaseIV: pair.base_iv, KpKeyOps: [EncryptOp, DecryptOp]},
    )


def peer_message(envelope: bytes) -> tuple[int | None, Any]:
    """(CBOR tag, pycose's message). cbor2 6 gives immutable items inside a tag, which pycose 1.1 does not take."""
    import cbor2
    from pycose.messages import Enc0Message

    tag = envelope[0] & 31 if envelope[0] >> 5 == 6 else None
    parts: Any = cbor2.loads(envelope if tag is None else envelope[1:])
    return tag, Enc0Message.from_cose_obj(parts, True)


def test_pycose_opens_the_standard_form(pair: Pair, pycose: Any) -> None:
    from pycose.headers import KID, KIDContext, PartialIV

    sealer = pair.sealer(sealing.STANDARD)
    for number in range(300):
        envelope = sealer.seal(FRAME)
        if number % 37 and number < 250:
            continue
        tag, message = peer_message(envelope)
        assert tag == 16
        assert message.uhdr[KID] == pair.node
        assert message.uhdr[KIDContext] == sealer.boot_id
        assert int.from_bytes(message.uhdr[PartialIV], "big") == number
        message.key = peer_key(pair)
        assert message.decrypt() == FRAME


def test_pycose_opens_the_minimal_form_with_the_keys_algorithm(pair: Pair, pycose: Any) -> None:
    from pycose.algorithms import AESCCM1664128
    from pycose.headers import Algorithm

    tag, message = peer_message(pair.sealer(sealing.MINIMAL).seal(FRAME))
    assert tag is None
    # pycose wants the algorithm in a header; the unprotected one is not part of what the tag covers.
    message.uhdr_update({Algorithm: AESCCM1664128})
    message.key = peer_key(pair)
    assert message.decrypt() == FRAME


def test_ours_opens_what_pycose_seals(pair: Pair, pycose: Any) -> None:
    from pycose.algorithms import AESCCM1664128
    from pycose.headers import KID, Algorithm, KIDContext, PartialIV
    from pycose.messages import Enc0Message

    boot_id = (9).to_bytes(4, "big") + pair.random8
    message = Enc0Message(
        phdr={Algorithm: AESCCM1664128},
        uhdr={KID: pair.node, PartialIV: b"\x05", KIDContext: boot_id},
        payload=FRAME,
        key=peer_key(pair),
    )
    assert sealing.open_(CRYPTO, message.encode(), (pair.key, pair.base_iv)) == FRAME


def test_pycose_derives_the_same_key(pair: Pair, pycose: Any) -> None:
    """RFC 9053's ECDH-SS + HKDF-256 with the KDF context that SPEC 5.4 names."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    from pycose.algorithms import AESCCM1664128, EcdhSsHKDF256
    from pycose.headers import Algorithm
    from pycose.messages.context import CoseKDFContext, PartyInfo, SuppPubInfo

    context = CoseKDFContext(
        AESCCM1664128,
        SuppPubInfo(16, {Algorithm: EcdhSsHKDF256}, b"citymote telemetry 1"),
        PartyInfo(pair.node, None, None),
        PartyInfo(pair.collector.hash, None, None),
    )
    boot_id = (9).to_bytes(4, "big") + pair.random8
    hkdf = HKDF(algorithm=SHA256(), length=16, salt=boot_id, info=context.encode())
    assert context.encode() == sealing.kdf_context(pair.node, pair.collector.hash, False)
    assert hkdf.derive(pair.collector.agree(pair.public)) == pair.key


def examples(folder: Path) -> list[Path]:
    return sorted((folder / "aes-ccm-examples").glob("aes-ccm-enc-*.json"))


def test_the_working_groups_examples_open(data_file: Callable[[str], Path]) -> None:
    paths = examples(data_file("vectors/cose-wg-examples"))
    assert len(paths) == 8
    for path in paths:
        case = json.loads(path.read_text())
        envelope: Any = cose.parse(bytes.fromhex(case["output"]["cbor"]))
        key = bytes.fromhex(case["intermediates"]["CEK_hex"])
        assert cose.enc_structure(envelope.protected).hex() == case["intermediates"]["AAD_hex"].lower()
        assert cose.decrypt(CRYPTO, envelope, key).decode() == case["input"]["plaintext"], path.name
        assert base64.urlsafe_b64decode(case["input"]["encrypted"]["recipients"][0]["key"]["k"] + "==") == key


def test_the_working_groups_examples_are_no_citymote_envelopes(data_file: Callable[[str], Path]) -> None:
    for path in examples(data_file("vectors/cose-wg-examples")):
        case = json.loads(path.read_text())
        with pytest.raises(SealError, match="label"):
            sealing.parse(bytes.fromhex(case["output"]["cbor"]))
