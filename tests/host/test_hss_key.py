"""A hash-based release key (RFC 8554): each leaf signs once, whatever kills the program, and old copies sign nothing.

One leaf that signs twice gives the key away, so the tests end the program at each step, run two of them, and bring
back old copies. The signatures are held against an implementation that is not ours.
"""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import cbor2
import pytest
from tests.support.signers import ONE, PASSPHRASE, ask, bundle, key

from citymote.errors import CitymoteError
from citymote.update import hss_key, lms, signing
from citymote.update.hss_key import HssError, HssKey, Record
from citymote.update.keyring import KeySet, check
from citymote.update.manifest import parts


@pytest.fixture(scope="module")
def made_key(cheap: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hss")
    hss_key.create(folder / "k.hss", (5,), ask=ask)
    return folder


@pytest.fixture
def hss(made_key: Path, tmp_path: Path) -> HssKey:
    shutil.copytree(made_key, tmp_path / "key")
    return HssKey(tmp_path / "key" / "k.hss", Record(tmp_path / "record"), ask)


def test_a_signature_holds_and_for_nothing_else(hss: HssKey) -> None:
    signature = hss.sign(b"message")
    assert lms.verify(hss.public, b"message", signature)
    assert not lms.verify(hss.public, b"massage", signature)
    for at in range(0, len(signature), 11):
        damaged = bytearray(signature)
        damaged[at] ^= 1
        assert not lms.verify(hss.public, b"message", bytes(damaged))
    for size in range(0, len(signature), 13):
        assert not lms.verify(hss.public, b"message", signature[:size])
    assert not lms.verify(hss.public, b"message", signature + b"\0")


@pytest.mark.parametrize("levels", [(5,), (5, 5)])
@pytest.mark.parametrize("ots", [lms.W4, lms.W8])
def test_an_independent_implementation_agrees_in_both_directions(levels: tuple[int, ...], ots: int) -> None:
    peer: Any = pytest.importorskip("pyhsslms", reason="pyhsslms is not installed: it comes with citymote[peers]")
    top = lms.Tree(levels[0], ots, bytes(range(16)), bytes(range(32)))
    number = 33 if len(levels) == 2 else 7
    trees, _ = lms.path_of(top, levels, number)
    leaves = {tree.identifier: tree.leaves() for tree in trees}
    public = len(levels).to_bytes(4, "big") + top.public(leaves[top.identifier])
    signature = lms.sign_hss(top, levels, leaves, number, b"ours")
    assert lms.number_of(signature) == number
    assert peer.HssPublicKey.deserialize(public).verify(b"ours", signature)
    assert not peer.HssPublicKey.deserialize(public).verify(b"others", signature)
    kind = peer.lmots_sha256_n32_w4 if ots == lms.W4 else peer.lmots_sha256_n32_w8
    theirs = peer.HssPrivateKey(levels=len(levels), lms_type=peer.lms_sha256_m32_h5, lmots_type=kind)
    made = theirs.sign(b"theirs")
    assert lms.verify(theirs.publicKey().serialize(), b"theirs", made)
    assert not lms.verify(theirs.publicKey().serialize(), b"ours", made)


def test_every_signature_spends_a_leaf_until_none_is_left(hss: HssKey) -> None:
    numbers = [lms.number_of(hss.sign(f"release {count}".encode())) for count in range(32)]
    assert numbers == list(range(32))
    assert hss.left == 0
    with pytest.raises(HssError, match="used up"):
        hss.sign(b"one more")


KILLED = """
import os, sys
from pathlib import Path
from citymote.update import hss_key, lms
from citymote import private_files
at, folder = int(sys.argv[1]), Path(sys.argv[2])
count = 0
def cut(real):
    def step(*arguments, **named):
        global count
        count += 1
        if count == at:
            os.kill(os.getpid(), 9)
        made = real(*arguments, **named)
        count += 1
        if count == at:
            os.kill(os.getpid(), 9)
        return made
    return step
key = hss_key.HssKey(folder / "key" / "k.hss", hss_key.Record(folder / "record"), lambda new: sys.argv[3])
os.fsync, os.open, os.write = cut(os.fsync), cut(os.open), cut(os.write)
Path.replace, lms.sign_hss = cut(Path.replace), cut(lms.sign_hss)
signature = key.sign(sys.argv[4].encode())
sys.stdout.buffer.write(signature)
sys.stdout.flush()
"""


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_step_it_never_signs_twice_with_one_leaf(stride: int, hss: HssKey, tmp_path: Path) -> None:
    seen: dict[int, bytes] = {}
    for at in range(1, 100, stride):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(at), str(tmp_path), PASSPHRASE, f"message {at}"],
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode in (0, -9), done.stderr.decode()[-500:]
        if done.stdout:
            number = lms.number_of(done.stdout)
            assert number not in seen, f"leaf {number} twice"
            seen[number] = done.stdout
        if done.returncode == 0:
            break
    else:
        pytest.fail("it was killed every time: there are more steps than were tried")
    assert at > 10, "there were steps to be killed at"
    number = lms.number_of(hss.sign(b"afterwards"))
    assert number not in seen
    assert number >= max(seen)


