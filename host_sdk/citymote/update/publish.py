"""The folder that nodes poll: a static file server, or anything that copies a folder, is all that is needed.

    keys                      the key set (SPEC 14.7)
    files/<SHA-256>           what a node fetches, each once for all releases
    nodes/<node id>.suit      what this node is offered; not there: nothing

Files appear whole and before the envelope that names them; an envelope that has gone is an offer withdrawn. A key set
with a lower epoch never replaces a higher one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from citymote.errors import CitymoteError

from .bundle import Bundle
from .keyring import KeySet, load


class PublishError(CitymoteError):
    """The folder cannot be written."""

    whose = "machine"


class Publication:
    """See the module; the folder is made when it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            for name in ("files", "nodes"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PublishError(f"cannot publish in {folder}", error.strerror or str(error)) from None

    def put_keys(self, statement: bytes, keys: KeySet, root: bytes) -> bool:
        """Publish a key set of this root, unless that epoch is there; PublishError where a later one is."""
        path = self.folder / "keys"
        if path.exists():
            held = load(path, root)
            if held.epoch > keys.epoch:
                raise PublishError(f"{path}: not replaced", f"it is epoch {held.epoch}, this is epoch {keys.epoch}")
            if held.epoch == keys.epoch:
                return False
        self._put(path, statement)
        return True

    def put_files(self, bundle: Bundle) -> int:
        """Everything that a node may fetch for this release; how many files were new."""
        new = 0
        for digest, data in bundle.blobs.items():
            path = self.folder / "files" / digest
            if not path.exists() or path.stat().st_size != len(data):
                self._put(path, data)
                new += 1
        return new

    def offer(self, node: str, envelope: bytes) -> None:
        """Let a node find this envelope when it asks next."""
        path = self._path(node)
        if not (path.exists() and path.read_bytes() == envelope):
            self._put(path, envelope, durable=False)

    def withdraw(self, node: str) -> None:
        """Let it find nothing."""
        try:
            self._path(node).unlink(missing_ok=True)
        except OSError as error:
            raise PublishError(f"the offer to {node} cannot be withdrawn", error.strerror or str(error)) from None

    def offered(self, node: str) -> bytes | None:
        """What a node finds now."""
        try:
            return self._path(node).read_bytes()
        except OSError:
            return None

    def offers(self) -> Iterator[str]:
        """Nodes that find something."""
        yield from sorted(path.stem for path in (self.folder / "nodes").glob("*.suit"))

    def sweep(self, keep: Iterable[Bundle]) -> int:
        """Remove files that none of these releases needs; how many. Only when no node downloads another one."""
        wanted = {digest for bundle in keep for digest in bundle.blobs}
        gone = [path for path in (self.folder / "files").iterdir() if path.name not in wanted]
        for path in gone:
            path.unlink()
        return len(gone)

    def _path(self, node: str) -> Path:
        if len(node) != 12 or any(c not in "0123456789abcdef" for c in node):
            raise PublishError(f"{node!r} is no node id", "", "A node id has 12 hexadecimal digits.")
        return self.folder / "nodes" / f"{node}.suit"

    def _put(self, path: Path, data: bytes, durable: bool = True) -> None:
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with part.open("wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise PublishError(f"cannot write {path}", error.strerror or str(error), "Check the disk.") from None
