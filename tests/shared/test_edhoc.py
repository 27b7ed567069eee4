"""EDHOC under both interpreters: the trace of RFC 9529 for method 3 and suite 2, its invalid messages, refusals.

Whatever is altered, out of turn or too long ends the session with the error that the standard has for it, and leaves no
secret behind. Credentials and what comes with them are in `test_edhoc_credentials`.
"""

from edhoc_trace import (
    CRED_I,
    CRED_R,
    ERROR,
    G_X_OTHER,
    MASTER_SALT,
    MASTER_SECRET,
    MESSAGE_1,
    MESSAGE_1_FIRST,
    MESSAGE_2,
    MESSAGE_3,
    MESSAGE_4,
    PAIR_Y,
    PRK_EXPORTER,
    SK_R,
    Crypto,
    find,
    new_initiator,
    new_responder,
    random_bytes,
    refused,
    unhex,
    whole,
)
from feeding import Chance

from citymote_protocol import edhoc, p256
from citymote_protocol.cbor_read import Heads
from citymote_protocol.edhoc import EdhocError
from citymote_protocol.edhoc_initiator import read_error
from citymote_protocol.edhoc_responder import Responder
from citymote_protocol.errors import FrameError
from citymote_protocol.p256 import run


def test_the_trace_of_rfc_9529_as_responder():
    responder = new_responder()
    assert run(responder.message_1_steps(MESSAGE_1)) == MESSAGE_2
    assert run(responder.message_3_steps(MESSAGE_3)) == MESSAGE_4
    keys = responder.keys
    assert keys._prk == PRK_EXPORTER
    assert keys.exporter(0, b"", 16) == MASTER_SECRET and keys.exporter(1, b"", 8) == MASTER_SALT
    assert responder.peer == CRED_I and (responder.c_i, responder.c_r) == (b"\x37", b"\x27")


def test_the_trace_of_rfc_9529_as_initiator():
    initiator = new_initiator(suites=(6,))
    assert initiator.message_1() == MESSAGE_1
    assert run(initiator.message_2_steps(MESSAGE_2)) == (b"\x32", None)
    assert run(initiator.message_3_steps(CRED_R)) == MESSAGE_3
    keys = initiator.message_4(MESSAGE_4)
    assert keys._prk == PRK_EXPORTER
    assert keys.exporter(0, b"", 16) == MASTER_SECRET and keys.exporter(1, b"", 8) == MASTER_SALT


def test_the_oscore_ids_of_rfc_9529():
    responder, initiator = new_responder(), new_initiator(suites=(6,))
    run(responder.message_1_steps(initiator.message_1()))
    run(responder.message_3_steps(MESSAGE_3))
    run(initiator.message_2_steps(MESSAGE_2))
    run(initiator.message_3_steps(CRED_R))
    client, server = initiator.message_4(MESSAGE_4).oscore(True), responder.keys.oscore(False)
    assert (client.sender_id, server.sender_id) == (b"\x27", b"\x37")
    assert (client.recipient_id, server.recipient_id) == (b"\x37", b"\x27")
    assert client.sender_key == server.recipient_key and server.sender_key == client.recipient_key


def test_another_suite_gets_the_error_of_rfc_9529():
    error = refused(new_responder().message_1_steps(MESSAGE_1_FIRST))
    assert (error.code, error.message) == (edhoc.SUITE, ERROR)
    initiator = new_initiator()
    initiator.message_1()
    error = refused(initiator.message_2_steps(ERROR))
    assert error.code == edhoc.REFUSED and error.message == b"" and "suites [2]" in str(error)


# RFC 9529, section 4 (those of message_1): every one is refused
INVALID = (
    ("an array around it", "840302" + G_X_OTHER + "0e", "type"),
    ("a byte string for C_I", "0302" + G_X_OTHER + "410e", edhoc.IDENTIFIER),
    ("an array of one suite", "038102" + G_X_OTHER + "0e", edhoc.SUITE),
    ("text for G_X", "030278202061697220737065656420" + "6f66206120756e6c6164656e207377616c6c6f77200e", "type"),
    ("suite 24 selected", "0382021818" + G_X_OTHER + "0e", edhoc.SUITE),
    ("x over the prime", "03025820ffffffff00000001000000000000000000000000ffffffffffffffffffffffff0e", edhoc.POINT),
    ("x without a point", "03025820a04e73601df544a70ba7ea1e57030f7d4b4eb7f673924e58d54ca77a5e7d4d4a0e", edhoc.POINT),
    ("suite 0", "03005820edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f0e", edhoc.SUITE),
    ("31 bytes", "0302581fd9697725d23a688b12d1c7e0108a08c9f71a85a09c20814976ab21122248fc0e", edhoc.IDENTIFIER),
    ("a long METHOD", "19000302" + G_X_OTHER + "0e", "not_shortest"),
    ("suites of indefinite length", "039f0602ff" + G_X_OTHER + "0e", "indefinite"),
)


def test_the_invalid_messages_of_rfc_9529():
    for name, data, code in INVALID:
        error = refused(new_responder().message_1_steps(unhex(data)))
        assert error.code == code, "%s gave %s" % (name, error.code)
        if code == edhoc.SUITE and name != "an array of one suite":
            assert error.message == b"\x02\x02"
        else:
            assert error.message[0] == 1 and read_error(error.message) == (1, code)


