"""The key file (owner's eyes only, whole or not at all) and the Opener (many nodes, bounded memory, secrets unseen)."""

from __future__ import annotations

import json
import logging
import os
import traceback
from pathlib import Path

import pytest
from tests.host.making import SealingNode as Node

import citymote.keys as module
from citymote.crypto import HostCrypto
from citymote.errors import KeyFileError
from citymote.keys import CollectorKey, KeyFile, Opener, generate_collector_key
from citymote_protocol import p256, sealing
from citymote_protocol.cose import SealError
from citymote_protocol.errors import FrameError

CRYPTO = HostCrypto()


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile.create(tmp_path / "keys.json")


@pytest.fixture
def node(keys: KeyFile) -> Node:
    made = Node(keys.collectors[0])
    assert keys.add_node(made.public) == made.id
    return made


def path_of(keys: KeyFile) -> Path:
    assert keys.path is not None
    return keys.path


# The file


def test_a_new_key_file_is_for_its_owner_only(keys: KeyFile) -> None:
    assert path_of(keys).stat().st_mode & 0o777 == 0o600


def test_saving_keeps_the_mode_and_leaves_nothing_behind(keys: KeyFile, node: Node) -> None:
    before = os.umask(0)
    try:
        keys.save()
    finally:
        os.umask(before)
    assert path_of(keys).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in path_of(keys).parent.iterdir()] == ["keys.json"]


def test_a_key_file_comes_back_as_it_was(keys: KeyFile, node: Node) -> None:
    keys.add_collector(generate_collector_key())
    keys.save()
    again = KeyFile.load(path_of(keys))
    assert again.nodes == keys.nodes == {node.id: node.public}
    assert [key.private_key() for key in again.collectors] == [key.private_key() for key in keys.collectors]


def test_create_does_not_replace_a_file(keys: KeyFile) -> None:
    before = path_of(keys).read_bytes()
    with pytest.raises(KeyFileError, match="a file already"):
        KeyFile.create(path_of(keys))
    assert path_of(keys).read_bytes() == before


