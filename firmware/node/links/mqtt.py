"""A small MQTT 3.1.1 client for a node: QoS 1 out, a few subscriptions in, over any stream of the HAL.

OASIS MQTT Version 3.1.1; section numbers in the comments are that standard's. The caller owns the stream and the
reconnecting, numbers its publishes itself (so that one sent again after a reconnect keeps its packet identifier, 4.4)
and gets every acknowledgement by a call. A packet's length is checked before memory is taken for it. What the broker
answers is awaited with `stream.expect`, so that a virtual node's time stands still meanwhile. `mqtt5` overrides what
MQTT 5 says otherwise.
"""

import asyncio

LIMIT = 2048  # bytes of the longest packet that is taken in; commands are CoAP messages of about 1 KB at most
_CONNACK_WAIT = 30000  # ms
_MOST = 268435455  # what a remaining length can say (2.2.3)

# Return codes of CONNACK (3.2.2.3), from 1 on
_REFUSALS = (
    "it does not speak MQTT 3.1.1",
    "it does not allow this client id",
    "the server is unavailable",
    "bad user name or password",
    "not authorized",
)


class MQTTError(OSError):
    """The broker refuses, or breaks the protocol. Two arguments like any OSError: a number and the reason."""

    def __init__(self, code, text):
        super().__init__(code, text)
        self.text = text

    def __str__(self):
        return self.text


REFUSED = 1001  # 1001 to 1005: CONNACK's codes 1 to 5
PROTOCOL = 1010  # the broker broke the protocol
TOO_LONG = 1011
CLOSED = 1012


def text(value):
    """A UTF-8 string with its length (1.5.3)."""
    data = value if isinstance(value, (bytes, bytearray)) else value.encode()
    if len(data) > 65535:
        raise ValueError("a text over 65535 bytes")
    return bytes((len(data) >> 8, len(data) & 255)) + data


def packet(first, size):
    """The fixed header of a packet of `size` bytes (2.2)."""
    if size > _MOST:
        raise ValueError("a packet over 256 MB")
    head = bytearray((first,))
    while True:
        byte = size & 127
        size >>= 7
        head.append(byte | 128 if size else byte)
        if not size:
            return head


def connect_packet(client, user, password, keepalive, clean, will):
    """CONNECT (3.1). `will` is (topic, payload) or None, kept by the broker and published with QoS 1, retained."""
    flags = 2 if clean else 0
    body = text(client)
    if will:
        flags |= 0x2C  # will, QoS 1, retain
        body += text(will[0]) + text(will[1])
    if user:
        flags |= 0x80
        body += text(user)
        if password:
            flags |= 0x40
            body += text(password)
    head = b"\x00\x04MQTT\x04" + bytes((flags, keepalive >> 8, keepalive & 255))
    return packet(0x10, len(head) + len(body)) + head + body


