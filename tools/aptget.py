"""Fetches Debian packages into a folder of our own: no root, no change to the system, verified by apt's signatures.

The mirror is never written here: it is the one that this machine's own apt configuration names (apt_sources.py reads
it; whatever suite it has there), or `$DEBIAN_MIRROR`. apt does the work with a private state folder, so resolving,
hashes and signatures are its own; only what a program needs to run is kept (itself and its libraries). Only the
standard library is used, because this runs before there is a virtual environment. Deciding which program to fetch is
left to get_micropython.py, get_mosquitto.py and bootstrap.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Iterable
from pathlib import Path

import apt_sources

SUITE = "trixie"  # the first stable suite with MicroPython; its libraries come along, so the host's age is no matter
KEYRING = "debian-archive-keyring"
# The same way on Ubuntu without a Debian mirror: its own mirror, but the first long-term release whose MicroPython is
# new enough (24.04 has 1.22).
UBUNTU_SUITE = "resolute"
UBUNTU_KEYS = Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg")
FAILURE_LASTS = 600
KEYRING_PLACES = (
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
)


class Unavailable(Exception):
    """This machine cannot have the thing asked for; the text is one line and says what to set or install."""


def cache_folder() -> Path:
    """`$CITYMOTE_CACHE`, else build/cache of the checkout, else the user's cache folder."""
    named = os.environ.get("CITYMOTE_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    top = Path(__file__).resolve().parent.parent
    if (top / "pyproject.toml").is_file():
        return top / "build" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "citymote"


# --- what this machine is --------------------------------------------------------------------------------------------


def system() -> tuple[str, str]:
    """(ID, VERSION_CODENAME) of os-release; empty strings where there is none."""
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        return "", ""
    fields = dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', text, re.MULTILINE))
    return fields.get("ID", ""), fields.get("VERSION_CODENAME", "")


def machine_architecture(bits: int = 64) -> str:
    """Debian's name for this machine's own architecture, or for the 32-bit one that it can usually run as well."""
    names = {
        "x86_64": ("amd64", "i386"),
        "amd64": ("amd64", "i386"),
        "aarch64": ("arm64", "armhf"),
        "arm64": ("arm64", "armhf"),
    }
    try:
        return names[platform.machine().lower()][0 if bits == 64 else 1]
    except KeyError:
        raise Unavailable(f"no Debian packages are known for a machine of type {platform.machine()!r}") from None


def need_apt() -> None:
    """Unavailable where apt's own tools are missing."""
    for name in ("apt-get", "apt-config", "dpkg-deb"):
        if not shutil.which(name):
            raise Unavailable(f"{name} is missing: this is no Debian or Ubuntu machine")


# --- a private apt ---------------------------------------------------------------------------------------------------


class Apt:
    """apt-get with lists, state and cache of its own in `folder`, for one suite and one architecture."""

    def __init__(self, folder: Path, arch: str, source_lines: str) -> None:
        self.folder = folder
        self.arch = arch
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text("")
        (folder / "sources.list").touch(mode=0o600)  # an address may carry a password
        (folder / "sources.list").write_text(source_lines)
        (folder / "apt.conf").write_text(self._configuration())

    def _configuration(self) -> str:
        # The machine's hooks and default release would act on our private state, so of its own configuration only
        # how to reach a mirror is taken over: proxies, certificates, date checks, time-outs.
        return "\n".join([
            *machine_acquire_settings(),
            'Dir::Etc::Main "/dev/null";',
            'Dir::Etc::Parts "/dev/null";',
            f'Dir::Etc::SourceList "{self.folder}/sources.list";',
            'Dir::Etc::SourceParts "/dev/null";',
            'Dir::Etc::Preferences "/dev/null";',
            'Dir::Etc::PreferencesParts "/dev/null";',
            f'Dir::State::Lists "{self.folder}/lists";',
            f'Dir::State::status "{self.folder}/status";',
            f'Dir::Cache "{self.folder}/cache";',
            f'APT::Architecture "{self.arch}";',
            f'APT::Architectures {{ "{self.arch}"; }};',
            'APT::Sandbox::User "";',  # apt as root would give up root for a user who cannot write here
            'APT::Install-Recommends "false";',
            'Acquire::Languages "none";',
            'Acquire::GzipIndexes "true";',
            'Acquire::Retries "2";',
            "",
        ])  # fmt: skip

    def close(self) -> None:
        """Forget lists and indexes: some 100 MB that nothing needs once the packages are unpacked."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run apt-get; Unavailable with apt's own first complaint when it fails."""
        environment = {**os.environ, "APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(
                ["apt-get", "-q", "-y", *arguments], cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=900, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unavailable(f"apt-get {arguments[0]} did not finish in 15 minutes") from None
        complaints = re.findall(r"^(?:E|Err|W): ?(.*)$", done.stderr, re.MULTILINE)
        # `update` ends with 0 although a mirror could not be read: then only the warning tells.
        if done.returncode or (
            arguments[0] == "update" and re.search(r"Failed to fetch|not signed|NO_PUBKEY", done.stderr)
        ):
            raise Unavailable(complaints[0] if complaints else f"apt-get {arguments[0]} ended with {done.returncode}")
        return done.stdout

    def closure(self, packages: Iterable[str]) -> list[str]:
        """What apt would install on an empty system, less what only an installed system needs.

        Programs are run where they were unpacked, so of their dependencies only the libraries matter: adduser,
        debconf or init scripts have nothing to do.
        """
        wanted = list(packages)
        out = self.run("install", "--no-install-recommends", "--print-uris", *wanted)
        names = re.findall(r"^'[^']*' ([^_\s]+)_", out, re.MULTILINE)
        return sorted({name for name in names if name in wanted or name.startswith("lib")} | set(wanted))

    def unpack(self, packages: Iterable[str], root: Path) -> None:
        """Download packages (apt checks signature and hashes) and unpack them below `root`."""
        debs = self.folder / "debs"
        shutil.rmtree(debs, ignore_errors=True)
        debs.mkdir()
        self.run("download", *packages, cwd=debs)
        for deb in sorted(debs.glob("*.deb")):
            done = subprocess.run(
                ["dpkg-deb", "-x", deb, root], capture_output=True, text=True, timeout=300, check=False
            )
            if done.returncode:
                raise Unavailable(f"{deb.name} cannot be unpacked: {done.stderr.strip()}")
        shutil.rmtree(debs)


def machine_acquire_settings() -> list[str]:
    """This machine's `Acquire::` settings that say how to reach a mirror, as lines for an apt.conf."""
    try:
        done = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [
        line
        for line in done.stdout.splitlines()
        if line.startswith("Acquire::")
        and not re.match(r"Acquire::(IndexTargets|Languages|GzipIndexes|CompressionTypes|Retries)\b", line)
    ]


def keyring(work: Path) -> Path:
    """Debian's archive keys: `$DEBIAN_KEYRING`, this machine's, or out of this machine's own archive (as on Ubuntu)."""
    named = os.environ.get("DEBIAN_KEYRING")
    if named:
        if not Path(named).is_file():
            raise Unavailable(f"DEBIAN_KEYRING names {named}, which is no file")
        return Path(named).absolute()
    places = [*KEYRING_PLACES, *sorted(work.glob("keyring/usr/share/keyrings/debian-archive-keyring.*"))]
    for place in places:
        if place.is_file():
            return place
    try:
        with contextlib.closing(own_archive(work / "apt-own")) as apt:
            apt.unpack([KEYRING], work / "keyring")
    except Unavailable as error:
        raise Unavailable(f"Debian's keys are missing ({error}); install {KEYRING} or set DEBIAN_KEYRING") from None
    found = sorted(work.glob("keyring/usr/share/keyrings/debian-archive-keyring.*"))
    if not found:
        raise Unavailable(f"the package {KEYRING} holds no keyring; install it or set DEBIAN_KEYRING")
    return found[0]


def own_archive(folder: Path, arch: str | None = None) -> Apt:
    """A private apt over this machine's own sources, as they stand (its suite, its keys)."""
    need_apt()
    apt = Apt(folder, arch or machine_architecture(), "")
    main, parts = apt_sources.source_places()
    config = folder / "apt.conf"
    text = config.read_text()
    text = text.replace(f'Dir::Etc::SourceList "{folder}/sources.list";', f'Dir::Etc::SourceList "{main}";')
    text = text.replace('Dir::Etc::SourceParts "/dev/null";', f'Dir::Etc::SourceParts "{parts}";')
    config.write_text(text)
    try:
        apt.run("update")
    except Unavailable:
        apt.close()
        raise
    return apt


def debian(work: Path, arch: str, suite: str = SUITE) -> Apt:
    """A private apt over the first usable Debian mirror; Unavailable with one line when there is none."""
    need_apt()
    mirrors = apt_sources.debian_mirrors()
    if not mirrors:
        raise Unavailable("this machine's apt names no Debian mirror; set DEBIAN_MIRROR to one")
    keys = keyring(work)
    reasons: list[str] = []
    for mirror in mirrors:
        folder = work / f"apt-{suite}-{arch}"
        apt = Apt(folder, arch, f"deb [arch={arch} signed-by={keys}] {mirror} {suite} main\n")
        try:
            apt.run("update")
        except Unavailable as error:
            apt.close()
            reasons.append(_without_passwords(f"{mirror}: {error}"))
            continue
        return apt
    raise Unavailable(f"no Debian mirror could be read ({'; '.join(reasons)}); set DEBIAN_MIRROR to one")


def newer_ubuntu(work: Path, arch: str) -> Apt:
    """A private apt over this Ubuntu machine's own mirror, with the suite UBUNTU_SUITE instead of its own."""
    need_apt()
    distribution, codename = system()
    mirrors = [
        source.uri
        for source in apt_sources.configured_sources()
        if codename in source.suites and "main" in source.components
    ]
    if distribution != "ubuntu" or not mirrors or not UBUNTU_KEYS.is_file():
        raise Unavailable("this is no Ubuntu machine with a mirror of its own")
    line = f"deb [arch={arch} signed-by={UBUNTU_KEYS}] {mirrors[0]} {UBUNTU_SUITE} main universe\n"
    apt = Apt(work / f"apt-{UBUNTU_SUITE}-{arch}", arch, line)
    try:
        apt.run("update")
    except Unavailable as error:
        apt.close()
        raise Unavailable(_without_passwords(f"{mirrors[0]} {UBUNTU_SUITE}: {error}")) from None
    return apt


def _without_passwords(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)


# --- programs run where they were unpacked ---------------------------------------------------------------------------


def install_programs(apt: Apt, packages: Iterable[str], programs: dict[str, str], destination: Path) -> None:
    """Unpack `packages` with their libraries and write a starter for each of `programs` (name -> path in the tree).

    A starter goes through the bundled ld.so with the bundled libraries, so that the host's C library, which may be
    older, does not matter. The folder appears complete or not at all, and may be moved.
    """
    scratch = destination.with_name(f".{destination.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    root = scratch / "root"
    root.mkdir(parents=True)
    apt.unpack(apt.closure(packages), root)
    loaders = [path for path in sorted(root.rglob("ld-linux*.so.*")) if path.is_file() and not path.is_symlink()]
    if not loaders:
        raise Unavailable(f"the packages for {apt.arch} came without a dynamic loader")
    loader = loaders[0].relative_to(scratch)
    folders = sorted(
        {
            path.parent.relative_to(scratch)
            for path in root.rglob("lib*.so*")
            if path.parent.name.endswith(("-gnu", "-gnueabihf"))
        }
    )
    library_path = ":".join(f"$here/{folder}" for folder in folders)
    (scratch / "bin").mkdir()
    for name, inside in programs.items():
        if not (root / inside).is_file():
            raise Unavailable(f"the packages for {apt.arch} came without {inside}")
        starter = scratch / "bin" / name
        starter.write_text(
            "#!/bin/sh\nhere=${0%/*}/..\n"
            f'exec "$here/{loader}" --library-path "{library_path}" "$here/root/{inside}" "$@"\n'
        )
        starter.chmod(0o755)
    for spare in ("usr/share", *(f"{folder.relative_to('root')}/gconv" for folder in folders)):
        shutil.rmtree(root / spare, ignore_errors=True)
    shutil.rmtree(destination, ignore_errors=True)
    scratch.rename(destination)


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """One process at a time sets up what lies in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def remembered_failure(folder: Path, name: str) -> str | None:
    """Why an attempt in the last minutes failed under the same settings: a mirror that does not answer takes long."""
    path = folder / f"{name}.unavailable"
    try:
        key, _, reason = path.read_text().partition("\n")
        recent = time.time() - path.stat().st_mtime < FAILURE_LASTS
    except OSError:
        return None
    return reason if recent and key == _settings_key() else None


def remember_failure(folder: Path, name: str, reason: str) -> None:
    """Keep why `name` cannot be had, until the settings change or FAILURE_LASTS seconds have passed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.unavailable").write_text(f"{_settings_key()}\n{reason}")


def forget_failure(folder: Path, name: str) -> None:
    (folder / f"{name}.unavailable").unlink(missing_ok=True)


def _settings_key() -> str:
    settings = [os.environ.get("DEBIAN_MIRROR", ""), os.environ.get("DEBIAN_KEYRING", "")]
    settings.append(repr(apt_sources.configured_sources()))
    return hashlib.sha256("\n".join(settings).encode()).hexdigest()


def say(text: str) -> None:
    """Progress and notes go to stderr: stdout belongs to the answer."""
    print(text, file=sys.stderr, flush=True)
