"""`hal/esp32.py` on MicroPython, where a chip's modules only remember what is asked of them: the code for boards runs.

What a chip makes of it, this does not show; that names and arguments are MicroPython's, the type check does. littlefs,
files and random numbers are real. How it asks for the time is in test_network_time.py.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import vm

BOARD = {
    "buses": {
        "i2c0": {"kind": "i2c", "id": 0, "scl": 6, "sda": 7, "frequency": 400000},
        "uart1": {"kind": "uart", "id": 1, "tx": 1, "rx": 0},
        "adc0": {"kind": "adc", "pin": 3},
        "counter0": {"kind": "counter", "id": 0, "pin": 4},
    },
    "pins": {"fan": {"pin": 10, "out": True}, "button": {"pin": 9, "pull_up": True}, "open": {"pin": 5}},
}
MACHINE = """
told = []
PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = range(1, 6)
cause = PWRON_RESET
def reset_cause(): return cause
def reset(): told.append("reset")
def kind(name):
    class Made:
        IN, OUT, OPEN_DRAIN, PULL_UP, FALLING, ATTN_11DB = "in", "out", "drain", "up", "falling", "11dB"
        def __init__(self, *a, **k):
            self.said = [name] + [getattr(one, "said", one) for one in a]
            for key in sorted(k):
                self.said.append((key, getattr(k[key], "said", k[key])))
            told.append(self.said)
        def value(self, *level):
            told.append(self.said[1:2] + list(level))
            return 1
        def feed(self): told.append("fed")
    return Made
Pin, I2C, UART, ADC, Counter, WDT = [kind(n) for n in ("Pin", "I2C", "UART", "ADC", "Counter", "WDT")]
"""
NETWORK = """
STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = 201, 202
state = {"there": True, "fails": 0, "heard": -61}
class WLAN:
    IF_STA = 0
    def __init__(self, which): self.on = self.up = False
    def active(self, on=None):
        if on is None: return self.on
        self.on = on
    def isconnected(self): return self.up
    def connect(self, ssid, key):
        state["asked"] = (ssid, key)
        self.up = not state["fails"]
    def disconnect(self): self.up = False
    def status(self, what=None):
        if what == "rssi":
            if state["heard"] is None: raise OSError(1)
            return state["heard"]
        return state["fails"]
