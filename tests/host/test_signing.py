"""Who signs releases: keys in files, tokens and programs, the set that the root signs, and what nodes make of it."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest

from citymote import crypto
from citymote.errors import CitymoteError, MissingExtra, UsageError
from citymote.factory import slot
from citymote.update import bundle as bundles
from citymote.update import facts, hss_key, lms, signing
from citymote.update.bundle import Bundle, Target, read
from citymote.update.hss_key import HssError, HssKey, Record
from citymote.update.keyring import Key, KeySet, KeySetError, check, key_id, open_set, public_key
from citymote.update.manifest import parts
from citymote.update.publish import Publication, PublishError
from citymote.update.version import Version
from citymote.vault import Vault
from citymote_protocol import p256 as _p256
from citymote_protocol import suit as _suit

p256: Any = _p256
suit: Any = _suit
PASSPHRASE = "a lantern in the fog"
DIGEST = hashlib.sha256(b"what is signed").digest()


def ask(new: bool) -> str:
    del new
    return PASSPHRASE


def private(number: int) -> signing.SigningKey:
    secret = hashlib.sha256(bytes((number,))).digest()
    return signing.SigningKey(crypto.public_key(secret), lambda digest: crypto.sign(secret, digest))


ROOT, ONE, TWO, URGENT = (private(number) for number in range(4))


def key(of: signing.SigningKey, role: str = "release") -> Key:
    return Key(of.public, role)


def bundle(version: str = "1.4.2", *targets: str) -> Bundle:
    made: list[tuple[Target, list[slot.File]]] = []
    for name in targets or ("rv32imc", "xtensawin"):
        files = [slot.file("core.mpy", f"{version} {name}".encode() * 40)]
        made.append((Target(name, name, (), slot.index(files)), files))
    return bundles.pack(Version.parse(version), "1.26", made, sbom=b"{}")


# -- key files --------------------------------------------------------------------------------------------------------


def test_a_new_key_is_encrypted_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "release.pem"
    public = signing.make_key(path, ask)
    assert b"ENCRYPTED PRIVATE KEY" in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    opened = signing.open_key(str(path), ask)
    assert opened.public == public
    assert p256.verify(public, DIGEST, opened.sign(DIGEST))


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_text("precious")
    with pytest.raises(UsageError, match="already"):
        signing.make_key(tmp_path / "k.pem", ask)
    assert (tmp_path / "k.pem").read_text() == "precious"


def pem(passphrase: bytes | None, curve: str = "SECP256R1") -> bytes:
    ec: Any = importlib.import_module("cryptography.hazmat.primitives.asymmetric.ec")
    serial: Any = importlib.import_module("cryptography.hazmat.primitives.serialization")
    how = serial.BestAvailableEncryption(passphrase) if passphrase else serial.NoEncryption()
    made: bytes = ec.generate_private_key(getattr(ec, curve)()).private_bytes(
        serial.Encoding.PEM, serial.PrivateFormat.PKCS8, how
    )
    return made


@pytest.mark.parametrize(
    ("data", "mode", "why"),
    [
        (pem(PASSPHRASE.encode()), 0o644, "others on this machine"),
        (pem(None), 0o600, "not encrypted"),
        (pem(b"another one"), 0o600, "passphrase is another"),
        (pem(PASSPHRASE.encode(), "SECP384R1"), 0o600, "no P-256 key"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", 0o600, "does not open"),
    ],
)
def test_a_key_file_that_should_not_be_used_is_not(tmp_path: Path, data: bytes, mode: int, why: str) -> None:
    path = tmp_path / "k.pem"
    path.write_bytes(data)
    path.chmod(mode)
    with pytest.raises(signing.SigningError, match=why) as caught:
        signing.open_key(str(path), ask)
    assert PASSPHRASE not in str(caught.value)


def test_a_short_passphrase_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too short"):
        signing.make_key(tmp_path / "k.pem", lambda new: "short")
    assert not (tmp_path / "k.pem").exists()


# -- somebody's own program -------------------------------------------------------------------------------------------


def program(tmp_path: Path, body: str) -> str:
    path = tmp_path / "sign.py"
    path.write_text(
        "import sys, hashlib\nfrom citymote import crypto\n"
        "secret = hashlib.sha256(bytes((1,))).digest()\ndigest = sys.stdin.buffer.read()\n" + body
    )
    return f"command:{ONE.public.hex()}:{sys.executable} {path}"


def test_a_program_gets_the_digest_and_gives_the_signature(tmp_path: Path) -> None:
    opened = signing.open_key(program(tmp_path, "sys.stdout.buffer.write(crypto.sign(secret, digest))"))
    assert opened.public == ONE.public
    assert p256.verify(ONE.public, DIGEST, opened.sign(DIGEST))


def test_a_signature_in_der_is_as_good(tmp_path: Path) -> None:
    made = signing.open_key(
        program(
            tmp_path,
            "from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature as der\n"
            "pair = crypto.sign(secret, digest)\n"
            "sys.stdout.buffer.write(der(int.from_bytes(pair[:32], 'big'), int.from_bytes(pair[32:], 'big')))",
        )
    )
    assert p256.verify(ONE.public, DIGEST, made.sign(DIGEST))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("sys.stdout.buffer.write(crypto.sign(hashlib.sha256(b'x').digest(), digest))", "does not hold"),
        ("sys.stdout.buffer.write(crypto.sign(secret, bytes(32)))", "does not hold"),
        ("sys.stdout.buffer.write(b'no')", "no signature"),
        ("sys.exit(3)", "status 3"),
    ],
)
def test_what_a_program_gives_is_checked(tmp_path: Path, body: str, why: str) -> None:
    with pytest.raises(signing.SigningError, match=why):
        signing.open_key(program(tmp_path, body)).sign(DIGEST)


@pytest.mark.parametrize("name", ["command:", "command:02ab:x", f"command:{ONE.public.hex()}:", "command:zz:x"])
def test_a_program_that_cannot_be_meant_is_refused_at_once(name: str) -> None:
    with pytest.raises(UsageError):
        signing.open_key(name)


def test_a_program_that_is_not_there_is_said() -> None:
    with pytest.raises(signing.SigningError, match="did not sign"):
        signing.open_key(f"command:{ONE.public.hex()}:/nowhere/sign").sign(DIGEST)


# -- a token ----------------------------------------------------------------------------------------------------------

SOFTHSM = next(
    (
        path
        for place in ("/usr/lib/softhsm", "/usr/lib/x86_64-linux-gnu/softhsm", "/usr/lib/aarch64-linux-gnu/softhsm")
        if (path := Path(place) / "libsofthsm2.so").exists()
    ),
    None,
)


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A SoftHSM token with a P-256 key in it; gives the URI of that key."""
    pkcs11: Any = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed: pip install citymote[pkcs11]")
    tool = shutil.which("softhsm2-util")
    if SOFTHSM is None or tool is None:
        pytest.skip("SoftHSM is not installed: apt-get install softhsm2")
    (tmp_path / "tokens").mkdir()
    conf = tmp_path / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    (tmp_path / "pin").write_text("4711\n")
    (tmp_path / "pin").chmod(0o600)
    # The library reads its configuration once a process: what uses the token is a process of its own.
    script = (
        "import pkcs11, sys\n"
        "from pkcs11.util.ec import encode_named_curve_parameters\n"
        "token = pkcs11.lib(sys.argv[1]).get_token(token_label='city')\n"
        "with token.open(rw=True, user_pin='4711') as session:\n"
        "    made = session.create_domain_parameters(pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS:\n"
        "        encode_named_curve_parameters('secp256r1')}, local=True)\n"
        "    made.generate_keypair(label='release', id=b'\\x01', store=True)\n"
    )
    init = [tool, "--init-token", "--free", "--label", "city", "--pin", "4711", "--so-pin", "123456"]
    subprocess.run(init, check=True, capture_output=True)
    subprocess.run([sys.executable, "-c", script, str(SOFTHSM)], check=True)
    del pkcs11

    def uri(path: str = "token=city;object=release", pin: str | None = "pin") -> str:
        source = f"&pin-source={tmp_path / pin}" if pin else ""
        return f"pkcs11:{path}?module-path={SOFTHSM}{source}"

    return uri


