"""CoAP over GATT's message layer, both ends of it, by both interpreters; the draft's own example among it."""

from citymote_protocol import coap
from citymote_protocol.coap import Message
from citymote_protocol.coap_gatt import ACK_DELAY, CLOSED, MAX_REPEATS, REPEAT, TIMEOUT, A, C, Gatt, M, R

GET = Message(coap.GET, b"\x01", [(coap.URI_PATH, b"temp")])
ANSWER = Message(coap.CONTENT, b"\x01", [], b"22")


def same(a, b):
    return (a.code, a.token, list(a.options), a.payload) == (b.code, b.token, list(b.options), b.payload)


def one(link):
    """The only value that wants to go out."""
    out = link.take()
    assert len(out) == 1, "one value wanted, there are %d" % len(out)
    return out[0][1]


def test_first_message_of_the_draft_s_example():
    client = Gatt()
    client.send(0, GET, 0)
    # Figure 2: Write+Resp. M=1 C=1 A=0 T="01" GET /temp
    assert one(client) == bytes((M | C | 1, 1, 1)) + b"\xb4temp"


def test_a_request_and_its_answer_take_three_values():
    client, node = Gatt(), Gatt()
    client.send(0, GET, 0)
    got = node.receive(7, one(client), 0)
    assert same(got, GET)
    assert node.take() == [], "the answer may carry the acknowledgement"
    node.send(7, ANSWER, 50)
    value = one(node)
    assert value[0] & (M | C | A) == M | C | A
    assert same(client.receive(0, value, 60), ANSWER)
    acknowledgement = one(client)
    assert acknowledgement == bytes((M | A,)), "an empty message is its first byte alone"
    assert node.receive(7, acknowledgement, 70) is None
    assert node.wait(70) is None and client.wait(70) is None, "nothing is left to do"


def test_an_answer_that_takes_long_is_preceded_by_an_acknowledgement():
    client, node = Gatt(), Gatt()
    client.send(0, GET, 0)
    node.receive(0, one(client), 0)
    assert node.wait(0) == ACK_DELAY
    node.tick(ACK_DELAY)
    client.receive(0, one(node), 110)
    assert client.wait(110) is None, "it has arrived"
    node.send(0, ANSWER, 5000)
    assert same(client.receive(0, one(node), 5010), ANSWER)


def test_message_ids_alternate():
    client, node = Gatt(), Gatt()
    seen = []
    for i in range(4):
        client.send(0, Message(coap.GET, bytes((i,))), i)
        value = one(client)
        seen.append(value[0] & M)
        node.receive(0, value, i)
        node.send(0, Message(coap.CONTENT, bytes((i,))), i)
        client.receive(0, one(node), i)
        node.receive(0, one(client), i)
    assert seen == [M, 0, M, 0]


def test_notifications_one_after_the_other_need_no_request_between_them():
    # Their acknowledgements are empty messages that differ in nothing but A.
    client, node = Gatt(), Gatt()
    client.send(0, GET, 0)
    node.receive(0, one(client), 0)
    for i in range(6):
        node.send(0, Message(coap.CONTENT, b"\x01", [], bytes((i,))), i)
        assert client.receive(0, one(node), i).payload == bytes((i,))
        node.receive(0, one(client), i)
        assert node.wait(i) is None, "it has arrived"


def test_both_readings_of_the_first_message_id_are_taken():
    for first in (0, M):
        node = Gatt()
        assert same(node.receive(0, bytes((first | C | 1, 1, 1)) + b"\xb4temp", 0), GET)
        node.send(0, ANSWER, 1)
        assert bool(one(node)[0] & A) == bool(first), "the acknowledgement names the ID that came"


def test_a_peer_that_begins_with_zero_is_not_acknowledged_by_mistake():
    # Its A is 0 from the beginning, ours too: only M=1 as our first ID keeps the two apart.
    node = Gatt()
    node.send(0, ANSWER, 0)
    node.take()
    node.receive(0, bytes((C | 1, 1, 1)) + b"\xb4temp", 1)  # M=0, A=0
    assert node.wait(1) is not None
    node.tick(REPEAT)
    assert any(len(value) > 1 for _, value in node.take()), "still unacknowledged, so it is sent again"


