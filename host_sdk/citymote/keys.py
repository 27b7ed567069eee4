"""Whose frames can be opened: the key file (a registry of nodes and collector keys) and the `Opener` that uses it.

A collector has one key pair, or several while it changes over; a node is known by its public key. The file is JSON,
made for its owner's eyes only (mode 0600) and replaced whole, never rewritten in place. An `Opener` serves thousands
of nodes over many boots with bounded memory: ECDH is computed at most once for each registered node and collector key,
a boot's key is kept only after a frame has been authenticated with it, so that a stranger's random boot ids cost one
HKDF each and crowd nothing out. Replay is the store's matter. Secrets are in no repr and no error text.
"""

from __future__ import annotations

import json
import os
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, cast

from citymote import private_files
from citymote.crypto import HostCrypto
from citymote.errors import KeyFileError
from citymote_protocol import p256 as _p256
from citymote_protocol import sealing as _sealing
from citymote_protocol.cose import UNKNOWN_NODE, SealError
from citymote_protocol.errors import ProtocolError

# The protocol package is untyped, because the node runs it too: what comes out of it is given its type here.
p256: Any = _p256
sealing: Any = _sealing

FORMAT = "citymote-keys"
VERSION = 1

# 50,000 nodes with one boot each in the air, and some that have just restarted; about 350 bytes an entry.
MAX_BOOTS = 65536
# A collector changes over from one key to the next; more than a few at once would multiply every stranger's frame.
MAX_COLLECTORS = 8
MAX_FILE = 64 << 20

_crypto = HostCrypto()


class CollectorKey:
    """A collector's key pair. `public` goes into the configuration of every node; the private half stays here."""

    __slots__ = ("_private", "hash", "public")

    def __init__(self, private: bytes) -> None:
        self._private = private
        self.public: bytes = p256.run(_crypto.public_steps(private))
        self.hash: bytes = sha256(self.public).digest()

    def __repr__(self) -> str:
        return f"CollectorKey({self.public.hex()})"

    def private_key(self) -> bytes:
        """The 32-byte private key: for the key file and for key agreement, never for anything that is shown."""
        return self._private

    def agree(self, node_public: bytes) -> bytes:
        """The ECDH secret with a node."""
        return p256.run(_crypto.ecdh_steps(self._private, node_public))


def generate_collector_key() -> CollectorKey:
    """A new key pair for a collector, from the operating system's generator."""
    private, _ = p256.run(_crypto.key_pair_steps())
    return CollectorKey(private)


def node_id(public: bytes) -> bytes:
    """The 6-byte id of a node with this public key (compressed or not); CurveError if it is no point of P-256."""
    return _short_id(_crypto.compressed(public))