def test_an_old_copy_of_the_key_does_not_sign(hss: HssKey, tmp_path: Path) -> None:
    backup = hss.path.read_bytes()
    for count in range(3):
        hss.sign(f"release {count}".encode())
    hss.path.write_bytes(backup)
    with pytest.raises(HssError, match="signature 2 has been published"):
        hss.sign(b"a fourth")
    with pytest.raises(HssError, match="signature 2 has been published"):
        HssKey(hss.path, Record(tmp_path / "record"), ask).sign(b"a fourth")


def test_a_key_that_has_signed_asks_for_its_record(hss: HssKey, tmp_path: Path) -> None:
    hss.sign(b"first")
    with pytest.raises(HssError, match="is not there"):
        HssKey(hss.path, Record(tmp_path / "another"), ask).sign(b"second")
    HssKey(hss.path, Record(tmp_path / "record"), ask).sign(b"second")


def test_a_torn_line_of_the_record_costs_no_other(tmp_path: Path) -> None:
    record = Record(tmp_path / "record")
    record.append("aa", 4)
    with record.path.open("ab") as file:
        file.write(b"aa 1")  # a loss of power while 17 was written
    record.append("aa", 6)
    record.append("bb", 9)
    assert (record.highest("aa"), record.highest("bb"), record.highest("cc")) == (6, 9, None)


def test_two_programs_on_one_key_take_turns(hss: HssKey, tmp_path: Path) -> None:
    script = KILLED.replace("int(sys.argv[1])", "0")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, "0", str(tmp_path), PASSPHRASE, f"by {count}"], stdout=subprocess.PIPE
        )
        for count in range(4)
    ]
    numbers = [lms.number_of(one.communicate(timeout=60)[0]) for one in running]
    assert sorted(numbers) == [0, 1, 2, 3]


def test_a_key_whose_leaves_were_lost_or_altered_makes_them_again_or_signs_nothing(hss: HssKey) -> None:
    (cache,) = [path for path in hss.path.parent.glob(".k.hss.*") if path.suffix != ".lock"]
    cache.write_bytes(bytes(32 * 32))
    with pytest.raises(HssError, match="do not hold"):
        hss.sign(b"message")
    cache.unlink()
    again = HssKey(hss.path, hss.record, ask)
    assert lms.verify(again.public, b"message", again.sign(b"message"))


def test_the_seed_does_not_open_with_another_passphrase(hss: HssKey) -> None:
    with pytest.raises(CitymoteError, match="passphrase"):
        HssKey(hss.path, hss.record, lambda new: "another passphrase")
    assert stat.S_IMODE(hss.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("change", [{"next": -1}, {"levels": [99]}, {"levels": []}, {"public": "00"}, {"version": 2}])
def test_a_key_file_that_was_altered_is_refused(hss: HssKey, change: dict[str, Any]) -> None:
    tree = json.loads(hss.path.read_text()) | change
    hss.path.write_text(json.dumps(tree))
    with pytest.raises(HssError, match="no key file"):
        HssKey(hss.path, hss.record, ask)


def test_a_manifest_bears_both_signatures_and_a_node_takes_the_one_that_it_knows(hss: HssKey) -> None:
    signers = [signing.hash_based_signer(hss), signing.signer(ONE)]
    signed = signing.sign_bundle(bundle("1.4.2", "rv32imc"), 3, signers)
    envelope = signed.envelopes["rv32imc"]
    assert check(envelope, KeySet(0, ()).changed([key(ONE)])).sequence == 3
    digest, blocks, _, _ = parts(envelope)
    algorithm, kid, signature = blocks[0]
    assert (algorithm, kid) == (-46, hss.kid)
    structure = cbor2.dumps(["Signature1", cbor2.dumps({1: -46}), b"", bytes(digest)])
    assert lms.verify(hss.public, structure, bytes(signature)), "over RFC 9052's structure, as RFC 8778 says"
