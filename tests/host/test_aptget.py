"""How the tools read a machine's apt configuration, choose a mirror and fall back: no network, one line each.

And how what was fetched is started: Mosquitto, and programs whose folder has moved. Which MicroPython is taken is in
`test_get_micropython`, real archives are in `test_apt_archive`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.support.bare_machine import UBUNTU_822, executable

import apt_sources
import aptget
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
TRIXIE_LIST = """\
# deb http://commented.example/debian trixie main
deb cdrom:[Debian GNU/Linux 13 _Trixie_]/ trixie main
deb [arch=amd64 signed-by=/etc/apt/keyrings/vendor.asc] https://vendor.example/tools bookworm main
deb-src http://source.example/debian trixie main
deb http://mirror.example/debian trixie main contrib # with a comment
deb http://flat.example ./
"""


def test_deb822_gives_every_address_with_suites_and_components() -> None:
    assert apt_sources.parse_deb822(BOOKWORM_822) == [
        apt_sources.Source("http://mirror.example/debian", ("bookworm", "bookworm-updates"), ("main",)),
        apt_sources.Source("http://mirror.example/debian-security", ("bookworm-security",), ("main",)),
    ]


def test_deb822_folds_continuation_lines_and_several_addresses() -> None:
    text = (
        "Types: deb\nURIs: http://a.example/debian\n http://b.example/debian\n"
        "Suites:\n trixie\nComponents: main\n contrib\n"
    )
    assert [(source.uri, source.suites, source.components) for source in apt_sources.parse_deb822(text)] == [
        ("http://a.example/debian", ("trixie",), ("main", "contrib")),
        ("http://b.example/debian", ("trixie",), ("main", "contrib")),
    ]


def test_deb822_leaves_out_disabled_and_source_only_stanzas() -> None:
    disabled = BOOKWORM_822.replace("Types: deb\n", "Types: deb\nEnabled: no\n")
    assert apt_sources.parse_deb822(disabled) == []
    assert apt_sources.parse_deb822(BOOKWORM_822.replace("Types: deb\n", "Types: deb-src\n")) == []


def test_one_line_style_reads_options_and_comments() -> None:
    assert [source.uri for source in apt_sources.parse_list(TRIXIE_LIST)] == [
        "cdrom:[Debian",
        "https://vendor.example/tools",
        "http://mirror.example/debian",
        "http://flat.example",
    ]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (apt_sources.parse_deb822(BOOKWORM_822), ["http://mirror.example/debian"]),
        (apt_sources.parse_deb822(CLOUD_822), ["mirror+file:///etc/apt/mirrors/debian.list"]),
        (apt_sources.parse_list(TRIXIE_LIST), ["http://mirror.example/debian", "https://vendor.example/tools"]),
        (apt_sources.parse_deb822(UBUNTU_822), []),
    ],
    ids=["debian-12", "cloud-image", "one-line-with-vendor", "ubuntu"],
)
def test_the_mirror_comes_from_the_configuration(
    no_settings: Path, sources: list[apt_sources.Source], expected: list[str]
) -> None:
    assert apt_sources.debian_mirrors(sources) == expected


def test_debian_mirror_overrides_the_configuration(no_settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBIAN_MIRROR", "http://mine.example/debian")
    assert apt_sources.debian_mirrors(apt_sources.parse_deb822(BOOKWORM_822)) == ["http://mine.example/debian"]


def test_both_file_styles_of_a_configuration_are_read(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(TRIXIE_LIST)
    (tmp_path / "sources.list.d" / "debian.sources").write_text(BOOKWORM_822)
    (tmp_path / "sources.list.d" / "old.list.save").write_text("deb http://saved.example/debian trixie main\n")

    uris = [source.uri for source in apt_sources.configured_sources(tmp_path)]

    assert "http://mirror.example/debian-security" in uris
    assert "https://vendor.example/tools" in uris
    assert "http://saved.example/debian" not in uris


def test_no_mirror_is_named_in_the_tools() -> None:
    names = ("//deb.", "//ftp.", "//archive.", "//snapshot.")
    for path in [*(TOP / "tools").glob("*.py"), TOP / "Makefile"]:
        assert not [name for name in names if name in path.read_text()], path


def test_without_a_debian_mirror_the_line_says_what_to_set(no_settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aptget, "need_apt", lambda: None)
    monkeypatch.setattr(apt_sources, "configured_sources", lambda: apt_sources.parse_deb822(UBUNTU_822))
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


@pytest.mark.parametrize("variable", ["CITYMOTE_CACHE", "XDG_CACHE_HOME"])
def test_the_cache_folder_can_be_named(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CITYMOTE_CACHE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    expected = tmp_path if variable == "CITYMOTE_CACHE" else TOP / "build" / "cache"
    assert aptget.cache_folder() == expected
    assert os.environ[variable] == str(tmp_path)
