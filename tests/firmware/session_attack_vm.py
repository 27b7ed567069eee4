# Runs inside the VM for test_session_attacks.py: a node gets wrong messages made from the right ones on stdin, and says
# what it holds before and after. `session_attack_vm.py MESSAGES SEED`.
import gc
import sys
from hashlib import sha256

from node.crypto import NodeCrypto
from session_vm import Node, Source

from citymote_protocol import p256


class Chance:
    def __init__(self, seed):
        self.state = seed

    def below(self, most):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % most


def wrong(chance, good):
    """A right message altered, cut, joined with another, or noise; always under a message id of its own."""
    data = bytearray(good[chance.below(len(good))])
    kind = chance.below(6)
    if kind == 0:
        data = data[: 1 + chance.below(len(data))]
    elif kind == 1:
        at = chance.below(8 * len(data))
        data[at >> 3] ^= 1 << (at & 7)
    elif kind == 2:
        for _ in range(4):
            data[chance.below(len(data))] = chance.below(256)
    elif kind == 3:
        other = good[chance.below(len(good))]
        data = data[: chance.below(len(data))] + other[chance.below(len(other)) :]
    elif kind == 4:
        data = bytearray(sha256(b"%d" % chance.state).digest())
        data[0] = 0x40 | chance.below(9)
        data[1] = chance.below(8)
    if len(data) > 3:
        data[2] = chance.below(256)
        data[3] = chance.below(256)
    return bytes(data)


def main(messages, seed):
    crypto = NodeCrypto(Source())
    public = bytes.fromhex(sys.stdin.readline().strip())
    good = [bytes.fromhex(line.strip()) for line in sys.stdin]
    node = Node(crypto, public, 511)
    p256.run(node.shakes.prepare_steps())
    chance = Chance(seed)
    now = answers = begun = 0
    least = most = None
    for number in range(messages):
        # Seldom does the limiter let a first message through: each takes the time of three multiplications.
        now += 10
        if number % 100 == 99:
            now += 25000
        count = node.shakes.count
        answers += len(node.receive(wrong(chance, good), now))
        begun += node.shakes.count - count
        node.link.tick(now)
        node.link.take()
        if number >= messages // 3 and number % 50 == 0:
            gc.collect()
            held = gc.mem_alloc()
            least = held if least is None else min(least, held)
            most = held if most is None else max(most, held)
    assert node.owner is None and node.stored is None
    print("answers", answers)
    print("begun", begun)
    print("least", least)
    print("most", most)


main(int(sys.argv[1]), int(sys.argv[2]))
