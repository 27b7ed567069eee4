"""`citymote fleet`: the registry of nodes and stations, and what concerns many nodes at once."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citymote.cli.common import JsonOption, guarded, say
from citymote.cli.desk import (
    FLEET,
    KEYS,
    OWNER,
    CaOption,
    FleetOption,
    KeyFileOption,
    OwnerOption,
    PasswordOption,
    ViaOption,
    load_fleet,
    load_owner,
    password,
    way,
)
from citymote.errors import UsageError

if TYPE_CHECKING:
    from citymote.fleet import NodeRecord

NodeArgument = Annotated[str, typer.Argument(help="Node id, or the short code of its label.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verb's group."""
    group = typer.Typer(help="The registry of nodes and stations.", no_args_is_help=True)
    group.command("make")(guarded(make))
    group.command("add")(guarded(add))
    group.command("list")(guarded(show_all))
    group.command("show")(guarded(show))
    group.command("replace")(guarded(replace))
    group.command("revoke")(guarded(revoke))
    group.command("audit")(guarded(audit))
    group.command("keys")(guarded(fill_keys))
    group.command("rotate")(guarded(rotate))
    app.add_typer(group, name="fleet")


def make(fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False) -> None:
    """Make an empty registry: a file of its owner's alone, or the tables in a PostgreSQL database.

    Example: citymote fleet make
    """
    with load_fleet(fleet, load_owner(owner), create=True) as registry:
        registry.note("make registry", None)
    if as_json:
        print(json.dumps({"fleet": fleet}))
    say(f"citymote: {fleet} is ready")


def add(
    labels: Annotated[list[Path], typer.Argument(help="Photos of labels, or text files with one a line.")],
    site: Annotated[str | None, typer.Option("--site", help="Where they belong.", show_default=False)] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A word to choose them by; may be repeated.")] = None,
    fleet: FleetOption = FLEET,
    owner: OwnerOption = OWNER,
    as_json: JsonOption = False,
) -> None:
    """Register nodes by their labels. The claim secret is sealed; the label itself is needed no more.

    Example: citymote fleet add photos/*.jpg --site harbour
    """
    from citymote.label import load

    with load_fleet(fleet, load_owner(owner)) as registry:
        for path in labels:
            for label in load(path):
                registry.add(label, tags=tags or (), **({} if site is None else {"site": site}))
                registry.note("add", label.node)
                print(json.dumps({"node": label.node, "short_code": label.short_code}) if as_json else label.node)


def _facts(one: "NodeRecord") -> dict[str, Any]:
    facts = {name: value for name, value in asdict(one).items() if value not in (None, (), "")}
    facts |= {"public": one.public.hex(), "stage": str(one.stage)}
    facts |= {name: facts[name].isoformat() for name in ("seen", "revoked") if name in facts}
    facts.pop("digest", None)
    return facts


def show_all(
    site: Annotated[str | None, typer.Option("--site", show_default=False)] = None,
    tag: Annotated[str | None, typer.Option("--tag", show_default=False)] = None,
    revoked: Annotated[bool, typer.Option("--revoked", help="Only those that are ours no more.")] = False,
    fleet: FleetOption = FLEET,
    as_json: JsonOption = False,
) -> None:
    """List the nodes, those of a site, or those with a tag.

    Example: citymote fleet list --site harbour --json
    """
    with load_fleet(fleet) as registry:
        for one in registry.nodes(site=site, tag=tag, revoked=revoked):
            if as_json:
                print(json.dumps(_facts(one)))
            else:
                seen = "" if one.seen is None else f"seen {one.seen:%Y-%m-%d %H:%M}"
                print(f"{one.node}  {one.stage:12} {one.site or '-':12} {one.station or '-':16} {seen}".rstrip())


