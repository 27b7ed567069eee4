"""Somebody's desk: an owner's store, a registry, a key file in a folder, and `citymote` run there, in this process."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from citymote.cli import application
from citymote.fleet import Fleet, open_fleet
from citymote.keys import KeyFile
from citymote.label import Label
from citymote.owner import OwnerStore
from citymote.vault import VARIABLE

PASSPHRASE = "correct horse battery"


class Desk:
    """`name` tells the files of one person from another's in the same folder. `signing` False: an installer's."""

    def __init__(self, folder: Path, name: str = "city", *, signing: bool = True) -> None:
        self.folder = folder
        self.store = OwnerStore.create(
            folder / f"{name}.owner", ask=lambda new: PASSPHRASE, cost=2, signing=signing
        )  # fmt: skip
        self.keys = folder / f"{name}.keys"
        KeyFile.create(self.keys)
        self._fleet = folder / f"{name}.fleet"
        open_fleet(self._fleet, self.store).close()
        self._env = {
            "CITYMOTE_OWNER": str(self.store.path),
            "CITYMOTE_FLEET": str(self._fleet),
            "CITYMOTE_KEYS": str(self.keys),
            VARIABLE: str(private(folder / "passphrase", PASSPHRASE)),
        }

    @property
    def env(self) -> dict[str, str]:
        """For a process of its own."""
        return {**os.environ, **self._env}

    def run(self, *arguments: object, status: int = 0) -> Result:
        """A command to its end."""
        with _inside(self.folder):
            done = CliRunner().invoke(application(), [str(each) for each in arguments], env=self._env)
        assert done.exit_code == status, done.output + repr(done.exception)
        return done

    def told(self, *arguments: object, status: int = 0) -> list[Any]:
        """What it says to programs, a document a line."""
        return [json.loads(line) for line in self.run(*arguments, "--json", status=status).stdout.splitlines()]

    def refused(self, *arguments: object) -> str:
        """What it says to people when it fails."""
        return self.run(*arguments, status=1).stderr

    @contextmanager
    def fleet(self) -> Iterator[Fleet]:
        """The registry."""
        with open_fleet(self._fleet, self.store) as fleet:
            yield fleet

    def knows(self, *labels: Label, site: str | None = None) -> None:
        """Labels in the registry."""
        with self.fleet() as fleet:
            for label in labels:
                fleet.add(label, site=site)

    def plan(self, url: str, *, name: str = "plan.toml", site: str | None = "harbour", ssid: str = "city",
             key: str = "correct horse", seconds: int = 30, **settings: Any) -> Path:  # fmt: skip
        """A plan in a file; the Wi-Fi's key is in a file of its own."""
        private(self.folder / f"{name}.key", key)
        rows = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        network = f'[[network]]\nssid = "{ssid}"\nkey_file = "{name}.key"\n' if ssid else ""
        head = f"trial_seconds = {seconds}\n{'' if site is None else f'site = {json.dumps(site)}'}\n"
        uplink = f'[uplink]\nurl = "{url}"\n' if url else ""
        path = self.folder / name
        path.write_text(head + network + uplink + "[settings]\n" + "\n".join(rows) + "\n")
        return path


def until(true: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until that is so."""

    async def wait() -> None:
        async with asyncio.timeout(seconds):
            while True:
                if true():
                    return
                await asyncio.sleep(0.05)

    asyncio.run(wait())


def private(path: Path, text: str) -> Path:
    """A file with a secret, its owner's alone."""
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return path


def table(path: Path, rows: list[Mapping[str, object]]) -> Path:
    """A table of nodes; labels may be in it."""
    names = list(rows[0])
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]
    return private(path, "\n".join(lines))


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
