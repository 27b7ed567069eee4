"""MQTT 5 where it differs from 3.1.1: properties, reasons, and a broker that says what it can take.

OASIS MQTT Version 5.0; section numbers are that standard's. Asked for is a session that outlives the connection by
`expiry` seconds; honoured are the broker's receive maximum, keep alive, largest packet, and whether it retains. A
PUBACK with a reason of refusal is not an acknowledgement: the connection ends, says why, and the frame stays.
"""

import struct

from .mqtt import PROTOCOL, REFUSED, TOO_LONG, Client, MQTTError, connect_packet, packet

_RECEIVE = 4  # QoS 1 messages that may be on their way to us
_ONE = b"\x01\x17\x19\x24\x25\x28\x29\x2a"  # properties of one byte (2.2.2.2), of two, of four, of two texts
_TWO = b"\x13\x21\x22\x23"
_FOUR = b"\x02\x11\x18\x27"
_VARIABLE = 0x0B
_PAIR = 0x26
_EXPIRY = 0x11
_KEEPALIVE = 0x13
_MAXIMUM = 0x21
_QOS = 0x24
_RETAIN = 0x25
_LARGEST = 0x27

# Reason codes from 0x80 on (2.4), as far as somebody can do something about them
_REASONS = (
    (0x84, "it does not speak MQTT 5"),
    (0x85, "it does not allow this client id"),
    (0x86, "bad user name or password"),
    (0x87, "not authorized"),
    (0x88, "the server is unavailable"),
    (0x89, "the server is busy"),
    (0x8A, "banned"),
    (0x8B, "the server is shutting down"),
    (0x8D, "it heard nothing for too long"),
    (0x8E, "another client has this id"),
    (0x90, "the topic is not allowed"),
    (0x93, "more under way than it takes"),
    (0x95, "the packet is too large"),
    (0x97, "quota exceeded"),
)


def why(code):
    """What a reason code says."""
    for known, text in _REASONS:
        if known == code:
            return text
    return "reason 0x%02x" % code


def variable(data, at):
    """A variable byte integer (1.5.5): (value, where it ends)."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 21:
            raise MQTTError(PROTOCOL, "a length that is none")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def properties(data, at):
    """The numbers among the properties at `at`, by identifier, and where they end."""
    size, at = variable(data, at)
    end = at + size
    if end > len(data):
        raise MQTTError(PROTOCOL, "properties that are not all there")
    found = {}
    try:
        while at < end:
            name = data[at]
            at += 1
            if name in _ONE:
                found[name] = data[at]
                at += 1
            elif name in _TWO:
                found[name] = data[at] << 8 | data[at + 1]
                at += 2
            elif name in _FOUR:
                found[name] = struct.unpack(">I", data[at : at + 4])[0]
                at += 4
            elif name == _VARIABLE:
                found[name], at = variable(data, at)
            else:
                for _ in range(2 if name == _PAIR else 1):
                    at += 2 + (data[at] << 8 | data[at + 1])
    except (IndexError, ValueError):
        at = -1
    if at != end:
        raise MQTTError(PROTOCOL, "properties that are not all there")
    return found, end


class Client5(Client):
    """A `Client` that speaks version 5."""

    PROPERTIES = b"\0"

    def __init__(self, stream, acked, received=None, limit=2048):
        Client.__init__(self, stream, acked, received, limit)
        self._largest = 0xFFFFFFFF
        self._retains = True

    def _hello(self, client, user, password, keepalive, clean, will):
        # CONNECT (3.1): version 5, properties behind the keep alive, and none of the will's before its topic.
        old = connect_packet(client, user, password, keepalive, clean, will)
        at = variable(old, 1)[1]
        body = bytearray(old[at:])
        body[6] = 5
        asked = struct.pack(">BIBHBI", _EXPIRY, self.expiry, _MAXIMUM, _RECEIVE, _LARGEST, self._limit + 5)
        end = 12 + (body[10] << 8 | body[11])  # of the client id
        new = body[:10] + bytes((len(asked),)) + asked + body[10:end] + (b"\0" if will else b"") + body[end:]
        return packet(0x10, len(new)) + new

    def _welcome(self, body):
        # CONNACK (3.2)
        if len(body) < 3 or body[0] > 1:
            raise MQTTError(REFUSED if len(body) == 2 and body[1] else PROTOCOL, "the broker refuses: " + why(0x84))
        if body[1]:
            raise MQTTError(REFUSED, "the broker refuses: " + why(body[1]))
        self.session = body[0] == 1
        told = properties(body, 2)[0]
        self.window = told.get(_MAXIMUM, 65535)
        self.keepalive = told.get(_KEEPALIVE, self.keepalive)
        self._largest = told.get(_LARGEST, self._largest)
        self._retains = told.get(_RETAIN, 1) == 1
        if not told.get(_QOS, 1):
            raise MQTTError(REFUSED, "the broker acknowledges nothing: it has QoS 0 only")

    def _answer(self, body, size):
        # PUBACK (3.4): no reason is success. SUBACK (3.9): properties, then a reason.
        at = 2 if size == 2 else properties(body, 2)[1]
        if at < len(body) and body[at] & 0x80:
            what = "a message" if size == 2 else "a subscription"
            raise MQTTError(REFUSED, "the broker refuses %s: %s" % (what, why(body[at])))

    def _skip(self, body, start):
        return properties(body, start)[1]

    def _other(self, first, body):
        # DISCONNECT (3.14) may come from the broker.
        if first == 0xE0:
            raise MQTTError(REFUSED, "the broker closed the connection: " + why(body[0] if body else 0))
        Client._other(self, first, body)

    async def publish(self, topic, payload, pid, again=False):
        """As in 3.1.1; MQTTError for what is longer than the broker takes."""
        if len(payload) + len(topic) + 10 > self._largest:
            raise MQTTError(TOO_LONG, "the broker takes packets of %d bytes at most" % self._largest)
        await Client.publish(self, topic, payload, pid, again)

    async def say(self, topic, payload, retain=False):
        """As in 3.1.1; not retained where the broker retains nothing."""
        await Client.say(self, topic, payload, retain and self._retains)
