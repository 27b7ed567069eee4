"""`citymote update push`, `rollout` and `status`: a signed bundle to one node or to a city, and how that goes."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citymote.cli.common import JsonOption, Status, guarded, say
from citymote.cli.desk import CaOption, PasswordOption, RadioOption, password, way
from citymote.nearby import open_radio

if TYPE_CHECKING:
    from citymote.session import Way
    from citymote.update.book import Rollout
    from citymote.update.desk import Desk, NodeStatus
    from citymote.update.plan import Plan

BookOption = Annotated[Path, typer.Option("--book", help="What is known of updates; SQLite.")]
StoreOption = Annotated[
    str | None, typer.Option("--store", "-s", help="The collector's store, from which nodes' events are read.")
]
FleetOption = Annotated[
    str | None, typer.Option("--fleet", help="The fleet registry; left out: nodes that were heard.")
]
UnsealedOption = Annotated[
    bool, typer.Option("--allow-unsealed", help="Believe events that no node has sealed: anybody could have sent them.")
]
WhereOption = Annotated[str, typer.Option("--where", help="Which nodes: site=mapo and not held and version<1.4.2")]
PublishOption = Annotated[Path, typer.Option("--publish", help="The folder that nodes poll, through a file server.")]
RootOption = Annotated[str, typer.Option("--root", help="The root's public key: who signed the key set.")]
KeysOption = Annotated[
    Path | None, typer.Option("--keys", help="The key set to publish; left out: the one that is there.")
]
AgainOption = Annotated[bool, typer.Option("--again", help="Also nodes that have this version.")]
DowngradeOption = Annotated[bool, typer.Option("--downgrade", help="Also nodes that have a newer version.")]
BOOK = Path("updates.db")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("push")(guarded(push))
    app.command("status")(guarded(status))
    group = typer.Typer(help="A release to many nodes, in stages.", no_args_is_help=True)
    group.command("begin")(guarded(begin))
    group.command("run")(guarded(run))
    group.command("pause")(guarded(pause))
    group.command("resume")(guarded(resume))
    group.command("abort")(guarded(abort))
    group.command("list")(guarded(list_))
    group.command("hold")(guarded(hold))
    group.command("unhold")(guarded(unhold))
    group.command("pin")(guarded(pin))
    group.command("unpin")(guarded(unpin))
    app.add_typer(group, name="rollout")


def push(
    node: Annotated[list[str], typer.Argument(help="Node ids or short codes.", show_default=False)],
    bundle: Annotated[Path, typer.Option("--bundle", help="The signed bundle.")],
    publish: Annotated[
        Path | None, typer.Option("--publish", help="The folder that nodes poll, through a file server.")
    ] = None,
    root: Annotated[str | None, typer.Option("--root", help="With --publish: the root's public key.")] = None,
    over: Annotated[
        str | None, typer.Option("--over", help="Carry it there now: ble, udp:HOST, serial:PORT, mqtt://HOST.")
    ] = None,
    owner: Annotated[Path | None, typer.Option("--owner", help="With --over: the owner store.")] = None,
    radio: RadioOption = None,
    password_file: PasswordOption = None,
    ca_file: CaOption = None,
    keys: KeysOption = None,
    book: BookOption = BOOK,
    store: StoreOption = None,
    fleet: FleetOption = None,
    wait: Annotated[
        str | None, typer.Option("--wait", help="Watch until all have ended, so long at most: 30min, 6h.")
    ] = None,
    again: AgainOption = False,
    downgrade: DowngradeOption = False,
    allow_unsealed: UnsealedOption = False,
    as_json: JsonOption = False,
) -> int:
    """Offer a release to these nodes now: one stage, no window. With --wait the exit status says whether all took it.

    With --over the release is carried to the nodes in protected sessions, one after the other: what they have already
    from another road is not sent again, and the same call goes on where it was.

    Example: citymote update push 0123456789ab --bundle new.zip --publish www --root 02ab... -s city.db --wait 1h
    """
    from citymote.errors import UsageError
    from citymote.update.plan import Amount, Plan, span

    if over is not None:
        if owner is None or fleet is None:
            raise UsageError("--over needs --owner and --fleet", "", "They say who you are, and the nodes' keys.")
        if radio is not None and over != "ble":
            raise UsageError("a radio is for --over ble")
        with ExitStack() as stack:
            adapter = None if radio is None else stack.enter_context(closing(open_radio(radio)))

            def road(name: str) -> "Way":
                return way(over, name, radio=adapter, secret=password(password_file), ca_file=ca_file)

            return _carry(_names(node), bundle, road, (owner, fleet), keys, as_json)
    if publish is None or root is None:
        raise UsageError("how is it to get there?", "", "Say --publish FOLDER with --root, or --over WAY.")

    if wait and store is None:
        raise UsageError("--wait needs --store", "", "Nodes tell how it goes through the collector.")
    condition = " or ".join(f"node={name}" for name in _names(node))
    patience = span(wait) if wait else 0.0
    with _desk(book, store, fleet, allow_unsealed) as desk, ExitStack() as stack:
        plan = Plan(stages=(Amount(100, True),), abort_at=Amount(100, True), soak=0)
        made = _begin(desk, bundle, root, keys, publish, condition, plan, (again, downgrade))
        ours = _conducts(desk, stack)
        if ours:
            desk.step()
        else:
            say("citymote: another program takes the rollouts forward, and this one with them")
        if wait and not _watch(desk, made.number, time.monotonic() + patience, 5.0, stack, ours):
            say(f"citymote: not over after {wait}; `rollout run` takes it on")
        return _outcome(desk, made.number, bool(wait), as_json)


def _conducts(desk: "Desk", stack: ExitStack) -> bool:
    """Be who takes the rollouts forward from here on, unless somebody is."""
    from citymote.update.book import Conducted

    try:
        stack.enter_context(desk.book.conducting())
    except Conducted:
        return False
    return True


def _names(given: list[str]) -> list[str]:
    from citymote.fleet import node_of

    return [node_of(text) for text in given]


def _carry(
    names: list[str], path: Path, road: "Callable[[str], Way]", ours: tuple[Path, str], keys: Path | None, as_json: bool
) -> int:
    """Carry a bundle to these nodes; 0 if each has it. `ours`: the owner's store and the registry."""
    import asyncio

    from citymote.errors import CitymoteError
    from citymote.fleet import open_fleet
    from citymote.node import Node
    from citymote.owner import OwnerStore
    from citymote.update.bundle import read
    from citymote.update.carry import Progress, carry
    from citymote.update.rollout import envelope_for

    found, rights = read(path), OwnerStore.load(ours[0])
    statement = keys.read_bytes() if keys else None
    shown = Status()

    def told(progress: Progress) -> None:
        shown(lambda: f"{progress.node} {progress.state} {progress.percent} %")

    async def one(name: str) -> int:
        with open_fleet(ours[1], create=False) as registry:
            record = registry.get(name)
        async with Node(road(name), record.public, rights) as node:
            envelope = envelope_for(found, record.board or (await node.info()).board)
            return await carry(node, found, envelope, keys=statement, told=told)

    failed = 0
    for name in names:
        outcome: dict[str, Any] = {"node": name}
        try:
            outcome["sent"] = asyncio.run(one(name))
            text = f"{name}: verified, {outcome['sent']:,} bytes sent"
        except CitymoteError as error:
            failed += 1
            outcome["error"], text = str(error), f"{name}: {error}"
        shown.clear()
        if as_json:
            print(json.dumps(outcome))
        else:
            say(text)
    return 1 if failed else 0


