"""Delegations under both interpreters: whom one gives what, until when, and that each has one form only.

A node judges one alone, without its owner at hand: here are the claims, and the envelope around them.
What a signature is over, as a whole, is checked by the vectors.
"""

from session_node import HOST, HOST_CRYPTO, OTHER

from citymote_protocol import delegation, sign1
from citymote_protocol.errors import FrameError
from citymote_protocol.p256 import run

# Both ends and everything that is under way between them are in one heap here.
HEAP = "200k"


def _claims(**changes):
    made = {
        "issuer": "aabbccddeeff",
        "audience": ["1b2c0f41ac8a", "site:harbour"],
        "exp": 1_795_000_000,
        "nbf": 1_794_000_000,
        "cti": b"12345678",
        "x": HOST[1][1:],
        "scope": "installer",
        "epoch": 3,
        "nonce": None,
    }
    made.update(changes)
    found = delegation.Delegation()
    for name, value in made.items():
        setattr(found, name, value)
    return found


NOW = 1_794_500_000 - 946_684_800


def _judge(found, **changes):
    given = {
        "issuer": "aabbccddeeff",
        "node": "1b2c0f41ac8a",
        "site": None,
        "epoch": 3,
        "x": HOST[1][1:],
        "now": NOW,
        "nonce": None,
    }
    given.update(changes)
    try:
        return delegation.judge(
            found,
            given["issuer"],
            given["node"],
            given["site"],
            given["epoch"],
            given["x"],
            given["now"],
            given["nonce"],
        )
    except FrameError as error:
        return error.code


def test_whom_a_delegation_gives_what():
    good = _claims()
    assert _judge(good) == "installer"
    assert _judge(good, epoch=2) == "installer" and _judge(good, epoch=4) == delegation.EPOCH
    assert _judge(good, issuer="000000000000") == delegation.ISSUER
    assert _judge(good, node="000000000001") == delegation.AUDIENCE
    assert _judge(good, node="000000000001", site="harbour") == "installer"
    assert _judge(good, node="000000000001", site="hill") == delegation.AUDIENCE
    assert _judge(good, x=OTHER[1][1:]) == delegation.CONFIRMATION
    assert _judge(_claims(scope="god")) == delegation.SCOPE
    for role in delegation.ROLES:
        assert _judge(_claims(scope=role)) == role


def test_calendar_limits_count_only_against_time_that_the_owner_signed():
    good = _claims()
    late, early = 1_795_000_000 - 946_684_800, 1_793_999_999 - 946_684_800
    assert _judge(good, now=late) == delegation.EXPIRED and _judge(good, now=late - 1) == "installer"
    assert _judge(good, now=early) == delegation.EARLY and _judge(good, now=early + 1) == "installer"
    assert _judge(good, now=None) == "installer", "without such a time the epoch is what revokes"
    assert _judge(_claims(nbf=None), now=early) == "installer"


def test_a_delegation_for_a_nonce_is_good_for_that_alone():
    bound = _claims(nonce=b"nonce123")
    assert _judge(bound, nonce=b"nonce123") == "installer"
    assert _judge(bound, nonce=b"nonce124") == delegation.NONCE and _judge(bound) == delegation.NONCE
    assert _judge(_claims(), nonce=b"nonce123") == "installer"


def _cwt():
    """The claims of `_claims`, as they are written."""
    return (
        b"\xa8\x01\x6caabbccddeeff\x03\x82\x6c1b2c0f41ac8a\x6csite:harbour"
        b"\x04\x1a\x6a\xfd\x62\xc0\x05\x1a\x6a\xee\x20\x80\x07\x4812345678"
        b"\x08\xa1\x01\xa3\x01\x02\x20\x01\x21\x58\x20" + HOST[1][1:] + b"\x09\x69installer\x3a\x00\x01\x00\x00\x03"
    )


def test_the_claims_are_read_strictly():
    found = delegation.read(_cwt())
    good = _claims()
    for name in ("issuer", "audience", "cti", "x", "scope", "epoch", "nonce"):
        assert getattr(found, name) == getattr(good, name), name
    data = _cwt()
    for end in range(len(data)):
        try:
            delegation.read(data[:end])
            raise AssertionError("%d bytes were read" % end)
        except FrameError as error:
            assert error.code == "truncated", end
    for old, new, code in (
        (b"\x07\x48", b"\x06\x48", "critical"),
        (b"\x01\x6caabb", b"\x00\x6caabb", "critical"),
        (b"\x20\x01\x21", b"\x20\x02\x21", "range"),
        (b"\x01\xa3\x01\x02", b"\x01\xa3\x01\x01", "range"),
        (b"\x3a\x00\x01\x00\x00\x03", b"\x3a\x00\x01\x00\x01\x03", "range"),
        (b"\x04\x1a", b"\x03\x1a", "key_order"),
        (b"\x09\x69installer", b"\x09\x49installer", "type"),
    ):
        try:
            delegation.read(data.replace(old, new))
            raise AssertionError(old.hex())
        except FrameError as error:
            assert error.code == code, "%s gave %s" % (old.hex(), error.code)
    for cut, pairs in ((b"\x07\x4812345678", 7), (b"\x09\x69installer", 7)):
        try:
            delegation.read(bytes((0xA0 + pairs,)) + data.replace(cut, b"")[1:])
            raise AssertionError(cut.hex())
        except FrameError as error:
            assert error.code == "missing"


def test_the_envelope_of_a_statement_is_one_form_only():
    good = sign1.write(b"payload", bytes(64))
    assert good == b"\xd2\x84\x43\xa1\x01\x28\xa0\x47payload\x58\x40" + bytes(64)
    for data, code in (
        (good[1:], "type"),
        (b"\xd1" + good[1:], "tag"),
        (good.replace(b"\xa1\x01\x28", b"\xa1\x01\x26"), sign1.HEADER),
        (good.replace(b"\x28\xa0", b"\x28\xa1\x04\x40"), "too_long"),
        (good + b"\0", "trailing"),
        (good[:-1], "truncated"),
        (good[:-66] + b"\x40", sign1.SIGNATURE),
        (good, sign1.SIGNATURE),
    ):
        try:
            run(sign1.open_steps(HOST_CRYPTO, data, HOST[1], b"test"))
            raise AssertionError(data[:8].hex())
        except FrameError as error:
            assert error.code == code, "%s gave %s" % (data[:8].hex(), error.code)


def test_the_purpose_is_signed_too():
    one = sign1.to_be_signed(b"p", b"citymote delegation 1")
    assert one == b"\x84\x6aSignature1\x43\xa1\x01\x28\x55citymote delegation 1\x41p"
    assert one != sign1.to_be_signed(b"p", b"citymote transfer 1")
