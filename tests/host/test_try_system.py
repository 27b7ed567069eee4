"""How a fresh Debian or Ubuntu is made to try the two commands on: its mirror, its apt, and what stands in the way.

The slow test makes one, out of this machine's own mirror.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import apt_sources
import try_system

TOP = Path(__file__).resolve().parent.parent.parent
DEBIAN = apt_sources.Source("http://mirror.example/debian", ("bookworm", "bookworm-updates"), ("main",))
SECURITY = apt_sources.Source("http://mirror.example/debian-security", ("bookworm-security",), ("main",))
UBUNTU = apt_sources.Source("http://other.example/ubuntu/", ("noble", "noble-updates"), ("main", "universe"))
VENDOR = apt_sources.Source("https://vendor.example/tools", ("bookworm",), ("main",))


@pytest.mark.parametrize(
    ("suite", "expected"),
    [
        ("trixie", ["http://mirror.example/debian", "http://other.example/debian"]),
        ("noble", ["http://mirror.example/ubuntu", "http://other.example/ubuntu"]),
    ],
)
def test_a_distribution_is_looked_for_beside_the_one_that_this_machine_s_apt_names(
    suite: str, expected: list[str]
) -> None:
    assert try_system.candidate_mirrors(suite, [DEBIAN, SECURITY, VENDOR, UBUNTU, DEBIAN]) == expected


def test_ubuntu_s_apt_is_configured_as_ubuntu_ships_it() -> None:
    text = try_system.sources_text("noble", "http://mirror.example/ubuntu")
    components = ("main", "universe", "restricted", "multiverse")
    assert apt_sources.parse_deb822(text) == [
        apt_sources.Source("http://mirror.example/ubuntu", ("noble", "noble-updates", "noble-backports"), components),
        apt_sources.Source("http://mirror.example/ubuntu", ("noble-security",), components),
    ]
    assert text.count("Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n") == 2


def test_debian_s_apt_is_configured_as_debian_ships_it() -> None:
    text = try_system.sources_text("trixie", "http://mirror.example/debian")
    (source,) = apt_sources.parse_deb822(text)
    assert source == apt_sources.Source("http://mirror.example/debian", ("trixie", "trixie-updates"), ("main",))
    assert source.looks_like_debian


def test_of_the_machine_s_variables_only_the_way_to_the_network_is_handed_in() -> None:
    handed = [name for name in ("https_proxy", "PIP_INDEX_URL", "DEBIAN_MIRROR", "MICROPYTHON", "PATH", "AWS_SECRET")
              if try_system.SURROUNDINGS.match(name)]  # fmt: skip
    assert handed == ["https_proxy", "PIP_INDEX_URL", "DEBIAN_MIRROR"]


def failing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["try_system.py", "noble", "--folder", str(folder), *arguments])
    assert try_system.main() == 1
    said = capsys.readouterr().err
    assert not folder.exists() or not list(folder.iterdir())
    return said.splitlines()[-1]


def test_who_is_not_root_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(try_system.os, "geteuid", lambda: 1000)
    assert failing(monkeypatch, capsys, tmp_path / "s") == "try_system: a new system is made by root on Linux"


def test_a_machine_without_a_mirror_is_told_what_to_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(try_system, "need_tools", lambda: None)
    monkeypatch.setattr(try_system, "archive_keys", lambda suite, work: tmp_path / "keys")
    monkeypatch.setattr(try_system.apt_sources, "configured_sources", lambda: [VENDOR])
    said = failing(monkeypatch, capsys, tmp_path / "s")
    assert said == "try_system: this machine's apt names no mirror; name one with --mirror"


def test_a_mirror_without_the_suite_is_told_in_debootstrap_s_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def run(command: list[str], **how: object) -> subprocess.CompletedProcess[str]:
        (tmp_path / "s" / "noble").mkdir(parents=True)
        return subprocess.CompletedProcess(command, 1, "", "I: Checking\nE: Failed getting release file\nE: more\n")

    monkeypatch.setattr(try_system, "need_tools", lambda: None)
    monkeypatch.setattr(try_system, "archive_keys", lambda suite, work: tmp_path / "keys")
    monkeypatch.setattr(try_system.subprocess, "run", run)
    said = failing(monkeypatch, capsys, tmp_path / "s", "--mirror", "http://mirror.example/ubuntu")
    assert said == "try_system: no mirror has noble (Failed getting release file); name one with --mirror"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("suite", ["trixie", "noble"])
def test_the_demo_runs_on_a_fresh_system_and_again_within_seconds(suite: str, tmp_path: Path) -> None:
    """Ten minutes of network and set-up: Debian 13, and Ubuntu 24.04 without a Debian mirror."""
    if os.geteuid():
        pytest.skip("a new system is made by root")
    command = [sys.executable, TOP / "tools" / "try_system.py", suite, "--folder", tmp_path]
    demo = "make demo DEMO='--nodes 1 --hours 1 --claim 1'"
    environment = {key: value for key, value in os.environ.items() if key != "DEBIAN_MIRROR"}
    again = f"timeout 60 {demo}"
    done = subprocess.run(
        [*command, "--run", demo, "--run", again], capture_output=True, text=True, check=False, env=environment
    )
    last = (done.stderr.splitlines() or [""])[-1]
    if re.search(r"^try_system: .*(is missing; install|names no mirror|no mirror has|no Debian mirror)", last):
        pytest.skip(last)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.count("lost 0, duplicates 0, mismatches 0") == 2
