# Runs inside the VM for bench_sealing.py: `sealing_vm.py CASE` prints one `name value` a line.
import gc
import os
import sys
import time

from node.crypto import NodeCrypto

from citymote_protocol import p256, sealing

PRIVATE = bytes(range(1, 33))
PEER = b"\x03" + p256.GX.to_bytes(32, "big")
DIGEST = bytes(range(32))
SIGNATURE = bytes(range(1, 65))
FRAME = bytes(range(150))
CRYPTO = NodeCrypto(os.urandom)


def _sealer(form=sealing.MINIMAL):
    return sealing.Sealer(CRYPTO, bytes(6), PRIVATE, PEER, 1, os.urandom(8), form)


# Nothing but the operation itself: bench_sealing.py looks for the smallest heap that each of them lives in.


def nothing():
    pass


def agree():
    p256.run(_sealer().prepare())


def key_pair():
    p256.run(CRYPTO.key_pair_steps())


def verify():
    p256.verify(PEER, DIGEST, SIGNATURE)


def _steps(name, make, rounds=30):
    best = longest = None
    for _ in range(rounds):
        steps = make()
        total = worst = count = 0
        while True:
            before = time.ticks_us()
            try:
                next(steps)
            except StopIteration:
                break
            finally:
                spent = time.ticks_diff(time.ticks_us(), before)
                total += spent
                worst = max(worst, spent)
                count += 1
        best = total if best is None else min(best, total)
        longest = worst if longest is None else min(longest, worst)
    print(name + "_us", best)
    print(name + "_longest_step_us", longest)
    print(name + "_steps", count)


def times():
    _steps("agree", lambda: _sealer().prepare())
    _steps("key_pair", CRYPTO.key_pair_steps)
    _steps("verify", lambda: p256.verify_steps(PEER, DIGEST, SIGNATURE))
    for form, name in ((sealing.MINIMAL, "minimal"), (sealing.STANDARD, "standard")):
        sealer = _sealer(form)
        sealer.seal(FRAME)
        best = None
        for _ in range(20):
            gc.collect()
            before = time.ticks_us()
            sealer.seal(FRAME)
            spent = time.ticks_diff(time.ticks_us(), before)
            best = spent if best is None else min(best, spent)
        print("seal_us_" + name, best)
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        message = sealer.seal(FRAME)
        print("seal_heap_" + name, gc.mem_alloc() - before)
        gc.enable()
        print("overhead_" + name, len(message) - len(FRAME))
    del sealer, message
    gc.collect()
    before = gc.mem_alloc()
    sealer = _sealer()
    p256.run(sealer.prepare())
    gc.collect()
    print("resident", gc.mem_alloc() - before)


globals()[sys.argv[1]]()
