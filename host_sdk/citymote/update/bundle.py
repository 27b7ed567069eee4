"""A bundle: one release of the application for every kind of node that it is for, in one file that anybody can read.

It is a zip whose members are stored, sorted, and dated 1980: the same release is the same bytes, any tool opens it, and
a single member can be read without the rest (a tar has neither a directory nor the first property by itself). Files
are kept once under their SHA-256, as a node fetches them: deflated where that is smaller. `bundle.json` holds the
digest of everything else, so its own digest names the release; envelopes, which come later and may be made elsewhere,
are the only members outside of it. Whatever a bundle from elsewhere says is checked before it is used.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

from citymote.errors import CitymoteError, UsageError
from citymote.factory import slot
from citymote.output_files import written
from citymote_protocol import file_index as _file_index
from citymote_protocol.errors import ProtocolError

from .manifest import parts
from .version import Version

# Untyped, because the node runs them too.
file_index: Any = _file_index

FORMAT, FORM_VERSION = "citymote-bundle", 1
LARGEST = 64 << 20
"""Bytes of a bundle: hundreds of applications."""
MEMBERS = 8192
MOST_TARGETS = 64
LARGEST_TEXT = 4 << 20
"""Bytes of the notes, and of the SBOM."""
_DATE = (1980, 1, 1, 0, 0, 0)
_HEAD, _NOTES, _SBOM = "bundle.json", "notes.md", "sbom.cdx.json"


class BundleError(CitymoteError):
    """A bundle that is damaged, incomplete or not one."""


class Entry(NamedTuple):
    """A file of an application, as the index has it: `packed` is what is fetched, 0 where the file is as it is."""

    name: str
    size: int
    packed: int
    digest: bytes

    @property
    def fetched(self) -> int:
        """Bytes that a node fetches for it."""
        return self.packed or self.size


@dataclass(frozen=True)
class Target:
    """The application for one kind of node. Without `boards` it is for all that run this architecture's code."""

    name: str
    architecture: str
    boards: tuple[str, ...]
    index: bytes

    def entries(self) -> list[Entry]:
        """Its files."""
        source = io.BytesIO(self.index)
        return [Entry(*item) for item in file_index.entries(source.read, len(self.index))]

    def fits(self, architecture: str, board: str) -> bool:
        """Whether a node with this code and board may have it."""
        return self.architecture == architecture and (not self.boards or board in self.boards)


