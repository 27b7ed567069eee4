"""Whatever comes in, an envelope is opened or refused with a code; and what is accepted has one encoding."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.vm import TOP

from citymote.crypto import HostCrypto
from citymote_protocol import cose, sealing
from citymote_protocol.errors import FrameError

CRYPTO = HostCrypto()
KEYS = json.loads((TOP / "protocol" / "vectors" / "sealed-keys.json").read_text())["cases"]
FRAMES = json.loads((TOP / "protocol" / "vectors" / "sealed-frames.json").read_text())["cases"]
ENVELOPES = [bytes.fromhex(case["envelope"]) for case in FRAMES]


def written(envelope: Any) -> bytes:
    """An envelope's parts in the only form the specification has for them."""
    out = b"\xd0\x83" if envelope.tagged else b"\x83"
    headers = ((4, envelope.kid), (5, envelope.iv), (6, envelope.partial_iv), (10, envelope.kid_context))
    present = [(label, value) for label, value in headers if value is not None]
    out += cose.byte_string(envelope.protected) + bytes((0xA0 + len(present),))
    for label, value in present:
        out += bytes((label,)) + cose.byte_string(value)
    return out + cose.byte_string(envelope.ciphertext)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda tail: b"\x83\x40\xa3\x04\x46" + tail)))
@example(b"")
def test_any_bytes_are_refused_with_a_code(data: bytes) -> None:
    with pytest.raises(FrameError) as caught:
        sealing.open_(CRYPTO, data, (bytes(16), bytes(13)))
    error: Any = caught.value
    assert error.code in str(error)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ENVELOPES), st.integers(0, 10_000), st.binary(min_size=1, max_size=3), st.booleans())
def test_altered_envelopes_are_refused(envelope: bytes, place: int, patch: bytes, insert: bool) -> None:
    place %= len(envelope)
    altered = envelope[:place] + patch + envelope[place if insert else place + len(patch) :]
    if altered == envelope:
        return
    with pytest.raises(FrameError):
        parsed: Any = sealing.parse(altered)
        for key in KEYS:
            if key["node"] == parsed.kid.hex():
                hashed = CRYPTO.sha256(bytes.fromhex(key["collector_public"])).digest()
                secret = bytes.fromhex(key["secret"])
                made = sealing.derive(CRYPTO, secret, parsed.kid_context, parsed.kid, hashed)
                sealing.open_(CRYPTO, parsed, made)
                break
        else:
            raise cose.SealError(cose.UNKNOWN_NODE)


@settings(max_examples=300, deadline=None)
@given(
    st.booleans(),
    st.sampled_from([b"", *(b"\xa1\x01" + cose.head(0, algorithm) for algorithm in cose.CCM)]),
    st.lists(st.sampled_from([4, 5, 6, 10]), unique=True),
    st.binary(max_size=40),
)
def test_what_is_parsed_has_one_encoding(tagged: bool, protected: bytes, labels: list[int], data: bytes) -> None:
    out = b"\xd0\x83" if tagged else b"\x83"
    out += cose.byte_string(protected) + bytes((0xA0 + len(labels),))
    for label in labels:
        out += bytes((label,)) + cose.byte_string(data[:label])
    out += cose.byte_string(data)
    if labels != sorted(labels):
        with pytest.raises(FrameError):
            cose.parse(out)
    else:
        assert written(cose.parse(out)) == out


@settings(max_examples=100, deadline=None)
@given(
    frame=st.binary(min_size=1, max_size=600),
    number=st.integers(0, sealing.MAX_PARTIAL_IV),
    form=st.sampled_from([0, 1]),
)
def test_what_is_sealed_opens(frame: bytes, number: int, form: int) -> None:
    case = KEYS[0]
    node, private, public = (bytes.fromhex(case[n]) for n in ("node", "node_private", "collector_public"))
    sealer: Any = sealing.Sealer(CRYPTO, node, private, public, 1, bytes.fromhex(case["random"]), form)
    sealer._next = number
    message = sealer.seal(frame)
    assert len(message) == len(frame) + sealing.overhead(form, number, len(frame))
    assert written(sealing.parse(message)) == message
    key = (bytes.fromhex(case["key"]), bytes.fromhex(case["base_iv"]))
    assert sealing.open_(CRYPTO, message, key) == frame


def test_the_largest_frame_fits_the_largest_envelope_exactly() -> None:
    case = KEYS[0]
    node, private, public = (bytes.fromhex(case[n]) for n in ("node", "node_private", "collector_public"))
    sealer: Any = sealing.Sealer(CRYPTO, node, private, public, 1, bytes.fromhex(case["random"]), sealing.STANDARD)
    sealer._next = sealing.MAX_PARTIAL_IV
    message = sealer.seal(bytes(8192))
    assert len(message) == sealing.MAX_ENVELOPE
    key = (bytes.fromhex(case["key"]), bytes.fromhex(case["base_iv"]))
    assert sealing.open_(CRYPTO, message, key) == bytes(8192)
