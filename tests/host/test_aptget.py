"""How the tools read a machine's apt configuration, choose a mirror and fall back: no network, one line each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import aptget
import get_micropython
import get_mosquitto

TOP = Path(__file__).resolve().parent.parent.parent

BOOKWORM_822 = """\
Types: deb
# a comment inside a stanza
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
CLOUD_822 = """\
Types: deb deb-src
URIs: mirror+file:///etc/apt/mirrors/debian.list
Suites: bookworm bookworm-updates bookworm-backports
Components: main
"""
UBUNTU_822 = """\
Types: deb
URIs: http://archive.example/ubuntu/
Suites: noble noble-updates noble-backports
Components: main universe restricted multiverse
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
"""
TRIXIE_LIST = """\
# deb http://commented.example/debian trixie main
deb cdrom:[Debian GNU/Linux 13 _Trixie_]/ trixie main
deb [arch=amd64 signed-by=/etc/apt/keyrings/vendor.asc] https://vendor.example/tools bookworm main
deb-src http://source.example/debian trixie main
deb http://mirror.example/debian trixie main contrib # with a comment
deb http://flat.example ./
"""


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with nothing: no variables, an empty PATH of programs, an empty cache. Returns the cache."""
    for name in ("DEBIAN_MIRROR", "DEBIAN_KEYRING", "MICROPYTHON", "MICROPYTHON32", "MOSQUITTO"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CITYMOTE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(aptget.shutil, "which", lambda name, path=None: None)
    return tmp_path / "cache"


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_deb822_gives_every_address_with_suites_and_components() -> None:
    assert aptget.parse_deb822(BOOKWORM_822) == [
        aptget.Source("http://mirror.example/debian", ("bookworm", "bookworm-updates"), ("main",)),
        aptget.Source("http://mirror.example/debian-security", ("bookworm-security",), ("main",)),
    ]


def test_deb822_folds_continuation_lines_and_several_addresses() -> None:
    text = (
        "Types: deb\nURIs: http://a.example/debian\n http://b.example/debian\n"
        "Suites:\n trixie\nComponents: main\n contrib\n"
    )
    assert [(source.uri, source.suites, source.components) for source in aptget.parse_deb822(text)] == [
        ("http://a.example/debian", ("trixie",), ("main", "contrib")),
        ("http://b.example/debian", ("trixie",), ("main", "contrib")),
    ]


def test_deb822_leaves_out_disabled_and_source_only_stanzas() -> None:
    disabled = BOOKWORM_822.replace("Types: deb\n", "Types: deb\nEnabled: no\n")
    assert aptget.parse_deb822(disabled) == []
    assert aptget.parse_deb822(BOOKWORM_822.replace("Types: deb\n", "Types: deb-src\n")) == []


def test_one_line_style_reads_options_and_comments() -> None:
    assert [source.uri for source in aptget.parse_list(TRIXIE_LIST)] == [
        "cdrom:[Debian",
        "https://vendor.example/tools",
        "http://mirror.example/debian",
        "http://flat.example",
    ]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (aptget.parse_deb822(BOOKWORM_822), ["http://mirror.example/debian"]),
        (aptget.parse_deb822(CLOUD_822), ["mirror+file:///etc/apt/mirrors/debian.list"]),
        (aptget.parse_list(TRIXIE_LIST), ["http://mirror.example/debian", "https://vendor.example/tools"]),
        (aptget.parse_deb822(UBUNTU_822), []),
    ],
    ids=["debian-12", "cloud-image", "one-line-with-vendor", "ubuntu"],
)
def test_the_mirror_comes_from_the_configuration(
    no_settings: Path, sources: list[aptget.Source], expected: list[str]
) -> None:
    assert aptget.debian_mirrors(sources) == expected


def test_debian_mirror_overrides_the_configuration(no_settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBIAN_MIRROR", "http://mine.example/debian")
    assert aptget.debian_mirrors(aptget.parse_deb822(BOOKWORM_822)) == ["http://mine.example/debian"]


def test_both_file_styles_of_a_configuration_are_read(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(TRIXIE_LIST)
    (tmp_path / "sources.list.d" / "debian.sources").write_text(BOOKWORM_822)
    (tmp_path / "sources.list.d" / "old.list.save").write_text("deb http://saved.example/debian trixie main\n")

    uris = [source.uri for source in aptget.configured_sources(tmp_path)]

    assert "http://mirror.example/debian-security" in uris
    assert "https://vendor.example/tools" in uris
    assert "http://saved.example/debian" not in uris


def test_no_mirror_is_named_in_the_tools() -> None:
    names = ("//deb.", "//ftp.", "//archive.", "//snapshot.")
    for path in [*(TOP / "tools").glob("*.py"), TOP / "Makefile"]:
        assert not [name for name in names if name in path.read_text()], path


def test_without_a_debian_mirror_the_line_says_what_to_set(no_settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aptget, "need_apt", lambda: None)
    monkeypatch.setattr(aptget, "configured_sources", lambda: aptget.parse_deb822(UBUNTU_822))
    with pytest.raises(
        aptget.Unavailable, match=r"^this machine's apt names no Debian mirror; set DEBIAN_MIRROR to one$"
    ):
        aptget.debian(no_settings, "i386")


def test_without_apt_the_line_says_so(no_settings: Path) -> None:
    with pytest.raises(aptget.Unavailable, match=r"^apt-get is missing: this is no Debian or Ubuntu machine$"):
        aptget.need_apt()


def test_a_keyring_that_is_named_must_exist(no_settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBIAN_KEYRING", "/nowhere/keys.gpg")
    with pytest.raises(aptget.Unavailable, match=r"DEBIAN_KEYRING names /nowhere/keys\.gpg"):
        aptget.keyring(no_settings)


def test_the_keyring_comes_out_of_the_machine_s_own_archive_where_it_is_not_installed(
    no_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aptget, "KEYRING_PLACES", ())
    asked: list[list[str]] = []

    class Archive:
        def unpack(self, packages: list[str], root: Path) -> None:
            asked.append(packages)
            path = root / "usr/share/keyrings/debian-archive-keyring.gpg"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"keys")

        def close(self) -> None:
            asked.append(["closed"])

    monkeypatch.setattr(aptget, "own_archive", lambda folder: Archive())

    assert aptget.keyring(no_settings).read_bytes() == b"keys"
    assert asked == [["debian-archive-keyring"], ["closed"]]
    aptget.keyring(no_settings)
    assert len(asked) == 2, "a second call uses what the first one unpacked"


def test_the_machine_s_hooks_and_default_release_stay_out(no_settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = (
        'APT::Update::Post-Invoke:: "false";\nAPT::Default-Release "bookworm";\nAcquire::http::Proxy "http://proxy:3128";\n'
        'Acquire::IndexTargets::deb::DEP-11::MetaKey "x";\nAcquire::Languages "de";\n'
    )
    done = subprocess.CompletedProcess([], 0, dump, "")
    monkeypatch.setattr(aptget.subprocess, "run", lambda *arguments, **options: done)

    assert aptget.machine_acquire_settings() == ['Acquire::http::Proxy "http://proxy:3128";']


def test_a_mirror_s_password_is_not_repeated_in_an_error(no_settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBIAN_MIRROR", "http://user:secret@mirror.example/debian")
    monkeypatch.setattr(aptget, "need_apt", lambda: None)
    monkeypatch.setattr(aptget, "keyring", lambda work: Path("/keys.gpg"))

    def refuse(*arguments: str, cwd: Path | None = None) -> str:
        raise aptget.Unavailable("Failed to fetch http://user:secret@mirror.example/debian/dists/trixie/InRelease")

    monkeypatch.setattr(aptget.Apt, "run", lambda self, *arguments, cwd=None: refuse(*arguments, cwd=cwd))
    with pytest.raises(aptget.Unavailable) as caught:
        aptget.debian(no_settings, "amd64")
    assert "secret" not in str(caught.value)
    assert "mirror.example" in str(caught.value)


# --- MicroPython -----------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(aptget, "configured_sources", lambda: aptget.parse_deb822(UBUNTU_822))
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


# --- Mosquitto and starters ------------------------------------------------------------------------------------------


def test_an_incomplete_mosquitto_is_not_used(
    no_settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broker = executable(tmp_path / "mosquitto", "echo mosquitto version 2.0")
    monkeypatch.setenv("MOSQUITTO", str(broker))
    with pytest.raises(aptget.Unavailable, match="mosquitto_pub is missing"):
        get_mosquitto.provide()


def test_a_complete_mosquitto_is_used(no_settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("mosquitto_pub", "mosquitto_sub", "mosquitto_passwd"):
        executable(tmp_path / name, "true")
    broker = executable(tmp_path / "mosquitto", "echo mosquitto version 2.0")
    monkeypatch.setenv("MOSQUITTO", str(broker))
    assert get_mosquitto.provide().subscribe == tmp_path / "mosquitto_sub"


def test_a_mosquitto_that_is_a_snap_is_passed_over(no_settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_mosquitto.shutil, "which", lambda name, path=None: f"/snap/bin/{name}")
    monkeypatch.setattr(get_mosquitto, "check", lambda found: found)
    with pytest.raises(aptget.Unavailable, match="no Mosquitto is here"):
        get_mosquitto.provide(fetch=False)


def test_a_starter_still_works_after_its_folder_has_moved(tmp_path: Path) -> None:
    class Packages:
        arch = "test"

        def closure(self, packages: list[str]) -> list[str]:
            return list(packages)

        def unpack(self, packages: list[str], root: Path) -> None:
            executable(root / "usr/lib/test-linux-gnu/ld-linux-test.so.2", 'echo "$2" "$3" "$4"')
            (root / "usr/lib/test-linux-gnu/libc.so.6").write_text("")
            executable(root / "usr/bin/tool", "")

    aptget.install_programs(Packages(), ["tool"], {"tool": "usr/bin/tool"}, tmp_path / "a")  # type: ignore[arg-type]
    (tmp_path / "a").rename(tmp_path / "with space")

    done = subprocess.run([tmp_path / "with space/bin/tool", "x y"], capture_output=True, text=True, check=True)

    here = f"{tmp_path}/with space/bin/.."
    assert done.stdout.strip() == f"{here}/root/usr/lib/test-linux-gnu {here}/root/usr/bin/tool x y"


def test_an_interrupted_installation_leaves_no_half_folder(tmp_path: Path) -> None:
    class Broken:
        arch = "test"

        def closure(self, packages: list[str]) -> list[str]:
            return list(packages)

        def unpack(self, packages: list[str], root: Path) -> None:
            (root / "usr").mkdir()
            raise aptget.Unavailable("the line went down")

    with pytest.raises(aptget.Unavailable, match="the line went down"):
        aptget.install_programs(Broken(), ["tool"], {"tool": "usr/bin/tool"}, tmp_path / "a")  # type: ignore[arg-type]
    assert not (tmp_path / "a").exists()


def test_bootstrap_needs_python_3_11() -> None:
    code = "import sys; sys.version_info = (3, 9, 2); sys.path.insert(0, sys.argv[1]); import bootstrap"
    done = subprocess.run([sys.executable, "-c", code, TOP / "tools"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("bootstrap: Python 3.11 or later is needed")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("variable", ["CITYMOTE_CACHE", "XDG_CACHE_HOME"])
def test_the_cache_folder_can_be_named(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CITYMOTE_CACHE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    expected = tmp_path if variable == "CITYMOTE_CACHE" else TOP / "build" / "cache"
    assert aptget.cache_folder() == expected
    assert os.environ[variable] == str(tmp_path)