def begin(
    bundle: Annotated[Path, typer.Argument(help="The signed bundle.", show_default=False)],
    publish: PublishOption,
    root: RootOption,
    where: WhereOption = "",
    keys: KeysOption = None,
    stages: Annotated[
        str, typer.Option("--stages", help="Nodes by the end of each stage, in numbers or per cent.")
    ] = "1,10%,50%,100%",
    abort_at: Annotated[
        str, typer.Option("--abort-at", help="Failures that end it: a number, or per cent of those offered.")
    ] = "5%",
    enough: Annotated[int, typer.Option("--enough", min=1, max=100, help="Per cent of a stage that have to end.")] = 90,
    soak: Annotated[str, typer.Option("--soak", help="Pause between the end of a stage and the next.")] = "1h",
    patience: Annotated[
        str, typer.Option("--patience", help="After this a node that is not heard holds up no stage.")
    ] = "1d",
    window: Annotated[
        list[str] | None, typer.Option("--window", help="When nodes may be offered it: mon-fri 02:00-04:00 Asia/Seoul.")
    ] = None,
    parallel: Annotated[int, typer.Option("--parallel", min=0, help="Nodes under way at a time; 0: no limit.")] = 0,
    again: AgainOption = False,
    downgrade: DowngradeOption = False,
    book: BookOption = BOOK,
    store: StoreOption = None,
    fleet: FleetOption = None,
    allow_unsealed: UnsealedOption = False,
    as_json: JsonOption = False,
) -> int:
    """Begin a rollout. `citymote update rollout run` takes it forward; nothing is offered before.

    A bundle signed by an emergency key does not wait for windows.

    Example: citymote update rollout begin citymote-1.4.2.zip --publish www --root 02ab... --where outdated
    """
    from citymote.update import plan as plans

    plan = plans.Plan(
        plans.stages(stages), plans.Amount.parse(abort_at), enough, plans.span(soak), plans.span(patience), parallel,
        tuple(plans.Window.parse(text) for text in window or ()),
    )  # fmt: skip
    with _desk(book, store, fleet, allow_unsealed) as desk:
        made = _begin(desk, bundle, root, keys, publish, where, plan, (again, downgrade))
        return _outcome(desk, made.number, False, as_json)


