"""CoAP's message layer under both interpreters: the flows of RFC 7252's appendix A, and every line of its table."""

from feeding import Chance

from citymote_protocol import coap, coap_udp
from citymote_protocol.coap import Message
from citymote_protocol.coap_client import request
from citymote_protocol.coap_udp import ACK, CON, NON, RST, Udp


def _half(count):
    return b"\x80" * count


def _layer(mid, most=8):
    layer = Udp(_half, most)
    layer._mid = mid - 1
    return layer


def _get(token=b""):
    message = request(coap.GET, "temperature")
    message.token = token
    return message


def _content(token=b""):
    return Message(coap.CONTENT, token, [], b"22.3 C")


def _heads(layer):
    """(type, code, message id) of what a layer has to send."""
    found = []
    for _, data in layer.take():
        kind, mid, message = coap_udp.decode(data)
        found.append((kind, message.code, mid))
    return found


def test_figure_16_a_piggybacked_response():
    client, server = _layer(0x7D34), _layer(0)
    client.send("s", _get(), 0, True)
    ((_, data),) = client.take()
    assert data == b"\x40\x01\x7d\x34\xbbtemperature"
    asked = server.receive("c", data, 0)
    server.send("c", _content(asked.token), 1)
    ((_, data),) = server.take()
    assert data == b"\x60\x45\x7d\x34\xff22.3 C"
    answer = client.receive("s", data, 2)
    assert answer.payload == b"22.3 C" and client.wait(2) is None


def test_figure_18_a_lost_request_is_sent_again():
    client, server = _layer(0x7D36), _layer(0)
    client.send("s", _get(b"\x31"), 0, True)
    first = client.take()
    wait = client.wait(0)
    assert 2000 <= wait <= 3000, wait
    client.tick(wait - 1)
    assert client.take() == []
    client.tick(wait)
    again = client.take()
    assert again == first
    asked = server.receive("c", again[0][1], wait)
    server.send("c", _content(asked.token), wait)
    assert client.receive("s", server.take()[0][1], wait).token == b"\x31"


def test_figure_19_a_lost_response_is_sent_again_without_asking_twice():
    client, server = _layer(0x7D37), _layer(0)
    client.send("s", _get(b"\x42"), 0, True)
    data = client.take()[0][1]
    assert server.receive("c", data, 0) is not None
    server.send("c", _content(b"\x42"), 0)
    lost = server.take()
    client.tick(client.wait(0))
    assert server.receive("c", client.take()[0][1], 2500) is None, "the repetition was taken for a request"
    assert server.take() == lost
    assert client.receive("s", lost[0][1], 2500).payload == b"22.3 C"


def test_figure_20_an_acknowledgement_then_a_separate_response():
    client, server = _layer(0x7D38), _layer(0xAD7B)
    client.send("s", _get(b"\x53"), 0, True)
    server.receive("c", client.take()[0][1], 0)
    assert server.wait(0) == 1000
    server.tick(1000)
    ((_, data),) = server.take()
    assert data == b"\x60\x00\x7d\x38"
    assert client.receive("s", data, 1000) is None and client.wait(1000) is None, "the request is still repeated"
    server.send("c", _content(b"\x53"), 5000)
    ((_, data),) = server.take()
    assert data == b"\x41\x45\xad\x7b\x53\xff22.3 C"
    assert client.receive("s", data, 5000).payload == b"22.3 C"
    ((_, data),) = client.take()
    assert data == b"\x60\x00\xad\x7b"
    server.receive("c", data, 5001)
    assert server.wait(5001) is None


def test_figure_21_a_separate_response_is_repeated_and_taken_once():
    client, server = _layer(0x7D38), _layer(0xAD7B)
    client.send("s", _get(b"\x53"), 0, True)
    server.receive("c", client.take()[0][1], 0)
    server.tick(1000)
    client.receive("s", server.take()[0][1], 1000)
    server.send("c", _content(b"\x53"), 2000)
    data = server.take()[0][1]
    server.tick(2000 + server.wait(2000))
    assert server.take()[0][1] == data
    assert client.receive("s", data, 5000) is not None
    assert client.receive("s", data, 5001) is None
    assert _heads(client) == [(ACK, 0, 0xAD7B), (ACK, 0, 0xAD7B)]


def test_figure_23_non_confirmable_both_ways():
    client, server = _layer(0x7D40), _layer(0xAD7C)
    client.send("s", _get(b"\x75"), 0)
    data = client.take()[0][1]
    assert data == b"\x51\x01\x7d\x40\x75\xbbtemperature"
    server.receive("c", data, 0)
    server.send("c", _content(b"\x75"), 0)
    data = server.take()[0][1]
    assert data == b"\x51\x45\xad\x7c\x75\xff22.3 C"
    assert client.receive("s", data, 0).payload == b"22.3 C"
    assert client.wait(0) is None and server.wait(0) is None


def test_a_repeated_non_confirmable_request_is_answered_with_the_same():
    server = _layer(5)
    data = coap_udp.encode(NON, 9, _get(b"n"))
    server.receive("c", data, 0)
    server.send("c", _content(b"n"), 0)
    first = server.take()
    assert server.receive("c", data, 10) is None and server.take() == first


def test_giving_up_after_four_repetitions_tells_the_token():
    client = _layer(1)
    client.send("s", _get(b"t"), 0, True)
    now, sent = 0, len(client.take())
    while client.wait(now) is not None:
        now += client.wait(now)
        client.tick(now)
        sent += len(client.take())
    assert sent == 5 and client.lost() == [("s", b"t", coap_udp.TIMEOUT)]
    assert 62_000 <= now <= 93_000, "MAX_TRANSMIT_WAIT is 93 s: %d" % now
    assert client.lost() == []


