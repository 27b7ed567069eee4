"""`citymote owner`: the keys that nodes belong to, and who else may do what."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citymote.cli.common import JsonOption, guarded, output, say
from citymote.cli.desk import OWNER, OwnerOption, load_owner
from citymote.errors import UsageError

if TYPE_CHECKING:
    from citymote.owner import Grant


def register(app: typer.Typer) -> None:
    """Add the verb's group."""
    group = typer.Typer(
        help="Whose nodes they are: keys, and delegations to installers and readers.", no_args_is_help=True
    )
    group.command("make")(guarded(make))
    group.command("show")(guarded(show))
    group.command("delegate")(guarded(delegate))
    group.command("accept")(guarded(accept))
    group.command("epoch")(guarded(epoch))
    app.add_typer(group, name="owner")


def make(
    file: OwnerOption = OWNER,
    delegate_only: Annotated[
        bool, typer.Option("--delegate-only", help="For an installer or reader: no signing key, only this host's.")
    ] = False,
    keyring: Annotated[
        bool, typer.Option("--keyring", help="Keep the store's key in the system's keyring instead of a passphrase.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a store with fresh keys. Keep a copy of the file and its passphrase: without them the nodes are lost.

    Example: citymote owner make
    """
    from citymote import OwnerStore

    store = OwnerStore.create(file, keyring=keyring, signing=not delegate_only)
    facts = {"file": str(file), "host": store.host.public.hex()}
    if store.owner is not None:
        facts["owner"] = store.owner.public.hex()
    if as_json:
        print(json.dumps(facts))
        return
    for name in ("owner", "host"):
        if name in facts:
            print(f"{name:6} {facts[name]}")
    say(f"citymote: {file} made. Keep it and a copy safe; the lines above are public.")


def show(file: OwnerOption = OWNER, as_json: JsonOption = False) -> None:
    """Show the store's public keys and the delegations in it; secrets are never shown.

    Example: citymote owner show --json
    """
    store = load_owner(file)
    if as_json:
        owner = None if store.owner is None else store.owner.public.hex()
        told: dict[str, Any] = {"owner": owner, "host": store.host.public.hex(), "epoch": store.epoch}
        told["delegations"] = [_facts(one) for one in store.grants]
        print(json.dumps(told))
        return
    if store.owner is not None:
        print(f"owner  {store.owner.public.hex()}  epoch {store.epoch}")
    print(f"host   {store.host.public.hex()}")
    for one in store.grants:
        left = "expired" if one.expires <= datetime.now(UTC) else f"until {one.expires:%Y-%m-%d}"
        print(f"       {one.role} of {' '.join(one.audience)}, {left}")


def _facts(one: "Grant") -> dict[str, Any]:
    return {"role": one.role, "audience": list(one.audience), "expires": one.expires.isoformat(), "epoch": one.epoch}


def delegate(
    host: Annotated[str, typer.Argument(help="The host key that it is for (`citymote owner show` there).")],
    role: Annotated[str, typer.Option("--role", help="installer, reader or owner.")] = "installer",
    nodes: Annotated[list[str] | None, typer.Option("--node", help="A node; may be repeated.")] = None,
    sites: Annotated[list[str] | None, typer.Option("--site", help="A site; may be repeated.")] = None,
    days: Annotated[float, typer.Option("--days", min=0.01, help="So long.")] = 30,
    out: Annotated[Path | None, typer.Option("--out", help="File; else standard output.", show_default=False)] = None,
    file: OwnerOption = OWNER,
    as_json: JsonOption = False,
) -> None:
    """Let somebody else's host do something, on listed nodes or sites. What comes out is no secret.

    Example: citymote owner delegate 02ab... --site harbour --days 7 --out kim.delegation
    """
    from citymote.delegate import site
    from citymote.fleet import node_of

    audience = [node_of(node) for node in nodes or ()] + [site(name) for name in sites or ()]
    if not audience:
        raise UsageError("it is not said where", "", "Give --node or --site.")
    try:
        key = bytes.fromhex(host)
    except ValueError:
        raise UsageError("this is no host key", "", "It has 66 hexadecimal digits that begin with 02 or 03.") from None
    grant = load_owner(file).delegate(key, role, audience, days=days)
    with output(out) as stream:
        stream.write(grant.text().encode())
    if as_json and out is not None:  # on standard output it is a document itself
        print(json.dumps(_facts(grant) | {"file": str(out)}))


def accept(
    delegation: Annotated[Path, typer.Argument(help="The file that the owner made; - is standard input.")],
    file: OwnerOption = OWNER,
    as_json: JsonOption = False,
) -> None:
    """Keep a delegation that is for this host.

    Example: citymote owner accept kim.delegation
    """
    from citymote.owner import Grant

    try:
        text = sys.stdin.read() if str(delegation) == "-" else delegation.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{delegation} cannot be read") from None
    store = load_owner(file)
    grant = Grant.parse(text)
    store.accept(grant)
    store.save()
    if as_json:
        print(json.dumps(_facts(grant)))
    say(f"citymote: {grant.role} of {' '.join(grant.audience)} until {grant.expires:%Y-%m-%d}")


def epoch(file: OwnerOption = OWNER, as_json: JsonOption = False) -> None:
    """Revoke everything that was delegated so far. Nodes have to be told: `citymote node NODE epoch` for each.

    Example: citymote owner epoch
    """
    store = load_owner(file)
    number = store.raise_epoch()
    store.save()
    print(json.dumps({"epoch": number}) if as_json else number)
