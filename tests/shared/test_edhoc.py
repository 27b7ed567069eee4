"""EDHOC under both interpreters: the trace of RFC 9529 for method 3 and suite 2, its invalid messages, refusals."""

import sys

from feeding import Chance

from citymote_protocol import ccs, edhoc, p256
from citymote_protocol.cbor_read import Heads
from citymote_protocol.edhoc import EdhocError
from citymote_protocol.edhoc_initiator import Initiator, read_error
from citymote_protocol.edhoc_responder import Responder
from citymote_protocol.errors import FrameError
from citymote_protocol.p256 import run

if sys.implementation.name == "micropython":
    from node.crypto import NodeCrypto as Crypto
else:
    from citymote.crypto import HostCrypto as Crypto


def _random(count):
    return bytes(range(0xA7 - count, 0xA7))


CRYPTO = Crypto(_random)


def _hex(text):
    return bytes.fromhex(text)


# RFC 9529, section 3
X = _hex("368ec1f69aeb659ba37d5a8d45b21bdc0299dceaa8ef235f3ca42ce3530f9525")
G_X = _hex("8af6f430ebe18d34184017a9a11bf511c8dff8f834730b96c1b7c8dbca2fc3b6")
Y = _hex("e2f4126777205e853b437d6eaca1e1f753cdcc3e2c69fa884b0a1a640977e418")
G_Y = _hex("419701d7f00a26c2dc587a36dd752549f33763c893422c8ea0f955a13a4ff5d5")
SK_R = _hex("72cc4761dbd4c78f758931aa589d348d1ef874a7e303ede2f140dcf3e6aa4aac")
SK_I = _hex("fb13adeb6518cee5f88417660841142e830a81fe334380a953406a1305e8706b")
CRED_R = _hex(
    "a2026b6578616d706c652e65647508a101a501020241322001215820bbc34960526ea4d32e940cad2a234148ddc21791"
    "a12afbcbac93622046dd44f02258204519e257236b2a0ce2023f0931f1f386ca7afda64fcde0108c224c51eabf6072"
)
CRED_I = _hex(
    "a2027734322d35302d33312d46462d45462d33372d33322d333908a101a5010202412b2001215820ac75e9ece3e50bfc8ed6039988952240"
    "5c47bf16df96660a41298cb4307f7eb62258206e5de611388a4b8a8211334ac7d37ecb52a387d257e6db3c2a93df21ff3affc8"
)
MESSAGE_1_FIRST = _hex("03065820741a13d7ba048fbb615e94386aa3b61bea5b3d8f65f32620b749bee8d278efa90e")
ERROR = _hex("0202")
MESSAGE_1 = _hex("0382060258208af6f430ebe18d34184017a9a11bf511c8dff8f834730b96c1b7c8dbca2fc3b637")
MESSAGE_2 = _hex("582b419701d7f00a26c2dc587a36dd752549f33763c893422c8ea0f955a13a4ff5d59862a1eef9e0e7e1886fcd")
MESSAGE_3 = _hex("52e562097bc417dd5919485ac7891ffd90a9fc")
MESSAGE_4 = _hex("4828c966b7ca304f83")
PRK_EXPORTER = _hex("e14d06699cee248c5a04bf9227bbcd4ce394de7dcb56db43555474171e6446db")
MASTER_SECRET = _hex("f9868f6a3aca78a05d1485b35030b162")
MASTER_SALT = _hex("ada24c7dbfc85eeb")

PAIR_X = (X, b"\x03" + G_X)
PAIR_Y = (Y, b"\x02" + G_Y)


def _find(kid):
    return CRED_I if kid == b"\x2b" else None


def _responder(**more):
    return Responder(CRYPTO, SK_R, CRED_R, b"\x32", PAIR_Y, (b"\x27", b"\x26"), _find, **more)


def _initiator(**more):
    if "by_value" not in more:
        more["by_value"] = False
    return Initiator(CRYPTO, SK_I, CRED_I, b"\x2b", PAIR_X, b"\x37", **more)


def _refused(steps):
    """The EdhocError that a generator ends with."""
    try:
        run(steps)
    except EdhocError as error:
        return error
    raise AssertionError("nothing was refused")


def test_the_trace_of_rfc_9529_as_responder():
    responder = _responder()
    assert run(responder.message_1_steps(MESSAGE_1)) == MESSAGE_2
    assert run(responder.message_3_steps(MESSAGE_3)) == MESSAGE_4
    keys = responder.keys
    assert keys._prk == PRK_EXPORTER
    assert keys.exporter(0, b"", 16) == MASTER_SECRET and keys.exporter(1, b"", 8) == MASTER_SALT
    assert responder.peer == CRED_I and (responder.c_i, responder.c_r) == (b"\x37", b"\x27")


def test_the_trace_of_rfc_9529_as_initiator():
    initiator = _initiator(suites=(6,))
    assert initiator.message_1() == MESSAGE_1
    assert run(initiator.message_2_steps(MESSAGE_2)) == (b"\x32", None)
    assert run(initiator.message_3_steps(CRED_R)) == MESSAGE_3
    keys = initiator.message_4(MESSAGE_4)
    assert keys._prk == PRK_EXPORTER
    assert keys.exporter(0, b"", 16) == MASTER_SECRET and keys.exporter(1, b"", 8) == MASTER_SALT