"""
ESP32 = """
class Flash:
    def __init__(self, blocks):
        self.data = bytearray(b"\\xff" * (4096 * blocks))
    def readblocks(self, block, buf, offset=0):
        at = block * 4096 + offset
        buf[:] = memoryview(self.data)[at : at + len(buf)]
    def writeblocks(self, block, buf, offset=0):
        at = block * 4096 + offset
        self.data[at : at + len(buf)] = buf
    def ioctl(self, op, arg):
        if op == 6: self.data[arg * 4096 : (arg + 1) * 4096] = b"\\xff" * 4096
        return {4: len(self.data) // 4096, 5: 4096}.get(op, 0)
class Partition:
    TYPE_DATA = 1
    made = {"config": Flash(8), "store": Flash(8)}
    @staticmethod
    def find(type, label=None):
        return [Partition.made[label]] if label in Partition.made else []
"""
START = """
import asyncio, os, vfs
import machine, network, esp32
import hal.esp32 as board
from esp32 import Flash
root = Flash(8)
vfs.VfsLfs2.mkfs(root)
vfs.umount("/")
vfs.mount(vfs.VfsLfs2(root), "/")
with open("/board.json", "w") as f:
    f.write('''BOARD''')
del machine.told[:]
"""

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, run_vm: Callable[..., vm.Result]) -> Run:
    """`run(code, board=...)`: what that code, with the board's hardware as `board`, prints last."""
    (tmp_path / "hal").mkdir()
    for compiled in (vm.application(vm.best(32).bits) / "node" / "hal").glob("*.mpy"):
        if compiled.stem != "__init__":
            (tmp_path / "hal" / compiled.name).write_bytes(compiled.read_bytes())
    for name, text in (("machine", MACHINE), ("network", NETWORK), ("esp32", ESP32)):
        (tmp_path / f"{name}.py").write_text(text)

    def inside(code: str, board: dict[str, Any] = BOARD) -> Any:
        script = START.replace("BOARD", json.dumps(board)) + code
        return ast.literal_eval(run_vm(script, heap="600k", path=[tmp_path]).checked().stdout.splitlines()[-1])

    return inside


def test_a_bus_is_made_of_what_the_board_says_of_it(run: Run) -> None:
    said = run(
        'board.i2c("i2c0"); board.i2c("i2c0"); board.uart("uart1", 9600); board.adc("adc0")\n'
        'board.counter("counter0")\n'
        "print([one for one in machine.told if one[0] != 'Pin'])\n"
    )
    assert [one[0] for one in said] == ["I2C", "UART", "ADC", "Counter"], "a bus is made once"
    i2c, uart, adc, counter = said
    assert i2c[1:] == [0, ("freq", 400000), ("scl", ["Pin", 6]), ("sda", ["Pin", 7]), ("timeout", 200000)]
    assert uart[1:] == [1, 9600, ("rx", 0), ("rxbuf", 256), ("timeout", 0), ("tx", 1)]
    assert adc[1] == ["Pin", 3]
    assert counter[1:3] == [0, ["Pin", 4, "in", "up"]]


def test_pins_are_what_the_board_says_they_are(run: Run) -> None:
    said = run("for name in ('fan', 'button', 'open'): board.pin(name)\nprint(machine.told)\n")
    assert said == [["Pin", 10, "out"], ["Pin", 9, "in", "up"], ["Pin", 5, "in"]]


def test_a_bus_that_is_not_there_or_is_another_is_no_device(run: Run) -> None:
    code = """
found = []
for make, name in ((board.i2c, "i2c7"), (board.i2c, "adc0"), (board.adc, "i2c0")):
    try:
        make(name)
    except OSError as e:
        found.append(e.errno)
print(found)
"""
    assert run(code) == [19, 19, 19]


JOIN = """
async def main():
    found = [board.signal()]
    for fails, heard in ((0, -61), (201, None), (202, None), (15, None), (1001, -70), (1001, None)):
        network.state.update(fails=fails, heard=heard)
        board.JOIN_TIMEOUT = 200
        try:
            await board.join({"ssid": "city", "key": "k"})
            found.append((board.joined(), board.signal()))
        except OSError as e:
            found.append(e.errno)
        board.leave()
    found.append((board.joined(), board.signal(), network.state["asked"]))
    print(found)
asyncio.run(main())
"""


def test_a_network_is_joined_or_the_reason_is_told(run: Run) -> None:
    first, joined, away, denied, handshake, deaf, gone, last = run(JOIN)
    assert first is None
    assert joined == (True, -61)
    assert (away, denied, handshake) == (2001, 2002, 2002)
    assert (deaf, gone) == (2003, 2001), "without an address; out of range meanwhile"
    assert last == (False, None, ("city", "k"))


@pytest.mark.parametrize(("chip", "pulses"), [({"pin": 2, "out": True}, [[2, 1], [2, 0]]), (None, [])])
def test_feeding_feeds_the_watchdog_and_pulses_the_boards_chip(run: Run, chip: Any, pulses: list[Any]) -> None:
    board = {**BOARD, "pins": {**BOARD["pins"], **({"watchdog": chip} if chip else {})}}
    code = "board.board()\nboard.feed()\nboard.watchdog(300000)\nboard.feed()\nprint(machine.told)\n"
    said = run(code, board)
    assert ["WDT", ("timeout", 300000)] in said
    assert said.count("fed") == 1, "it is fed once it runs"
    assert [one for one in said if one[0] == 2] == pulses * 2, "the chip from the first time on"


def test_why_it_started_is_one_of_four(run: Run) -> None:
    code = """
found = []
for machine.cause in range(1, 6):
    found.append(board.reset_cause())
print(found)
"""
    assert run(code) == ["power", "reset", "watchdog", "sleep", "reset"]


def test_blank_partitions_are_formatted_and_full_ones_are_not(run: Run) -> None:
    code = """
first = board.mount()
with open("/config/x", "w") as f: f.write("kept")
for name in ("/config", "/store"): vfs.umount(name)
again = board.mount()
vfs.umount("/store")
with open("/config/x") as f: kept = f.read()
esp32.Partition.made["store"].data[:8192] = bytes(8192)
vfs.umount("/config")
print((first, again, kept, board.mount()))
"""
    assert run(code) == (("config", "store"), (), "kept", ("store",)), "a store that is torn costs no more than itself"


def test_a_torn_config_makes_no_new_node_of_this_one(run: Run) -> None:
    code = """
board.mount()
for name in ("/config", "/store"): vfs.umount(name)
esp32.Partition.made["config"].data[:8192] = bytes(8192)
try:
    board.mount()
    print("formatted")
except OSError as e:
    print(repr("refused"))
"""
    assert run(code) == "refused"


def test_random_numbers_want_a_radio_and_renew_their_seed(run: Run) -> None:
    code = """
import sys
class Bluetooth:
    class BLE:
        def active(self): return False
sys.modules["bluetooth"] = Bluetooth
board.mount()
try:
    board.random(16)
    refused = False
except RuntimeError:
    refused = True
asyncio.run(board.join(None))
one, other = board.random(40), board.random(40)
print((refused, len(one), one != other, os.listdir("/config")))
"""
    assert run(code) == (True, 40, True, ["seed"])
