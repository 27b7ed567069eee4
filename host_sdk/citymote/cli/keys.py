"""`citymote keys`: the collector's key file: make it, and say whose frames it opens."""

import json
from pathlib import Path
from typing import Annotated

import typer

from citymote.cli.common import JsonOption, guarded, say

FileArgument = Annotated[Path, typer.Argument(help="The key file.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verb's group."""
    group = typer.Typer(help="The collector's key file: who may seal for it.", no_args_is_help=True)
    group.command("make")(guarded(make))
    group.command("add")(guarded(add))
    group.command("remove")(guarded(remove))
    group.command("show")(guarded(show))
    app.add_typer(group, name="keys")


def make(file: FileArgument, as_json: JsonOption = False) -> None:
    """Make a key file with a fresh collector key; its public half goes into the configuration of the nodes.

    Example: citymote keys make city.keys
    """
    from citymote.keys import KeyFile

    keys = KeyFile.create(file)
    public = keys.collectors[-1].public.hex()
    if as_json:
        print(json.dumps({"file": str(file), "collector": public}))
    else:
        print(public)
        say(f"citymote: {file} made. Keep it and a copy safe; the line above is public and goes to the nodes.")


def add(
    file: FileArgument,
    public: Annotated[list[str], typer.Argument(help="Public keys from labels, 66 hexadecimal digits each.")],
    as_json: JsonOption = False,
) -> None:
    """Register nodes by the public keys on their labels.

    Example: citymote keys add city.keys 02a1b2...
    """
    from citymote.errors import UsageError
    from citymote.keys import KeyFile

    keys = KeyFile.load(file)
    names: list[str] = []
    for text in public:
        try:
            names.append(keys.add_node(bytes.fromhex(text)).hex())
        except ValueError:
            hint = "Copy it from the node's label or record: 66 hexadecimal digits that begin with 02 or 03."
            raise UsageError(f"{text[:12]}... is no public key of P-256", "", hint) from None
    keys.save()
    for name in names:
        print(json.dumps({"node": name}) if as_json else name)


def remove(
    file: FileArgument, node: Annotated[str, typer.Argument(help="Node id.")], as_json: JsonOption = False
) -> None:
    """Forget a node, a stolen one for example: its frames no longer open.

    Example: citymote keys remove city.keys 0123456789ab
    """
    from citymote.errors import UsageError
    from citymote.keys import KeyFile

    keys = KeyFile.load(file)
    try:
        name = bytes.fromhex(node)
    except ValueError:
        raise UsageError(f"{node!r} is no node id", "", "A node id has 12 hexadecimal digits.") from None
    keys.remove_node(name)
    keys.save()
    if as_json:
        print(json.dumps({"removed": name.hex()}))


def show(file: FileArgument, as_json: JsonOption = False) -> None:
    """List the collector's public keys and the nodes; secrets are never shown.

    Example: citymote keys show city.keys --json
    """
    from citymote.keys import KeyFile

    keys = KeyFile.load(file)
    collectors = [key.public.hex() for key in keys.collectors]
    nodes = sorted(name.hex() for name in keys.nodes)
    if as_json:
        print(json.dumps({"collectors": collectors, "nodes": nodes}))
        return
    for public in collectors:
        print(f"collector {public}")
    for name in nodes:
        print(f"node      {name}")