def test_empty_messages_with_a_code_byte_are_taken_too():
    client, node = Gatt(), Gatt()
    client.send(0, GET, 0)
    node.receive(0, one(client), 0)
    assert client.receive(0, bytes((A, 0)), 10) is None
    assert client.wait(10) is None, "RIOT sends the code of an empty message, the draft does not"


def test_reserved_bit_hides_the_whole_value():
    node = Gatt()
    assert node.receive(0, bytes((R | M | C | 1, 1, 1)), 0) is None
    assert node.receive(0, b"", 0) is None
    assert node.wait(0) is None


def test_the_same_value_twice_is_one_message_and_two_acknowledgements():
    client, node = Gatt(), Gatt()
    client.send(0, GET, 0)
    value = one(client)
    assert node.receive(0, value, 0) is not None
    node.tick(ACK_DELAY)
    node.take()
    client.tick(REPEAT)
    again = one(client)
    assert node.receive(0, again, REPEAT) is None
    node.tick(REPEAT)
    client.receive(0, one(node), REPEAT + 1)
    assert client.wait(REPEAT + 1) is None


def test_identical_messages_that_need_no_acknowledgement_are_one():
    node = Gatt()
    value = bytes((M | 1, 1, 1))
    assert node.receive(0, value, 0) is not None
    assert node.receive(0, value, 0) is None
    assert node.take() == []


def test_nobody_answers():
    client = Gatt()
    client.send(0, GET, 0)
    client.send(0, Message(coap.GET, b"\x02"), 0)
    now = 0
    count = 0
    while client.wait(now) is not None:
        count += len(client.take())
        now += client.wait(now)
        client.tick(now)
    assert count == MAX_REPEATS + 1
    assert client.lost() == [(0, b"\x01", TIMEOUT), (0, b"\x02", TIMEOUT)]
    assert now == 30000


def test_what_waits_is_bounded_and_the_newest_notification_wins():
    node = Gatt(2)
    for i in range(5):
        node.send(0, Message(coap.CONTENT, bytes((i,))), 0)
    assert len(node.take()) == 1
    assert node.lost() == [(0, b"\x01", TIMEOUT), (0, b"\x02", TIMEOUT)]
    node.send(0, Message(coap.CONTENT, b"\x03", [], b"new"), 0)
    node.receive(0, bytes((A,)), 1)
    assert node.take()[0][1][-3:] == b"new"


def test_a_closed_connection_begins_anew():
    client = Gatt()
    client.send(5, GET, 0)
    client.close(5)
    assert client.take() == [] and client.lost() == [(5, b"\x01", CLOSED)]
    client.send(5, GET, 9)
    assert one(client)[0] & (M | C | A) == M | C


def test_forgotten_requests_are_not_reported():
    client = Gatt()
    client.send(0, GET, 0)
    client.send(0, Message(coap.GET, b"\x02"), 0)
    client.forget(0, b"\x01", 0)
    client.forget(0, b"\x02", 0)
    client.close(0)
    assert client.lost() == []


def test_garbage_is_acknowledged_and_dropped():
    node = Gatt()
    for bad in (b"\x09\x01", b"\x02\x01\x01", b"\x00\x01\xff", b"\x00\x20\x00", b"\x00\x01\xf0"):
        value = bytes((bad[0] | C | (M if node.wait(0) is None else 0),)) + bad[1:]
        assert node.receive(0, value, 0) is None
    assert node.take(), "whoever sends it learns that it was noted"
    assert len(node.take()) == 0


def test_losses_of_any_kind_cost_time_and_nothing_else():
    # A fifth of all values never reaches its application; a hundred exchanges all the same.
    state = [12345]

    def lost():
        state[0] = (state[0] * 1103515245 + 12345) & 0x7FFFFFFF
        return (state[0] >> 16) % 5 == 0

    client, node = Gatt(), Gatt()
    now = 0
    answered = executed = 0
    for i in range(100):
        token = bytes((i,))
        client.send(0, Message(coap.GET, token), now)
        done = False
        while not done:
            for a, b in ((client, node), (node, client)):
                for _, value in a.take():
                    if lost():
                        continue
                    got = b.receive(0, value, now)
                    if got is None:
                        continue
                    if b is node:
                        executed += 1
                        node.send(0, Message(coap.CONTENT, got.token, [], b"x"), now)
                    else:
                        assert got.token == token
                        answered += 1
                        done = True
            now += 50
            client.tick(now)
            node.tick(now)
    assert (answered, executed) == (100, 100)
