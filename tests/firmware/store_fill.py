"""Runs in a MicroPython VM: a store on one megabyte of littlefs takes days of rows, in an outage or delivered.

arguments: days, 0 (an outage) or 1 (every frame is acknowledged), [rows a frame]. Ten quantities every two minutes,
walking about as the published one-minute data of a Smart Citizen Kit does. Prints one line of JSON.
"""

import json
import os
import sys

import vfs
from node.store import Store

COLUMNS = tuple((quantity, 0) for quantity in range(1, 11))
# Largest step either way, of 16 draws that are added up and divided: most steps are small, a few are not.
STEPS = (15, 30, 3, 12, 120, 40, 300, 6, 180, 9)
LOW = (0, 0, -100, 100, 0, 0, 0, 0, 350, -20)
HIGH = (900, 1200, 380, 990, 359, 150, 90000, 120, 850, 120)
BLOCK = 4096
BLOCKS = 256


class Flash:
    def __init__(self):
        self.cells = bytearray(BLOCKS * BLOCK)
        self.erased = [0] * BLOCKS
        self.programmed = 0
        self.programs = 0

    def readblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        buf[:] = memoryview(self.cells)[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        self.cells[at : at + len(buf)] = buf
        self.programmed += len(buf)
        self.programs += 1

    def ioctl(self, op, arg):
        if op == 6:
            self.erased[arg] += 1
        return BLOCKS if op == 4 else BLOCK if op == 5 else 0


def main(days, delivered, batch):
    flash = Flash()
    vfs.VfsLfs2.mkfs(flash, readsize=128, progsize=32)
    vfs.mount(vfs.VfsLfs2(flash, readsize=128, progsize=32), "/s")
    store = Store("/s", 1, b"\xc1\x7e\x00\x00\x00\x01", COLUMNS, batch=batch)
    flash.erased = [0] * BLOCKS
    flash.programmed = flash.programs = 0
    state = 12345
    values = [(low + high) // 2 for low, high in zip(LOW, HIGH)]
    quality = bytearray(10)
    rows = days * 720
    sent = 0
    for row in range(rows):
        for i in range(10):
            total = 0
            for _ in range(4):
                state = (state * 1103515245 + 12345) & 0x7FFFFFFF
                total += (state >> 12) % (2 * STEPS[i] + 1) - STEPS[i]
            values[i] = max(LOW[i], min(HIGH[i], values[i] + total // 4))
        store.append(830000160 + row * 120, 2, values, quality)
        while delivered:
            found = store.next_pending()
            if found is None:
                break
            sent += len(found[1])
            store.ack(found[0])
    status = os.statvfs("/s")
    print(
        json.dumps(
            {
                "rows": rows,
                "pending": store.pending,
                "discarded_rows": store.discarded[1],
                "used": store.used,
                "capacity": store.capacity,
                "blocks_free": status[3],
                "erases": sum(flash.erased),
                "erases_worst_block": max(flash.erased),
                "programmed": flash.programmed,
                "sent": sent,
            }
        )
    )


main(*[int(a) for a in (sys.argv[1:] + ["5"])[:3]])
