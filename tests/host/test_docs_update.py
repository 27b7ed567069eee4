"""The examples of docs/update.md, run as a user would run them, from the first key to the status of a rollout."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.host.test_docs import examples, run

from citymote import open_store
from citymote.crypto import public_key
from citymote.factory import build
from citymote.fleet import open_fleet


@pytest.mark.timeout(900)
def test_updating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.linked_sources()
    (tmp_path / "notes.md").write_text("Better.\n")
    (tmp_path / "passphrase").write_text("a lantern in the fog\n")
    (tmp_path / "passphrase").chmod(0o600)
    monkeypatch.setenv("CITYMOTE_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    open_store(tmp_path / "city.db").close()
    with open_fleet(tmp_path / "city.fleet") as fleet:
        node = fleet.add(public_key(bytes(range(1, 33))), site="mapo", board="airgradient-one").node
    for kind, text in examples("update.md"):
        run(kind, text, tmp_path)
    assert (tmp_path / "www" / "nodes" / f"{node}.suit").exists()
    assert (tmp_path / "www" / "keys").read_bytes() == (tmp_path / "keys").read_bytes()
    assert json.loads((tmp_path / "sbom.cdx.json").read_text())["specVersion"] == "1.6"
    with closing(sqlite3.connect(tmp_path / "updates.db")) as db:
        assert db.execute("SELECT node, state FROM members").fetchall() == [(node, "offered")]