@dataclass(frozen=True)
class Bundle:
    """See the module. `blobs`: hexadecimal SHA-256 of a file -> what is fetched; `envelopes`: target -> SUIT."""

    version: Version
    runtime: str
    targets: tuple[Target, ...]
    blobs: Mapping[str, bytes]
    notes: str = ""
    sbom: bytes = b""
    vendor: bytes = slot.VENDOR_ID
    envelopes: Mapping[str, bytes] = field(default_factory=dict[str, bytes])

    @property
    def head(self) -> bytes:
        """The bytes of bundle.json."""
        tree = {
            "format": FORMAT,
            "version": FORM_VERSION,
            "release": str(self.version),
            "runtime": self.runtime,
            "vendor": self.vendor.hex(),
            "notes": hashlib.sha256(self.notes.encode()).hexdigest(),
            "sbom": hashlib.sha256(self.sbom).hexdigest(),
            "targets": [
                {
                    "name": target.name,
                    "architecture": target.architecture,
                    "class": slot.class_id(target.architecture, self.vendor).hex(),
                    "boards": list(target.boards),
                    "index": hashlib.sha256(target.index).hexdigest(),
                }
                for target in self.targets
            ],
        }
        return json.dumps(tree, indent=1, sort_keys=True).encode() + b"\n"

    @property
    def content(self) -> str:
        """What names this release, signed or not: the SHA-256 of its head."""
        return hashlib.sha256(self.head).hexdigest()

    def target(self, architecture: str, board: str) -> Target | None:
        """What a node gets: the target that names its board, else one for all boards of its architecture."""
        fitting = [target for target in self.targets if target.fits(architecture, board)]
        return max(fitting, key=lambda target: bool(target.boards), default=None)

    def named(self, name: str) -> Target:
        """The target of that name."""
        for target in self.targets:
            if target.name == name:
                return target
        known = ", ".join(target.name for target in self.targets)
        raise UsageError(f"this bundle has no target {name!r}", f"it has {known}")

    def with_envelopes(self, envelopes: Mapping[str, bytes]) -> Bundle:
        """The same release under these envelopes."""
        return Bundle(
            self.version, self.runtime, self.targets, self.blobs, self.notes, self.sbom, self.vendor, dict(envelopes)
        )

    def bytes(self) -> bytes:
        """The file's bytes: the same for the same release under the same envelopes."""
        members: dict[str, bytes] = {_HEAD: self.head, _NOTES: self.notes.encode(), _SBOM: self.sbom}
        members.update({f"index/{target.name}": target.index for target in self.targets})
        members.update({f"files/{digest}": data for digest, data in self.blobs.items()})
        members.update({f"envelopes/{name}.suit": data for name, data in self.envelopes.items()})
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(members, key=lambda name: (name != _HEAD, name)):
                info = zipfile.ZipInfo(name, _DATE)
                info.create_system, info.external_attr = 3, 0o100644 << 16
                archive.writestr(info, members[name])
        return out.getvalue()

    def write(self, path: Path) -> None:
        """Put it under its name whole, or not at all."""
        try:
            with written(path) as file:
                file.write(self.bytes())
        except OSError as error:
            raise UsageError(f"cannot write {path}", error.strerror or str(error)) from None


def pack(
    version: Version,
    runtime: str,
    targets: Sequence[tuple[Target, Sequence[slot.File]]],
    *,
    notes: str = "",
    sbom: bytes = b"",
    vendor: bytes = slot.VENDOR_ID,
) -> Bundle:
    """A bundle of applications whose files are at hand."""
    blobs = {file.digest.hex(): file.packed or file.data for _, files in targets for file in files}
    made = tuple(target for target, _ in sorted(targets, key=lambda pair: pair[0].name))
    return Bundle(version, runtime, made, blobs, notes, sbom, vendor)


def read(path: Path) -> Bundle:
    """A bundle file, with every digest in it checked; BundleError says what is wrong."""
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise BundleError(f"{path} is no bundle", f"it has {size} bytes, a bundle at most {LARGEST}")
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise BundleError(f"the bundle {path} cannot be read", error.strerror or str(error)) from None


def parse(data: bytes, where: str = "bundle") -> Bundle:
    """The same from bytes."""
    members = _members(data, where)
    head = members.pop(_HEAD, b"")
    try:
        made = _made(json.loads(head), members)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError, ProtocolError) as error:
        why = str(error) if isinstance(error, UsageError | ProtocolError) else "its bundle.json is not one"
        raise BundleError(f"{where} is no bundle", why, "Build or fetch it again.") from None
    if made.head != head:
        raise BundleError(f"{where} is damaged", "a part of it has another digest than it was built with")
    _check_files(made, where)
    for name, envelope in made.envelopes.items():
        _check_envelope(made, name, envelope, where)
    if members:
        raise BundleError(f"{where} is no bundle", f"it holds {min(members)}, which is no part of one")
    return made


def _members(data: bytes, where: str) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = archive.infolist()
            # Stored members cannot be larger than the file: nothing grows while it is read.
            plain = all(info.compress_type == zipfile.ZIP_STORED for info in found)
            if not plain or len(found) > MEMBERS or len({info.filename for info in found}) != len(found):
                raise BundleError(f"{where} is no bundle", "its members are packed, doubled or too many")
            return {info.filename: archive.read(info) for info in found}
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError, zlib.error):
        raise BundleError(f"{where} is no bundle", "it is damaged, or no zip file", "Fetch it again.") from None


