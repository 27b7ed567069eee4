"""`citymote update`: a release from the checkout to the nodes: keys, build, sign, inspect, push, rollout, status."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citymote.cli import update_fleet, update_keys, update_rollout
from citymote.cli.common import JsonOption, guarded, output, say
from citymote.cli.update_keys import KEY_HELP

if TYPE_CHECKING:
    from citymote.update.bundle import Bundle

BundleArgument = Annotated[Path, typer.Argument(help="The bundle.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verb's group."""
    group = typer.Typer(help="Releases: keys, build, sign, inspect, push, rollout, status.", no_args_is_help=True)
    update_keys.register(group)
    group.command("build")(guarded(build))
    group.command("sign")(guarded(sign))
    group.command("inspect")(guarded(inspect))
    update_fleet.register(group)
    update_rollout.register(group)
    app.add_typer(group, name="update")


def build(
    version: Annotated[str, typer.Option("--version", help="Semantic version of the release, such as 1.4.2.")],
    board: Annotated[
        list[str] | None, typer.Option("--board", help="For this board; repeat it. Left out: every board with a chip.")
    ] = None,
    arch: Annotated[list[str] | None, typer.Option("--arch", help="For this architecture only; repeat it.")] = None,
    runtime: Annotated[str, typer.Option("--runtime", help="The oldest MicroPython that it runs on.")] = "1.26",
    image: Annotated[
        list[str] | None,
        typer.Option("--image", help="CHIP=FILE: a runtime image that it is for; its versions go into the SBOM."),
    ] = None,
    notes: Annotated[Path | None, typer.Option("--notes", help="Release notes, a text file.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The bundle; left out: citymote-VERSION.zip.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Make a bundle from this checkout: compiled files for each architecture, their digests, notes, SBOM.

    The same checkout and compiler give the same bytes, wherever they lie.

    Example: citymote update build --version 1.4.2 --board airgradient-one --notes notes.md
    """
    from citymote.errors import UsageError
    from citymote.factory.build import BuildError
    from citymote.update import make
    from citymote.update.version import Version

    try:
        text = notes.read_text(encoding="utf-8") if notes else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the notes {notes} cannot be read", str(error)) from None
    recipe = make.Recipe(
        Version.parse(version), make.kinds(board or (), arch or ()), make.check_runtime(runtime), text, _images(image)
    )
    try:
        bundle = make.make(recipe, lambda text: say(f"citymote: {text}"))
    except BuildError as error:
        raise UsageError("the bundle cannot be built", str(error)) from None
    path = out or Path(f"citymote-{version}.zip")
    bundle.write(path)
    if as_json:
        print(json.dumps({"bundle": str(path), **_facts(bundle)}))
    else:
        _show(bundle)
        say(f"citymote: {path} built; sign it with: citymote update sign {path}")
    return 0


def _images(named: list[str] | None) -> Any:
    from citymote import boards
    from citymote.errors import UsageError
    from citymote.factory import image

    found: list[image.Runtime] = []
    for text in named or ():
        chip, equals, path = text.partition("=")
        if not equals or chip not in boards.chips():
            raise UsageError(f"{text!r} names no image", "", f"Write CHIP=FILE; chips: {', '.join(boards.chips())}.")
        found.append(image.read(Path(path), boards.chip(chip)))
    return tuple(found)


def sign(
    bundle: BundleArgument,
    key: Annotated[list[str], typer.Option("--key", help=f"Who signs; repeat it. {KEY_HELP}")],
    sequence: Annotated[int, typer.Option("--sequence", min=1, max=(1 << 32) - 1, help="Grows with every release.")],
    hash_based: Annotated[
        Path | None, typer.Option("--hash-based", help="A hash-based key for a second signature (HSS-LMS).")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", help="Record of what was published under hash-based keys; kept apart from them."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Replace envelopes that have another sequence.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the signed bundle here, not in its place.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a bundle: one envelope a target. Signing again with another key adds a signature.

    The same sequence is never given to two releases: nodes refuse what is not above what they have confirmed.

    Example: citymote update sign citymote-1.4.2.zip --key release-2026.pem --sequence 12
    """
    from citymote.errors import UsageError
    from citymote.update import signing
    from citymote.update.bundle import read
    from citymote.update.hss_key import HssKey, Record

    if hash_based and not record:
        raise UsageError("a hash-based key signs only against a record", "", "Name it with --record FILE.")
    found = read(bundle)
    signers = [signing.signer(signing.open_key(name)) for name in key]
    if hash_based and record:
        signers.append(signing.hash_based_signer(HssKey(hash_based, Record(record))))
    signed = signing.sign_bundle(found, sequence, signers, again=again)
    signed.write(out or bundle)
    if as_json:
        print(json.dumps({"bundle": str(out or bundle), **_facts(signed)}))
    else:
        _show(signed)


def inspect(
    bundle: BundleArgument,
    files: Annotated[bool, typer.Option("--files", help="Every file with its sizes and digest.")] = False,
    notes: Annotated[bool, typer.Option("--notes", help="Only the release notes.")] = False,
    sbom: Annotated[bool, typer.Option("--sbom", help="Only the SBOM, as it is in the bundle.")] = False,
    against: Annotated[
        Path | None, typer.Option("--against", help="An older bundle: what a node that runs it would fetch.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show what is in a bundle; everything that has a digest is checked first.

    Example: citymote update inspect citymote-1.4.2.zip --against citymote-1.4.1.zip
    """
    from citymote.update.bundle import read

    found = read(bundle)
    if sbom or notes:
        with output(None) as file:
            file.write(found.sbom if sbom else found.notes.encode())
        return 0
    facts = _facts(found, files, read(against) if against else None)
    if as_json:
        print(json.dumps(facts))
        return 0
    _show(found, facts)
    for target in facts["targets"] if files else ():
        print(f"\n{target['name']}")
        for file in target["files"]:
            print(f"  {file['sha256'][:16]} {file['size']:>7} {file['fetched']:>7}  {file['name']}")
    return 0


def _facts(bundle: "Bundle", files: bool = False, older: "Bundle | None" = None) -> dict[str, Any]:
    from citymote.update import facts

    return facts.of(bundle, files, older)


def _show(bundle: "Bundle", facts: dict[str, Any] | None = None) -> None:
    facts = facts or _facts(bundle)
    print(f"release   {facts['release']}")
    print(f"content   {facts['content']}")
    print(f"runtime   MicroPython {facts['runtime']} or later")
    print(f"sbom      {facts['components']} components")
    for target in facts["targets"]:
        boards = ", ".join(target["boards"]) or f"any board with {target['architecture']}"
        print(f"{target['name']}: {target['count']} files, {target['fetched']:,} bytes to fetch, for {boards}")
        if "changed" in target:
            print(f"  after the older one: {target['changed']} files, {target['changed_bytes']:,} bytes")
        for one in target["signatures"]:
            print(f"  sequence {one['sequence']}, signed by {one['key']} ({one['algorithm']})")
        if not target["signatures"]:
            print("  not signed")
    if facts["notes"]:
        print("\n" + facts["notes"].rstrip())
