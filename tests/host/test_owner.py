"""The owner's keys at rest: who can open them, what they sign, what an installer gets and what not."""

from __future__ import annotations

import json
import os
import sys
import types
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from citymote import vault as module
from citymote.crypto import HostCrypto
from citymote.delegate import key_id, site
from citymote.owner import Grant, OwnerError, OwnerStore
from citymote.vault import LockedError, Vault, ask_passphrase
from citymote_protocol import delegation, p256

COST = 2  # a test need not be slow to guess
NODE = "0123456789ab"


def words(new: bool) -> str:
    return "correct horse battery"


@pytest.fixture
def store(tmp_path: Path) -> OwnerStore:
    return OwnerStore.create(tmp_path / "city.owner", ask=words, cost=COST)


def judged(data: bytes, owner: bytes, x: bytes, **more: Any) -> str:
    claims = p256.run(delegation.open_steps(HostCrypto(), data, owner))
    told = {"site": None, "epoch": 0, "now": None, "nonce": None} | more
    return delegation.judge(claims, key_id(owner), NODE, told["site"], told["epoch"], x, told["now"], told["nonce"])


def test_it_opens_with_its_passphrase_and_no_other(store: OwnerStore) -> None:
    again = OwnerStore.load(store.path, ask=words)
    assert again.host == store.host
    assert again.owner_public == store.owner_public
    with pytest.raises(LockedError, match="not the passphrase"):
        OwnerStore.load(store.path, ask=lambda new: "wrong horse battery")


def test_the_file_has_no_secret_in_clear_and_is_its_owners_alone(store: OwnerStore) -> None:
    data = store.path.read_bytes()
    assert store.host.private.hex().encode() not in data
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.host.private.hex() not in repr(store.host) + repr(store)
    store.path.chmod(0o644)
    with pytest.raises(OwnerError, match="chmod 600"):
        OwnerStore.load(store.path, ask=words)


@pytest.mark.parametrize("where", ["lock", "host", "owner"])
def test_altered_bytes_do_not_open(store: OwnerStore, where: str) -> None:
    tree = json.loads(store.path.read_text())
    field = "key" if where == "lock" else "private"
    text = tree[where][field]
    tree[where][field] = text[:-2] + f"{int(text[-2:], 16) ^ 1:02x}"
    store.path.write_text(json.dumps(tree))
    with pytest.raises(LockedError):
        OwnerStore.load(store.path, ask=words)


def test_one_sealed_key_does_not_stand_for_another(store: OwnerStore) -> None:
    tree = json.loads(store.path.read_text())
    tree["host"]["private"] = tree["owner"]["private"]
    store.path.write_text(json.dumps(tree))
    with pytest.raises(LockedError, match="host key"):
        OwnerStore.load(store.path, ask=words)


def test_what_is_no_store_is_said_to_be_none(tmp_path: Path) -> None:
    for content in ("", "[]", "{}", '{"format": "citymote-owner", "version": 2}', "\xff"):
        path = tmp_path / "x"
        path.write_text(content)
        path.chmod(0o600)
        with pytest.raises(OwnerError, match="no owner store"):
            OwnerStore.load(path, ask=words)
    with pytest.raises(OwnerError, match="citymote owner make"):
        OwnerStore.load(tmp_path / "none", ask=words)
    with pytest.raises(OwnerError, match="there is a file already"):
        OwnerStore.create(tmp_path / "x", ask=words, cost=COST)


def test_the_passphrase_comes_from_the_file_that_a_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "passphrase"
    named.write_text("from a file, all of it\n")
    named.chmod(0o600)
    monkeypatch.setenv(module.VARIABLE, str(named))
    assert ask_passphrase(False) == "from a file, all of it"
    named.chmod(0o640)
    with pytest.raises(LockedError, match="chmod 600"):
        ask_passphrase(False)
    monkeypatch.delenv(module.VARIABLE)
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(isatty=lambda: False))
    with pytest.raises(LockedError, match="CITYMOTE_PASSPHRASE_FILE"):
        ask_passphrase(False)


