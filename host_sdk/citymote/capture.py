"""Files of frames: captures, CBOR sequences and hexadecimal text, each recognised by itself.

A capture (`.cmcap`, protocol/spec/10-files.md) keeps what arrived and when: each record has a mark, the time of
reception, a length and a CRC-32, so that damage costs the record it hits and no other. A CBOR sequence (RFC 8742) is
what a link delivers without a wrapper; hexadecimal text, one frame a line, is what people paste. This module splits a
source into messages and names what it could not read; it does not look into a frame, which is decode.py's work.
"""

from __future__ import annotations

import io
import os
import struct
import time
from binascii import crc32
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, Self, Union, cast

from citymote.errors import SourceError, UsageError

MAGIC = b"\x89CMCAP1\n"
MARK = b"\xffCM\xfe"
# time of reception (microseconds since 1970, unsigned), length of the message; then the message and its CRC-32.
_HEAD = struct.Struct(">QH")
_CRC = struct.Struct(">I")
OVERHEAD = len(MARK) + _HEAD.size + _CRC.size
# The length field has 16 bits: the largest message is the largest that any of the specified links carries.
MAX_MESSAGE = 0xFFFF
# A file is told apart by its first 4096 bytes at most (10-files.md, rule F1 to F4).
SNIFF = 4096
_TEXT = frozenset(b"\t\n\r\f") | frozenset(range(0x20, 0x7F))

Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes], Iterable[bytes]]


class Message(NamedTuple):
    """One message as received: a bare frame or a sealed envelope."""

    data: bytes
    received: float | None  # Unix seconds, where the source knows
    where: str


class Damage(NamedTuple):
    """A piece of a source that holds no message any more."""

    data: bytes
    code: str
    why: str
    where: str


Item = Message | Damage


def sniff(head: bytes) -> str:
    """`capture`, `text` or `sequence`, from the first bytes of a file."""
    if head.startswith(MAGIC) or head[len(MAGIC) : len(MAGIC) + len(MARK)] == MARK:
        return "capture"
    if all(byte in _TEXT for byte in head[:SNIFF].removeprefix(b"\xef\xbb\xbf")):
        return "text"
    return "sequence"


def read(source: Source) -> Iterator[Item]:
    """Messages and damage of any source, in order. A path is opened and closed here; a file object stays open."""
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SourceError(
                f"cannot read {path}", error.strerror or str(error), "Check the path and its permissions."
            ) from error
        yield from split(data, path.name)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        yield from split(bytes(source), "input")
    elif isinstance(source, io.TextIOBase):
        raise UsageError(
            "a file of frames is opened in binary mode", "this one was opened as text", "Open it with mode 'rb'."
        )
    elif hasattr(source, "read"):
        stream: IO[bytes] = source  # pyright: ignore[reportAssignmentType]
        yield from split(stream.read(), str(getattr(stream, "name", "input")))
    else:
        for number, frame in enumerate(source, 1):
            item = cast("object", frame)  # typed as bytes, but callers hand in lists of text, too
            if not isinstance(item, (bytes, bytearray, memoryview)):
                raise UsageError(
                    f"item {number} is {type(item).__name__}, not bytes", "an iterable gives one frame an item"
                )
            yield Message(bytes(cast("bytes", item)), None, f"frame {number}")


def split(data: bytes, name: str) -> Iterator[Item]:
    """Messages and damage of a file's bytes; what kind it is, it says itself."""
    kind = sniff(data[: SNIFF + len(MAGIC)])
    if kind == "capture":
        return _capture(data, name)
    if kind == "text":
        return _text(data, name)
    return _sequence(data, name)


def _capture(data: bytes, name: str) -> Iterator[Item]:
    end = len(data)
    at = len(MAGIC)
    number = 0
    if not data.startswith(MAGIC):
        yield Damage(data[:at], "capture_magic", "the file's magic is damaged; its records are read all the same", name)
    while at < end:
        found = _record(data, at)
        if found is not None:
            number += 1
            start, stop, received = found
            yield Message(data[start:stop], received, f"{name} record {number} at byte {at}")
            at = stop + _CRC.size
            continue
        # Damage. The next record begins at the next mark behind which a CRC fits; a mark alone proves nothing,
        # because a frame may hold any four bytes.
        follow = data.find(MARK, at + 1)
        while follow >= 0 and _record(data, follow) is None:
            follow = data.find(MARK, follow + 1)
        stop = end if follow < 0 else follow
        number += 1
        if follow < 0 and _torn(data, at):
            why = "the last record is cut off: the writer was stopped in the middle of it"
            yield Damage(data[at:stop], "capture_torn", why, f"{name} record {number} at byte {at}")
        else:
            why = f"{stop - at} bytes fit no record (mark, length or CRC wrong)"
            yield Damage(data[at:stop], "capture_crc", why, f"{name} record {number} at byte {at}")
        at = stop