def show(node: NodeArgument, fleet: FleetOption = FLEET, as_json: JsonOption = False) -> None:
    """What is known of one node, where it has been, and how its provisioning went.

    Example: citymote fleet show 2VNZW-9VSYY-=
    """
    from citymote.fleet import node_of

    with load_fleet(fleet) as registry:
        one = registry.get(node_of(node))
        stays = [stay for stay in registry.stays() if stay.node == one.node]
        steps = registry.steps(one.node)
    if as_json:
        at = [
            {"station": s.station, "since": s.since.isoformat(), "until": s.until and s.until.isoformat()}
            for s in stays
        ]
        done = [{"time": s.time.isoformat(), "stage": s.stage, "outcome": s.outcome, "detail": s.detail} for s in steps]
        print(json.dumps(_facts(one) | {"stays": at, "journal": done}))
        return
    for name, value in _facts(one).items():
        print(f"{name:12} {value}")
    for stay in stays:
        until = "now" if stay.until is None else f"{stay.until:%Y-%m-%d %H:%M}"
        print(f"at {stay.station} from {stay.since:%Y-%m-%d %H:%M} until {until}")
    for step in steps:
        print(f"{step.time:%Y-%m-%d %H:%M:%S}  {step.stage:12} {step.outcome} {step.detail}".rstrip())


def replace(
    old: Annotated[str, typer.Argument(help="The node that goes.")],
    new: Annotated[str, typer.Argument(help="The node that hangs there from now on.")],
    fleet: FleetOption = FLEET,
    owner: OwnerOption = OWNER,
    as_json: JsonOption = False,
) -> None:
    """A new node takes an old one's place: the station and its series go on.

    Example: citymote fleet replace 0123456789ab 2VNZW-9VSYY-=
    """
    from citymote.fleet import node_of

    with load_fleet(fleet, load_owner(owner)) as registry:
        names = node_of(old), node_of(new)
        station = registry.replace(*names)
    print(json.dumps({"station": station, "old": names[0], "new": names[1]}) if as_json else station)


def revoke(
    node: NodeArgument,
    why: Annotated[str, typer.Option("--why", help="For the audit log.")],
    keys: KeyFileOption = KEYS,
    mint: Annotated[
        str | None, typer.Option("--mint", help="The command that knows the broker; called with `revoke NODE`.")
    ] = None,
    mosquitto: Annotated[Path | None, typer.Option("--mosquitto", help="Mosquitto's password file.")] = None,
    mosquitto_pid: Annotated[
        Path | None, typer.Option("--mosquitto-pid", help="File with the broker's number.")
    ] = None,
    fleet: FleetOption = FLEET,
    owner: OwnerOption = OWNER,
    as_json: JsonOption = False,
) -> None:
    """A node is ours no more, stolen for example: at the broker, at the collector, in the registry.

    Example: citymote fleet revoke 0123456789ab --why "stolen" --mosquitto /etc/mosquitto/passwords
    """
    from citymote.fleet import node_of
    from citymote.keys import KeyFile

    broker = credentials(mint, mosquitto, mosquitto_pid)
    name = node_of(node)
    with load_fleet(fleet, load_owner(owner)) as registry:
        registry.get(name)
        # the broker first: whoever holds the node is locked out before anything else is done
        if broker is not None:
            asyncio.run(broker.revoke(name))
        registry.revoke(name, why)
        if keys.exists():
            file = KeyFile.load(keys)
            registry.fill(file)
            file.save()
    if as_json:
        print(json.dumps({"node": name, "why": why, "broker_told": broker is not None}))
    if broker is None:
        say("citymote: the broker has not been told: give --mint or --mosquitto")


def credentials(command: str | None, mosquitto: Path | None, pid: Path | None) -> Any:
    """Whoever knows the broker, as the options say."""
    import shlex

    from citymote.credentials import CommandCredentials, MosquittoFile

    if command is not None and mosquitto is not None:
        raise UsageError("credentials come from one place", "", "Give --mint or --mosquitto.")
    if command is not None:
        return CommandCredentials(shlex.split(command))
    return None if mosquitto is None else MosquittoFile(mosquitto, pid=pid)