def test_a_failed_save_leaves_the_old_file(keys: KeyFile, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path_of(keys).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space left"):
        keys.save()
    assert path_of(keys).read_bytes() == before
    assert [path.name for path in path_of(keys).parent.iterdir()] == ["keys.json"]


def test_a_file_that_others_can_read_is_refused_with_what_to_do(keys: KeyFile) -> None:
    path_of(keys).chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        KeyFile.load(path_of(keys))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        KeyFile.load(tmp_path / "none.json")


def test_damaged_files_are_refused_without_a_word_of_their_content(keys: KeyFile, node: Node) -> None:
    keys.save()
    good = path_of(keys).read_text()
    secret = keys.collectors[0].private_key().hex()
    tree = json.loads(good)
    bad = [
        "",
        "[]",
        "{",
        good[:-20],
        good.replace(secret, secret[:-2]),
        good.replace(secret, "zz" * 32),
        good.replace(secret, "00" * 32),
        good.replace(secret, "ff" * 32),
        good.replace(secret, "11" * 32),  # no longer the private half of the public key
        good.replace(node.id.hex(), "0" * 12),
        good.replace('"version": 1', '"version": 2'),
        good.replace("citymote-keys", "other"),
        json.dumps({**tree, "nodes": []}),
        json.dumps({**tree, "collectors": {}}),
        json.dumps({**tree, "collectors": [None]}),
        json.dumps({**tree, "collectors": tree["collectors"] * 9}),
        "[" * 100_000,
    ]
    for text in bad:
        path_of(keys).write_text(text)
        with pytest.raises(KeyFileError, match="damaged") as caught:
            KeyFile.load(path_of(keys))
        assert secret[:16] not in "".join(traceback.format_exception(caught.value)), text[:40]


def test_a_public_key_off_the_curve_is_not_taken(keys: KeyFile) -> None:
    with pytest.raises(ValueError, match="not a point"):
        keys.add_node(b"\x02" + (1).to_bytes(32, "big"))
    assert keys.nodes == {}


def test_a_node_is_one_node_in_either_point_form(keys: KeyFile, node: Node) -> None:
    x, y = p256.decode_point(node.public)
    assert keys.add_node(p256.encode_point(x, y, False)) == node.id
    assert len(keys.nodes) == 1


def test_two_keys_with_one_id_are_refused(keys: KeyFile, node: Node) -> None:
    other = Node(keys.collectors[0])
    keys.nodes[other.id] = node.public
    with pytest.raises(KeyFileError, match="another public key"):
        keys.add_node(other.public)


def test_removing_an_unknown_node_says_so(keys: KeyFile) -> None:
    with pytest.raises(KeyFileError, match="not registered"):
        keys.remove_node(bytes(6))


def test_there_is_a_limit_to_collector_keys(keys: KeyFile) -> None:
    for _ in range(module.MAX_COLLECTORS - 1):
        keys.add_collector(generate_collector_key())
    with pytest.raises(KeyFileError, match="already"):
        keys.add_collector(generate_collector_key())


# The opener


def test_frames_of_many_nodes_and_boots_open(keys: KeyFile) -> None:
    nodes = [Node(keys.collectors[0]) for _ in range(5)]
    for each in nodes:
        keys.add_node(each.public)
    opener = Opener(keys)
    for _ in range(3):
        for each in nodes:
            opened = opener.open_envelope(each.seal(b"frame of " + each.id))
            assert (opened.node, opened.frame, opened.boot) == (each.id, b"frame of " + each.id, each.boots)
            assert opened.partial_iv == 0 and opened.boot_id == each.sealer.boot_id
            each.boot(sealing.STANDARD)
    assert (opener.opened, opener.agreements) == (15, 5)


def test_open_gives_node_and_frame(keys: KeyFile, node: Node) -> None:
    keys.save()
    assert Opener.from_file(path_of(keys)).open(node.seal()) == (node.id, b"frame")


def test_what_cannot_be_opened_is_counted_by_reason(keys: KeyFile, node: Node) -> None:
    opener = Opener(keys)
    stranger = Node(keys.collectors[0])
    good = node.seal()
    for message in (
        stranger.seal(),
        good[:-1] + bytes((good[-1] ^ 1,)),
        good[:-3],
        good + b"\0",
        b"\x80",
        stranger.seal(),
    ):
        with pytest.raises(FrameError):
            opener.open(message)
    opener.open(good)
    assert opener.refused == {"unknown_node": 2, "authentication": 1, "truncated": 1, "trailing": 1, "encrypt0": 1}


def test_a_frame_that_names_another_node_inside_is_refused(keys: KeyFile, node: Node) -> None:
    opener = Opener(keys)
    with pytest.raises(SealError, match="inner_node"):
        opener.open(node.seal(b"\x86\x00\x46\0\0\0\0\0\0\x01\x02\x03"))
    opener.open(node.seal(b"\x86\x00\x46" + node.id + b"\x01\x02\x03"))
    assert opener.refused == {"inner_node": 1}


def test_random_boot_ids_cost_no_memory_and_no_curve_arithmetic(keys: KeyFile, node: Node) -> None:
    opener = Opener(keys, max_boots=4)
    opener.open(node.seal())
    good = bytearray(node.seal())
    place = bytes(good).index(node.sealer.boot_id)
    for _ in range(500):
        good[place : place + 12] = os.urandom(12)
        with pytest.raises(SealError, match="authentication"):
            opener.open(bytes(good))
    assert opener.agreements == 1
    assert len(opener._boots) == 1, "a boot id that authenticated nothing was kept"
    opener.open(node.seal())


def test_unknown_nodes_cost_no_curve_arithmetic(keys: KeyFile) -> None:
    opener = Opener(keys)
    stranger = Node(keys.collectors[0])
    for _ in range(50):
        with pytest.raises(SealError, match="unknown_node"):
            opener.open(stranger.seal())
    assert opener.agreements == 0


def test_boots_over_the_limit_push_out_the_oldest_and_still_open(keys: KeyFile, node: Node) -> None:
    opener = Opener(keys, max_boots=3)
    messages: list[bytes] = []
    for _ in range(10):
        messages.append(node.seal())
        node.boot()
    for message in messages + messages:
        assert opener.open(message) == (node.id, b"frame")
        assert len(opener._boots) <= 3
    assert opener.agreements == 1


def test_during_a_change_of_collector_key_both_open(keys: KeyFile, node: Node) -> None:
    old = node.seal()
    keys.add_collector(generate_collector_key())
    node.collector = keys.collectors[1]
    node.boot()
    opener = Opener(keys)
    assert opener.open_envelope(old).collector == keys.collectors[0].public
    assert opener.open_envelope(node.seal()).collector == keys.collectors[1].public


def test_a_retired_collector_key_opens_nothing_more(keys: KeyFile, node: Node) -> None:
    keys.add_collector(generate_collector_key())
    opener = Opener(keys)
    opener.open(node.seal())
    del keys.collectors[0]
    with pytest.raises(SealError, match="authentication"):
        opener.open(node.seal())


def test_nodes_added_and_removed_count_at_once(keys: KeyFile, node: Node) -> None:
    opener = Opener(keys)
    other = Node(keys.collectors[0])
    keys.add_node(other.public)
    assert opener.open(other.seal())[0] == other.id
    keys.remove_node(other.id)
    with pytest.raises(SealError, match="unknown_node"):
        opener.open(other.seal())


def test_a_file_that_somebody_else_has_changed_is_taken_up_before_it_is_saved_anew(keys: KeyFile) -> None:
    """`citymote simulate` registers nodes as they start, beside `citymote keys add`."""
    from types import SimpleNamespace

    from citymote.cli.simulate import _register

    simulated, other = Node(keys.collectors[0]), Node(keys.collectors[0])
    elsewhere = KeyFile.load(path_of(keys))
    elsewhere.add_node(other.public)
    elsewhere.save()
    _register(keys, SimpleNamespace(data={"public_key": simulated.public.hex()}))
    assert set(KeyFile.load(path_of(keys)).nodes) == {simulated.id, other.id}


def test_without_a_collector_key_there_is_no_opener(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="no collector key"):
        Opener(KeyFile())


def test_secrets_are_in_no_repr_log_or_error(
    keys: KeyFile, node: Node, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    opener = Opener(keys)
    opener.open(node.seal())
    shown = [repr(keys), repr(opener), repr(keys.collectors), str(keys), repr(node.sealer)]
    for message in (b"", node.seal()[:-1], node.seal() + b"x", Node(keys.collectors[0]).seal()):
        try:
            opener.open(message)
        except FrameError as error:
            shown.append("".join(traceback.format_exception(error)))
    for bad in (b"", bytes(32), b"\xff" * 32):
        try:
            CollectorKey(bad)
        except ValueError as error:
            shown.append("".join(traceback.format_exception(error)))
    keys.save()
    text = "".join([*shown, caplog.text, *capsys.readouterr()])
    secrets = [keys.collectors[0].private_key(), node.private, *opener._secrets.values()]
    secrets += [boot.key for boot in opener._boots.values()]
    for secret in secrets:
        assert secret.hex()[:12] not in text
        assert repr(secret)[2:14] not in text
        assert str(int.from_bytes(secret, "big"))[:12] not in text
