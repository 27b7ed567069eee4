"""`citymote update rollout`: a release to many nodes, in stages, and which nodes are held back from it."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from citymote.cli.common import JsonOption, Status, guarded, say
from citymote.cli.update_common import (
    BOOK,
    AgainOption,
    BookOption,
    DowngradeOption,
    FleetOption,
    KeysOption,
    PublishOption,
    RootOption,
    StoreOption,
    UnsealedOption,
    WhereOption,
    begin_rollout,
    counts_of,
    node_ids,
    open_desk,
    outcome,
    rollout_facts,
)


def register(app: typer.Typer) -> None:
    """Add the group."""
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
    with open_desk(book, store, fleet, allow_unsealed) as desk:
        made = begin_rollout(desk, bundle, root, keys, publish, where, plan, (again, downgrade))
        return outcome(desk, made.number, False, as_json)


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
    with open_desk(book, store, fleet, allow_unsealed) as desk, desk.book.conducting():
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
                status(lambda left=left: "; ".join(counts_of(desk, made) for made in left))
                time.sleep(pause)
        finally:
            status.clear()
        return 1 if any(desk.book.rollout(number).status == "aborted" for number in begun) else 0


def _line(number: int, moment: float, what: str, as_json: bool) -> None:
    when = datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    told = {"rollout": number, "time": when, "what": what}
    # whoever reads along reads it now, not in a week
    print(json.dumps(told) if as_json else f"{when} rollout {number}: {what}", flush=True)


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

    with open_desk(path, None, None, False) as desk:
        change(desk.book, number, status, time.time(), why)
        if as_json:
            print(json.dumps({"rollout": number, "status": status, "why": why}))
        say(f"citymote: rollout {number} is {status}; `rollout run` does what follows from it")


def list_(book: BookOption = BOOK, as_json: JsonOption = False) -> None:
    """List the rollouts, newest last.

    Example: citymote update rollout list
    """
    with open_desk(book, None, None, False) as desk:
        for made in desk.book.rollouts():
            if as_json:
                print(json.dumps(rollout_facts(desk, made)))
            else:
                why = f" ({made.why})" if made.why else ""
                print(f"{made.number}: {made.version}, {made.status}{why}; {counts_of(desk, made).partition(': ')[2]}")


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
    return ("node", node_ids([node])[0]) if node is not None else ("site", site or "")


def _rule(kind: str, node: str | None, site: str | None, version: str, why: str, path: Path, as_json: bool) -> None:
    from citymote.update.book import Rule

    scope, name = _scope(node, site)
    with open_desk(path, None, None, False) as desk:
        desk.book.set_rule(Rule(kind, scope, name, version, why))
    if as_json:
        print(json.dumps({"rule": kind, scope: name, "why": why} | ({"version": version} if version else {})))


def _drop(kind: str, node: str | None, site: str | None, path: Path, as_json: bool) -> None:
    scope, name = _scope(node, site)
    with open_desk(path, None, None, False) as desk:
        desk.book.drop_rule(kind, scope, name)
    if as_json:
        print(json.dumps({"dropped": kind, scope: name}))
