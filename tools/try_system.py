#!/usr/bin/env python3
"""Runs the two commands on a fresh system: a new Debian or Ubuntu in a folder, with git, make, python3 and no more.

What our pages say of a system is tried by `sudo tools/try_system.py noble`: debootstrap makes it out of the mirror that
this machine's own apt names (Ubuntu's archive is looked for beside Debian's), signatures checked, apt configured as
the system ships it; then an ordinary user there clones this checkout's last commit and runs `make demo`, `make test`.
Of the machine around it only the way to the network is handed in. It wants root, debootstrap and a mirror.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import apt_sources
import aptget

TOP = Path(__file__).resolve().parent.parent
UBUNTU_KEYS = "ubuntu-archive-keyring"
UBUNTU_KEYRING = "ubuntu-keyring"  # the package of it; the one of its own name holds nothing on Debian
PACKAGES = "git make python3 ca-certificates"
SURROUNDINGS = re.compile(
    r"(?i)(PIP_(INDEX_URL|EXTRA_INDEX_URL|CERT|DEFAULT_TIMEOUT)|(https?|no)_proxy|DEBIAN_MIRROR)$"
)
USER = "citizen"

# A system's own /proc, /dev and process tree, which end with it: nothing that the tests start outlives them. The shell
# stays as the tree's first process, because one that changes its user is no longer told of its parent's end.
ENTER = """
set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for name in null zero full random urandom tty; do
  touch "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for n in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${n%:*}" "$root/dev/${n#*:}"; done
chroot "$root" "$@"
exit $?
"""


class CannotTry(Exception):
    """This machine cannot make that system; one line says why."""


def is_debian(suite: str) -> bool:
    return suite in apt_sources.DEBIAN_SUITES


def candidate_mirrors(suite: str, sources: list[apt_sources.Source]) -> list[str]:
    """Where the suite may be: the machine's archives that have its distribution, or that may have it next door."""
    name = "debian" if is_debian(suite) else "ubuntu"
    found: list[str] = []
    for source in sources:
        beside = re.fullmatch(r"(https?://.+)/(debian|ubuntu)/?", source.uri)
        if beside and "main" in source.components:
            found.append(f"{beside[1]}/{name}")
    return list(dict.fromkeys(found))


def sources_text(suite: str, mirror: str) -> str:
    """apt's configuration as the system ships it, with that mirror's address."""
    if is_debian(suite):
        parts = [(mirror, f"{suite} {suite}-updates", "main", "debian-archive-keyring")]
    else:
        components = "main universe restricted multiverse"
        parts = [
            (mirror, f"{suite} {suite}-updates {suite}-backports", components, UBUNTU_KEYS),
            (mirror, f"{suite}-security", components, UBUNTU_KEYS),
        ]
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: {components}\n"
        f"Signed-By: /usr/share/keyrings/{keys}.gpg\n"
        for uri, suites, components, keys in parts
    )


def need_tools() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise CannotTry("a new system is made by root on Linux")
    for name in ("debootstrap", "setpriv", "unshare", "chroot"):
        if not shutil.which(name):
            raise CannotTry(f"{name} is missing; install it")


def archive_keys(suite: str, work: Path) -> Path:
    """The keyring that signed the suite's archive; Ubuntu's out of a package that Debian (or Ubuntu) has signed."""
    if is_debian(suite):
        return aptget.keyring(work)
    places = [aptget.UBUNTU_KEYS, work / f"keyring/usr/share/keyrings/{UBUNTU_KEYS}.gpg"]
    for place in places:
        if place.is_file():
            return place
    with contextlib.closing(aptget.debian(work, aptget.machine_architecture())) as apt:
        apt.unpack([UBUNTU_KEYRING], work / "keyring")
    if not places[-1].is_file():
        raise CannotTry(f"the package {UBUNTU_KEYRING} holds no keyring")
    return places[-1]


