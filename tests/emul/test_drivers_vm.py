"""The drivers in MicroPython, on a heap of a chip's size: the same readings, and nothing allocated but the result.

And on a bus that flips, drops, repeats and replaces bytes the same readings, codes and errors as in CPython, where the
contract test judges them: no other exception comes out of a driver in either interpreter.

A conversation between driver and emulated chip is recorded here, in CPython, and played back to the driver inside the
VM by a bus that allocates nothing itself. So what the VM's collector counts is the driver's.
"""

from __future__ import annotations

import importlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.emul.cases import CASES, Case
from tests.emul.wires import Wire, World

CYCLES = 4

# One entry a call: bytes (a reply), a number, or ["errno", n]. Only the first cycle, which identifies, may meet errors.
PLAYER = """
import gc, json, sys
class Tape:
    def __init__(self, path):
        self.replies = []
        with open(path) as lines:
            for line in lines:
                kind, _, rest = line.strip().partition(" ")
                make = {"b": bytes.fromhex, "e": lambda n: OSError(int(n)), "n": int}[kind]
                self.replies.append(make(rest))
        self.at = 0
    def next(self):
        reply = self.replies[self.at]
        self.at += 1
        if isinstance(reply, OSError):
            raise reply
        return reply
    def writeto(self, address, buf):
        return self.next()
    def writeto_mem(self, address, memaddr, buf):
        return self.next()
    def readfrom_into(self, address, buf):
        reply = self.next()
        for i in range(len(reply)):
            buf[i] = reply[i]
        return len(reply)
    def readfrom_mem_into(self, address, memaddr, buf):
        return self.readfrom_into(address, buf)
    def readinto(self, buf):
        return self.readfrom_into(0, buf) or None
    def write(self, buf):
        return self.next()
    def any(self):
        return self.next()
    def read_uv(self):
        return self.next()
    def value(self):
        return self.next()
module = __import__("node.drivers." + sys.argv[1], None, None, ("DRIVER",))
tape = Tape(sys.argv[2])
driver = module.DRIVER(tape, **json.loads(sys.argv[3]))
gc.collect()
gc.disable()
out = []
for cycle in range(int(sys.argv[4])):
    gc.collect()
    a = gc.mem_alloc()
    while driver.start():
        pass
    b = gc.mem_alloc()
    result = driver.read()
    c = gc.mem_alloc()
    out.append((b - a, c - b, result))
    result = None
print(json.dumps(out))
"""


# The same bus, read off the tape as it goes; what comes out of each cycle of each driver, whatever it is.
NOISY = (
    PLAYER[: PLAYER.index("module = ")].replace(
        PLAYER[PLAYER.index("    def __init__") : PLAYER.index("    def writeto(")],
        """    def __init__(self, path):
        self.lines = open(path)
    def next(self):
        kind, _, rest = self.lines.readline().strip().partition(" ")
        if kind == "e":
            raise OSError(int(rest))
        return bytes.fromhex(rest) if kind == "b" else int(rest)
""",
    )
    + """
from node.drivers.fault import Fault
module = __import__("node.drivers." + sys.argv[1], None, None, ("DRIVER",))
tape = Tape(sys.argv[2])
for cycles in json.loads(sys.argv[4]):
    driver = module.DRIVER(tape, **json.loads(sys.argv[3]))
    for cycle in range(cycles):
        try:
            while driver.start():
                pass
            result = driver.read()
        except Fault as fault:
            result = fault.code
        except OSError as error:
            result = -error.errno
        print(json.dumps(result))
"""
)


class Recorder:
    """Between driver and bus: notes every answer in the order of the calls."""

    def __init__(self, bus: Any) -> None:
        self._bus = bus
        self.tape: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._bus, name)

        def call(*arguments: Any) -> Any:
            try:
                result = method(*arguments)
            except OSError as error:
                self.tape.append(f"e {error.errno}")
                raise
            if name in ("readfrom_into", "readfrom_mem_into"):
                self.tape.append("b " + bytes(arguments[-1]).hex())
            elif name == "readinto":
                self.tape.append("b " + bytes(arguments[0][: result or 0]).hex())
            else:
                self.tape.append(f"n {result or 0}")
            return result

        return call


def record(case: Case) -> tuple[list[str], list[list[Any]]]:
    table = World(case.cls(), case.part(dict(case.middle())), dict(case.settings))
    recorder = Recorder(table.bus)
    table.driver = case.cls()(recorder, **case.settings)
    readings: list[list[Any]] = []
    for _ in range(CYCLES):
        readings.append([list(reading) for reading in table.reading()])
        table.clock.now += 120_000
    return recorder.tape, readings


def noisy(case: Case) -> tuple[list[str], list[int], list[Any]]:
    """The tape of several drivers on bad wires, how many cycles each went through, and what came out of each cycle."""
    tape: list[str] = []
    lengths: list[int] = []
    results: list[Any] = []
    fault = importlib.import_module("node.drivers.fault").Fault
    for seed, rate in enumerate((5, 20, 60, 150, 400) * 3):
        if seed > 4 and len(tape) > 4000:
            break
        table = World(case.cls(), case.part(dict(case.middle())), dict(case.settings), Wire(random.Random(seed), rate))
        recorder = Recorder(table.bus)
        table.driver = case.cls()(recorder, **case.settings)
        cycles = 0
        while cycles < 6 and len(recorder.tape) < 600:
            try:
                results.append([list(reading) for reading in table.reading()])
            except fault as told:
                results.append(told.code)
            except OSError as error:
                results.append(-(error.errno or 0))
            table.clock.now += 1000
            cycles += 1
        tape += recorder.tape
        lengths.append(cycles)
    return tape, lengths, results


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_noisy_bus_has_the_same_effect_in_micropython(case: Case, run_vm: Callable[..., Any], tmp_path: Path) -> None:
    tape, lengths, results = noisy(case)
    assert any(not isinstance(result, list) or any(r[2] for r in result) for result in results) or case.check == "none"
    lines = tmp_path / "tape"
    lines.write_text("".join(line + "\n" for line in tape))
    script = tmp_path / "player.py"
    script.write_text(NOISY)
    ended = run_vm(script, case.driver, str(lines), json.dumps(dict(case.settings)), json.dumps(lengths), heap="400k")
    found = [json.loads(line) for line in ended.checked().stdout.splitlines()]
    assert found == results


def blocks(size: int) -> int:
    return -(-size // 16) * 16


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_readings_and_no_allocation_but_the_result(
    case: Case, run_vm: Callable[..., Any], tmp_path: Path
) -> None:
    tape, readings = record(case)
    lines = tmp_path / "tape"
    lines.write_text("".join(line + "\n" for line in tape))
    script = tmp_path / "player.py"
    script.write_text(PLAYER)
    ended = run_vm(script, case.driver, str(lines), json.dumps(dict(case.settings)), str(CYCLES), heap="400k").checked()
    cycles = json.loads(ended.stdout)
    assert [cycle[2] for cycle in cycles] == readings
    wide = 2 if ended.machine.bits == 64 else 1
    count = len(readings[0])
    # a tuple of three for each reading, and a tuple of them, or a list that grew to at most twice its length
    result = wide * (32 * count + max(blocks(8 + 4 * count), 16 + blocks(8 * max(count, 4))))
    for started, read, _ in cycles[1:]:
        assert started == 0, f"start() allocates {started} bytes"
        assert read <= result, f"read() allocates {read} bytes where the result takes at most {result}"