@dataclass
class KeyFile:
    """Nodes by id with their public keys, and the collector's keys, newest last."""

    nodes: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    collectors: list[CollectorKey] = field(default_factory=list[CollectorKey])
    path: Path | None = None
    _stamp: tuple[int, ...] | None = field(default=None, init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"KeyFile({str(self.path)!r}, {len(self.nodes)} nodes, {len(self.collectors)} collector keys)"

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> KeyFile:
        """A new key file with a fresh collector key; an existing file is never replaced by this."""
        made = cls(collectors=[generate_collector_key()], path=Path(path))
        if made.path is not None and made.path.exists():
            raise KeyFileError(f"{path}: not created", "there is a file already", "Load it, or choose another name.")
        made.save()
        return made

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> KeyFile:
        """Read and check a key file. Refused when others can read it: then the keys are no secret any more."""
        return cls()._load(Path(path))

    def refresh(self) -> bool:
        """Take up what a loaded file says now, if another has been put in its place: True if so.

        What was added here and not saved is gone then. A file that cannot be taken up is a KeyFileError, once, and
        changes nothing.
        """
        if self.path is None or self._stamp is None or (stamp := _stamp(self.path)) == self._stamp:
            return False
        self._stamp = stamp
        self._load(self.path)
        return True

    def _load(self, where: Path) -> KeyFile:
        stamp = _stamp(where)  # before the file is read: if it is replaced in between, it is read once more
        try:
            data = private_files.read(where, MAX_FILE)
        except private_files.NotPrivate as error:
            raise KeyFileError(f"{where}: not loaded", str(error), f"If nobody has: chmod 600 {where}") from None
        except OSError as error:
            reason = error.strerror or "it cannot be read"
            raise KeyFileError(f"{where}: not loaded", reason, "Create one with `KeyFile.create`.") from None
        # Errors below are not chained: what a JSON parser quotes may be the secret itself.
        try:
            fine = len(data) <= MAX_FILE and self._take(json.loads(data))
        except (ValueError, RecursionError):  # CurveError is a ValueError
            fine = False
        if not fine:
            why = "it is not a citymote key file of version 1, or it is damaged"
            raise KeyFileError(f"{where}: not loaded", why, "Take it from the last backup.")
        self.path, self._stamp = where, stamp
        return self

    def _take(self, tree: object) -> bool:
        """Everything that a file says in the place of what is here, or nothing if anything is wrong with it."""
        if not isinstance(tree, Mapping):
            return False
        top = cast("Mapping[str, object]", tree)
        nodes, collectors = top.get("nodes"), top.get("collectors")
        if top.get("format") != FORMAT or top.get("version") != VERSION:
            return False
        if not isinstance(nodes, Mapping) or not isinstance(collectors, list):
            return False
        made: dict[bytes, bytes] = {}
        for text, entry in cast("Mapping[str, object]", nodes).items():
            public = _hex(entry, "public", 33)
            if public is None or (name := _short_id(public)).hex() != text:
                return False
            # A point that is known has been checked: of 50,000 nodes one more costs one.
            made[name] = public if self.nodes.get(name) == public else _crypto.compressed(public)
        known = {key.public: key for key in self.collectors}
        keys: list[CollectorKey] = []
        for entry in cast("list[object]", collectors)[: MAX_COLLECTORS + 1]:
            private, public = _hex(entry, "private", 32), _hex(entry, "public", 33)
            if private is None or public is None:
                return False
            key = CollectorKey(private)
            if key.public != public:
                return False
            keys.append(known.get(public, key))
        if len(keys) > MAX_COLLECTORS:
            return False
        self.nodes, self.collectors = made, keys
        return True

    def add_node(self, public: bytes) -> bytes:
        """Register a node by its public key, as its label has it; returns its id. Twice is once."""
        compressed = _crypto.compressed(public)
        name = _short_id(compressed)
        known = self.nodes.setdefault(name, compressed)
        if known != compressed:
            # Two keys with one 48-bit id: chance gives one such pair in millions of nodes, an attacker many.
            why = "another public key with this id is registered"
            raise KeyFileError(f"node {name.hex()}: not added", why, "Do not use this board.")
        return name

    def remove_node(self, name: bytes) -> None:
        """Forget a node, for example a stolen one: its frames no longer open."""
        if self.nodes.pop(name, None) is None:
            raise KeyFileError(f"node {name.hex()}: not removed", "it is not registered")

    def add_collector(self, key: CollectorKey) -> None:
        """Take one more collector key into use; nodes move over as their configuration names it."""
        if len(self.collectors) >= MAX_COLLECTORS:
            why = f"there are {MAX_COLLECTORS} already"
            raise KeyFileError("collector key: not added", why, "Remove one that no node uses any more.")
        if all(key.public != other.public for other in self.collectors):
            self.collectors.append(key)

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Write the whole file anew, readable by its owner only, and put it in the old one's place."""
        target = Path(path) if path is not None else self.path
        if target is None:
            raise KeyFileError("key file: not saved", "it has no name yet", "Give a path.")
        tree = {
            "format": FORMAT,
            "version": VERSION,
            "collectors": [{"public": c.public.hex(), "private": c.private_key().hex()} for c in self.collectors],
            "nodes": {name.hex(): {"public": public.hex()} for name, public in sorted(self.nodes.items())},
        }
        try:
            private_files.write(target, json.dumps(tree, indent=1).encode() + b"\n")
        except OSError as error:
            why = error.strerror or "it cannot be written"
            raise KeyFileError(f"{target}: not saved", why, "The old file, if any, is as it was.") from None
        self.path, self._stamp = target, _stamp(target)


def _stamp(path: Path) -> tuple[int, ...]:
    """Which file has this name, and who may read it; empty if none has. Files like this are replaced, never written
    into."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode


def _short_id(compressed: bytes) -> bytes:
    return sealing.node_id(sha256, compressed)


def _hex(entry: object, name: str, size: int) -> bytes | None:
    if not isinstance(entry, Mapping):
        return None
    text = cast("Mapping[str, object]", entry).get(name)
    if not isinstance(text, str) or len(text) != 2 * size:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


class Opened(NamedTuple):
    """A frame out of its envelope, with what the envelope says of it."""

    node: bytes
    frame: bytes
    boot: int
    boot_id: bytes
    partial_iv: int
    collector: bytes


class _Boot(NamedTuple):
    key: bytes
    base_iv: bytes
    collector: CollectorKey


class Opener:
    """Opens the envelopes of all registered nodes. Counts what it refuses by reason, in `refused`.

    Hand it a `KeyFile`; nodes added to that later are known at once.
    """

    def __init__(self, keys: KeyFile, max_boots: int = MAX_BOOTS) -> None:
        if not keys.collectors:
            raise KeyFileError("no collector key", "without its private key nothing can be opened", "Add one.")
        self.keys = keys
        self.opened = 0
        self.refused: Counter[str] = Counter()
        self.agreements = 0  # ECDH computations so far
        self._follows = False
        self._max_boots = max_boots
        self._boots: OrderedDict[tuple[bytes, bytes], _Boot] = OrderedDict()
        self._secrets: dict[tuple[bytes, bytes], bytes] = {}

    def __repr__(self) -> str:
        return f"Opener({self.keys!r})"

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Opener:
        """An opener that keeps to a file: see `refresh`."""
        made = cls(KeyFile.load(path))
        made._follows = True
        return made

    def refresh(self) -> bool:
        """Take up the key file that this was opened from, if it has been replaced: as `KeyFile.refresh`."""
        return self._follows and self.keys.refresh()

    def open(self, message: bytes) -> tuple[bytes, bytes]:
        """(node id, bare frame) of an envelope; an error with a `code` (SealError, FrameError) for anything else."""
        opened = self.open_envelope(message)
        return opened.node, opened.frame

    def open_envelope(self, message: bytes) -> Opened:
        """The same with the boot and Partial IV that it was sealed under."""
        try:
            opened = self._open(message)
        except ProtocolError as error:
            reason: Any = error
            self.refused[reason.code] += 1
            raise
        self.opened += 1
        return opened

    def _open(self, message: bytes) -> Opened:
        envelope = sealing.parse(message)
        node: bytes = envelope.kid
        boot_id: bytes = envelope.kid_context
        public = self.keys.nodes.get(node)
        if public is None:
            raise SealError(UNKNOWN_NODE, f"node {node.hex()} is not registered")
        place = (public, boot_id)
        known = self._boots.get(place)
        if known is not None and known.collector in self.keys.collectors:
            self._boots.move_to_end(place)
            return _opened(envelope, sealing.open_(_crypto, envelope, known), known.collector)
        failure = SealError(UNKNOWN_NODE, "there is no collector key")
        # A node that has just been moved to a new collector key uses the newest: try that first.
        for collector in reversed(self.keys.collectors):
            secret = self._secret(collector, public)
            key, base_iv = sealing.derive(_crypto, secret, boot_id, node, collector.hash)
            try:
                frame = sealing.open_(_crypto, envelope, (key, base_iv))
            except SealError as error:
                failure = error
                continue
            self._boots[place] = _Boot(key, base_iv, collector)
            while len(self._boots) > self._max_boots:
                self._boots.popitem(last=False)
            return _opened(envelope, frame, collector)
        raise failure

    def _secret(self, collector: CollectorKey, public: bytes) -> bytes:
        """Z of a registered node: computed once for each node and collector key that was ever registered, and kept."""
        place = (collector.public, public)
        found = self._secrets.get(place)
        if found is None:
            found = self._secrets[place] = collector.agree(public)
            self.agreements += 1
        return found


def _opened(envelope: Any, frame: bytes, collector: CollectorKey) -> Opened:
    sealing.check_inner(envelope.kid, frame)
    boot_id: bytes = envelope.kid_context
    boot, partial_iv = int.from_bytes(boot_id[:4], "big"), int.from_bytes(envelope.partial_iv, "big")
    return Opened(envelope.kid, frame, boot, boot_id, partial_iv, collector.public)