def _made(tree: dict[str, Any], members: dict[str, bytes]) -> Bundle:
    """Takes out of `members` what belongs to the bundle."""
    if tree["format"] != FORMAT or tree["version"] != FORM_VERSION:
        raise UsageError("it is of another form or a later version")
    described = cast("list[dict[str, Any]]", tree["targets"])
    if not 1 <= len(described) <= MOST_TARGETS:
        raise UsageError(f"a bundle has 1 to {MOST_TARGETS} targets")
    targets: list[Target] = []
    envelopes: dict[str, bytes] = {}
    for one in described:
        name = check_target(one["name"])
        boards = tuple(str(board) for board in one["boards"])
        targets.append(Target(name, str(one["architecture"]), boards, members.pop(f"index/{name}")))
        if f"envelopes/{name}.suit" in members:
            envelopes[name] = members.pop(f"envelopes/{name}.suit")
    blobs = {name.removeprefix("files/"): members.pop(name) for name in sorted(members) if name.startswith("files/")}
    notes, sbom = members.pop(_NOTES), members.pop(_SBOM)
    if len(notes) > LARGEST_TEXT or len(sbom) > LARGEST_TEXT:
        raise UsageError("its notes or its SBOM are too long")
    version, vendor = Version.parse(str(tree["release"])), bytes.fromhex(tree["vendor"])
    return Bundle(version, str(tree["runtime"]), tuple(targets), blobs, notes.decode(), sbom, vendor, envelopes)


def check_target(name: str) -> str:
    """The name if it can be a target's: it becomes part of file names."""
    if not 0 < len(name) <= 64 or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
        raise UsageError(f"{name!r} is no name of a target", "", "Use letters, digits, - and _.")
    return name


def _check_files(bundle: Bundle, where: str) -> None:
    wanted: dict[str, Entry] = {}
    for target in bundle.targets:
        try:
            entries = target.entries()
        except ProtocolError as error:
            raise BundleError(f"{where}: the index of {target.name} is not one", str(error)) from None
        for entry in entries:
            known = wanted.setdefault(entry.digest.hex(), entry)
            if (known.size, known.packed) != (entry.size, entry.packed):
                raise BundleError(f"{where} contradicts itself", f"{entry.name} is listed with two sizes")
    if wanted.keys() != bundle.blobs.keys():
        other = min(wanted.keys() ^ bundle.blobs.keys())
        raise BundleError(f"{where} is incomplete", f"file {other[:12]} is missing, or nobody's")
    for digest, entry in wanted.items():
        if hashlib.sha256(unpacked(bundle.blobs[digest], entry)).hexdigest() != digest:
            raise BundleError(f"{where} is damaged", f"{entry.name} has another digest than its index says")


def unpacked(blob: bytes, entry: Entry) -> bytes:
    """A file as it will lie on the node; empty where the blob is not what the entry says."""
    if len(blob) != entry.fetched:
        return b""
    if not entry.packed:
        return blob
    maker = zlib.decompressobj(-slot.WINDOW_BITS)
    try:
        data = maker.decompress(blob, entry.size + 1)
    except zlib.error:
        return b""
    whole = maker.eof and not maker.unused_data and len(data) == entry.size
    return data if whole else b""


def _check_envelope(bundle: Bundle, name: str, envelope: bytes, where: str) -> None:
    try:
        *_, index = parts(envelope)
    except ProtocolError as error:
        raise BundleError(f"{where}: the envelope of {name} is not one", str(error)) from None
    if index != bundle.named(name).index:
        raise BundleError(f"{where}: the envelope of {name} is for other files")


def differences(old: Target, new: Target) -> Iterator[Entry]:
    """What a node that runs `old` has to fetch for `new`."""
    held = {entry.digest for entry in old.entries()}
    seen: set[bytes] = set()
    for entry in new.entries():
        if entry.digest not in held and entry.digest not in seen:
            seen.add(entry.digest)
            yield entry
