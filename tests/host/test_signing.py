"""Where a release key may be: in an encrypted file, behind somebody's own program, or in a token.

Wherever it is, what comes back is checked before it is used, a key that others could read is not used at all, and no
error says a passphrase or a PIN. What is signed with the keys is in `test_signed_releases`.
"""

from __future__ import annotations

import importlib
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.signers import DIGEST, ONE, PASSPHRASE, ask

from citymote.errors import MissingExtra, UsageError
from citymote.update import signing
from citymote_protocol import p256 as _p256

p256: Any = _p256

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
