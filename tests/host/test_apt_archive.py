"""The way to a package by the machine's own apt, over archives made here: an Ubuntu with its mirror, a Debian mirror.

apt, its resolver, its hashes and its signatures are real; only the packages are small. What a machine's apt reads is
a deb822 file as Ubuntu 24.04 has it, with another address in it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

import apt_sources
import aptget
import get_micropython
import get_qemu

pytestmark = [
    pytest.mark.skipif(not shutil.which("apt-get"), reason="this machine has no apt"),
    pytest.mark.skipif(not shutil.which("gpg"), reason="no gpg to sign an archive with"),
]

ARCH = aptget.machine_architecture() if shutil.which("apt-get") else ""
ARCH32 = aptget.machine_architecture(32) if ARCH else ""
SOURCES = """\
Types: deb
URIs: file:{folder}
Suites: noble noble-updates
Components: main universe
Signed-By: {keys}

## Ubuntu security updates.
Types: deb
URIs: file:{folder}
Suites: noble-security
Components: main universe
Signed-By: {keys}
"""
LOADER = '#!/bin/sh\nshift 2\nexec "$@"\n'  # ld.so's part: run the program behind --library-path


class Signer:
    """A key that signs archives; `public` is its keyring as apt reads it."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="cm-gpg-"))  # short: an agent's socket lies in it
        self.gpg("--passphrase", "", "--quick-gen-key", "archive@example", "ed25519", "sign", "never")
        self.public = self.home / "keys.gpg"
        self.gpg("--output", str(self.public), "--export")

    def gpg(self, *arguments: str) -> None:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--quiet", *arguments]
        subprocess.run(command, check=True, capture_output=True)

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture(scope="module")
def signer() -> Iterator[Signer]:
    signer = Signer()
    yield signer
    signer.close()


@pytest.fixture(scope="module")
def stranger() -> Iterator[Signer]:
    signer = Signer()
    yield signer
    signer.close()


def deb(folder: Path, name: str, arch: str, files: dict[str, str], depends: str = "") -> str:
    """Build a package into the pool; its stanza for Packages."""
    tree = folder / f"tree-{name}-{arch}"
    for path, text in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
        (tree / path).chmod(0o755)
    control = f"Package: {name}\nVersion: 1\nArchitecture: {arch}\nMaintainer: nobody <n@example>\n"
    control += f"Depends: {depends}\n" if depends else ""
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN" / "control").write_text(control + "Description: small\n")
    out = folder / "pool" / f"{name}_{arch}.deb"
    out.parent.mkdir(exist_ok=True)
    build = ["dpkg-deb", "-Znone", "--root-owner-group", "-b", str(tree), str(out)]
    subprocess.run(build, check=True, capture_output=True)
    shutil.rmtree(tree)
    data = out.read_bytes()
    return f"{control}Filename: pool/{out.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"


def vm(version: str, bits: int) -> dict[str, str]:
    return {"usr/bin/micropython": f"#!/bin/sh\necho micropython {version} {bits}\n"}


