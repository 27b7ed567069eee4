"""What is signed, and who may: the set of release keys under the root, bundles, and the folder that nodes read.

A revoked key must sign nothing any more, a set must never go back, and a set that would end all updates must not be
made. How a key signs, wherever it is, is in `test_signing`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.support.signers import ONE, ROOT, TWO, URGENT, bundle, key, private

from citymote.errors import UsageError
from citymote.update import bundle as bundles
from citymote.update import facts, signing
from citymote.update.keyring import KeySet, KeySetError, check, open_set, public_key
from citymote.update.publish import Publication, PublishError

# -- the set ----------------------------------------------------------------------------------------------------------


def test_the_root_signs_a_set_and_nobody_else_does() -> None:
    made = KeySet(0, ()).changed([key(ONE), key(URGENT, "emergency")])
    statement = made.statement(ROOT.owner)
    assert open_set(statement, ROOT.public) == made
    with pytest.raises(KeySetError):
        open_set(statement, ONE.public)
    with pytest.raises(KeySetError):
        open_set(made.statement(ONE.owner), ROOT.public)


def test_every_change_is_a_higher_epoch_and_a_revoked_key_signs_nothing_any_more() -> None:
    first = KeySet(0, ()).changed([key(ONE)])
    both = first.changed([key(TWO)])
    second = both.changed(remove=[ONE.kid])
    assert [made.epoch for made in (first, both, second)] == [1, 2, 3]
    signed = signing.sign_bundle(bundle(), 5, [signing.signer(ONE)])
    envelope = signed.envelopes["rv32imc"]
    assert check(envelope, first).key == key(ONE)
    assert check(envelope, both).sequence == 5
    with pytest.raises(KeySetError, match="refuse"):
        check(envelope, second)


def test_a_set_that_would_lock_everybody_out_is_not_made() -> None:
    made = KeySet(0, ()).changed([key(ONE), key(URGENT, "emergency")])
    with pytest.raises(KeySetError, match="ends all updates"):
        made.changed(remove=[ONE.kid]).statement(ROOT.owner)
    with pytest.raises(UsageError, match="no key"):
        made.changed(remove=[TWO.kid])
    with pytest.raises(UsageError, match="already"):
        made.changed([key(ONE)])
    many = KeySet(0, ()).changed([key(private(number)) for number in range(10, 19)])
    with pytest.raises(UsageError, match="at most 8"):
        many.statement(ROOT.owner)


@pytest.mark.parametrize("text", ["", "02", "zz" * 33, "05" + "11" * 32, "02" + "ff" * 32])
def test_what_is_no_public_key_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="no public key"):
        public_key(text)


def test_an_emergency_key_is_known_by_its_signature() -> None:
    keys = KeySet(0, ()).changed([key(ONE), key(URGENT, "emergency")])
    signed = signing.sign_bundle(bundle(), 9, [signing.signer(URGENT)])
    assert check(signed.envelopes["rv32imc"], keys).key.role == "emergency"


# -- bundles ----------------------------------------------------------------------------------------------------------


def test_every_target_is_signed_and_a_second_key_adds_its_own() -> None:
    once = signing.sign_bundle(bundle(), 7, [signing.signer(ONE)])
    twice = signing.sign_bundle(once, 7, [signing.signer(TWO)])
    for target in facts.of(twice)["targets"]:
        assert {(one["sequence"], one["key"]) for one in target["signatures"]} == {
            (7, ONE.kid.hex()),
            (7, TWO.kid.hex()),
        }
    keys = KeySet(0, ()).changed([key(TWO)])
    assert check(twice.envelopes["rv32imc"], keys).key.public == TWO.public
    assert twice.content == once.content == bundle().content
    again = signing.sign_bundle(twice, 7, [signing.signer(TWO)])
    assert len(facts.signatures(again.envelopes["rv32imc"])) == 2, "who signs again has one signature"


def test_another_sequence_needs_to_be_meant() -> None:
    once = signing.sign_bundle(bundle(), 7, [signing.signer(ONE)])
    with pytest.raises(UsageError, match="another sequence"):
        signing.sign_bundle(once, 8, [signing.signer(ONE)])
    moved = signing.sign_bundle(once, 8, [signing.signer(ONE)], again=True)
    assert facts.signatures(moved.envelopes["rv32imc"])[0]["sequence"] == 8


def test_more_signatures_than_a_node_reads_are_not_made() -> None:
    with pytest.raises(UsageError, match="1 to 4"):
        signing.sign_bundle(bundle(), 1, [signing.signer(private(number)) for number in range(20, 25)])


# -- the folder -------------------------------------------------------------------------------------------------------


def test_the_folder_holds_what_nodes_ask_for(tmp_path: Path) -> None:
    publication = Publication(tmp_path / "www")
    made = bundle()
    assert publication.put_files(made) == 2
    assert publication.put_files(made) == 0, "what is there is not written again"
    for target in made.targets:
        for entry in target.entries():
            held = (tmp_path / "www" / "files" / entry.digest.hex()).read_bytes()
            assert hashlib.sha256(bundles.unpacked(held, entry)).digest() == entry.digest
    publication.offer("0123456789ab", b"envelope")
    assert list(publication.offers()) == ["0123456789ab"]
    assert (tmp_path / "www" / "nodes" / "0123456789ab.suit").read_bytes() == b"envelope"
    publication.withdraw("0123456789ab")
    assert list(publication.offers()) == []


def test_a_set_of_a_lower_epoch_never_replaces_a_higher_one(tmp_path: Path) -> None:
    publication = Publication(tmp_path)
    first = KeySet(0, ()).changed([key(ONE)])
    second = first.changed([key(TWO)])
    assert publication.put_keys(second.statement(ROOT.owner), second, ROOT.public)
    assert not publication.put_keys(second.statement(ROOT.owner), second, ROOT.public)
    with pytest.raises(PublishError, match="epoch 2"):
        publication.put_keys(first.statement(ROOT.owner), first, ROOT.public)


@pytest.mark.parametrize("node", ["", "../../etc/xx", "0123456789AB", "0123456789abc"])
def test_a_node_id_that_is_none_becomes_no_path(tmp_path: Path, node: str) -> None:
    with pytest.raises(PublishError):
        Publication(tmp_path).offer(node, b"x")


def test_files_of_releases_that_nobody_needs_are_swept(tmp_path: Path) -> None:
    publication = Publication(tmp_path)
    publication.put_files(bundle("1.0.0"))
    publication.put_files(bundle("2.0.0"))
    assert publication.sweep([bundle("2.0.0")]) == 2
    assert publication.put_files(bundle("2.0.0")) == 0
