#!/usr/bin/env python3
"""Makes the checkout's own Python environment in .venv/, on a bare python3 >= 3.11, without root.

Debian's bare python3 has neither pip nor ensurepip: then pip comes, verified, out of this machine's own apt (aptget.py)
and is put into the new environment. A stamp keyed by what decides the environment's content makes a second run return
at once. The demo needs a quarter of it: who came for that waits neither for the tests' tools nor for peers to compare
with. The type stubs of MicroPython shadow the standard library's, so they get a folder of their own, build/stubs.
Runtimes and brokers are left to get_micropython.py and get_mosquitto.py.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        f"bootstrap: Python 3.11 or later is needed, not {sys.version.split()[0]}; "
        "install one, such as the package python3.11-venv, and name it, as in: make PYTHON=python3.11 demo"
    )

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import aptget

TOP = Path(__file__).resolve().parent.parent
VENV = TOP / ".venv"
BUILD = TOP / "build"
STUBS = BUILD / "stubs"
# What each purpose installs; who set up for the tests has set up for the demo.
EXTRAS = {"demo": "all", "tests": "all,dev"}
STUB_PACKAGES = ("micropython-esp32-stubs>=1.26,<1.30",)
# Taken without dependencies: CircuitPython's drivers ask for a whole hardware layer that our emulated buses replace,
# and the makers' pins contradict one another although the drivers run together.
BARE_PEERS = (
    *(
        f"adafruit-circuitpython-{name}"
        for name in (
            "ads1x15",
            "bh1750",
            "bme280",
            "bme680",
            "busdevice",
            "ina219",
            "lis3dh",
            "ltr390",
            "register",
            "sgp40",
            "sht31d",
            "veml7700",
        )
    ),
    "bme680==2.0.0",
    "sensirion-driver-adapters==2.3.1",
    "sensirion-driver-support-types==1.2.1",
    "sensirion-i2c-driver==1.0.2",
    "sensirion-i2c-scd30==1.1.1",
    "sensirion-i2c-scd4x==1.1.0",
    "sensirion-i2c-sen5x==0.1.1",
    "sensirion-i2c-sen66==1.3.1",
    "sensirion-i2c-sgp4x==0.1.0",
    "sensirion-i2c-sht4x==1.1.0",
    "sensirion-i2c-sps30==1.0.0",
    "sensirion-shdlc-driver==0.1.5",
    "sensirion-shdlc-sensorbridge==0.2.0",
)
# A C program with a Python face: where there is no compiler, it alone is missing.
COMPILED_PEERS = ("sensirion-gas-index-algorithm==3.2.2",)
# Peers whose pins conflict with ours: each in a folder of its own, build/peers/<name>, put on PYTHONPATH by its test.
APART = {
    "aiocoap": ("aiocoap[oscore]==0.4.17", "lakers-python==0.6.2"),
    "bthome": ("bthome-ble==3.25.0",),
    "drivers": (  # MicroPython's, measured beside ours
        "bme280-upy==2.1.0",
        "micropython-lis3dh==0.1.2",
        "micropython-scd30==0.2.0",
        "micropython-sgp40==0.1.0",
        "micropython-sht4x==0.1.0",
        "pms5003-micropython==0.0.7",
    ),
    "lakers": ("lakers-python==0.6.2",),
    "sound": ("pyfar==0.8.1", "PyOctaveBand==2.0.0"),  # and scipy with them; pyfar's wheel would hide our tests
    "zcbor": ("zcbor==0.9.1", "cbor2<6"),
}


class SetupError(Exception):
    """The environment cannot be made; one line says what to do."""


def wanted_stamp(python: str) -> str:
    """What the environment depends on, as one hash: the requirements, the interpreter, the place, and this script."""
    hashed = hashlib.sha256()
    for part in (
        (TOP / "pyproject.toml").read_bytes(),
        Path(__file__).read_bytes(),
        python.encode(),
        str(TOP).encode(),
    ):
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.hexdigest()


def stamp_file(purpose: str) -> Path:
    return VENV / f".citymote-{purpose}"


def is_current(stamp: str, purpose: str) -> bool:
    """Whether .venv/ was completed by this very set-up, for `purpose` at least, and its interpreter still exists."""
    if purpose == "demo" and is_current(stamp, "tests"):
        return True
    try:
        return (
            stamp_file(purpose).read_text() == stamp
            and (VENV / "bin" / "python").exists()
            and (purpose == "demo" or STUBS.is_dir())
        )
    except OSError:
        return False


def run(command: list[str | Path], what: str, *, env: dict[str, str] | None = None) -> None:
    """Run a step quietly; on failure its last lines tell why."""
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=TOP, check=False)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise SetupError(f"{what} failed:\n  " + "\n  ".join(lines[-8:]))


def make_venv(without_ensurepip: bool) -> None:
    """Create .venv/ with pip in it."""
    if (VENV / "bin" / "python").exists() and has_pip():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    if not without_ensurepip:
        done = subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True, text=True, check=False)
        if done.returncode == 0 and has_pip():
            return
        shutil.rmtree(VENV, ignore_errors=True)
    try:
        run([sys.executable, "-m", "venv", "--without-pip", VENV], "python3 -m venv")
    except SetupError as error:
        raise SetupError(f"this Python cannot make virtual environments; install python3-venv ({error})") from None
    wheel = pip_wheel()
    try:
        install_pip(wheel)
    except SetupError as error:
        # The archive's pip is made for its own python3, and this may be a younger one beside it.
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        last = str(error).splitlines()[-1].strip()
        raise SetupError(f"{wheel.name} does not run on this Python ({last}); install {package}") from None


def has_pip() -> bool:
    try:
        return (
            subprocess.run(
                [VENV / "bin" / "python", "-m", "pip", "--version"], capture_output=True, check=False
            ).returncode
            == 0
        )
    except OSError:
        return False


def pip_wheel() -> Path:
    """pip's own wheel, as the package python3-pip-whl of this machine's archive ships it for venv."""
    cache = aptget.cache_folder()
    folder = cache / "pip"
    with aptget.locked(cache):
        if not list(folder.glob("usr/share/python-wheels/pip-*.whl")):
            aptget.say("bootstrap: this python3 has no ensurepip; taking pip from this machine's own package archive")
            try:
                with contextlib.closing(aptget.own_archive(cache / "apt-own")) as apt:
                    apt.unpack(["python3-pip-whl"], folder)
            except aptget.Unavailable as error:
                raise SetupError(f"this python3 has no pip ({error}); install python3-venv") from None
    wheels = sorted(folder.glob("usr/share/python-wheels/pip-*.whl"))
    if not wheels:
        raise SetupError("the package python3-pip-whl holds no pip; install python3-venv")
    return wheels[-1]


def install_pip(wheel: Path) -> None:
    """Let pip install itself out of its wheel, which is how ensurepip does it."""
    code = "import runpy, sys; sys.path.insert(0, sys.argv[-1]); runpy.run_module('pip', run_name='__main__')"
    run([VENV / "bin" / "python", "-c", code, "install", "-q", "--no-index", wheel], "installing pip into .venv")


def install(purpose: str) -> None:
    """Install this checkout in place with all that the purpose needs; for tests the stubs and peers beside it."""
    pip: list[str | Path] = [VENV / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, "-e", f".[{EXTRAS[purpose]}]"], "installing citymote's requirements")
    if purpose == "tests":
        install_apart(pip, STUBS, STUB_PACKAGES, "installing the MicroPython stubs")
        install_peers(pip)


def install_apart(pip: list[str | Path], folder: Path, packages: tuple[str, ...], what: str) -> None:
    """Install packages into a folder of their own, which appears complete or not at all."""
    scratch = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    run([*pip, "--target", scratch, *packages], what)
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


def install_peers(pip: list[str | Path]) -> None:
    """Install what ours is compared with; what cannot be had is a note, because nothing of ours needs it."""
    steps = [
        lambda: run([*pip, "-e", ".[peers]"], "installing peers to compare with"),
        lambda: run([*pip, "--no-deps", *BARE_PEERS], "installing chip makers' drivers"),
        lambda: run([*pip, "--no-deps", *COMPILED_PEERS], "compiling Sensirion's gas index"),
        lambda: run([VENV / "bin" / "python", TOP / "tools" / "get_qemu.py"], "fetching QEMU for RISC-V"),
    ]
    for name, packages in APART.items():
        (BUILD / "peers").mkdir(parents=True, exist_ok=True)
        steps.append(lambda n=name, p=packages: install_apart(pip, BUILD / "peers" / n, p, f"installing {n}"))
    for step in steps:
        try:
            step()
        except SetupError as error:
            aptget.say(f"note: {str(error).splitlines()[0]} tests that compare with it are skipped")


def clean() -> None:
    """Forget what was built; downloads stay, because they are what takes time."""
    shutil.rmtree(VENV, ignore_errors=True)
    for path in BUILD.glob("*"):
        if path.name == "cache":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description="Set up .venv/ inside this checkout.")
    parser.add_argument("--clean", action="store_true", help="remove .venv/ and build/, but not downloads")
    parser.add_argument("--for", dest="purpose", choices=EXTRAS, default="tests", help="default: tests, and all else")
    arguments = parser.parse_args()
    if arguments.clean:
        clean()
        return 0
    without_ensurepip = bool(os.environ.get("CITYMOTE_NO_ENSUREPIP"))  # to try the bare machine's way on any other
    base = getattr(sys, "_base_executable", sys.executable)
    purpose: str = arguments.purpose
    stamp = wanted_stamp(f"{base} {sys.version}")
    if is_current(stamp, purpose):
        return 0
    try:
        with aptget.locked(BUILD):
            if not is_current(stamp, purpose):  # another run may have made it while this one waited
                aptget.say(f"bootstrap: setting up .venv/ for the {purpose} (once; some minutes on a slow line)")
                make_venv(without_ensurepip)
                install(purpose)
                stamp_file(purpose).write_text(stamp)
    except SetupError as error:
        aptget.say(f"bootstrap: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
