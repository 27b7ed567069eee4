"""What a Sealer promises, under both interpreters: forms, nonces that never repeat, refusals, nothing secret shown."""

import sys

from citymote_protocol import cose, p256, sealing
from citymote_protocol.errors import EncodeError, FrameError

if sys.implementation.name == "micropython":
    from node.crypto import NodeCrypto as Crypto
else:
    from citymote.crypto import HostCrypto as Crypto


class Source:
    """Random bytes that differ at every draw and can be put back to an earlier state, as a restored machine's would."""

    def __init__(self):
        self.state = 0

    def random(self, count):
        self.state += 1
        return Crypto(None).sha256(b"source %d" % self.state).digest()[:count]


SOURCE = Source()
CRYPTO = Crypto(SOURCE.random)
NODE_PRIVATE, NODE_PUBLIC = p256.run(CRYPTO.key_pair_steps())
COLLECTOR_PRIVATE, COLLECTOR_PUBLIC = p256.run(CRYPTO.key_pair_steps())
NODE = sealing.node_id(CRYPTO.sha256, NODE_PUBLIC)
SECRET = p256.run(CRYPTO.ecdh_steps(COLLECTOR_PRIVATE, NODE_PUBLIC))
COLLECTOR = CRYPTO.sha256(COLLECTOR_PUBLIC).digest()
FRAME = bytes(range(150))


def _sealer(boots=1, form=sealing.MINIMAL, random8=None):
    return sealing.Sealer(CRYPTO, NODE, NODE_PRIVATE, COLLECTOR_PUBLIC, boots, random8 or CRYPTO.random(8), form)


def _key(envelope):
    return sealing.derive(CRYPTO, SECRET, envelope.kid_context, envelope.kid, COLLECTOR)


def _open(message):
    envelope = sealing.parse(message)
    return sealing.open_(CRYPTO, envelope, _key(envelope))


def _pair(message):
    """What AES-CCM is started with: (key, nonce)."""
    envelope = sealing.parse(message)
    key, base_iv = _key(envelope)
    return key, cose.nonce(base_iv, envelope.partial_iv)


def _error(function, *arguments):
    try:
        function(*arguments)
    except (FrameError, EncodeError) as error:
        return error.code
    return None


def test_both_forms_open_to_the_same_frame():
    for form in (sealing.MINIMAL, sealing.STANDARD):
        assert _open(_sealer(form=form).seal(FRAME)) == FRAME


def test_overhead_is_what_the_specification_says():
    assert len(_sealer().seal(FRAME)) - 150 == 38
    assert len(_sealer(form=sealing.STANDARD).seal(FRAME)) - 150 == 42


def test_a_frame_may_be_any_buffer():
    sealer = _sealer()
    assert _open(sealer.seal(bytearray(FRAME))) == FRAME
    assert _open(sealer.seal(memoryview(FRAME))) == FRAME


def test_agreement_is_made_in_steps_and_only_once():
    sealer = _sealer()
    assert len(list(sealer.prepare())) > 0
    assert list(sealer.prepare()) == [], "a second preparation agreed again"
    assert _open(sealer.seal(FRAME)) == FRAME


def test_partial_ivs_count_from_zero_and_never_repeat():
    sealer = _sealer()
    numbers = [int.from_bytes(sealing.parse(sealer.seal(FRAME)).partial_iv, "big") for _ in range(300)]
    assert numbers == list(range(300))


def test_the_same_frame_sealed_again_after_a_lost_acknowledgement_takes_a_new_nonce():
    sealer = _sealer()
    first, second = sealer.seal(FRAME), sealer.seal(FRAME)
    assert _pair(first) != _pair(second) and first[-158:] != second[-158:]


def test_a_frame_dated_anew_and_sent_again_takes_a_new_nonce():
    sealer = _sealer()
    dated = bytearray(FRAME)
    first = sealer.seal(dated)
    dated[5] ^= 1
    second = sealer.seal(dated)
    assert _pair(first) != _pair(second)
    # With one keystream the two ciphertexts would differ in one bit only.
    differing = sum(1 for a, b in zip(first[-158:-8], second[-158:-8]) if a != b)
    assert differing > 100, "%d of 150 bytes differ" % differing


def test_a_nonce_is_spent_even_when_sealing_fails():
    sealer = _sealer()
    sealer.seal(FRAME)
    block = sealer._block

    def broken(buffer):
        raise MemoryError

    sealer._block = broken
    try:
        sealer.seal(FRAME)
        raise AssertionError("sealing did not fail")
    except MemoryError:
        pass
    sealer._block = block
    assert sealing.parse(sealer.seal(FRAME)).partial_iv == b"\x02"


def test_boots_never_share_a_key_and_nonce():
    """Power loss with and without the counter persisted, and flash put back to an image: 25 boots of each.

    tests/host/test_sealing_nonces.py does this ten thousand times, on real flash images.
    """
    seen = set()
    frames = 0
    for kind in ("counted", "not persisted", "restored"):
        for boot in range(25):
            boots = {"counted": boot, "not persisted": 7, "restored": boot % 10}[kind]
            random8 = CRYPTO.random(8)
            boot_id = boots.to_bytes(4, "big") + random8
            key, base_iv = sealing.derive(CRYPTO, SECRET, boot_id, NODE, COLLECTOR)
            for number in range(2):
                seen.add(key + cose.nonce(base_iv, sealing.partial_iv_bytes(number)))
                frames += 1
    assert len(seen) == frames