def test_the_oscore_ids_of_rfc_9529():
    responder, initiator = _responder(), _initiator(suites=(6,))
    run(responder.message_1_steps(initiator.message_1()))
    run(responder.message_3_steps(MESSAGE_3))
    run(initiator.message_2_steps(MESSAGE_2))
    run(initiator.message_3_steps(CRED_R))
    client, server = initiator.message_4(MESSAGE_4).oscore(True), responder.keys.oscore(False)
    assert (client.sender_id, server.sender_id) == (b"\x27", b"\x37")
    assert (client.recipient_id, server.recipient_id) == (b"\x37", b"\x27")
    assert client.sender_key == server.recipient_key and server.sender_key == client.recipient_key


def test_another_suite_gets_the_error_of_rfc_9529():
    error = _refused(_responder().message_1_steps(MESSAGE_1_FIRST))
    assert (error.code, error.message) == (edhoc.SUITE, ERROR)
    initiator = _initiator()
    initiator.message_1()
    error = _refused(initiator.message_2_steps(ERROR))
    assert error.code == edhoc.REFUSED and error.message == b"" and "suites [2]" in str(error)


# RFC 9529, section 4 (those of message_1): every one is refused
G_X_OTHER = "5820741a13d7ba048fbb615e94386aa3b61bea5b3d8f65f32620b749bee8d278efa9"
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
        error = _refused(_responder().message_1_steps(_hex(data)))
        assert error.code == code, "%s gave %s" % (name, error.code)
        if code == edhoc.SUITE and name != "an array of one suite":
            assert error.message == b"\x02\x02"
        else:
            assert error.message[0] == 1 and read_error(error.message) == (1, code)


def test_the_invalid_plaintexts_of_rfc_9529():
    for plain, code in (("27a104423210", edhoc.IDENTIFIER), ("274132", edhoc.IDENTIFIER)):
        reader = Heads(_hex(plain))
        edhoc.read_identifier(reader)
        try:
            edhoc.read_credential_id(reader)
            raise AssertionError(plain + " was read")
        except FrameError as error:
            assert error.code == code
    initiator = _initiator(suites=(6,))
    initiator.message_1()
    joined = _hex("582041" + MESSAGE_2.hex()[6:68] + "4b9862a11de42a95d785386a")
    assert _refused(initiator.message_2_steps(joined)).code == "trailing", "two items for message_2"


def test_methods_other_than_3_are_refused():
    for method in ("00", "01", "02", "04", "20", "1818"):
        error = _refused(_responder().message_1_steps(_hex(method + "02" + G_X_OTHER + "0e")))
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
        steps = _responder().message_1_steps(_hex("03" + suites + G_X_OTHER + "0e"))
        found = None
        try:
            next(steps)  # the first pause is in the arithmetic: everything before it was accepted
        except EdhocError as error:
            found = error.code
        assert found == code, "%s gave %s" % (suites, found)


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
        assert edhoc.write_identifier(data) == _hex(wire)
        assert edhoc.read_identifier(Heads(_hex(wire))) == data
    for wire, code in (
        ("4100", edhoc.IDENTIFIER),
        ("4137", edhoc.IDENTIFIER),
        ("1818", "range"),
        ("48" + "00" * 8, "too_long"),
    ):
        try:
            edhoc.read_identifier(Heads(_hex(wire)))
            raise AssertionError(wire + " was read")
        except FrameError as error:
            assert error.code == code, wire


def _whole(initiator, responder, expected=None, change=None):
    """Both sides to the end; `change(number, message)` stands in between. Returns (initiator's keys, responder)."""
    change = change or (lambda number, message: message)
    message = change(2, run(responder.message_1_steps(change(1, initiator.message_1()))))
    run(initiator.message_2_steps(message))
    message = change(4, run(responder.message_3_steps(change(3, run(initiator.message_3_steps(expected or CRED_R))))))
    return initiator.message_4(message), responder


def test_credentials_by_value_and_by_reference_in_all_four_ways():
    sizes = []
    for i_value in (False, True):
        for r_value in (False, True):
            initiator, responder = _initiator(by_value=i_value), _responder(by_value=r_value)
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
    assert made == _hex("a108a101a4010202461b2c0f41ac8a2001215820") + G_X and len(made) == 52
    assert ccs.read(made) == (G_X, _hex("1b2c0f41ac8a"))
    assert ccs.read(CRED_I) == (_hex("ac75e9ece3e50bfc8ed60399889522405c47bf16df96660a41298cb4307f7eb6"), b"\x2b")


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
            ccs.read(_hex(data))
            raise AssertionError(data + " was read")
        except FrameError as error:
            assert error.code == code, "%s gave %s" % (data[:30], error.code)


