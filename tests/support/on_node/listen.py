# Runs inside a MicroPython VM: the node's sound level meter listens to a file of words. See tests/support/sound.py.
# listen.py MODE FILE RATE OUT [BANDS]; FILE: count u32, then so many words, again and again. MODE: levels; 1 or 3:
# levels in octave or third-octave bands; states; band_states.

import json
import struct
import sys

from node.sound import engine, interval


def levels(f, rate, kind):
    total = interval.Interval()
    bank = None
    if kind:
        from node.sound import bands

        bank = bands.Bank(rate, kind)
    meter = engine.Engine(total, rate, bank=bank)
    buf = bytearray(rate // 50 * 4)
    zero = 120000  # a full-scale sine in 0.001 dB with the default microphone

    def db(value):
        return None if value is None else (value - zero) / 1000

    while True:
        head = f.read(4)
        if not head:
            return
        left = struct.unpack("<I", head)[0] * 4
        meter.restart()
        total.clear()
        fast = []
        slow = []
        view = memoryview(buf)
        every = 0
        while left:
            n = f.readinto(view[: min(left, len(buf))])
            left -= n
            meter.feed(buf, n // 4 & ~3)
            every += n // 4
            if every >= rate // 8:  # 125 ms, to the nearest 20
                every -= rate // 8
                q = meter.q
                fast.append(db(meter.key_level(q[5])))
                slow.append(db(meter.key_level((((q[3] + 64) >> 1) << 20) | (q[2] >> 8))))
        meter.close()
        if bank:
            print(json.dumps([db(bank.level(k, meter.base)) for k in range(len(bank.quantities))]))
            bank.clear()
            continue
        print(json.dumps({
            "laeq": db(total.mean(2)), "lceq": db(total.mean(1)), "lzeq": db(total.mean(0)),
            "laf_max": db(total.laf_max), "laf_min": db(total.laf_min), "las_max": db(total.las_max),
            "lc_peak": db(total.lc_peak), "l10": db(total.exceeded(10)), "l50": db(total.exceeded(50)),
            "l90": db(total.exceeded(90)), "overload": bool(total.overloads), "fault": total.fault,
            "blocks": total.blocks, "fast": fast, "slow": slow,
        }))  # fmt: skip


def states(f, rate, out):
    meter = engine.Engine(interval.Interval(), rate)
    meter.settle = 0
    meter.clear()
    meter.tick = lambda: None
    size = meter.block_size
    buf = bytearray(size * 4)
    f.read(4)
    number = 0
    with open(out, "wb") as o:  # noqa: PTH123
        while f.readinto(buf) == len(buf):
            meter.blocks = number
            meter.feed(buf, size)
            number += 1
            o.write(meter.st)
            o.write(meter.q)


def band_states(f, rate, kind, out):
    from node.sound import bands

    bank = bands.Bank(rate, kind)
    buf = bytearray(512 * 4)
    f.read(4)
    with open(out, "wb") as o:  # noqa: PTH123
        while f.readinto(buf) == len(buf):
            # In pieces, as they come: a block does not end where a read does.
            bank.feed(buf, 0, 240)
            bank.feed(buf, 240, 272)
            o.write(bank.state)


mode, name, rate, out = sys.argv[1:5]
with open(name, "rb") as f:  # noqa: PTH123
    if mode == "states":
        states(f, int(rate), out)
    elif mode == "band_states":
        band_states(f, int(rate), int(sys.argv[5]), out)
    else:
        levels(f, int(rate), 0 if mode == "levels" else int(mode))