def _record(data: bytes, at: int) -> tuple[int, int, float] | None:
    """Where the message of a sound record at `at` starts and stops, and its time of reception."""
    head = at + len(MARK)
    start = head + _HEAD.size
    if data[at:head] != MARK or start > len(data):
        return None
    microseconds, length = _HEAD.unpack_from(data, head)
    stop = start + length
    if stop + _CRC.size > len(data) or _CRC.unpack_from(data, stop)[0] != crc32(data[head:stop]):
        return None
    return start, stop, microseconds / 1e6


def _torn(data: bytes, at: int) -> bool:
    """True where a record begins soundly and the file ends before it does."""
    rest = data[at : at + len(MARK) + _HEAD.size]
    if not MARK.startswith(rest[: len(MARK)]):
        return False
    if len(rest) < len(MARK) + _HEAD.size:
        return True
    return at + OVERHEAD + _HEAD.unpack_from(rest, len(MARK))[1] > len(data)


def _text(data: bytes, name: str) -> Iterator[Item]:
    text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    for number, line in enumerate(text.splitlines(), 1):
        digits = "".join(line.split("#", 1)[0].split())
        if not digits:
            continue
        where = f"{name} line {number}"
        try:
            # int() and fromhex() are laxer than the rule (underscores, signs, inner space); the set of digits is not.
            if not set(digits) <= set("0123456789abcdefABCDEF"):
                raise ValueError("a character that is no hexadecimal digit")
            if len(digits) % 2:
                raise ValueError("an odd number of hexadecimal digits")
        except ValueError as error:
            yield Damage(line.encode("latin-1"), "text_line", str(error), where)
            continue
        yield Message(bytes.fromhex(digits), None, where)


def _sequence(data: bytes, name: str) -> Iterator[Item]:
    at = 0
    number = 0
    while at < len(data):
        number += 1
        where = f"{name} item {number} at byte {at}"
        try:
            stop = skip_item(data, at)
        except ValueError as error:
            # A sequence has no mark to start again from. Guessing one would be inventing readings.
            why = f"{error}; the {len(data) - at} bytes from here on are lost, a CBOR sequence cannot be resumed"
            yield Damage(data[at:], "sequence_item", why, where)
            return
        yield Message(data[at:stop], None, where)
        at = stop


def skip_item(data: bytes, at: int) -> int:
    """End of the CBOR item at `at` (definite lengths only), without recursion and without taking memory."""
    end = len(data)
    waiting = 1  # items still to be skipped; a declared count costs nothing here, the data must hold it
    while waiting:
        if at >= end:
            raise ValueError("the last item is cut off")
        initial = data[at]
        at += 1
        major, short = initial >> 5, initial & 0x1F
        if short < 24:
            argument = short
        elif short < 28:
            width = 1 << (short - 24)
            if at + width > end:
                raise ValueError("the last item is cut off")
            argument = int.from_bytes(data[at : at + width], "big")
            at += width
        else:
            raise ValueError(f"byte 0x{initial:02x} begins no CBOR item of definite length")
        waiting -= 1
        if major in (2, 3):
            at += argument
            if at > end:
                raise ValueError("the last item is cut off")
        elif major == 4:
            waiting += argument
        elif major == 5:
            waiting += 2 * argument
        elif major == 6:
            waiting += 1
        if waiting > end - at:
            raise ValueError("the last item is cut off")
    return at


def record(message: bytes, received: float | None = None) -> bytes:
    """One record of a capture; `received` in Unix seconds, now by default."""
    if len(message) > MAX_MESSAGE:
        raise UsageError(f"a message of {len(message)} bytes does not fit a record", f"the limit is {MAX_MESSAGE}")
    stamp = time.time() if received is None else received
    body = _HEAD.pack(int(stamp * 1e6 + 0.5), len(message)) + message
    return MARK + body + _CRC.pack(crc32(body))


@contextmanager
def _writing(path: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"cannot write {path}", error.strerror or str(error)) from error


def missing_magic(path: Path) -> bytes:
    """What of the magic a file still needs before records can be appended to it: all, nothing, or the rest of a torn
    one. UsageError where it is no capture: records would spoil it, and nobody would find them in it.
    """
    head = b""
    with _writing(path):
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(len(MAGIC))
    if not MAGIC.startswith(head):
        raise UsageError(
            f"nothing was appended to {path}", "there is a file of that name, and it is no capture", "Name another one."
        )
    return MAGIC[len(head) :]


class CaptureWriter:
    """Appends records to a new capture or to one that is there, even a torn one; UsageError for any other file.

    Each record is one write to the system: a kill tears the last record at most.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        magic = missing_magic(self.path)
        with _writing(self.path):
            self._file = self.path.open("ab", buffering=0)
        try:
            self._write(magic)
        except SourceError:
            self._file.close()
            raise

    def add(self, message: bytes, received: float | None = None) -> None:
        """Append one message; SourceError where the disk does not take all of it."""
        self._write(record(message, received))

    def _write(self, data: bytes) -> None:
        with _writing(self.path):
            # A disk that fills up takes the first part and says so only to who brings the rest.
            while data:
                data = data[self._file.write(data) :]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