def test_a_guess_is_dear_unless_a_test_says_otherwise() -> None:
    _, lock = Vault.create(words)
    assert lock["cost"] >= 1 << 17
    with pytest.raises(LockedError, match="later version or damaged"):
        Vault.unlock(lock | {"cost": 1 << 40}, words)


def test_the_key_in_the_systems_keyring(tmp_path: Path) -> None:
    keyring = pytest.importorskip("keyring", reason="needs citymote[keyring]")
    from keyring.backend import KeyringBackend

    kept: dict[tuple[str, str], str] = {}

    class Drawer(KeyringBackend):
        priority = 1  # type: ignore[assignment]

        def get_password(self, service: str, username: str) -> str | None:
            return kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            kept[service, username] = password

    before = keyring.get_keyring()
    keyring.set_keyring(Drawer())
    try:
        store = OwnerStore.create(tmp_path / "k.owner", keyring=True)
        assert OwnerStore.load(store.path, ask=words).host == store.host
        (secret,) = kept.values()
        assert secret not in store.path.read_text()
        kept.clear()
        with pytest.raises(LockedError, match="has not the key"):
            OwnerStore.load(store.path)
    finally:
        keyring.set_keyring(before)


def test_the_owners_host_delegates_to_itself_bound_to_the_nodes_nonce(store: OwnerStore) -> None:
    nonce = os.urandom(16)
    made = store.delegation(NODE, nonce=nonce)
    assert judged(made, store.owner_public, store.host.public[1:], nonce=nonce) == "owner"
    with pytest.raises(ValueError, match="nonce"):
        judged(made, store.owner_public, store.host.public[1:], nonce=bytes(16))


def test_an_installer_gets_what_was_delegated_until_it_expires(tmp_path: Path, store: OwnerStore) -> None:
    installer = OwnerStore.create(tmp_path / "i.owner", ask=words, cost=COST, signing=False)
    with pytest.raises(OwnerError, match="none that was handed over names it"):
        installer.delegation(NODE)
    with pytest.raises(OwnerError, match="no owner has delegated"):
        _ = installer.owner_public
    grant = store.delegate(installer.host.public, "installer", [site("harbour")], days=7)
    installer.accept(Grant.parse(grant.text()))
    installer.save()
    again = OwnerStore.load(installer.path, ask=words)
    assert again.owner_public == store.owner_public
    with pytest.raises(OwnerError):
        again.delegation(NODE)
    data = again.delegation(NODE, where="harbour")
    assert judged(data, store.owner_public, installer.host.public[1:], site="harbour") == "installer"
    object.__setattr__(again.grants[0], "expires", datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(OwnerError, match="has expired"):
        again.delegation(NODE, where="harbour")
    with pytest.raises(OwnerError, match="signing key"):
        again.delegate(store.host.public, "owner", [NODE], days=1)


def test_a_delegation_for_somebody_else_is_not_taken(tmp_path: Path, store: OwnerStore) -> None:
    installer = OwnerStore.create(tmp_path / "i.owner", ask=words, cost=COST, signing=False)
    grant = store.delegate(store.host.public, "reader", [NODE], days=1)
    with pytest.raises(OwnerError, match="for another host"):
        installer.accept(grant)
    forged = grant.text().replace(store.owner_public.hex(), installer.host.public.hex())
    with pytest.raises(OwnerError, match="no delegation of that owner"):
        Grant.parse(forged)
    with pytest.raises(OwnerError, match="no delegation"):
        Grant.parse("{}")


def test_raising_the_epoch_revokes_what_was_signed_before(store: OwnerStore) -> None:
    old = store.delegate(store.host.public, "installer", [NODE], days=1).data
    assert store.raise_epoch() == 1
    with pytest.raises(ValueError, match="epoch"):
        judged(old, store.owner_public, store.host.public[1:], epoch=1)
    new = store.delegation(NODE)
    assert judged(new, store.owner_public, store.host.public[1:], epoch=1) == "owner"