class Client:
    """One connection. `acked(packet id)` is called for each PUBACK, `received(topic, payload)` for each message.

    Once connected, `window` is how many publishes may be under way, `keepalive` the seconds that hold.
    """

    PROPERTIES = b""  # an empty set of them, in a packet that has some

    def __init__(self, stream, acked, received=None, limit=LIMIT):
        self._stream = stream
        self._acked = acked
        self._received = received
        self._limit = limit
        self._lock = asyncio.Lock()
        self._awaited = 0
        self.window = 65535
        self.keepalive = 0
        self.expiry = 0  # seconds for which the broker is to remember the session, where it can be told
        self.pinged = False  # a PINGREQ waits for its answer
        self.session = False  # the broker remembered this client's session

    def _expect(self, count):
        # Never below nothing: an acknowledgement that nobody asked for answers nothing.
        count = max(count, -self._awaited)
        if count:
            self._awaited += count
            self._stream.expect(count)

    async def _send(self, *parts):
        async with self._lock:
            for part in parts:
                await self._stream.write(part)
            await self._stream.drain()

    async def connect(self, client, user="", password="", keepalive=0, clean=False, will=None):
        """CONNECT and its CONNACK; MQTTError with the broker's reason when it refuses."""
        self._expect(1)
        self.keepalive = keepalive
        await self._send(self._hello(client, user, password, keepalive, clean, will))
        try:
            kind, body = await asyncio.wait_for_ms(self._packet(), _CONNACK_WAIT)
        finally:
            self._expect(-1)
        if kind != 0x20:
            raise MQTTError(PROTOCOL, "something else than CONNACK came first")
        self._welcome(body)

    # -- what MQTT 5 says otherwise

    def _hello(self, client, user, password, keepalive, clean, will):
        return connect_packet(client, user, password, keepalive, clean, will)

    def _welcome(self, body):
        # CONNACK (3.2)
        if len(body) != 2 or body[0] > 1:
            raise MQTTError(PROTOCOL, "something else than CONNACK came first")
        code = body[1]
        if code:
            why = _REFUSALS[code - 1] if code <= len(_REFUSALS) else "return code %d" % code
            raise MQTTError(1000 + code, "the broker refuses: " + why)
        self.session = body[0] == 1

    def _answer(self, body, size):
        # PUBACK (3.4) or SUBACK (3.9): the broker's verdict, which ends the connection when it is a refusal.
        if len(body) != size:
            raise MQTTError(PROTOCOL, "an acknowledgement of %d bytes" % len(body))
        if size == 3 and body[2] & 0x80:
            raise MQTTError(REFUSED, "the broker refuses a subscription")

    def _skip(self, body, start):
        # Where the payload of a message begins whose header ends at `start`.
        return start

    def _other(self, first, body):
        raise MQTTError(PROTOCOL, "a packet that no broker may send: %02x" % first)

    # --

    async def _packet(self):
        # One packet (2.2): (first byte, body). Its length is judged before its body is read.
        read = self._stream.readexactly
        try:
            first = (await read(1))[0]
            size = shift = 0
            while True:
                byte = (await read(1))[0]
                size |= (byte & 127) << shift
                if byte < 128:
                    break
                shift += 7
                if shift > 21:
                    raise MQTTError(PROTOCOL, "a length of more than four bytes")
            if size > self._limit:
                raise MQTTError(TOO_LONG, "a packet of %d bytes, at most %d are taken" % (size, self._limit))
            return first, (await read(size)) if size else b""
        except EOFError:
            raise MQTTError(CLOSED, "the broker closed the connection") from None

    async def publish(self, topic, payload, pid, again=False):
        """PUBLISH with QoS 1 (3.3); `again` marks one that was sent before."""
        name = text(topic)
        head = packet(0x3A if again else 0x32, len(name) + 2 + len(self.PROPERTIES) + len(payload))
        head += name + bytes((pid >> 8, pid & 255)) + self.PROPERTIES
        self._expect(1)
        if len(payload) <= 1024:
            head += payload
            await self._send(head)
        else:
            await self._send(head, payload)

    async def say(self, topic, payload, retain=False):
        """PUBLISH with QoS 0: said once, not acknowledged."""
        name = text(topic) + self.PROPERTIES
        await self._send(packet(0x31 if retain else 0x30, len(name) + len(payload)) + name + payload)

    async def subscribe(self, topic, pid, qos=1):
        """SUBSCRIBE to one topic (3.8); the answer comes to `run`."""
        body = bytes((pid >> 8, pid & 255)) + self.PROPERTIES + text(topic) + bytes((qos,))
        self._expect(1)
        await self._send(packet(0x82, len(body)) + body)

    async def ping(self):
        """PINGREQ (3.12); `pinged` until the answer is there."""
        self.pinged = True
        self._expect(1)
        await self._send(b"\xc0\x00")

    async def disconnect(self):
        """DISCONNECT (3.14): the broker forgets the will. The stream is the caller's to close."""
        await self._send(b"\xe0\x00")

    async def run(self):
        """Take in packets until the connection ends; always ends with an exception that says why."""
        while True:
            first, body = await self._packet()
            if first >> 4 == 3:
                await self._message(first, body)
            elif first == 0x40 and len(body) >= 2:
                self._expect(-1)
                self._answer(body, 2)
                self._acked(body[0] << 8 | body[1])
            elif first == 0xD0 and not body:
                if self.pinged:
                    self.pinged = False
                    self._expect(-1)
            elif first == 0x90 and len(body) >= 3:
                self._expect(-1)
                self._answer(body, 3)
            else:
                self._other(first, body)

    async def _message(self, first, body):
        # An incoming PUBLISH (3.3). QoS 2 was never asked for, so none may come.
        qos = first >> 1 & 3
        size = (body[0] << 8 | body[1]) if len(body) >= 2 else len(body)
        start = 2 + size + (2 if qos else 0)
        if qos > 1 or start > len(body):
            raise MQTTError(PROTOCOL, "a message that is none")
        if self._received and not first & 1:  # what a broker kept for later is no request
            try:
                topic = str(memoryview(body)[2 : 2 + size], "utf-8")
            except UnicodeError:
                raise MQTTError(PROTOCOL, "a topic that is no text") from None
            self._received(topic, memoryview(body)[self._skip(body, start) :])
        if qos:
            await self._send(b"\x40\x02" + body[start - 2 : start])
