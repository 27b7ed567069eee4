"""`citymote update keys` and `sign`: the ceremony from a new root to a revoked key, as an owner types it.

Passphrases come from a file or a terminal; no option takes a secret, since others on a machine see a command's
arguments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.signers import PASSPHRASE, bundle

from citymote.update.bundle import read
from citymote.update.hss_key import Record
from citymote.update.keyring import KeySetError, check, key_id, open_set

# -- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def citymote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Runs `citymote update ...` in a folder of its own; the passphrase is in a file."""
    from typer.testing import CliRunner

    from citymote.cli import application

    monkeypatch.chdir(tmp_path)
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    (tmp_path / "passphrase").chmod(0o600)
    monkeypatch.setenv("CITYMOTE_PASSPHRASE_FILE", str(tmp_path / "passphrase"))

    def run(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(application(), ["update", *arguments])
        return done.exit_code, done.stdout, done.stderr

    return run


def test_the_ceremony_from_a_new_root_to_a_revoked_key(
    citymote: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    public = {}
    for name in ("root", "one", "two", "urgent"):
        status, out, err = citymote("keys", "new", f"{name}.pem")
        assert (status, len(out.strip())) == (0, 66), err
        public[name] = out.strip()
    status, out, _ = citymote(
        "keys",
        "make",
        "keys",
        "--root",
        "root.pem",
        "--release",
        public["one"],
        "--emergency",
        public["urgent"],
        "--json",
    )
    assert status == 0
    assert [(one["role"], one["public"]) for one in json.loads(out)["keys"]] == [
        ("release", public["one"]), ("emergency", public["urgent"])
    ]  # fmt: skip
    bundle().write(tmp_path / "b.zip")
    assert citymote("sign", "b.zip", "--key", "one.pem", "--sequence", "4")[0] == 0
    envelope = read(tmp_path / "b.zip").envelopes["rv32imc"]
    root = bytes.fromhex(public["root"])
    assert check(envelope, open_set((tmp_path / "keys").read_bytes(), root)).sequence == 4
    kid = json.loads(citymote("keys", "public", "one.pem", "--json")[1])["kid"]
    assert citymote("keys", "rotate", "keys", kid, public["two"], "--root", "root.pem")[0] == 0
    after = open_set((tmp_path / "keys").read_bytes(), root)
    assert (after.epoch, [one.public.hex() for one in after.keys]) == (2, [public["urgent"], public["two"]])
    with pytest.raises(KeySetError):
        check(envelope, after)
    status, out, _ = citymote("keys", "show", "keys", "--root", public["root"])
    assert (status, out.splitlines()[0]) == (0, "epoch 2")
    status, _, err = citymote("keys", "show", "keys", "--root", public["one"])
    assert (status, "no key set of that root" in err) == (1, True)


def test_the_key_file_alone_is_not_the_root(citymote: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    citymote("keys", "new", "root.pem")
    public = citymote("keys", "new", "one.pem")[1].strip()
    (tmp_path / "passphrase").write_text("somebody else's guess\n")
    status, _, err = citymote("keys", "make", "keys", "--root", "root.pem", "--release", public)
    assert (status, "does not open" in err) == (1, True)
    assert not (tmp_path / "keys").exists()


def test_a_hash_based_signature_asks_for_its_record(
    cheap: None, citymote: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    bundle("1.4.2", "rv32imc").write(tmp_path / "b.zip")
    citymote("keys", "new", "one.pem")
    public = citymote("keys", "new-hash-based", "one.hss", "--levels", "5")[1].strip()
    status, _, err = citymote("sign", "b.zip", "--key", "one.pem", "--sequence", "4", "--hash-based", "one.hss")
    assert (status, "--record" in err) == (1, True)
    arguments = ("--key", "one.pem", "--sequence", "4", "--hash-based", "one.hss", "--record", "record", "--json")
    status, out, err = citymote("sign", "b.zip", *arguments)
    assert status == 0, err
    assert {one["algorithm"] for one in json.loads(out)["targets"][0]["signatures"]} == {"ESP256", "HSS-LMS"}
    assert Record(tmp_path / "record").highest(key_id(bytes.fromhex(public)).hex()) == 0


# -- what does not belong in arguments --------------------------------------------------------------------------------


def test_no_option_of_the_command_takes_a_secret(citymote: Callable[..., tuple[int, str, str]]) -> None:
    for verb in (["keys", "new"], ["keys", "make"], ["keys", "rotate"], ["sign"]):
        text = citymote(*verb, "--help")[1].lower()
        assert not re.search(r"--(pass|pin|secret|private)", text), verb