def _begin(
    desk: "Desk", path: Path, root: str, keys: Path | None, folder: Path, condition: str, plan: "Plan",
    chosen: tuple[bool, bool],
) -> "Rollout":  # fmt: skip
    from citymote.update.bundle import read
    from citymote.update.keyring import load, public_key
    from citymote.update.publish import Publication
    from citymote.update.rollout import Options

    bundle, owner, publication = read(path), public_key(root), Publication(folder)
    if keys is not None:
        publication.put_keys(keys.read_bytes(), load(keys, owner), owner)
    return desk.begin(bundle, owner, condition, publication, plan, options=Options(*chosen))


def run(
    book: BookOption = BOOK,
    store: StoreOption = None,
    fleet: FleetOption = None,
    every: Annotated[str, typer.Option("--every", help="Between two looks.")] = "30s",
    once: Annotated[bool, typer.Option("--once", help="One look, for a timer of one's own.")] = False,
    allow_unsealed: UnsealedOption = False,
    as_json: JsonOption = False,
) -> int:
    """Take all rollouts forward until they have ended, or Ctrl-C: read what nodes say, offer, go on, or stop.

    It may be killed and started at will. The exit status is 0 unless a rollout was aborted.

    Example: citymote update rollout run --store city.db --fleet city.fleet
    """
    from citymote.errors import UsageError
    from citymote.update.plan import span

    if store is None and not once:
        raise UsageError("--store is needed", "", "Nodes tell how it goes through the collector; --once does without.")
    pause = span(every)
    with _desk(book, store, fleet, allow_unsealed) as desk, desk.book.conducting():
        begun = {made.number: len(list(desk.book.history(made.number))) for made in desk.book.active()}
        status = Status()
        try:
            while True:
                left = desk.step()
                for made in left:  # others may have begun some meanwhile
                    begun.setdefault(made.number, 0)
                for number, said in sorted(begun.items()):
                    lines = list(desk.book.history(number))
                    for moment, what in lines[said:]:
                        _line(number, moment, what, as_json)
                    begun[number] = len(lines)
                if once or not left:
                    break
                status(lambda left=left: "; ".join(_short(desk, made) for made in left))
                time.sleep(pause)
        finally:
            status.clear()
        return 1 if any(desk.book.rollout(number).status == "aborted" for number in begun) else 0


def _line(number: int, moment: float, what: str, as_json: bool) -> None:
    when = datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    told = {"rollout": number, "time": when, "what": what}
    # whoever reads along reads it now, not in a week
    print(json.dumps(told) if as_json else f"{when} rollout {number}: {what}", flush=True)


