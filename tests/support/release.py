"""Releases for virtual nodes as their makers sign them: a bundle as a file, and the same in a file server's folder.

And what a host needs to carry one to a node of a `claimable.Street`: its owner's store, and a registry with its key.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from citymote.demo.updating import key_of
from citymote.fleet import open_fleet
from citymote.owner import HostKey, OwnerStore
from citymote.testing import runtime, slots
from citymote.update import bundle as bundles
from citymote.update import make, signing
from citymote.update.keyring import Key, KeySet
from citymote.update.publish import Publication
from citymote.update.rollout import envelope_for
from citymote.update.version import Version
from citymote.vault import Vault

from .claimable import Street

PASSPHRASE = "correct horse battery"


class Maker:
    """A root and a release key, a folder for releases. `board` is what the nodes are."""

    def __init__(self, folder: Path, board: dict[str, Any]) -> None:
        self.folder = folder
        self.board = board
        self.machine = runtime.micropython(32)
        self.root, self.key = key_of(1), key_of(2)
        self.set = KeySet(0, ()).changed([Key(self.key.public, "release")])
        self.keys = folder / "keys.set"
        folder.mkdir(exist_ok=True)
        self.keys.write_bytes(self.set.statement(self.root.owner))

    def release(self, version: str, files: dict[str, str], sequence: int) -> Path:
        """The application with some files replaced by these sources, as a signed bundle."""
        tree = self.folder / f"tree-{version}"
        shutil.copytree(slots.application(self.machine, self.board), tree)
        for name, source in files.items():
            (tree / name).with_suffix(".mpy").unlink(missing_ok=True)
            (tree / name).write_text(source)
        recipe = make.Recipe(Version.parse(version), (), runtime="1.25")
        target = make.target(recipe, make.Kind(self.machine.architecture, ("virtual",)), tree)
        packed = bundles.pack(recipe.version, "1.25", [target])
        path = self.folder / f"{version}.zip"
        signing.sign_bundle(packed, sequence, [signing.signer(self.key)]).write(path)
        return path

    def publish(self, path: Path, node: str) -> Path:
        """The folder of a file server that offers it to a node."""
        www = Publication(self.folder / "www")
        found = bundles.read(path)
        www.put_keys(self.keys.read_bytes(), self.set, self.root.public)
        www.put_files(found)
        www.offer(node, envelope_for(found, "virtual"))
        return www.folder


def desk(street: Street) -> OwnerStore:
    """The owner's store and registry as files beside the node, `city.owner` and `city.fleet`; PASSPHRASE opens them."""
    vault, lock = Vault.create(lambda new: PASSPHRASE, cost=2)
    store = OwnerStore(street.folder / "city.owner", vault, lock, HostKey.generate(), street.owner.private)
    store.save()
    with open_fleet(street.folder / "city.fleet", store) as fleet:
        fleet.add(street.public, board="virtual")
    return store