def suite(folder: Path, name: str, packages: dict[str, str], signer: Signer | None) -> None:
    """Publish a suite: {architecture: stanzas}, all of it in main and nothing in universe."""
    place = folder / "dists" / name
    sums = ""
    for arch, stanzas in packages.items():
        for component in ("main", "universe"):
            listed = place / component / f"binary-{arch}" / "Packages"
            listed.parent.mkdir(parents=True)
            listed.write_text(stanzas if component == "main" else "")
            data = listed.read_bytes()
            sums += f" {hashlib.sha256(data).hexdigest()} {len(data)} {listed.relative_to(place)}\n"
    release = place / "Release"
    release.write_text(
        f"Suite: {name}\nCodename: {name}\nComponents: main universe\nArchitectures: {' '.join(packages)}\n"
        f"Date: {formatdate(usegmt=True)}\nSHA256:\n{sums}"
    )
    if signer is not None:
        signer.gpg("--output", str(place / "InRelease"), "--clearsign", str(release))


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signer: Signer) -> Path:
    """A machine with Ubuntu 24.04 that has nothing of what we look for, and the folder of its still empty mirror."""
    mirror = tmp_path / "ubuntu"
    mirror.mkdir()
    etc = tmp_path / "etc"
    (etc / "sources.list.d").mkdir(parents=True)
    (etc / "sources.list").write_text("# Ubuntu sources have moved to sources.list.d/ubuntu.sources\n")
    (etc / "sources.list.d" / "ubuntu.sources").write_text(SOURCES.format(folder=mirror, keys=signer.public))
    for name in ("noble-updates", "noble-security"):
        suite(mirror, name, {ARCH: ""}, signer)
    monkeypatch.setattr(apt_sources, "source_places", lambda: (etc / "sources.list", etc / "sources.list.d"))
    monkeypatch.setattr(aptget, "system", lambda: ("ubuntu", "noble"))
    monkeypatch.setattr(aptget, "UBUNTU_KEYS", signer.public)
    monkeypatch.setattr(aptget, "KEYRING_PLACES", ())
    for name in ("DEBIAN_MIRROR", "DEBIAN_KEYRING", "MICROPYTHON", "MICROPYTHON32", "QEMU_RISCV32"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CITYMOTE_CACHE", str(tmp_path / "cache"))
    return mirror


@pytest.fixture
def ubuntu(mirror: Path, monkeypatch: pytest.MonkeyPatch, signer: Signer) -> Path:
    """The mirror with the release's own MicroPython, too old, and a newer release's."""
    loader = deb(mirror, "libc6", ARCH, {f"usr/lib/{ARCH}-gnu/ld-linux-test.so.2": LOADER})
    keys = deb(mirror, "debian-archive-keyring", "all", {"usr/share/keyrings/debian-archive-keyring.gpg": ""})
    (mirror / "old").mkdir()
    old = deb(mirror / "old", "micropython", ARCH, vm("1 22", 64), "libc6").replace("pool/", "old/pool/")
    new = deb(mirror, "micropython", ARCH, vm("1 27", 64), "libc6")
    suite(mirror, "noble", {ARCH: loader + old + keys}, signer)
    suite(mirror, aptget.UBUNTU_SUITE, {ARCH: loader + new}, signer)
    monkeypatch.setattr(
        get_micropython.shutil, "which", lambda name: None if name == "micropython" else f"/usr/bin/{name}"
    )
    return mirror


def test_on_ubuntu_64_bits_come_from_the_newer_release_on_its_own_mirror(ubuntu: Path, tmp_path: Path) -> None:
    path = get_micropython.provide(64)
    assert get_micropython.probe(path) == ((1, 27), 64)
    assert not list((tmp_path / "cache").glob("apt-*")), "the indexes of apt were left behind"


def test_on_ubuntu_32_bits_are_one_line_that_says_what_to_set(ubuntu: Path) -> None:
    with pytest.raises(aptget.Unavailable) as caught:
        get_micropython.provide(32)
    assert "\n" not in str(caught.value)
    assert "set DEBIAN_MIRROR" in str(caught.value)
    assert "set MICROPYTHON32" in str(caught.value)


def test_a_debian_mirror_gives_ubuntu_both_with_keys_out_of_ubuntu_s_own_archive(
    ubuntu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signer: Signer
) -> None:
    monkeypatch.setattr(aptget, "keyring", lambda work: signer.public)
    mirror = tmp_path / "debian"
    mirror.mkdir()
    stanzas = {
        arch: deb(mirror, "libc6", arch, {f"usr/lib/{arch}-gnu/ld-linux-test.so.2": LOADER})
        + deb(mirror, "micropython", arch, vm("1 25", bits), "libc6")
        for arch, bits in ((ARCH, 64), (ARCH32, 32))
    }
    suite(mirror, aptget.SUITE, stanzas, signer)
    monkeypatch.setenv("DEBIAN_MIRROR", f"file:{mirror}")
    assert get_micropython.probe(get_micropython.provide(64)) == ((1, 25), 64)
    assert get_micropython.probe(get_micropython.provide(32)) == ((1, 25), 32)


def test_the_keys_of_debian_are_a_package_of_ubuntu(ubuntu: Path, tmp_path: Path) -> None:
    found = aptget.keyring(tmp_path / "work")
    assert found.name == "debian-archive-keyring.gpg"
    assert tmp_path in found.parents


@pytest.mark.parametrize("by", ["a stranger", "nobody"])
def test_an_archive_that_the_keys_did_not_sign_is_refused(
    ubuntu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signer: Signer, stranger: Signer, by: str
) -> None:
    monkeypatch.setattr(aptget, "keyring", lambda work: signer.public)
    mirror = tmp_path / "debian"
    mirror.mkdir()
    stanza = deb(mirror, "micropython", ARCH, vm("1 25", 64))
    suite(mirror, aptget.SUITE, {ARCH: stanza}, stranger if by == "a stranger" else None)
    monkeypatch.setenv("DEBIAN_MIRROR", f"file:{mirror}")
    with pytest.raises(aptget.Unavailable, match="no Debian mirror could be read"):
        aptget.debian(tmp_path / "work", ARCH)


def test_a_package_that_was_changed_behind_its_signature_is_refused(ubuntu: Path, tmp_path: Path) -> None:
    path = ubuntu / "pool" / f"micropython_{ARCH}.deb"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"echo micropython", b"ohce micropython"))
    with pytest.raises(aptget.Unavailable):
        get_micropython.provide(64)
    assert not list((tmp_path / "cache").glob("micropython-*/bin"))