def test_one_confirmable_message_at_a_time_to_a_peer():
    client = _layer(1)
    for token in (b"a", b"b", b"c"):
        client.send("s", _get(token), 0, True)
    client.send("other", _get(b"d"), 0, True)
    assert _heads(client) == [(CON, 1, 1), (CON, 1, 4)]
    client.receive("s", coap_udp.encode(ACK, 1, _content(b"a")), 10)
    assert _heads(client) == [(CON, 1, 2)]
    client.receive("s", coap_udp.encode(RST, 2, Message(0)), 10)
    assert _heads(client) == [(CON, 1, 3)]
    assert client.lost() == [("s", b"b", coap_udp.RESET)]


def test_what_is_no_message_is_reset_only_if_confirmable():
    for data, answer in (
        (b"", []),
        (b"\x40\x01\x00", []),
        (b"\x80\x01\x00\x07\xff", []),
        (b"\x40\x01\x00\x07\xff", [("c", b"\x70\x00\x00\x07")]),
        (b"\x50\x01\x00\x07\xff", []),
        (b"\x60\x45\x00\x07\xff", []),
        (b"\x70\x45\x00\x07\xff", []),
        (b"\x40\x00\x00\x07", [("c", b"\x70\x00\x00\x07")]),
        (b"\x50\x00\x00\x07", []),
    ):
        server = _layer(1)
        assert server.receive("c", data, 0) is None and server.take() == answer, data.hex()


def test_a_repetition_while_the_request_is_worked_on_is_acknowledged():
    server = _layer(1)
    data = coap_udp.encode(CON, 3, _get(b"x"))
    assert server.receive("c", data, 0) is not None
    assert server.receive("c", data, 10) is None
    assert server.take() == [("c", b"\x60\x00\x00\x03")]
    server.send("c", _content(b"x"), 20)
    assert _heads(server) == [(CON, coap.CONTENT, 1)], "the answer has to go apart now"


def test_message_ids_of_two_peers_are_two():
    server = _layer(1)
    data = coap_udp.encode(CON, 3, _get(b"x"))
    assert server.receive("c", data, 0) is not None and server.receive("d", data, 0) is not None


def test_a_message_id_is_forgotten_after_the_exchange_lifetime():
    server = _layer(1)
    data = coap_udp.encode(CON, 3, _get(b"x"))
    assert server.receive("c", data, 0) is not None
    server.send("c", _content(b"x"), 0)
    assert server.receive("c", data, 246_999) is None
    assert server.receive("c", data, 247_000) is not None


def test_what_is_remembered_is_bounded():
    server = _layer(1, most=4)
    for mid in range(100):
        server.receive("c", coap_udp.encode(CON, mid, _get(b"%d" % mid)), mid)
        server.send("c", _content(b"%d" % mid), mid)
        server.send("c", Message(coap.CONTENT, b"n%d" % mid), mid, True)
        server.take()
    assert len(server._seen) == 4 and len(server._sent) == 4
    assert len(server.lost()) == 96


def test_resets_out_of_nowhere_are_remembered_up_to_a_number():
    server = _layer(1, most=4)
    for mid in range(1000):
        assert server.receive("x", coap_udp.encode(RST, mid, Message(0)), mid) is None
    assert len(server.lost()) == 4
    mid = server.send("c", _content(b"o"), 1000, True)
    for other in range(100):
        server.receive("x", coap_udp.encode(RST, mid + 1 + other, Message(0)), 1000)
    server.receive("c", coap_udp.encode(RST, mid, Message(0)), 1000)
    assert server.lost()[-1] == ("c", b"o", coap_udp.RESET), "one that ends something is always told"


def test_a_reset_of_a_notification_names_its_message_id():
    server = _layer(0x10)
    mid = server.send("c", _content(b"o"), 0)
    server.receive("c", coap_udp.encode(RST, mid, Message(0)), 0)
    assert server.lost() == [("c", 0x10, coap_udp.RESET)]


def test_an_answer_ends_the_repetition_of_its_request():
    client = _layer(1)
    client.send("s", _get(b"q"), 0, True)
    client.take()
    assert client.receive("s", coap_udp.encode(NON, 77, _content(b"q")), 5) is not None
    assert client.wait(5) is None


def test_over_a_link_that_loses_repeats_and_reorders_each_request_is_answered_once():
    chance = Chance(8)
    client, server = _layer(1, 32), _layer(1000, 32)
    executed, answered = [], []
    air = []  # (when, to the server?, data)
    now = 0
    waiting = [b"%02d" % i for i in range(40)]
    outstanding = None
    while len(answered) < 40:
        if outstanding is None:
            outstanding = waiting.pop(0)
            client.send("s", _get(outstanding), now, True)
        for layer, up in ((client, True), (server, False)):
            for _, data in layer.take():
                if chance.below(5):  # 20 % are lost
                    air.append((now + 15 + chance.below(85), up, data))
                if not chance.below(10):
                    air.append((now + 200 + chance.below(500), up, data))
        air.sort()
        times = [at for at, _, _ in air[:1]]
        for layer in (client, server):
            wait = layer.wait(now)
            if wait is not None:
                times.append(now + wait)
        now = max(now, min(times))
        if air and air[0][0] <= now:
            _, up, data = air.pop(0)
            message = (server if up else client).receive("s" if not up else "c", data, now)
            if message is not None and up:
                executed.append(message.token)
                server.send("c", _content(message.token), now)
            elif message is not None and message.token == outstanding:
                answered.append(message.token)
                client.forget("s", outstanding, now)
                outstanding = None
        client.tick(now)
        server.tick(now)
        assert not client.lost(), "20 % loss must not end an exchange here"
    assert sorted(executed) == sorted(answered) == [b"%02d" % i for i in range(40)]
