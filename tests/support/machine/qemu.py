"""The same machine code under QEMU: an emulator of RISC-V that nobody here wrote.

`qemu-riscv32` (user mode, found by tools/get_qemu.py) runs a program of a few instructions around the function:
registers as the runtime sets them, the call, all of the data written to standard output.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from pathlib import Path

import get_qemu

from .core import CODE, HELPER, STACK
from .riscv import RiscV

_FUNCTION, _ARGUMENTS = 0x3FFB1000, 0x3FFB5000  # as in core
_DATA, _SIZE = 0x3FFB0000, 0x40000
_START = 0x00100000
_PAGE = 0x1000
_WRITE, _EXIT = 64, 93


def _load(register: int, value: int) -> list[int]:
    """lui and addi: any 32-bit value into a register."""
    upper = (value + 0x800) & 0xFFFFF000
    return [upper | register << 7 | 0x37, (value - upper & 0xFFF) << 20 | register << 15 | register << 7 | 0x13]


def _program(count: int) -> bytes:
    words: list[int] = []
    for register, value in ((2, STACK), (10, _FUNCTION), (11, count), (12, 0), (13, _ARGUMENTS), (5, CODE)):
        words += _load(register, value)
    words.append(5 << 15 | 1 << 7 | 0x67)  # jalr ra, 0(t0)
    for number, arguments in ((_WRITE, (1, _DATA, _SIZE)), (_EXIT, (0,))):
        for register, value in zip((17, 10, 11, 12), (number, *arguments), strict=False):
            words += _load(register, value)
        words.append(0x73)  # ecall
    return struct.pack(f"<{len(words)}I", *words)


def _executable(segments: list[tuple[int, bytes]]) -> bytes:
    """An ELF file for RISC-V, 32 bits, with these pieces of memory, all of them writable and executable."""
    heads, body, at = b"", b"", _PAGE
    for address, data in segments:
        heads += struct.pack("<8I", 1, at, address, address, len(data), len(data), 7, _PAGE)
        body += data + bytes(-len(data) % _PAGE)
        at += len(data) + -len(data) % _PAGE
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    head = ident + struct.pack("<HHIIIIIHHHHHH", 2, 243, 1, _START, 52, 0, 1, 52, 32, len(segments), 0, 0, 0)
    return (head + heads).ljust(_PAGE, b"\0") + body


class Qemu(RiscV):
    """RISC-V, run by QEMU. Instructions are not counted: `call` returns 0."""

    def call(self, *arguments: int) -> int:
        emulator = get_qemu.find()
        assert emulator is not None
        self.write(_ARGUMENTS, arguments)
        data = bytearray(_SIZE)
        for address, word in self.memory.items():
            if _DATA <= address < _DATA + _SIZE:
                struct.pack_into("<I", data, address - _DATA, word)
        program = _program(len(arguments))
        helper = b"\x82\x80" * 64  # ret
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "program"
            path.write_bytes(
                _executable([(_START, program), (_DATA, bytes(data)), (CODE, self.code), (HELPER, helper)])
            )
            path.chmod(0o755)
            done = subprocess.run([emulator, str(path)], capture_output=True, timeout=60, check=True)
        assert len(done.stdout) == _SIZE, f"{len(done.stdout)} bytes came back"
        for k, word in enumerate(struct.unpack(f"<{_SIZE // 4}I", done.stdout)):
            if word or _DATA + 4 * k in self.memory:
                self.memory[_DATA + 4 * k] = word
        return 0