def _short(desk: "Desk", made: "Rollout") -> str:
    counts = desk.counts(made.number)
    return f"rollout {made.number}: " + ", ".join(f"{number} {state}" for state, number in counts.items())


def _watch(desk: "Desk", number: int, until: float, every: float, stack: ExitStack, ours: bool) -> bool:
    """Look until a rollout is over, or the time is up; whether it is over. Who took it forward may have gone."""
    shown = Status()
    try:
        while True:
            ours = ours or _conducts(desk, stack)
            if all(made.number != number for made in (desk.step() if ours else desk.book.active())):
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            shown(lambda: _short(desk, desk.book.rollout(number)))
            time.sleep(min(every, left))
    finally:
        shown.clear()


def _outcome(desk: "Desk", number: int, judge: bool, as_json: bool) -> int:
    found = list(desk.status(number=number))
    made = desk.book.rollout(number)
    if as_json:
        print(json.dumps({**_rollout(desk, made), "nodes": [one.as_dict() for one in found]}))
    else:
        say(f"citymote: rollout {number} of {made.version}, sequence {made.sequence}: {len(found)} nodes")
        _table(found)
    left_out = [one for one in found if str(one.as_dict()["state"]) == "left_out"]
    if judge:
        return 0 if all(one.as_dict()["state"] == "confirmed" for one in found) else 1
    return 1 if left_out and len(left_out) == len(found) else 0