def test_the_initiator_goes_no_further_with_anybody_but_the_expected():
    other = ccs.write(b"\x32", G_X)
    initiator, responder = _initiator(), _responder()
    run(initiator.message_2_steps(run(responder.message_1_steps(initiator.message_1()))))
    error = _refused(initiator.message_3_steps(other))
    assert error.code == edhoc.MAC and error.message[0] == 1
    assert _refused(initiator.message_3_steps(CRED_R)).code == edhoc.STATE, "a failed session went on"


def test_an_unknown_key_id_gets_error_3():
    initiator = Initiator(CRYPTO, SK_I, CRED_I, b"\x2c", PAIR_X, b"\x37", by_value=False)
    responder = _responder()
    run(initiator.message_2_steps(run(responder.message_1_steps(initiator.message_1()))))
    error = _refused(responder.message_3_steps(run(initiator.message_3_steps(CRED_R))))
    assert (error.code, error.message) == (edhoc.UNKNOWN, b"\x03\xf5")
    assert responder.keys is None


def test_an_initiator_with_another_key_than_its_credential_is_refused():
    initiator = Initiator(CRYPTO, Y, CRED_I, b"\x2b", PAIR_X, b"\x37", by_value=False)
    responder = _responder()
    run(initiator.message_2_steps(run(responder.message_1_steps(initiator.message_1()))))
    error = _refused(responder.message_3_steps(run(initiator.message_3_steps(CRED_R))))
    assert error.code == edhoc.MAC and responder.keys is None and responder.peer is None


def test_a_credential_that_is_no_point_is_refused_before_arithmetic():
    bad = ccs.write(b"\x2b", _hex("a04e73601df544a70ba7ea1e57030f7d4b4eb7f673924e58d54ca77a5e7d4d4a"))
    initiator = Initiator(CRYPTO, SK_I, bad, b"\x2b", PAIR_X, b"\x37")
    responder = _responder()
    run(initiator.message_2_steps(run(responder.message_1_steps(initiator.message_1()))))
    error = _refused(responder.message_3_steps(run(initiator.message_3_steps(CRED_R))))
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
        responder = _responder(known=(65001,) if known else ())
        data = _hex("0302" + G_X_OTHER + "0e" + ead)
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
    initiator, responder = _initiator(known=known), _responder(known=known)
    initiator.ead_1, responder.ead_2 = _hex("19fde94131"), _hex("19fde94132")
    initiator.ead_3, responder.ead_4 = _hex("39fde84133"), _hex("19fde94134")
    _whole(initiator, responder)
    assert responder.eads == [(65001, b"1"), (-65001, b"3")]
    assert initiator.eads == [(65001, b"2"), (65001, b"4")]


def test_a_critical_item_that_nobody_knows_ends_the_session_on_either_side():
    for number in (1, 2, 3, 4):
        initiator, responder = _initiator(), _responder()
        side, name = (initiator, responder)[number % 2 == 0], "ead_%d" % number
        setattr(side, name, _hex("24"))
        try:
            _whole(initiator, responder)
            raise AssertionError("EAD_%d was taken" % number)
        except EdhocError as error:
            assert error.code == edhoc.EAD, number


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
                _whole(_initiator(), _responder(), None, change)
                raise AssertionError("message_%d with bit %d changed was taken" % (number, where[0]))
            except EdhocError:
                pass


def test_messages_out_of_turn_are_not_looked_at():
    responder = _responder()
    error = _refused(responder.message_3_steps(MESSAGE_3))
    assert error.code == edhoc.STATE and error.message == b"", "nothing is sent about it"
    assert run(responder.message_1_steps(MESSAGE_1)) == MESSAGE_2
    assert _refused(responder.message_1_steps(MESSAGE_1)).code == edhoc.STATE
    assert run(responder.message_3_steps(MESSAGE_3)) == MESSAGE_4, "a repeated message_1 ended the session"
    assert _refused(responder.message_3_steps(MESSAGE_3)).code == edhoc.STATE
    assert responder.keys is not None


def test_a_failed_responder_keeps_no_secret():
    responder = _responder()
    run(responder.message_1_steps(MESSAGE_1))
    bad = bytearray(MESSAGE_3)
    bad[5] ^= 1
    assert _refused(responder.message_3_steps(bytes(bad))).code == edhoc.MAC
    assert responder._pair is None and responder._private is None and responder._prk is None
    assert _refused(responder.message_3_steps(MESSAGE_3)).code == edhoc.STATE, "after a failure nothing goes on"


def test_one_identifier_for_both_ends_is_avoided():
    data = MESSAGE_1[:-1] + b"\x27"
    responder = _responder()
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
    for steps in (_responder().message_1_steps,):
        assert _refused(steps(b"\x03\x02" + bytes(511))).code == "too_large"


def test_the_node_pauses_at_least_every_few_point_operations():
    """Four multiplications of a session in steps, of which an ESP32-C3 does each in less than 20 ms (test_p256)."""
    responder = Responder(_Counting(), SK_R, CRED_R, b"\x32", PAIR_Y, (b"\x27", b"\x26"), _find)
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
        Crypto.__init__(self, _random)

    def ecdh_steps(self, private, public):
        _Counting.multiplications += 1
        return p256.ecdh_steps(private, public, self.random)
