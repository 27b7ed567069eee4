"""What several files of this folder start from: a city that is brought releases, keys of its people, a bare machine.

A fixture that one file alone needs is in that file. What these build is in tests/support; here it is only opened in
the test's own folder, and closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.bare_machine import emptied
from tests.support.fake import words
from tests.support.rollouts import City

from citymote.owner import OwnerStore
from citymote.storage.ledger import LedgerStore
from citymote.update.book import Book
from citymote.vault import Vault


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told here is logic: a disk that syncs at every simulated minute would be all of its time."""
    for owner in (Book, LedgerStore):
        real = owner._open

        def open_(self: Any, *arguments: Any, real: Any = real) -> None:
            real(self, *arguments)
            self._db.execute("PRAGMA synchronous = OFF")

        monkeypatch.setattr(owner, "_open", open_)


@pytest.fixture
def city(tmp_path: Path, quick_disk: None) -> Iterator[Callable[..., City]]:
    """`city(count=10, **options)`: a new city of simulated nodes, each in a folder of its own."""
    made: list[City] = []

    def build(count: int = 10, **options: Any) -> City:
        made.append(City(tmp_path / str(len(made)), count, **options))
        return made[-1]

    yield build
    for one in made:
        one.desk.close()
        one.store.close()


@pytest.fixture(scope="module")
def cheap() -> Iterator[None]:
    """Vaults whose passphrase costs nothing to try: the real cost would be most of a test's time."""
    patch = pytest.MonkeyPatch()
    real = Vault.create
    patch.setattr(Vault, "create", staticmethod(lambda ask: real(ask, cost=2)))
    yield
    patch.undo()


@pytest.fixture
def store(tmp_path: Path) -> OwnerStore:
    """An owner's, whose passphrase costs nothing to try."""
    return OwnerStore.create(tmp_path / "owner", ask=words, cost=2)


@pytest.fixture
def installer(tmp_path: Path) -> OwnerStore:
    """An installer's: without a signing key."""
    return OwnerStore.create(tmp_path / "installer", ask=words, cost=2, signing=False)


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with nothing: no variables, an empty PATH of programs, an empty cache. Returns the cache."""
    return emptied(monkeypatch, tmp_path)
