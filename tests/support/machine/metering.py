"""The sound level meter's inner functions as a chip's machine code, with memory around them, and counters."""

from __future__ import annotations

import struct
from collections import Counter
from functools import cache
from pathlib import Path

from make_bands import Bank

from .core import Machine
from .mpy import compiled
from .riscv import RiscV
from .xtensa import Xtensa

FOLDER = Path(__file__).resolve().parents[3] / "firmware" / "node" / "sound"
MACHINES: dict[str, type[Machine]] = {"xtensawin": Xtensa, "rv32imc": RiscV}
_WORDS, _STATE, _AVERAGES, _COEFFICIENTS = 0x3FFC0000, 0x3FFD0000, 0x3FFD8000, 0x3FFC8000


@cache
def code(architecture: str, module: str) -> bytes:
    """The machine code of the first native function of a module of node/sound."""
    return compiled(FOLDER / f"{module}.py", architecture)[0]


class Meter:
    """`feed` it words; state as the node's, instructions counted apart for the sample loop and the 5 ms arithmetic."""

    def __init__(self, architecture: str, rate: int, machine: type[Machine] | None = None) -> None:
        machine = machine or MACHINES[architecture]
        self._kernel = machine(code(architecture, f"kernel{rate // 1000}"))
        self._block = machine(code(architecture, "block"))
        self._size = rate // 200
        self.state = [0] * 17
        self.averages = [0, -40, 0, -40, 0, 0, 0, 0x3FFFFFFF, 0, 0x3FFFFFFF, *[0] * 10, -1]
        self.samples = 0
        self.kernel_instructions = 0
        self.block_instructions = 0

    @property
    def instructions(self) -> int:
        return self.kernel_instructions + self.block_instructions

    @property
    def mix(self) -> Counter[str]:
        """How often each instruction ran."""
        return self._kernel.mix + self._block.mix

    def feed(self, words: list[int]) -> list[list[int]]:
        """Whole blocks; returns state and averages after each."""
        rows: list[list[int]] = []
        kernel, block, size = self._kernel, self._block, self._size
        for k in range(0, len(words), size):
            number = self.samples // size
            kernel.write(_WORDS, words[k : k + size])
            kernel.write(_STATE, self.state)
            self.kernel_instructions += kernel.call(0, 0, _WORDS, 0, size, _STATE)
            self.state = kernel.read(_STATE, 17)
            block.write(_WORDS, words[k : k + size])
            block.write(_STATE, self.state)
            block.write(_AVERAGES, self.averages)
            looked_at = size - 1 - (number * 7) % size
            self.block_instructions += block.call(0, 0, _STATE, _AVERAGES, _WORDS, looked_at, 0)
            self.state = block.read(_STATE, 17)
            self.averages = block.read(_AVERAGES, 21)
            self.samples += size
            rows.append(self.state + self.averages)
        return rows


class Bands:
    """A bank of band filters as a chip's machine code: `feed` it blocks of 512 words; state as the node's."""

    def __init__(self, architecture: str, bank: Bank, machine: type[Machine] | None = None) -> None:
        machine = machine or MACHINES[architecture]
        self._cascade = machine(code(architecture, bank.name))
        rows = [number for octave in bank.coefficients() for row in octave for number in row]
        data = struct.pack(f"<{len(rows)}h", *rows)
        data += bytes(-len(data) % 4)
        self._cascade.write(_COEFFICIENTS, struct.unpack(f"<{len(data) // 4}i", data))
        self._levels = bank.levels
        self.state = [0] * ((12 + 9 * bank.bands) * bank.levels)
        self._cascade.write(_STATE, self.state)
        self.samples = self.instructions = 0

    def feed(self, words: list[int]) -> list[list[int]]:
        """Whole blocks; returns the state after each."""
        rows: list[list[int]] = []
        for k in range(0, len(words), 512):
            # As `take` copies them.
            self._cascade.write(_WORDS, [word >> 2 for word in words[k : k + 512]])
            self.instructions += self._cascade.call(0, 0, _WORDS, 512, _STATE, _COEFFICIENTS, self._levels)
            self.samples += 512
            self.state = self._cascade.read(_STATE, len(self.state))
            rows.append(self.state)
        return rows


def copying(architecture: str, count: int = 240) -> float:
    """Instructions a sample that it takes to gather `count` words into a block of the bands' own."""
    machine = MACHINES[architecture](compiled(FOLDER / "third48.py", architecture)[1])
    return machine.call(0, 0, _WORDS, 0, count, _AVERAGES, 0) / count


def flatten(
    architecture: str, words: list[int], numbers: list[int], machine: type[Machine] | None = None
) -> tuple[list[int], float]:
    """Words through the equaliser's machine code, and instructions a sample; `numbers`: k and g of both shelves."""
    one = (machine or MACHINES[architecture])(code(architecture, "equaliser"))
    one.write(_WORDS, words)
    one.write(_STATE, [0, 0, 0, *numbers])
    count = one.call(0, 0, _WORDS, 0, len(words), _STATE, 0, 0)
    return one.read(_WORDS, len(words)), count / len(words)
