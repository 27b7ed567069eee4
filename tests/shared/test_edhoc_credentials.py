"""Who is at the other end of EDHOC, under both interpreters: credentials, identifiers, and data for authorisation.

A credential comes by value or by reference, in the one form that the specification has; whoever is not the one that is
expected learns nothing, and a critical item that nobody knows ends the session.
"""

from edhoc_trace import (
    CRED_I,
    CRED_R,
    CRYPTO,
    G_X,
    G_X_OTHER,
    PAIR_X,
    SK_I,
    Y,
    new_initiator,
    new_responder,
    refused,
    unhex,
    whole,
)

from citymote_protocol import ccs, edhoc
from citymote_protocol.cbor_read import Heads
from citymote_protocol.edhoc import EdhocError
from citymote_protocol.edhoc_initiator import Initiator
from citymote_protocol.errors import FrameError
from citymote_protocol.p256 import run


def test_identifiers_in_both_forms():
    for data, wire in (
        (b"\x00", "00"),
        (b"\x17", "17"),
        (b"\x20", "20"),
        (b"\x37", "37"),
        (b"\x18", "4118"),
        (b"\x38", "4138"),
        (b"\xff", "41ff"),
        (b"", "40"),
        (b"\xab\xcd", "42abcd"),
    ):
        assert edhoc.write_identifier(data) == unhex(wire)
        assert edhoc.read_identifier(Heads(unhex(wire))) == data
    for wire, code in (
        ("4100", edhoc.IDENTIFIER),
        ("4137", edhoc.IDENTIFIER),
        ("1818", "range"),
        ("48" + "00" * 8, "too_long"),
    ):
        try:
            edhoc.read_identifier(Heads(unhex(wire)))
            raise AssertionError(wire + " was read")
        except FrameError as error:
            assert error.code == code, wire


def test_credentials_by_value_and_by_reference_in_all_four_ways():
    sizes = []
    for i_value in (False, True):
        for r_value in (False, True):
            initiator, responder = new_initiator(by_value=i_value), new_responder(by_value=r_value)
            message_2 = run(responder.message_1_steps(initiator.message_1()))
            said = run(initiator.message_2_steps(message_2))
            assert said == ((None, CRED_R) if r_value else (b"\x32", None))
            message_3 = run(initiator.message_3_steps(CRED_R))
            message_4 = run(responder.message_3_steps(message_3))
            assert initiator.message_4(message_4).exporter(7, b"x", 20) == responder.keys.exporter(7, b"x", 20)
            assert responder.peer == CRED_I
            sizes.append((len(message_2), len(message_3), len(message_4)))
    assert sizes == [(45, 19, 9), (141, 19, 9), (45, 128, 9), (141, 128, 9)], sizes


def test_our_own_credential_is_what_the_specification_says():
    made = ccs.write(b"\x1b\x2c\x0f\x41\xac\x8a", b"\x03" + G_X)
    assert made == unhex("a108a101a4010202461b2c0f41ac8a2001215820") + G_X and len(made) == 52
    assert ccs.read(made) == (G_X, unhex("1b2c0f41ac8a"))
    assert ccs.read(CRED_I) == (unhex("ac75e9ece3e50bfc8ed60399889522405c47bf16df96660a41298cb4307f7eb6"), b"\x2b")


def test_claims_sets_without_a_p256_key_are_refused():
    good = ccs.write(b"k", G_X).hex()
    for data, code in (
        ("a0", ccs.CREDENTIAL),
        ("a1026161", ccs.CREDENTIAL),
        ("80", "type"),
        ("a10801", "type"),
        ("a108a10101", "type"),
        ("a10161", ccs.CREDENTIAL),
        (good.replace("010202", "010102"), ccs.CREDENTIAL),
        (good.replace("2001", "2002"), ccs.CREDENTIAL),
        (good.replace("215820", "21581f")[:-2], ccs.CREDENTIAL),
        (good + "00", "trailing"),
        (good[:-2], "truncated"),
        ("a2" + good[2:] + "0200", ccs.CREDENTIAL),
    ):
        try:
            ccs.read(unhex(data))
            raise AssertionError(data + " was read")
        except FrameError as error:
            assert error.code == code, "%s gave %s" % (data[:30], error.code)