def test_equal_random_bytes_are_saved_by_the_counter_and_an_equal_counter_by_the_bytes():
    pairs = set()
    for boots in (1, 2):
        for random8 in (b"abcdefgh", b"abcdefgi"):
            pairs.add(_pair(_sealer(boots, random8=random8).seal(FRAME)))
    assert len(pairs) == 4


def test_a_dead_random_source_is_refused():
    for random8 in (bytes(8), b"\xff" * 8, b"1234567"):
        assert _error(_sealer, 1, sealing.MINIMAL, random8) == sealing.RANDOM


def test_an_exhausted_boot_id_refuses_and_a_renewed_one_goes_on():
    sealer = _sealer()
    sealer._next = sealing.MAX_PARTIAL_IV
    last = sealer.seal(FRAME)
    assert sealing.parse(last).partial_iv == b"\x7f\xff\xff"
    for _ in range(2):
        assert _error(sealer.seal, FRAME) == sealing.EXHAUSTED
    old = sealer.boot_id
    assert _error(sealer.renew, old[4:]) == sealing.RANDOM, "the same boot id again"
    sealer.renew(CRYPTO.random(8))
    message = sealer.seal(FRAME)
    assert sealing.parse(message).partial_iv == b"\0" and sealer.boot_id != old
    assert _open(message) == FRAME and _pair(message) != _pair(last)


def test_a_sealer_may_renew_itself():
    sealer = _sealer()
    sealer._next = sealing.MAX_PARTIAL_IV
    messages = [sealer(FRAME) for _ in range(3)]
    numbers = [int.from_bytes(sealing.parse(message).partial_iv, "big") for message in messages]
    assert numbers == [sealing.MAX_PARTIAL_IV, 0, 1]
    assert len({_pair(message) for message in messages}) == 3 and _open(messages[2]) == FRAME


def test_a_refused_renewal_leaves_the_sealer_refusing():
    sealer = _sealer()
    sealer._next = sealing.MAX_PARTIAL_IV + 1
    assert _error(sealer.seal, FRAME) == sealing.EXHAUSTED
    for random8 in (sealer.boot_id[4:], bytes(8)):
        assert _error(sealer.renew, random8) == sealing.RANDOM
        assert _error(sealer.seal, FRAME) == sealing.EXHAUSTED


def test_frames_outside_the_limits_are_not_sealed():
    sealer = _sealer()
    assert _error(sealer.seal, b"") == "too_large"
    assert _error(sealer.seal, bytes(8193)) == "too_large"


def test_another_collector_cannot_open():
    other, public = p256.run(CRYPTO.key_pair_steps())
    envelope = sealing.parse(_sealer().seal(FRAME))
    secret = p256.run(CRYPTO.ecdh_steps(other, NODE_PUBLIC))
    key = sealing.derive(CRYPTO, secret, envelope.kid_context, NODE, CRYPTO.sha256(public).digest())
    assert _error(sealing.open_, CRYPTO, envelope, key) == cose.AUTHENTICATION


def test_a_node_cannot_speak_for_another():
    """Node B seals with its own key and writes A's id in front: A's key does not open that."""
    private, _ = p256.run(CRYPTO.key_pair_steps())
    forger = sealing.Sealer(CRYPTO, NODE, private, COLLECTOR_PUBLIC, 1, CRYPTO.random(8))
    assert _error(_open, forger.seal(FRAME)) == cose.AUTHENTICATION


def test_the_node_inside_must_be_the_node_outside():
    other = bytes(6)
    for inner, code in (
        (b"\x46" + NODE, None),
        (b"\xf6", None),
        (b"\x46" + other, "inner_node"),
        (b"\x41a", "inner_node"),
    ):
        frame = b"\x86\x00" + inner + b"\x01\x02\x03"
        assert _error(sealing.check_inner, NODE, frame) == code, inner.hex()


def test_nothing_secret_is_shown():
    sealer = _sealer()
    sealer.seal(FRAME)
    shown = repr(sealer) + str(sealer)
    try:
        sealer.seal(b"")
    except EncodeError as error:
        shown += str(error) + repr(error)
    for secret in (NODE_PRIVATE, SECRET):
        assert secret.hex()[:8] not in shown.lower() and repr(secret)[2:12] not in shown


def test_general_encrypt0_takes_an_iv_and_refuses_two():
    """What `cose` reads beyond the profile: a full IV in the header (as in other people's messages)."""
    iv = bytes(range(13))
    aad = cose.enc_structure(b"\xa1\x01\x0a")
    sealed = CRYPTO.ccm_seal(bytes(16), iv, b"hello", aad, 8)
    tail = cose.byte_string(sealed)
    envelope = cose.parse(b"\xd0\x83\x43\xa1\x01\x0a\xa1\x05" + cose.byte_string(iv) + tail)
    assert cose.decrypt(CRYPTO, envelope, bytes(16)) == b"hello"
    both = cose.parse(b"\x83\x43\xa1\x01\x0a\xa2\x05" + cose.byte_string(iv) + b"\x06\x41\x00" + tail)
    assert _error(cose.decrypt, CRYPTO, both, bytes(16), iv) == cose.NO_IV
    neither = cose.parse(b"\x83\x43\xa1\x01\x0a\xa0" + tail)
    assert _error(cose.decrypt, CRYPTO, neither, bytes(16), iv) == cose.NO_IV
    unnamed = cose.parse(b"\x83\x40\xa1\x05" + cose.byte_string(iv) + tail)
    assert _error(cose.decrypt, CRYPTO, unnamed, bytes(16)) == cose.ALGORITHM
    assert _error(cose.decrypt, CRYPTO, envelope, bytes(16), None, 30) == cose.ALGORITHM
