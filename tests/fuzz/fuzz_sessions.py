"""Wrong messages for a node's sessions: random ones, and right ones altered, repeated, out of order or cut.

Each goes in as a datagram, as from a link, and the node is worked until it is idle. What must not happen is said by
`Attack.check`: a fault in the node, an owner, a configuration, a session with rights, or more kept than before.
"""

from __future__ import annotations

import gc
import random
import sys
import types
from typing import Any

from tests.bench import session_vm
from tests.bench.bench_session import Recorded

from citymote.crypto import HostCrypto
from citymote_protocol import ccs, coap, coap_udp, p256
from citymote_protocol.coap_client import request
from citymote_protocol.edhoc_initiator import Initiator
from citymote_protocol.handshake import PATH

PUBLIC: bytes = p256.public_key(session_vm.PRIVATE, None)
CREDENTIAL: bytes = ccs.write(session_vm.KID, PUBLIC)


class Attack:
    """A node, and somebody who knows everything but its secrets."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.crypto: Any = HostCrypto(self.chance.randbytes)
        self.node: Any = session_vm.Node(self.crypto, PUBLIC, 511)
        self.now = 0
        self.answers = 0
        recorded = Recorded()
        self.good = recorded.up + recorded.down
        self.mid = 0

    def send(self, data: bytes, peer: Any = "a") -> list[bytes]:
        """One datagram, and all that the node says about it."""
        node = self.node
        message = node.link.receive(peer, data, self.now)
        if message is not None:
            node.server.submit(node.link, peer, message, self.now)
        while node.server.step(self.now):
            pass
        node.server.lost(node.link)
        node.link.tick(self.now)
        answers = [out for _, out in node.link.take()]
        self.answers += len(answers)
        return answers

    def request(self, message: Any) -> bytes:
        """A request as a datagram under a message id of its own."""
        self.mid = (self.mid + 1) & 0xFFFF
        message.token = self.chance.randbytes(self.chance.randrange(9))
        return coap_udp.encode(self.chance.choice((0, 1)), self.mid, message)

    def altered(self) -> bytes:
        """A right message of another session, made wrong (or just old)."""
        chance = self.chance
        data = bytearray(chance.choice(self.good))
        kind = chance.randrange(7)
        if kind == 0:
            del data[chance.randrange(len(data)) :]
        elif kind == 1:
            data += chance.randbytes(chance.randrange(1, 20))
        elif kind == 2:
            other = chance.choice(self.good)
            data[chance.randrange(len(data)) :] = other[chance.randrange(len(other)) :]
        elif kind == 3:
            for _ in range(chance.randrange(1, 5)):
                data[chance.randrange(len(data))] = chance.randrange(256)
        elif kind == 4:
            at = chance.randrange(8 * len(data))
            data[at >> 3] ^= 1 << (at & 7)
        if len(data) > 3 and chance.randrange(2):
            data[2:4] = chance.randbytes(2)  # else most would be repetitions
        return bytes(data)

    def noise(self) -> bytes:
        """Random bytes, half of them behind a head that is right."""
        chance = self.chance
        data = chance.randbytes(chance.randrange(120))
        if chance.randrange(2):
            data = bytes((0x40 | chance.randrange(9), chance.choice((1, 2, 3, 4, 5)))) + data
        return data

    def resource(self) -> bytes:
        """A request whose form is right: any path, any options, an OSCORE option or an EDHOC payload out of the air."""
        chance = self.chance
        options: list[tuple[int, bytes]] = []
        for _ in range(chance.randrange(4)):
            number = chance.choice((1, 3, 4, 6, 9, 9, 12, 15, 17, 23, 27, 35, 60, 252, 292, 2048))
            coap.put_option(options, number, chance.randbytes(chance.randrange(9)))
        path = chance.choice((PATH, PATH, "claim", "config", "", "x"))
        payload = chance.choice((b"", b"\xf5", bytes((chance.randrange(0x38),)))) + chance.randbytes(
            chance.randrange(80)
        )
        return self.request(request(chance.randrange(1, 8), path, payload, options))

    def step(self) -> None:
        """One message that does not reach the arithmetic, at some later moment."""
        self.now += self.chance.choice((0, 1, 50, 3000))
        self.send(self.chance.choice((self.altered, self.altered, self.noise, self.resource))())

    def arithmetic(self) -> None:
        """One handshake that is wrong only where arithmetic has to find out."""
        chance = self.chance
        self.now += 25_000  # the limiter has let go of the last
        peer = chance.randrange(1 << 30)
        pair = p256.run(self.crypto.key_pair_steps())
        private, public = p256.run(self.crypto.key_pair_steps())
        wrong = chance.randrange(4)
        initiator: Any = Initiator(self.crypto, private, ccs.write(b"x", public), b"x", pair, b"\x00")
        first = initiator.message_1()
        if wrong == 0:  # any x: half of them are no points
            first = first[:4] + chance.randbytes(32) + first[36:]
        answers = self.send(self.request(request(coap.POST, PATH, b"\xf5" + first)), peer)
        answer = coap_udp.decode(answers[0])[2]
        if wrong == 0 or answer.code != coap.CHANGED:
            assert answer.code in (coap.CHANGED, coap.BAD_REQUEST, coap.UNAVAILABLE), answer.code
            return
        p256.run(initiator.message_2_steps(answer.payload))
        if wrong == 1:  # another key than the credential's
            initiator._private = p256.draw_private(self.crypto.random)
        elif wrong == 2:  # a credential that is no point, or anybody's
            initiator._credential = ccs.write(b"x", chance.randbytes(32))
        third = bytearray(p256.run(initiator.message_3_steps(CREDENTIAL)))
        if wrong == 3:
            third[chance.randrange(2, len(third))] ^= 1 << chance.randrange(8)
        head = bytes((initiator.c_r[0],))
        answers = self.send(self.request(request(coap.POST, PATH, head + bytes(third))), peer)
        assert coap_udp.decode(answers[0])[2].code == coap.BAD_REQUEST

    def check(self) -> None:
        """Nothing of all that had any effect, and little is kept."""
        node = self.node
        assert node.owner is None and node.stored is None
        assert node.sessions._stranger is None and node.sessions._admitted == []
        assert len(node.link._seen) <= 8 and len(node.link._sent) <= 8
        assert node.server._queue == [] and node.server._job is None
        node.shakes.tick(self.now + 20_000)
        assert node.shakes._responder is None
        assert node.limiter_wait(self.now + 20_000) == 0, "locked out"

    def held(self) -> tuple[int, int]:
        """Bytes of all that can be reached from the node, and blocks of memory of the whole process, once what is
        remembered for repetitions has expired. Counted only here: to trace each allocation takes thrice the time."""
        self.now += 300_000
        self.send(self.request(request(coap.GET, "x")))
        self.node.shakes.tick(self.now)
        gc.collect()
        blocks = sys.getallocatedblocks()
        return _size(self.node), blocks


def _size(root: Any) -> int:
    code = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType)
    seen: set[int] = set()
    found = [root]
    total = 0
    while found:
        one = found.pop()
        if id(one) not in seen and not isinstance(one, code):
            seen.add(id(one))
            total += sys.getsizeof(one)
            found += gc.get_referents(one)
    return total
