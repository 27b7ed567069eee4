"""The golden vectors of SPEC chapters 12 and 13, under both interpreters: both directions, and every refusal."""

import json
import sys

from citymote_protocol import ccs, claim, coap_udp, delegation, oscore
from citymote_protocol.coap import OSCORE
from citymote_protocol.edhoc import EdhocError
from citymote_protocol.edhoc_initiator import Initiator
from citymote_protocol.edhoc_responder import Responder
from citymote_protocol.errors import FrameError
from citymote_protocol.oscore_client import protect_request
from citymote_protocol.oscore_derive import derive
from citymote_protocol.oscore_server import open_request
from citymote_protocol.p256 import run

# Files of JSON are larger than a node ever holds; this heap is the test's, not the node's.
HEAP = "400k"

if sys.implementation.name == "micropython":
    from node.crypto import NodeCrypto as Crypto

    FOLDER = "protocol/vectors/"
else:
    from citymote.crypto import HostCrypto as Crypto

    FOLDER = __file__.replace("tests/shared/test_session_vectors.py", "protocol/vectors/")

CRYPTO = Crypto(lambda count: bytes(range(1, count + 1)))


def _cases(name):
    with open(FOLDER + name) as file:
        return json.load(file)["cases"]


def _hex(case, name):
    return bytes.fromhex(case[name])


def _code(function, *arguments):
    try:
        function(*arguments)
    except FrameError as error:
        return error.code
    return None


def test_messages_both_ways():
    for case in _cases("coap-messages.json"):
        kind, mid, message = coap_udp.decode(_hex(case, "hex"))
        options = [[number, value.hex() if value else ""] for number, value in message.options]
        found = (kind, mid, message.code, message.token, options, message.payload)
        wanted = (case["type"], case["mid"], case["code"], _hex(case, "token"), case["options"], _hex(case, "payload"))
        assert found == wanted, case["name"]
        assert coap_udp.encode(kind, mid, message) == _hex(case, "hex"), case["name"]


def test_bad_messages():
    for case in _cases("coap-bad.json"):
        found = _code(coap_udp.decode, _hex(case, "hex"))
        assert found == case["error"], "%s: %s" % (case["name"], found)


def _pair(private):
    return private, run(CRYPTO.public_steps(private))


def _initiator(case):
    return Initiator(
        CRYPTO,
        _hex(case, "initiator_private"),
        _hex(case, "initiator_credential"),
        _hex(case, "initiator_kid"),
        _pair(_hex(case, "initiator_ephemeral")),
        _hex(case, "c_i"),
        by_value=case["initiator_by_value"],
        suites=case["initiator_suites"],
    )


def _responder(case):
    known = {_hex(case, "initiator_kid"): _hex(case, "initiator_credential")}
    return Responder(
        CRYPTO,
        _hex(case, "responder_private"),
        _hex(case, "responder_credential"),
        _hex(case, "responder_kid"),
        _pair(_hex(case, "responder_ephemeral")),
        (_hex(case, "c_r"), b"\x00"),
        known.get,
        by_value=case["responder_by_value"],
    )


def _keys(case, keys, initiator):
    assert keys.exporter(0, b"", 16) == _hex(case, "master_secret"), case["name"]
    assert keys.exporter(1, b"", 8) == _hex(case, "master_salt"), case["name"]
    assert keys.exporter(32768, b"", 32) == _hex(case, "exporter_32768"), case["name"]
    context = keys.oscore(initiator)
    names = ("initiator_sender_key", "responder_sender_key")
    assert context.sender_key == _hex(case, names[not initiator]), case["name"]
    assert context.recipient_key == _hex(case, names[initiator]), case["name"]
    assert context.common_iv == _hex(case, "common_iv"), case["name"]


def test_sessions_as_initiator():
    for case in _cases("edhoc-sessions.json"):
        initiator = _initiator(case)
        assert initiator.message_1() == _hex(case, "message_1"), case["name"]
        run(initiator.message_2_steps(_hex(case, "message_2")))
        message_3 = run(initiator.message_3_steps(_hex(case, "responder_credential")))
        assert message_3 == _hex(case, "message_3"), case["name"]
        _keys(case, initiator.message_4(_hex(case, "message_4")), True)


def test_sessions_as_responder():
    for case in _cases("edhoc-sessions.json"):
        responder = _responder(case)
        assert run(responder.message_1_steps(_hex(case, "message_1"))) == _hex(case, "message_2"), case["name"]
        assert run(responder.message_3_steps(_hex(case, "message_3"))) == _hex(case, "message_4"), case["name"]
        _keys(case, responder.keys, False)


