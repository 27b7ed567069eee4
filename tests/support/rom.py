"""A board whose flash esptool can write: Espressif's serial bootloader in front of a `PtyBoard`.

It answers as the chip's ROM and esptool's stub do (esptool documentation, Serial Protocol): packets in SLIP frames, the
commands that writing, reading and erasing need, registers as far as they are asked for the flash's identification. No
code is run: a stub that is loaded is believed to be there. A packet that begins a synchronisation puts the board into
its bootloader, as the reset lines of a real port do; anything else that comes there is taken for the end of it, and
the board starts, if what lies in its flash is a program and a partition table.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path
from typing import Any

from citymote import boards
from citymote.factory import partitions
from citymote.testing.pty_board import PtyBoard

END = 0xC0
SPI = {"esp32c3": 0x60002000, "esp32c6": 0x60003000, "esp32s3": 0x60002000}  # SPI_MEM1: CMD, USR2 at 0x20, W0 at 0x58


class EspBoard(PtyBoard):
    """A board with so much flash, blank at first, and MicroPython's unix port for a runtime once one is written."""

    def __init__(self, directory: Path | str, chip: str, flash_size: int, **more: Any) -> None:
        self.chip = boards.chip(chip)
        self.flash = bytearray(b"\xff" * flash_size)
        self.commands: list[int] = []
        self._loading = self._stub = False
        self._registers: dict[int, int] = {}
        self._packet: bytearray | None = None
        self._at = 0
        self._inflate: Any = None
        self._next: list[bytes] = []
        super().__init__(directory, **more)

    # -- starting -----------------------------------------------------------------------------------------------------

    def boots(self) -> bool:
        """Whether table and program are there; then the board has the partitions of that table."""
        if self._loading:
            return False
        try:
            parts = partitions.parse(bytes(self.flash[0x8000:0x8C00]))
        except partitions.TableError:
            return False
        home = next(part for part in parts if part.type == partitions.APP)
        if self.flash[home.offset] != 0xE9 or self.flash[self.chip.bootloader] != 0xE9:
            return False
        for part in parts:
            image = self.root / f"{part.label}.img"
            if part.type == partitions.APP or part.label == "otadata" or not image.exists():
                image.write_bytes(self.flash[part.offset : part.end])
        self.partition((part.label, part.type, part.subtype, part.offset, part.size) for part in parts)
        return True

    def hear(self, data: bytes) -> bytes:
        if not self._loading:
            if b"\xc0\x00\x08\x24\x00" not in data:
                if self._process is None and b"\x03" in data:
                    self.say(b"invalid header: 0xffffffff\r\n")
                return data
            self._loading, self._stub = True, False
            self.reset()
        elif self._packet is None and END not in data:
            self._loading = False  # somebody wants MicroPython: the board was reset
            self.reset()
            return data
        for byte in data:
            self._byte(byte)
        return b""

    def _byte(self, byte: int) -> None:
        if byte == END:
            packet, self._packet = self._packet, bytearray()
            if packet:
                self._packet = None
                self._handle(bytes(packet).replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb"))
        elif self._packet is not None:
            self._packet.append(byte)

    def _frame(self, data: bytes) -> None:
        self.say(b"\xc0" + data.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0")

    # -- the bootloader -----------------------------------------------------------------------------------------------

    def _handle(self, packet: bytes) -> None:
        if len(packet) < 8 or packet[0]:
            return  # esptool acknowledges what it has read of the flash
        command, size = struct.unpack_from("<BH", packet, 1)
        body = packet[8 : 8 + size]
        self.commands.append(command)
        value, data = self._do(command, body)
        status = b"\0\0" if self._stub else b"\0\0\0\0"
        answer = struct.pack("<BBHI", 1, command, len(data) + len(status), value) + data + status
        for _ in range(8 if command == 0x08 else 1):
            self._frame(answer)
        if command == 0x06:
            self._stub = True
            self._frame(b"OHAI")
        for more in self._next:
            self._frame(more)
        self._next = []

    def _do(self, command: int, body: bytes) -> tuple[int, bytes]:
        numbers = struct.unpack(f"<{len(body) // 4}I", body[: len(body) // 4 * 4])
        if command == 0x08:
            return 0 if self._stub else 0x20120707, b""  # by which esptool knows its stub
        if command == 0x0A:
            return self._registers.get(numbers[0], 0), b""
        if command == 0x09:
            self._register(numbers[0], numbers[1])
        elif command == 0x14:
            return 0, struct.pack("<IB7sII", 0, 0, bytes(7), self.chip.image_id, 0)
        elif command in (0x02, 0x10):
            self._at, self._inflate = numbers[3], zlib.decompressobj() if command == 0x10 else None
            self._erase(self._at, numbers[0])
        elif command in (0x03, 0x11):
            data = body[16 : 16 + numbers[0]]
            data = self._inflate.decompress(data) if command == 0x11 else data
            self.flash[self._at : self._at + len(data)] = data
            self._at += len(data)
        elif command == 0x13:
            digest = hashlib.md5(self.flash[numbers[0] : numbers[0] + numbers[1]], usedforsecurity=False)
            return 0, digest.digest() if self._stub else digest.hexdigest().encode()
        elif command == 0xD0:
            self._erase(0, len(self.flash))
        elif command == 0xD1:
            self._erase(numbers[0], numbers[1])
        elif command == 0xD2:
            data = bytes(self.flash[numbers[0] : numbers[0] + numbers[1]])
            self._next = [data[at : at + numbers[2]] for at in range(0, len(data), numbers[2])]
            self._next.append(hashlib.md5(data, usedforsecurity=False).digest())
        return 0, b""

    def _register(self, register: int, value: int) -> None:
        base = SPI[self.chip.key]
        self._registers[register] = value
        if register == base:  # a command runs at once and clears its bit
            self._registers[register] = 0
            if self._registers.get(base + 0x20, 0) & 0xFF == 0x9F:
                self._registers[base + 0x58] = 0x4020 | (len(self.flash).bit_length() - 1) << 16  # JEDEC id

    def _erase(self, at: int, size: int) -> None:
        """Whole sectors; partitions in them are blank afterwards."""
        begin, end = at // 4096 * 4096, -(-(at + size) // 4096) * 4096
        self.flash[begin:end] = b"\xff" * (end - begin)
        if size == len(self.flash):
            for image in self.root.glob("*.img"):
                image.unlink()
            for path in self.root.iterdir():
                if path.is_file():
                    path.unlink()
