"""Which MicroPython the tests and the SDK get: a named one, one on the PATH, one in the cache, or one by apt.

A version that does not fit is passed over or refused with a line that says what to set; a failed fetch is remembered
for a while and leaves nothing behind. No network.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.bare_machine import UBUNTU_822, executable

import apt_sources
import aptget
import get_micropython

TOP = Path(__file__).resolve().parent.parent.parent


def vm_that_says(path: Path, version: str, bits: int) -> Path:
    return executable(path, f"echo micropython {version} {bits}")


def test_a_named_micropython_is_used_as_it_is(
    no_settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = vm_that_says(tmp_path / "mine", "1 27", 64)
    monkeypatch.setenv("MICROPYTHON", str(path))
    assert get_micropython.provide(64) == path


@pytest.mark.parametrize(
    ("version", "bits", "reason"),
    [
        ("1 24", 64, "is MicroPython 1.24, 1.25 or later is needed"),
        ("1 27", 32, "is a 32-bit build, a 64-bit one is needed"),
    ],
)
def test_a_named_micropython_that_does_not_fit_is_an_error(
    no_settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, bits: int, reason: str
) -> None:
    monkeypatch.setenv("MICROPYTHON", str(vm_that_says(tmp_path / "mine", version, bits)))
    with pytest.raises(aptget.Unavailable, match=f"^MICROPYTHON: .* {reason}$"):
        get_micropython.provide(64)


def test_one_on_the_path_is_used_when_it_is_new_enough(
    no_settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = vm_that_says(tmp_path / "micropython", "1 26", 64)
    monkeypatch.setattr(get_micropython.shutil, "which", lambda name: str(path))
    assert get_micropython.provide(64, fetch=False) == path


def test_one_on_the_path_that_is_too_old_is_passed_over(
    no_settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = vm_that_says(tmp_path / "micropython", "1 22", 64)
    monkeypatch.setattr(get_micropython.shutil, "which", lambda name: str(path))
    with pytest.raises(aptget.Unavailable, match=r"run tools/get_micropython\.py"):
        get_micropython.provide(64, fetch=False)


def test_one_in_the_cache_is_used_without_asking_a_mirror(no_settings: Path) -> None:
    arch = aptget.machine_architecture(32)
    path = vm_that_says(no_settings / f"micropython-{aptget.SUITE}-{arch}" / "bin" / "micropython", "1 25", 32)
    assert get_micropython.provide(32, fetch=False) == path


def test_a_binary_that_the_kernel_cannot_run_says_so(no_settings: Path, tmp_path: Path) -> None:
    path = tmp_path / "micropython"
    path.write_bytes(b"\x7fELF\x01\x01\x01not for this kernel")
    path.chmod(0o755)
    with pytest.raises(aptget.Unavailable, match="does not run on this machine"):
        get_micropython.check(path, 32)


def test_a_kernel_without_32_bits_is_found_out_before_any_download(
    no_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(8, "Exec format error")

    monkeypatch.setattr(get_micropython.subprocess, "run", refuse)
    monkeypatch.setattr(aptget, "debian", lambda *arguments: pytest.fail("asked a mirror"))
    monkeypatch.setattr(aptget, "machine_architecture", lambda bits=64: "i386")
    with pytest.raises(aptget.Unavailable, match="this kernel does not run 32-bit programs"):
        get_micropython.provide(32)


def test_the_probe_for_32_bits_agrees_with_the_real_vm(micropython32: str, tmp_path: Path) -> None:
    assert Path(micropython32).exists()
    get_micropython.need_kernel_for(aptget.machine_architecture(32), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_fetch_is_remembered_until_the_settings_change(
    no_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []

    def refuse(cache: Path, arch: str, suite: str = "") -> aptget.Apt:
        attempts.append(arch)
        raise aptget.Unavailable("no mirror answers")

    monkeypatch.setattr(aptget, "debian", refuse)
    for _ in range(2):
        with pytest.raises(
            aptget.Unavailable, match=r"^no 32-bit MicroPython: no mirror answers; or set MICROPYTHON32"
        ):
            get_micropython.provide(32)
    assert len(attempts) == 1
    monkeypatch.setenv("DEBIAN_MIRROR", "http://other.example/debian")
    with pytest.raises(aptget.Unavailable):
        get_micropython.provide(32)
    assert len(attempts) == 2


def test_on_ubuntu_its_own_archive_is_the_second_choice_for_64_bits(
    no_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Archive:
        def close(self) -> None:
            pass

    def install(apt: object, packages: list[str], programs: dict[str, str], destination: Path) -> None:
        assert packages == ["micropython"]
        vm_that_says(destination / "bin" / "micropython", "1 25", 64)

    def no_debian(cache: Path, arch: str, suite: str = "") -> aptget.Apt:
        raise aptget.Unavailable("this machine's apt names no Debian mirror; set DEBIAN_MIRROR to one")

    monkeypatch.setattr(aptget, "system", lambda: ("ubuntu", "questing"))
    monkeypatch.setattr(aptget, "debian", no_debian)
    monkeypatch.setattr(aptget, "own_archive", lambda folder, arch=None: Archive())
    monkeypatch.setattr(aptget, "install_programs", install)

    assert get_micropython.provide(64).name == "micropython"


def test_on_ubuntu_a_newer_release_on_its_own_mirror_is_the_third_choice(
    no_settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = tmp_path / "ubuntu-archive-keyring.gpg"
    keys.write_bytes(b"keys")
    monkeypatch.setattr(aptget, "need_apt", lambda: None)
    monkeypatch.setattr(aptget, "UBUNTU_KEYS", keys)
    monkeypatch.setattr(aptget, "system", lambda: ("ubuntu", "noble"))
    monkeypatch.setattr(apt_sources, "configured_sources", lambda: apt_sources.parse_deb822(UBUNTU_822))
    monkeypatch.setattr(aptget.Apt, "run", lambda self, *arguments, cwd=None: "")
    tried: list[str] = []

    def install(apt: aptget.Apt, packages: list[str], programs: dict[str, str], destination: Path) -> None:
        tried.append((apt.folder / "sources.list").read_text().strip())
        vm_that_says(destination / "bin" / "micropython", "1 22" if not tried[-1] else "1 26", 64)

    monkeypatch.setattr(aptget, "install_programs", install)

    get_micropython.provide(64)

    own, newer = tried
    assert own == "", "the second choice reads the machine's own sources"
    uri = "http://archive.example/ubuntu/"
    assert newer == f"deb [arch={aptget.machine_architecture()} signed-by={keys}] {uri} resolute main universe"


def test_a_failure_is_not_remembered_for_long(no_settings: Path) -> None:
    aptget.remember_failure(no_settings, "thing", "the line was down")
    assert aptget.remembered_failure(no_settings, "thing") == "the line was down"
    old = time.time() - aptget.FAILURE_LASTS - 1
    os.utime(no_settings / "thing.unavailable", (old, old))
    assert aptget.remembered_failure(no_settings, "thing") is None


def test_where_all_of_ubuntu_s_are_too_old_nothing_is_left_behind(
    no_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Archive:
        def close(self) -> None:
            pass

    def install(apt: object, packages: list[str], programs: dict[str, str], destination: Path) -> None:
        vm_that_says(destination / "bin" / "micropython", "1 22", 64)

    def no_debian(cache: Path, arch: str, suite: str = "") -> aptget.Apt:
        raise aptget.Unavailable("this machine's apt names no Debian mirror; set DEBIAN_MIRROR to one")

    monkeypatch.setattr(aptget, "system", lambda: ("ubuntu", "noble"))
    monkeypatch.setattr(aptget, "debian", no_debian)
    monkeypatch.setattr(aptget, "own_archive", lambda folder, arch=None: Archive())
    monkeypatch.setattr(aptget, "newer_ubuntu", lambda work, arch: Archive())
    monkeypatch.setattr(aptget, "install_programs", install)

    with pytest.raises(aptget.Unavailable, match=r"set DEBIAN_MIRROR to one.*1\.22, 1\.25 or later.*set MICROPYTHON"):
        get_micropython.provide(64)
    assert not list(no_settings.glob("micropython-*/bin"))


@pytest.fixture
def run_get_micropython(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The tool as a person runs it, with the variables given and nothing to fetch from."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": "/nowhere",
            "HOME": str(tmp_path),
            "CITYMOTE_CACHE": str(tmp_path / "cache"),
            **variables,
        }
        command = [sys.executable, TOP / "tools" / "get_micropython.py", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_missing_32_bits_are_a_note_in_one_line(
    run_get_micropython: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    vm = vm_that_says(tmp_path / "vm", "1 25", 64)

    done = run_get_micropython(MICROPYTHON=str(vm))

    assert done.returncode == 0
    assert done.stdout.split() == [str(vm)]
    note = [line for line in done.stderr.splitlines() if line.startswith("note:")]
    assert len(note) == 1
    assert "doubled heap" in note[0]


def test_missing_64_bits_are_an_error_in_one_line(
    run_get_micropython: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_get_micropython("--bits", "64")

    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("get_micropython: no 64-bit MicroPython: apt-get is missing")
    assert "set MICROPYTHON" in last