def test_credentials_are_made_from_public_keys():
    case = _cases("edhoc-sessions.json")[0]
    for side in ("initiator", "responder"):
        public = _pair(_hex(case, side + "_private"))[1]
        kid = CRYPTO.sha256(public).digest()[:6]
        assert kid == _hex(case, side + "_kid") and ccs.write(kid, public) == _hex(case, side + "_credential")


def test_bad_messages_of_edhoc():
    sessions = _cases("edhoc-sessions.json")
    for case in _cases("edhoc-bad.json"):
        session = sessions[case.get("session", 0)]
        responder = _responder(session)
        try:
            if "message_1" in case:
                run(responder.message_1_steps(_hex(case, "message_1")))
            else:
                run(responder.message_1_steps(_hex(session, "message_1")))
                run(responder.message_3_steps(_hex(case, "message_3")))
            raise AssertionError(case["name"] + " was taken")
        except EdhocError as error:
            assert (error.code, error.message) == (case["error"], _hex(case, "answer")), case["name"]
        assert responder.keys is None


def _contexts(session):
    secret, salt = _hex(session, "master_secret"), _hex(session, "master_salt")
    c_i, c_r = _hex(session, "c_i"), _hex(session, "c_r")
    return derive(CRYPTO, secret, salt, c_r, c_i), derive(CRYPTO, secret, salt, c_i, c_r)


def test_protected_messages_both_ways():
    sessions = _cases("edhoc-sessions.json")
    for case in _cases("oscore-messages.json"):
        client, server = _contexts(sessions[case["session"]])
        client.sequence = case["number"]
        kind, mid, message = coap_udp.decode(_hex(case, "request"))
        outer, question = protect_request(CRYPTO, client, message)
        assert coap_udp.encode(kind, mid, outer) == _hex(case, "protected_request"), case["name"]
        outer = coap_udp.decode(_hex(case, "protected_request"))[2]
        inner, binding = open_request(CRYPTO, lambda kid, about, server=server: server, outer)
        assert coap_udp.encode(kind, mid, inner) == _hex(case, "request"), case["name"]
        if "response" in case:
            pairs = [(_hex(case, "response"), _hex(case, "protected_response"))]
        else:
            pairs = [(_hex(each, "notification"), _hex(each, "protected")) for each in case["notifications"]]
        for plain, protected in pairs:
            kind, mid, message = coap_udp.decode(plain)
            assert coap_udp.encode(kind, mid, binding.protect(CRYPTO, message)) == protected, case["name"]
            opened = question.open(CRYPTO, coap_udp.decode(protected)[2])
            assert (opened.code, opened.payload) == (message.code, message.payload), case["name"]


def test_bad_protected_requests():
    sessions = _cases("edhoc-sessions.json")
    for case in _cases("oscore-bad.json"):
        _, server = _contexts(sessions[case["session"]])

        def find(kid, about, server=server):
            return server if kid == server.recipient_id and about is None else None

        outer = coap_udp.decode(_hex(case, "request"))[2]
        assert outer.option(OSCORE) is not None
        found = _code(open_request, CRYPTO, find, outer)
        assert found == case["error"], "%s: %s" % (case["name"], found)
        tried = found == oscore.DECRYPTION and len(outer.payload) > oscore.TAG  # what is shorter is no forgery of a tag
        assert server.newest == -1 and server.failures == tried, case["name"]


def test_claims():
    for case in _cases("claims.json"):
        secret, bound, body = _hex(case, "secret"), _hex(case, "exported"), _hex(case, "body")
        if "error" in case:
            found = _code(claim.check, CRYPTO, secret, bound, body)
            assert found == case["error"], "%s: %s" % (case["name"], found)
            continue
        owner = _hex(case, "owner")
        key = claim.claim_key(CRYPTO, secret)
        assert key == _hex(case, "key")
        tag = claim.claim_tag(CRYPTO, key, bound, owner)
        assert tag == _hex(case, "tag") and claim.write(owner, tag) == body
        assert claim.check(CRYPTO, secret, bound, body) == owner


def _judge(case):
    found = run(delegation.open_steps(CRYPTO, _hex(case, "statement"), _hex(case, "owner")))
    nonce = _hex(case, "nonce") if case["nonce"] is not None else None
    return delegation.judge(
        found, case["issuer"], case["node"], case["site"], case["epoch"], _hex(case, "x"), case["now"], nonce
    )


def test_delegations():
    for case in _cases("delegations.json"):
        if "error" in case:
            found = _code(_judge, case)
            assert found == case["error"], "%s: %s" % (case["name"], found)
        else:
            assert _judge(case) == case["role"], case["name"]
