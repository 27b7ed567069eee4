#!/usr/bin/env python3
"""Provides a real Mosquitto (broker, mosquitto_pub, mosquitto_sub) without root; prints where the broker is.

Order: `$MOSQUITTO`, the system's own, our cache, then the Debian package with its libraries (aptget.py). It is for
tests against a broker that we did not write; the demo has an embedded one. Runs on any bare python3 >= 3.11.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import aptget

_PROGRAMS = {
    "mosquitto": "usr/sbin/mosquitto",
    "mosquitto_pub": "usr/bin/mosquitto_pub",
    "mosquitto_sub": "usr/bin/mosquitto_sub",
    "mosquitto_passwd": "usr/bin/mosquitto_passwd",
}


@dataclass(frozen=True)
class Mosquitto:
    """The programs of one Mosquitto; each runs by its path alone."""

    broker: Path
    publish: Path
    subscribe: Path
    passwd: Path

    @staticmethod
    def beside(broker: Path, folder: Path) -> Mosquitto:
        return Mosquitto(broker, folder / "mosquitto_pub", folder / "mosquitto_sub", folder / "mosquitto_passwd")


def check(found: Mosquitto) -> Mosquitto:
    """The programs, when they are complete and the broker runs here."""
    for path in (found.broker, found.publish, found.subscribe, found.passwd):
        if not path.exists():
            raise aptget.Unavailable(f"{path} is missing beside Mosquitto's other programs")
    try:
        done = subprocess.run([found.broker, "-h"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise aptget.Unavailable(f"{found.broker} does not run on this machine ({error})") from None
    if "mosquitto version" not in done.stdout:
        raise aptget.Unavailable(f"{found.broker} does not run on this machine ({done.stderr.strip()[:200]})")
    return found


def provide(*, quiet: bool = True, fetch: bool = True) -> Mosquitto:
    """A Mosquitto that runs here, fetched at first use; Unavailable says in one line why there is none."""
    named = os.environ.get("MOSQUITTO")
    if named:
        return check(Mosquitto.beside(Path(named), Path(shutil.which("mosquitto_pub") or named).parent))
    broker = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    client = shutil.which("mosquitto_pub")
    if broker and client and not Path(broker).is_relative_to("/snap"):  # a snap sees no configuration outside its own
        try:
            return check(Mosquitto.beside(Path(broker), Path(client).parent))
        except aptget.Unavailable:
            pass  # incomplete or broken: ours instead
    cache = aptget.cache_folder()
    arch = aptget.machine_architecture()
    folder = cache / f"mosquitto-{aptget.SUITE}-{arch}"
    ours = Mosquitto.beside(folder / "bin" / "mosquitto", folder / "bin")
    if ours.broker.exists():
        return check(ours)
    if not fetch or sys.platform != "linux":
        raise aptget.Unavailable("no Mosquitto is here; install the packages mosquitto and mosquitto-clients")
    with aptget.locked(cache):
        if not ours.broker.exists():
            _fetch(cache, arch, folder, quiet)
    return check(ours)


def _fetch(cache: Path, arch: str, folder: Path, quiet: bool) -> None:
    earlier = aptget.remembered_failure(cache, folder.name)
    if earlier:
        raise aptget.Unavailable(earlier)
    if not quiet:
        aptget.say("Mosquitto: fetching the package with its libraries (some 15 MB)")
    reasons: list[str] = []
    for origin in (lambda: aptget.debian(cache, arch), lambda: aptget.own_archive(cache / "apt-own", arch)):
        try:
            with contextlib.closing(origin()) as apt:
                aptget.install_programs(apt, ["mosquitto", "mosquitto-clients"], _PROGRAMS, folder)
            return
        except aptget.Unavailable as error:
            reasons.append(str(error))
    reason = f"no Mosquitto: {'; '.join(reasons)}; install the packages mosquitto and mosquitto-clients"
    aptget.remember_failure(cache, folder.name, reason)
    raise aptget.Unavailable(reason)


def main() -> int:
    parser = argparse.ArgumentParser(description="Provide a real Mosquitto, without root.")
    parser.add_argument("--quiet", action="store_true", help="print no path")
    parser.add_argument("--optional", action="store_true", help="its absence is a note, not an error")
    arguments = parser.parse_args()
    try:
        found = provide(quiet=False)
    except aptget.Unavailable as error:
        aptget.say(f"note: {error}. Tests against it are skipped." if arguments.optional else f"get_mosquitto: {error}")
        return 0 if arguments.optional else 1
    if not arguments.quiet:
        print(found.broker)
    return 0


if __name__ == "__main__":
    sys.exit(main())