def audit(
    node: Annotated[
        str | None, typer.Option("--node", help="Only what was done to this one.", show_default=False)
    ] = None,
    head: Annotated[
        bool, typer.Option("--head", help="Only number and hash of the last entry, to be kept elsewhere.")
    ] = False,
    fleet: FleetOption = FLEET,
    as_json: JsonOption = False,
) -> None:
    """Who did what to which node. The whole chain is checked first; exit status 1 where an entry was altered.

    Example: citymote fleet audit --node 0123456789ab
    """
    from citymote.fleet import node_of

    with load_fleet(fleet) as registry:
        count = registry.verify()
        number, digest = registry.audit_head()
        if head:
            print(json.dumps({"number": number, "hash": digest.hex()}) if as_json else f"{number} {digest.hex()}")
            return
        for one in registry.audit(None if node is None else node_of(node)):
            if as_json:
                print(
                    json.dumps(
                        {"number": one.number, "time": one.time.isoformat(), "who": one.who, "what": one.what,
                         "node": one.node, "outcome": one.outcome, "detail": one.detail}
                    )
                )  # fmt: skip
            else:
                who = f"{one.time:%Y-%m-%d %H:%M:%S}  {one.who}  {one.node or '-':12}"
                said = f"{who}  {one.what}: {one.outcome} {one.detail}"
                print(said.rstrip())
    say(f"citymote: {count} entries, unbroken")


def fill_keys(keys: KeyFileOption = KEYS, fleet: FleetOption = FLEET, as_json: JsonOption = False) -> None:
    """Let the collector's key file open the frames of every node here, and of no revoked one.

    Example: citymote fleet keys --keys city.keys
    """
    from citymote.keys import KeyFile

    file = KeyFile.load(keys)
    with load_fleet(fleet) as registry:
        added, removed = registry.fill(file)
    file.save()
    print(json.dumps({"added": added, "removed": removed}) if as_json else f"{added} added, {removed} removed")


def rotate(
    plan: Annotated[Path, typer.Option("--plan", help="What changes: networks, uplink, settings (as for provision).")],
    via: ViaOption,
    site: Annotated[str | None, typer.Option("--site", help="All nodes of this site.", show_default=False)] = None,
    nodes: Annotated[list[str] | None, typer.Option("--node", help="This one; may be repeated.")] = None,
    after: Annotated[
        str | None, typer.Option("--after", help="The way to them once they have changed, where it is another.")
    ] = None,
    password_file: PasswordOption = None,
    ca_file: CaOption = None,
    fleet: FleetOption = FLEET,
    owner: OwnerOption = OWNER,
    as_json: JsonOption = False,
) -> int:
    """Change network or broker of nodes that work. A node that cannot follow is back on its old settings by itself.

    Example: citymote fleet rotate --site harbour --plan new-wifi.toml --via mqtts://me@broker.city
    """
    from citymote.fleet import node_of
    from citymote.plan import load
    from citymote.provisioning import Outcome
    from citymote.provisioning import rotate as change

    if (site is None) == (nodes is None):
        raise UsageError("which nodes are meant", "", "Give --site or --node.")
    settings = load(plan)
    store, secret = load_owner(owner), password(password_file)

    def ended(one: Outcome) -> None:
        print(json.dumps(one.facts()) if as_json else f"{one.node}  {one.outcome}  {one.reason}".rstrip(), flush=True)

    with load_fleet(fleet, store) as registry:
        names = [node_of(node) for node in nodes or ()] or [one.node for one in registry.nodes(site=site)]
        report = asyncio.run(
            change(
                registry, store, names, settings.for_node(None, None),
                lambda node: way(via, node, secret=secret, ca_file=ca_file),
                after=None if after is None else lambda node: way(after, node, secret=secret, ca_file=ca_file),
                seconds=settings.trial_seconds, progress=ended,
            )
        )  # fmt: skip
    return 1 if report.failed or not report.outcomes else 0
