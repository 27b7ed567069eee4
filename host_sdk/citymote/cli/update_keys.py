"""`citymote update keys`: the keys that may sign releases, and the set of them that the root signs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citymote.cli.common import JsonOption, guarded, output, say

if TYPE_CHECKING:
    from citymote.update.keyring import Key, KeySet
    from citymote.update.signing import SigningKey

SetArgument = Annotated[Path, typer.Argument(help="The key set's file.", show_default=False)]
KEY_HELP = "A PEM file, pkcs11:..., or command:PUBLICKEY:PROGRAM ARGUMENTS."
RootOption = Annotated[str, typer.Option("--root", help=f"The root key. {KEY_HELP}", show_default=False)]
RootPublicOption = Annotated[str, typer.Option("--root", help="The root's public key.", show_default=False)]
ReleaseOption = Annotated[list[str] | None, typer.Option("--release", help="Public key of a release key; repeat it.")]
EmergencyOption = Annotated[
    list[str] | None, typer.Option("--emergency", help="Public key of an emergency key; repeat it.")
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Who may sign releases: keys, and the set that the root signs.", no_args_is_help=True)
    group.command("new")(guarded(new))
    group.command("new-hash-based")(guarded(new_hash_based))
    group.command("public")(guarded(public))
    group.command("make")(guarded(make))
    group.command("add")(guarded(add))
    group.command("rotate")(guarded(rotate))
    group.command("revoke")(guarded(revoke))
    group.command("show")(guarded(show))
    app.add_typer(group, name="keys")


def new(
    file: Annotated[Path, typer.Argument(help="Where the encrypted key is written.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Make a signing key in an encrypted file; the passphrase is asked for, or in CITYMOTE_PASSPHRASE_FILE.

    Example: citymote update keys new release-2026.pem
    """
    from citymote.update import signing

    _made(file, signing.make_key(file).hex(), as_json)


def new_hash_based(
    file: Annotated[Path, typer.Argument(help="Where the key is written.", show_default=False)],
    levels: Annotated[
        str, typer.Option("--levels", help="Heights of the trees, 5, 10 or 15: 10 is 1,024 signatures.")
    ] = "10",
    as_json: JsonOption = False,
) -> None:
    """Make a hash-based key (HSS-LMS) for second signatures. Its file is never copied: it counts its signatures.

    Example: citymote update keys new-hash-based release-2026.hss
    """
    from citymote.errors import UsageError
    from citymote.update import hss_key

    try:
        heights = [int(part) for part in levels.split(",")]
    except ValueError:
        raise UsageError(f"{levels!r} are no heights of trees", "", "Write 10 or 10,10.") from None
    _made(file, hss_key.create(file, heights).hex(), as_json)


def _made(file: Path, public_key: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"file": str(file), "public": public_key}))
    else:
        print(public_key)
        say(f"citymote: {file} made; the line above is public. Without the passphrase nobody can use it, nor can you.")


def public(key: Annotated[str, typer.Argument(help=KEY_HELP, show_default=False)], as_json: JsonOption = False) -> None:
    """Print the public key of a signing key, wherever that is.

    Example: citymote update keys public "pkcs11:token=city;object=release?module-path=/usr/lib/softhsm/libsofthsm2.so"
    """
    from citymote.update import signing

    found = signing.open_key(key)
    print(json.dumps({"public": found.public.hex(), "kid": found.kid.hex()}) if as_json else found.public.hex())


def make(
    file: SetArgument,
    root: RootOption,
    release: ReleaseOption = None,
    emergency: EmergencyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the first key set, epoch 1, signed by the root.

    Example: citymote update keys make keys --root root.pem --release 02ab... --emergency 03cd...
    """
    from citymote.errors import UsageError
    from citymote.update import signing
    from citymote.update.keyring import KeySet

    if file.exists():
        raise UsageError(f"{file}: not made", "there is a file already", "Use add, rotate or revoke.")
    _write(file, KeySet(0, ()).changed(_keys(release, emergency)), signing.open_key(root), as_json)


def add(
    file: SetArgument,
    root: RootOption,
    release: ReleaseOption = None,
    emergency: EmergencyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add keys to a set: the next epoch.

    Example: citymote update keys add keys --root root.pem --release 02ab...
    """
    _change(file, root, _keys(release, emergency), [], as_json)


def rotate(
    file: SetArgument,
    old: Annotated[str, typer.Argument(help="Name of the key that goes, 12 digits.", show_default=False)],
    new_key: Annotated[str, typer.Argument(metavar="NEW", help="Public key that takes its place.")],
    root: RootOption,
    as_json: JsonOption = False,
) -> None:
    """Put a key in another one's place, with the same role: the next epoch.

    Nodes that poll seldom are never without: add the new key first, sign with it, and let the old one go later.

    Example: citymote update keys rotate keys 0123456789ab 02ab... --root root.pem
    """
    from citymote.update import signing
    from citymote.update.keyring import Key, load, public_key

    key = signing.open_key(root)
    found, kid = load(file, key.public), _kid(old)
    before = found.find(kid)
    role = before.role if before else "release"
    _write(file, found.changed([Key(public_key(new_key), role)], [kid]), key, as_json)


def revoke(
    file: SetArgument,
    name: Annotated[list[str], typer.Argument(help="Names of keys, 12 digits each.", show_default=False)],
    root: RootOption,
    as_json: JsonOption = False,
) -> None:
    """Take keys out of a set: the next epoch. What they signed is refused by every node that has it.

    Example: citymote update keys revoke keys 0123456789ab --root root.pem
    """
    _change(file, root, [], [_kid(text) for text in name], as_json)


def show(file: SetArgument, root: RootPublicOption, as_json: JsonOption = False) -> None:
    """Check a key set against the root's public key, and list it.

    Example: citymote update keys show keys --root 02ab...
    """
    from citymote.update.keyring import load, public_key

    _tell(load(file, public_key(root)), as_json)


def _keys(release: list[str] | None, emergency: list[str] | None) -> "list[Key]":
    from citymote.update.keyring import Key, public_key

    return [
        Key(public_key(text), role)
        for role, texts in (("release", release), ("emergency", emergency))
        for text in texts or ()
    ]


def _kid(text: str) -> bytes:
    from citymote.errors import UsageError

    try:
        kid = bytes.fromhex(text)
    except ValueError:
        kid = b""
    if len(kid) != 6:
        raise UsageError(f"{text!r} is no key's name", "", "It has 12 hexadecimal digits: citymote update keys show.")
    return kid


def _change(file: Path, root: str, more: "list[Key]", gone: list[bytes], as_json: bool) -> None:
    from citymote.errors import UsageError
    from citymote.update import signing
    from citymote.update.keyring import load

    if not more and not gone:
        raise UsageError("nothing would change", "", "Name keys with --release or --emergency.")
    key = signing.open_key(root)
    _write(file, load(file, key.public).changed(more, gone), key, as_json)


def _write(file: Path, made: "KeySet", root: "SigningKey", as_json: bool) -> None:
    statement = made.statement(root.owner)
    with output(file) as out:
        out.write(statement)
    _tell(made, as_json)


def _tell(found: "KeySet", as_json: bool) -> None:
    keys = [{"kid": key.kid.hex(), "role": key.role, "public": key.public.hex()} for key in found.keys]
    if as_json:
        print(json.dumps({"epoch": found.epoch, "keys": keys}))
        return
    print(f"epoch {found.epoch}")
    for key in keys:
        print(f"{key['kid']} {key['role']:<9} {key['public']}")