def test_the_invalid_plaintexts_of_rfc_9529():
    for plain, code in (("27a104423210", edhoc.IDENTIFIER), ("274132", edhoc.IDENTIFIER)):
        reader = Heads(unhex(plain))
        edhoc.read_identifier(reader)
        try:
            edhoc.read_credential_id(reader)
            raise AssertionError(plain + " was read")
        except FrameError as error:
            assert error.code == code
    initiator = new_initiator(suites=(6,))
    initiator.message_1()
    joined = unhex("582041" + MESSAGE_2.hex()[6:68] + "4b9862a11de42a95d785386a")
    assert refused(initiator.message_2_steps(joined)).code == "trailing", "two items for message_2"


def test_methods_other_than_3_are_refused():
    for method in ("00", "01", "02", "04", "20", "1818"):
        error = refused(new_responder().message_1_steps(unhex(method + "02" + G_X_OTHER + "0e")))
        assert error.code == edhoc.METHOD and read_error(error.message) == (1, edhoc.METHOD), method


def test_suites_in_every_order():
    for suites, code in (
        ("02", None),
        ("820602", None),
        ("83060302", None),
        ("880304050600012002", None),
        ("00", edhoc.SUITE),
        ("03", edhoc.SUITE),
        ("820206", edhoc.SUITE),
        ("820202", edhoc.SUITE),
        ("820203", edhoc.SUITE),
        ("80", edhoc.SUITE),
        ("8906050403010006050402", "too_long"),
    ):
        steps = new_responder().message_1_steps(unhex("03" + suites + G_X_OTHER + "0e"))
        found = None
        try:
            next(steps)  # the first pause is in the arithmetic: everything before it was accepted
        except EdhocError as error:
            found = error.code
        assert found == code, "%s gave %s" % (suites, found)


def test_an_altered_message_ends_the_session_whichever_bit_it_was():
    chance = Chance(9528)
    for number in (1, 2, 3, 4):
        for _ in range(3):
            where = []

            def change(at, message, number=number, where=where):
                if at != number:
                    return message
                bad = bytearray(message)
                bit = chance.below(8 * len(bad))
                where.append(bit)
                bad[bit >> 3] ^= 1 << (bit & 7)
                return bytes(bad)

            try:
                whole(new_initiator(), new_responder(), None, change)
                raise AssertionError("message_%d with bit %d changed was taken" % (number, where[0]))
            except EdhocError:
                pass


def test_messages_out_of_turn_are_not_looked_at():
    responder = new_responder()
    error = refused(responder.message_3_steps(MESSAGE_3))
    assert error.code == edhoc.STATE and error.message == b"", "nothing is sent about it"
    assert run(responder.message_1_steps(MESSAGE_1)) == MESSAGE_2
    assert refused(responder.message_1_steps(MESSAGE_1)).code == edhoc.STATE
    assert run(responder.message_3_steps(MESSAGE_3)) == MESSAGE_4, "a repeated message_1 ended the session"
    assert refused(responder.message_3_steps(MESSAGE_3)).code == edhoc.STATE
    assert responder.keys is not None


def test_a_failed_responder_keeps_no_secret():
    responder = new_responder()
    run(responder.message_1_steps(MESSAGE_1))
    bad = bytearray(MESSAGE_3)
    bad[5] ^= 1
    assert refused(responder.message_3_steps(bytes(bad))).code == edhoc.MAC
    assert responder._pair is None and responder._private is None and responder._prk is None
    assert refused(responder.message_3_steps(MESSAGE_3)).code == edhoc.STATE, "after a failure nothing goes on"


def test_one_identifier_for_both_ends_is_avoided():
    data = MESSAGE_1[:-1] + b"\x27"
    responder = new_responder()
    run(responder.message_1_steps(data))
    assert responder.c_i == b"\x27" and responder.c_r == b"\x26"


def test_error_messages_both_ways():
    for data, read in (
        (edhoc.error_message(1, "method"), (1, "method")),
        (edhoc.error_message(1, "unknown_credential text of more"), (1, "unknown_credential text of more")),
        (b"\x02\x02", (2, "suites [2]")),
        (b"\x02\x82\x02\x03", (2, "suites [2, 3]")),
        (b"\x03\xf5", (3, "unknown credential")),
        (MESSAGE_2, None),
        (b"", None),
        (b"\x01\x61a\x00", None),
    ):
        assert read_error(data) == read, data.hex()


def test_too_long_messages_are_not_parsed():
    for steps in (new_responder().message_1_steps,):
        assert refused(steps(b"\x03\x02" + bytes(511))).code == "too_large"


def test_the_node_pauses_at_least_every_few_point_operations():
    """Four multiplications of a session in steps, of which an ESP32-C3 does each in less than 20 ms (test_p256)."""
    responder = Responder(_Counting(), SK_R, CRED_R, b"\x32", PAIR_Y, (b"\x27", b"\x26"), find)
    pauses = [0, 0]
    for at, make in ((0, responder.message_1_steps(MESSAGE_1)), (1, responder.message_3_steps(MESSAGE_3))):
        for _ in make:
            pauses[at] += 1
    assert pauses[0] > 180 and pauses[1] > 90, pauses
    assert _Counting.multiplications == 3, "with the pair that was made before: four"


class _Counting(Crypto):
    """The pure curve on either interpreter."""

    multiplications = 0

    def __init__(self):
        Crypto.__init__(self, random_bytes)

    def ecdh_steps(self, private, public):
        _Counting.multiplications += 1
        return p256.ecdh_steps(private, public, self.random)
