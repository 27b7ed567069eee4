"""What both interpreters share: memory, the call of a viper function, counting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence

MASK = 0xFFFFFFFF
CODE = 0x40080000
HELPER = 0x70000000  # where every pointer into the runtime leads
STACK = 0x3FFE0000
_FUNCTION, _CONTEXT, _OBJECTS, _TABLE, _ARGUMENTS = 0x3FFB1000, 0x3FFB0000, 0x3FFB3000, 0x3FFB4000, 0x3FFB5000
_TABLE_WORDS = 128

Step = Callable[[], int]
"""One decoded instruction: does it, returns the next program counter."""


def signed(value: int, bits: int = 32) -> int:
    """The low bits of a value, read with sign."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


class Unknown(Exception):
    """An instruction that the interpreter has not been taught."""


class Machine(ABC):
    """Registers and memory of one core. `registers` are kept as unsigned 32-bit numbers."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        self.memory: dict[int, int] = {}
        self.registers = [0] * 32
        self.mix: Counter[str] = Counter()
        self._decoded: dict[int, tuple[str, Step]] = {}
        padded = code + bytes(-len(code) % 4)
        self.write(CODE, [int.from_bytes(padded[k : k + 4], "little") for k in range(0, len(padded), 4)])
        # A function object, its module context, an object table that holds only the runtime's function table.
        self.write(_FUNCTION + 4, [_CONTEXT])
        self.write(_CONTEXT + 8, [0, _OBJECTS])
        self.write(_OBJECTS, [_TABLE] * 16)
        self.write(_TABLE, [HELPER] * _TABLE_WORDS)

    def write(self, address: int, words: Sequence[int]) -> None:
        for k, word in enumerate(words):
            self.memory[address + 4 * k] = word & MASK

    def read(self, address: int, count: int) -> list[int]:
        return [signed(self.memory.get(address + 4 * k, 0)) for k in range(count)]

    def load(self, address: int) -> int:
        if address & 3:
            raise Unknown(f"unaligned load at {address:#x}")
        return self.memory.get(address, 0)

    def load16(self, address: int) -> int:
        """An unsigned half of a word."""
        if address & 1:
            raise Unknown(f"unaligned load at {address:#x}")
        return self.memory.get(address & ~3, 0) >> (8 * (address & 2)) & 0xFFFF

    def store(self, address: int, value: int) -> None:
        if address & 3:
            raise Unknown(f"unaligned store at {address:#x}")
        self.memory[address] = value & MASK

    def halfword(self, address: int) -> int:
        """16 bits of code."""
        at = address - CODE
        return self.code[at] | self.code[at + 1] << 8

    @abstractmethod
    def decode(self, pc: int) -> tuple[str, Step]:
        """The instruction at `pc`: its name, and what does it."""

    @abstractmethod
    def enter(self, arguments: int, count: int, function: int) -> None:
        """Put the arguments of a native function where the ABI has them."""

    def call(self, *arguments: int) -> int:
        """Call the function with integers or addresses; returns the number of instructions that it took.

        The runtime's helpers, which turn objects into integers and back, return their argument and are not counted.
        """
        self.write(_ARGUMENTS, arguments)
        self.enter(_ARGUMENTS, len(arguments), _FUNCTION)
        decoded, count, pc = self._decoded, 0, CODE
        while pc != HELPER:
            if pc not in decoded:
                decoded[pc] = self.decode(pc)
            name, step = decoded[pc]
            self.mix[name] += 1
            count += 1
            pc = step()
        return count