EMULATOR = {"usr/bin/qemu-riscv32": "#!/bin/sh\n", "usr/bin/qemu-arm": "#!/bin/sh\n"}
EMULATOR_BEFORE = {"usr/bin/qemu-riscv32-static": "#!/bin/sh\n"}


@pytest.mark.parametrize(
    ("packages", "came_from"),
    [
        ({"qemu-user-static": EMULATOR_BEFORE, "qemu-user": EMULATOR}, "qemu-user-static/usr/bin/qemu-riscv32-static"),
        ({"qemu-user-static": {"usr/share/doc": ""}, "qemu-user": EMULATOR}, "qemu-user/usr/bin/qemu-riscv32"),
        ({"qemu-user": EMULATOR}, "qemu-user/usr/bin/qemu-riscv32"),
    ],
    ids=["debian-12", "debian-13", "ubuntu-26.04"],
)
def test_qemu_is_found_under_either_package_s_name(
    mirror: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    signer: Signer,
    packages: dict[str, dict[str, str]],
    came_from: str,
) -> None:
    stanzas = "".join(deb(mirror, name, ARCH, files) for name, files in packages.items())
    suite(mirror, "noble", {ARCH: stanzas}, signer)
    on_path = get_qemu.shutil.which
    monkeypatch.setattr(
        get_qemu.shutil, "which", lambda name: on_path(name) if "/" in name or "qemu" not in name else None
    )
    found = Path(get_qemu.fetch())
    assert found == tmp_path / "cache" / came_from
    assert get_qemu.find() == str(found)
    assert not (found.parent / "qemu-arm").exists(), "other machines' emulators were kept"


def test_an_archive_without_qemu_is_one_line(mirror: Path, monkeypatch: pytest.MonkeyPatch, signer: Signer) -> None:
    suite(mirror, "noble", {ARCH: ""}, signer)
    monkeypatch.setattr(get_qemu, "find", lambda: None)
    with pytest.raises(aptget.Unavailable, match=r"qemu-user-static; .*qemu-user") as caught:
        get_qemu.fetch()
    assert "\n" not in str(caught.value)