def in_a_process(uri: str) -> tuple[str, str]:
    """(public key and signature, or the error) of a process that signs with that key."""
    script = (
        "import sys\nfrom citymote.errors import CitymoteError\nfrom citymote.update import signing\n"
        "try:\n    key = signing.open_key(sys.argv[1], lambda new: '4711')\n"
        "    print(key.public.hex(), key.sign(bytes.fromhex(sys.argv[2])).hex())\n"
        "except CitymoteError as error:\n    print('error', str(error).replace('\\n', ' '))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, uri, DIGEST.hex()], capture_output=True, text=True, check=True, timeout=60
    )
    first, _, rest = done.stdout.strip().partition(" ")
    return first, rest


@pytest.mark.parametrize("path", ["token=city;object=release", "token=city;id=%01"])
def test_a_key_in_a_token_signs(token: Callable[..., str], path: str) -> None:
    public, signature = in_a_process(token(path))
    assert p256.verify(bytes.fromhex(public), DIGEST, bytes.fromhex(signature))


def test_the_pin_is_asked_for_where_no_file_has_it(token: Callable[..., str]) -> None:
    public, signature = in_a_process(token(pin=None))
    assert p256.verify(bytes.fromhex(public), DIGEST, bytes.fromhex(signature))


@pytest.mark.parametrize(
    ("path", "pin", "why"),
    [
        ("token=town;object=release", "pin", "does not answer"),
        ("token=city;object=other", "pin", "does not answer"),
        ("token=city;object=release", "wrong", "does not answer"),
        ("token=city;object=release", "open", "others on this machine"),
    ],
)
def test_a_token_that_does_not_sign_says_why_and_never_its_pin(
    token: Callable[..., str], tmp_path: Path, path: str, pin: str, why: str
) -> None:
    for name, mode in (("wrong", 0o600), ("open", 0o644)):
        (tmp_path / name).write_text("0815\n")
        (tmp_path / name).chmod(mode)
    first, rest = in_a_process(token(path, pin))
    assert first == "error"
    assert why in rest
    assert "0815" not in rest


@pytest.mark.parametrize(
    "uri", ["pkcs11:token=a;object=b?module-path=/x&pin-value=4711", "pkcs11:token=a?module-path=/x", "pkcs11:object=a"]
)
def test_a_token_that_cannot_be_meant_is_refused_and_no_pin_in_an_argument(uri: str) -> None:
    with pytest.raises((UsageError, MissingExtra)) as caught:
        signing.open_key(uri, ask)
    assert "4711" not in str(caught.value)


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


# -- hash-based signatures --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cheap() -> Any:
    """Vaults whose passphrase costs nothing to try: the real cost would be most of a test's time."""
    patch = pytest.MonkeyPatch()
    real = Vault.create
    patch.setattr(Vault, "create", staticmethod(lambda ask: real(ask, cost=2)))
    yield
    patch.undo()


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