def pause(
    number: Annotated[int, typer.Argument(help="The rollout.")], book: BookOption = BOOK,
    why: Annotated[str, typer.Option("--why", help="For whoever asks.")] = "", as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Offer nothing more for now; nodes that have begun go on.

    Example: citymote update rollout pause 3 --why "storm warning"
    """
    _change(number, book, "paused", why, as_json)


def resume(
    number: Annotated[int, typer.Argument(help="The rollout.")], book: BookOption = BOOK, as_json: JsonOption = False
) -> None:
    """Go on with a rollout that was paused.

    Example: citymote update rollout resume 3
    """
    _change(number, book, "running", "", as_json)


def abort(
    number: Annotated[int, typer.Argument(help="The rollout.")], book: BookOption = BOOK,
    why: Annotated[str, typer.Option("--why", help="For whoever asks.")] = "", as_json: JsonOption = False,
) -> None:  # fmt: skip
    """End a rollout: what has not begun is called back; what has begun ends as it will.

    Example: citymote update rollout abort 3 --why "wrong notes"
    """
    _change(number, book, "aborted", why, as_json)


def _change(number: int, path: Path, status: str, why: str, as_json: bool) -> None:
    from citymote.update.rollout import change

    with _desk(path, None, None, False) as desk:
        change(desk.book, number, status, time.time(), why)
        if as_json:
            print(json.dumps({"rollout": number, "status": status, "why": why}))
        say(f"citymote: rollout {number} is {status}; `rollout run` does what follows from it")


def list_(book: BookOption = BOOK, as_json: JsonOption = False) -> None:
    """List the rollouts, newest last.

    Example: citymote update rollout list
    """
    with _desk(book, None, None, False) as desk:
        for made in desk.book.rollouts():
            if as_json:
                print(json.dumps(_rollout(desk, made)))
            else:
                why = f" ({made.why})" if made.why else ""
                print(f"{made.number}: {made.version}, {made.status}{why}; {_short(desk, made).partition(': ')[2]}")


def _rollout(desk: "Desk", made: "Rollout") -> dict[str, Any]:
    return {
        "rollout": made.number, "version": made.version, "sequence": made.sequence, "content": made.content,
        "where": made.condition, "status": made.status, "why": made.why, "stage": made.stage + 1,
        "stages": len(made.plan.stages), "emergency": made.emergency, "plan": made.plan.as_json(),
        "counts": desk.counts(made.number),
    }  # fmt: skip


NodeOption = Annotated[str | None, typer.Option("--node", help="This node.")]
SiteOption = Annotated[str | None, typer.Option("--site", help="All nodes of this site.")]
WhyOption = Annotated[str, typer.Option("--why", help="For whoever asks.")]


def hold(
    node: NodeOption = None, site: SiteOption = None, why: WhyOption = "", book: BookOption = BOOK,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Offer nothing to a node, or a site, until it is let go.

    Example: citymote update rollout hold --site mapo --why "measuring campaign until May"
    """
    _rule("hold", node, site, "", why, book, as_json)


def unhold(
    node: NodeOption = None, site: SiteOption = None, book: BookOption = BOOK, as_json: JsonOption = False
) -> None:
    """Let a node or a site go.

    Example: citymote update rollout unhold --site mapo
    """
    _drop("hold", node, site, book, as_json)


def pin(
    version: Annotated[str, typer.Argument(help="The version that it keeps.")],
    node: NodeOption = None,
    site: SiteOption = None,
    why: WhyOption = "",
    book: BookOption = BOOK,
    as_json: JsonOption = False,
) -> None:
    """Offer a node, or a site, nothing but this version: what was rolled back on purpose stays so.

    Example: citymote update rollout pin 1.4.1 --node 0123456789ab
    """
    from citymote.update.version import Version

    _rule("pin", node, site, str(Version.parse(version)), why, book, as_json)


def unpin(
    node: NodeOption = None, site: SiteOption = None, book: BookOption = BOOK, as_json: JsonOption = False
) -> None:
    """Let a node or a site have any version again.

    Example: citymote update rollout unpin --node 0123456789ab
    """
    _drop("pin", node, site, book, as_json)


def _scope(node: str | None, site: str | None) -> tuple[str, str]:
    from citymote.errors import UsageError

    if (node is None) == (site is None):
        raise UsageError("one of --node and --site is needed")
    return ("node", _names([node])[0]) if node is not None else ("site", site or "")


def _rule(kind: str, node: str | None, site: str | None, version: str, why: str, path: Path, as_json: bool) -> None:
    from citymote.update.book import Rule

    scope, name = _scope(node, site)
    with _desk(path, None, None, False) as desk:
        desk.book.set_rule(Rule(kind, scope, name, version, why))
    if as_json:
        print(json.dumps({"rule": kind, scope: name, "why": why} | ({"version": version} if version else {})))


def _drop(kind: str, node: str | None, site: str | None, path: Path, as_json: bool) -> None:
    scope, name = _scope(node, site)
    with _desk(path, None, None, False) as desk:
        desk.book.drop_rule(kind, scope, name)
    if as_json:
        print(json.dumps({"dropped": kind, scope: name}))


def status(
    where: WhereOption = "",
    rollout: Annotated[int | None, typer.Option("--rollout", help="Only nodes of this rollout.")] = None,
    component: Annotated[
        str | None, typer.Option("--component", help="Nodes that run this component: NAME or NAME@VERSION.")
    ] = None,
    book: BookOption = BOOK,
    store: StoreOption = None,
    fleet: FleetOption = None,
    allow_unsealed: UnsealedOption = False,
    as_json: JsonOption = False,
) -> int:
    """How each node's update goes, in a sentence; which nodes run what.

    --component answers from the releases' SBOMs and what nodes say of their runtime; --where can ask the same with
    component:NAME<VERSION.

    Example: citymote update status --where "version!=1.4.2" --store city.db
    """
    with _desk(book, store, fleet, allow_unsealed) as desk:
        desk.hear()
        if component is not None:
            name, _, version = component.partition("@")
            for node, found in desk.running(name, version or None):
                print(json.dumps({"node": node, "component": name, "version": found}) if as_json else f"{node} {found}")
            return 0
        found = list(desk.status(where, rollout))
        if as_json:
            for one in found:
                print(json.dumps(one.as_dict()))
        else:
            _table(found)
    return 0


def _table(found: "list[NodeStatus]") -> None:
    for one in sorted(found, key=lambda one: one.facts.node):
        facts = one.facts
        place = " ".join(part for part in (facts.site, facts.board, facts.version or "unknown version") if part)
        target = f" -> {one.rollout.version}" if one.rollout and one.rollout.version != facts.version else ""
        print(f"{facts.node}  {place}{target}: {one.text}")


def _desk(book: Path, store: str | None, fleet: str | None, allow_unsealed: bool) -> "Desk":
    from citymote.update.desk import Desk

    return Desk(book, store, fleet, allow_unsealed=allow_unsealed)