def test_the_initiator_goes_no_further_with_anybody_but_the_expected():
    other = ccs.write(b"\x32", G_X)
    initiator, responder = new_initiator(), new_responder()
    run(initiator.message_2_steps(run(responder.message_1_steps(initiator.message_1()))))
    error = refused(initiator.message_3_steps(other))
    assert error.code == edhoc.MAC and error.message[0] == 1
    assert refused(initiator.message_3_steps(CRED_R)).code == edhoc.STATE, "a failed session went on"


def test_an_unknown_key_id_gets_error_3():
    initiator = Initiator(CRYPTO, SK_I, CRED_I, b"\x2c", PAIR_X, b"\x37", by_value=False)
    responder = new_responder()
    run(initiator.message_2_steps(run(responder.message_1_steps(initiator.message_1()))))
    error = refused(responder.message_3_steps(run(initiator.message_3_steps(CRED_R))))
    assert (error.code, error.message) == (edhoc.UNKNOWN, b"\x03\xf5")
    assert responder.keys is None


def test_an_initiator_with_another_key_than_its_credential_is_refused():
    initiator = Initiator(CRYPTO, Y, CRED_I, b"\x2b", PAIR_X, b"\x37", by_value=False)
    responder = new_responder()
    run(initiator.message_2_steps(run(responder.message_1_steps(initiator.message_1()))))
    error = refused(responder.message_3_steps(run(initiator.message_3_steps(CRED_R))))
    assert error.code == edhoc.MAC and responder.keys is None and responder.peer is None


def test_a_credential_that_is_no_point_is_refused_before_arithmetic():
    bad = ccs.write(b"\x2b", unhex("a04e73601df544a70ba7ea1e57030f7d4b4eb7f673924e58d54ca77a5e7d4d4a"))
    initiator = Initiator(CRYPTO, SK_I, bad, b"\x2b", PAIR_X, b"\x37")
    responder = new_responder()
    run(initiator.message_2_steps(run(responder.message_1_steps(initiator.message_1()))))
    error = refused(responder.message_3_steps(run(initiator.message_3_steps(CRED_R))))
    assert error.code == edhoc.POINT


def test_external_authorisation_data():
    for ead, code, known in (
        ("", None, []),
        ("00", None, []),
        ("0040", None, []),
        ("0041e9", None, []),
        ("0000004100", None, []),
        ("19fde9", None, []),
        ("19fde94161", None, [(65001, b"a")]),
        ("39fde84161", None, [(-65001, b"a")]),
        ("05", None, []),
        ("24", edhoc.EAD, []),
        ("244101", edhoc.EAD, []),
        ("0000000000", edhoc.EAD, []),
        ("60", "type", []),
        ("19fde95841" + "00" * 65, "too_long", []),
        ("0541", "truncated", []),
        ("4161", "type", []),
    ):
        responder = new_responder(known=(65001,) if known else ())
        data = unhex("0302" + G_X_OTHER + "0e" + ead)
        steps = responder.message_1_steps(data)
        found = None
        try:
            next(steps)
        except EdhocError as error:
            found = error.code
            assert error.message[0] == 1
        assert found == code and responder.eads == known, "%s gave %s, %s" % (ead, found, responder.eads)


def test_external_data_of_all_four_messages_arrives():
    known = (65001,)
    initiator, responder = new_initiator(known=known), new_responder(known=known)
    initiator.ead_1, responder.ead_2 = unhex("19fde94131"), unhex("19fde94132")
    initiator.ead_3, responder.ead_4 = unhex("39fde84133"), unhex("19fde94134")
    whole(initiator, responder)
    assert responder.eads == [(65001, b"1"), (-65001, b"3")]
    assert initiator.eads == [(65001, b"2"), (65001, b"4")]


def test_a_critical_item_that_nobody_knows_ends_the_session_on_either_side():
    for number in (1, 2, 3, 4):
        initiator, responder = new_initiator(), new_responder()
        side, name = (initiator, responder)[number % 2 == 0], "ead_%d" % number
        setattr(side, name, unhex("24"))
        try:
            whole(initiator, responder)
            raise AssertionError("EAD_%d was taken" % number)
        except EdhocError as error:
            assert error.code == edhoc.EAD, number