def make_system(suite: str, root: Path, mirrors: list[str], keys: Path) -> None:
    """debootstrap the suite into `root` from the first mirror that has it, and install what a person is told to."""
    if not mirrors:
        raise CannotTry("this machine's apt names no mirror; name one with --mirror")
    script = "sid" if is_debian(suite) else "gutsy"  # what debootstrap calls these families' steps
    components = "main" if is_debian(suite) else "main,universe"
    said = ""
    for mirror in mirrors:
        shutil.rmtree(root, ignore_errors=True)
        # Away from our own mounts: what a failed debootstrap leaves mounted goes with it.
        command = [
            "unshare",
            "--mount",
            "debootstrap",
            "--variant=minbase",
            f"--keyring={keys}",
            f"--components={components}",
        ]
        done = subprocess.run([*command, suite, root, mirror, script], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        said = (re.findall(r"^E: (.*)$", done.stdout + done.stderr, re.MULTILINE) or ["debootstrap failed"])[0]
    else:
        raise CannotTry(f"no mirror has {suite} ({said}); name one with --mirror")
    name = "debian" if is_debian(suite) else "ubuntu"
    (root / "etc/apt/sources.list").write_text("# see sources.list.d\n")
    (root / f"etc/apt/sources.list.d/{name}.sources").write_text(sources_text(suite, mirror))
    hand_in_network(root)
    install = f"apt-get update -q && apt-get install -q -y --no-install-recommends {PACKAGES} && update-ca-certificates"
    status = enter(
        root, f"export DEBIAN_FRONTEND=noninteractive; {{ {install}; }} >/var/log/fresh.log 2>&1", user="root"
    )
    if status:
        raise CannotTry(f"{PACKAGES} could not be installed; see {root}/var/log/fresh.log")
    subprocess.run(["chroot", root, "useradd", "-m", "-s", "/bin/bash", USER], check=True)


def hand_in_network(root: Path) -> None:
    """How this machine reaches the network: names, and the certificates that it trusts beside the usual ones."""
    for path in (Path("/etc/resolv.conf"), Path("/etc/hosts"), Path("/etc/pip.conf")):
        if path.is_file():
            shutil.copyfile(path, root / path.relative_to("/"))
    ours = Path("/usr/local/share/ca-certificates")
    if ours.is_dir():
        shutil.copytree(ours, root / ours.relative_to("/"), dirs_exist_ok=True)


def clone(root: Path) -> None:
    """The checkout's last commit, in the user's home, as `git clone` leaves it."""
    home = root / "home" / USER
    bundle = home / "citymote.bundle"
    quiet = "git -c advice.detachedHead=false -c init.defaultBranch=main"
    subprocess.run(["git", "-C", TOP, "bundle", "create", "-q", bundle, "HEAD"], check=True)
    if enter(root, f"{quiet} clone -q citymote.bundle citymote"):
        raise CannotTry("the checkout cannot be cloned there")


def enter(root: Path, command: str, *, user: str = USER) -> int:
    """Run a shell command in the system, as that user at home; its exit status. All that it started ends with it."""
    environment = {key: value for key, value in os.environ.items() if SURROUNDINGS.match(key)}
    environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment["LANG"] = "C.UTF-8"
    inside = ["su", "--preserve-environment", user, "-c", f"export HOME=~{user} USER={user}; cd; {command}"]
    tree = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
    whole = [*tree, "sh", "-c", ENTER, "enter", str(root), *inside]
    return subprocess.run(whole, env=environment, stdin=subprocess.DEVNULL, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Try the two commands on a fresh Debian or Ubuntu (root, debootstrap)."
    )
    parser.add_argument("suite", help="bookworm, trixie, noble, resolute, ...")
    parser.add_argument("--run", action="append", metavar="COMMAND", help="default: `make demo`, then `make test`")
    parser.add_argument("--mirror", help="where the suite is (default: what this machine's apt names, and next door)")
    parser.add_argument("--folder", type=Path, default=TOP / "build" / "systems", help="where systems are made")
    parser.add_argument("--keep", action="store_true", help="keep the system, and use it as it is the next time")
    arguments = parser.parse_args()
    suite: str = arguments.suite
    root: Path = arguments.folder.absolute() / suite
    status = 0
    try:
        need_tools()
        if not (root / "home" / USER).is_dir():
            aptget.say(f"{suite}: making the system")
            mirrors = (
                [arguments.mirror] if arguments.mirror else candidate_mirrors(suite, apt_sources.configured_sources())
            )
            make_system(suite, root, mirrors, archive_keys(suite, aptget.cache_folder()))
            clone(root)
        for command in arguments.run or ("make demo", "make test"):
            begun = time.monotonic()
            status = enter(root, f"cd citymote && {command}")
            aptget.say(f"{suite}: {shlex.quote(command)} ended with {status} after {time.monotonic() - begun:.0f} s")
            if status:
                break
    except (CannotTry, aptget.Unavailable) as error:
        aptget.say(f"try_system: {error}")
        return 1
    finally:
        if not arguments.keep and root.is_dir():
            shutil.rmtree(root)
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
