"""`citymote update push` and `status`: a signed bundle to some nodes now, and how each node's update goes."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citymote.cli.common import JsonOption, Status, guarded, say
from citymote.cli.desk import CaOption, PasswordOption, RadioOption, password, way
from citymote.cli.update_common import (
    BOOK,
    AgainOption,
    BookOption,
    DowngradeOption,
    FleetOption,
    KeysOption,
    StoreOption,
    UnsealedOption,
    WhereOption,
    begin_rollout,
    counts_of,
    node_ids,
    open_desk,
    outcome,
    table,
)
from citymote.nearby import open_radio

if TYPE_CHECKING:
    from citymote.session import Way
    from citymote.update.desk import Desk


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("push")(guarded(push))
    app.command("status")(guarded(status))


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

            return _carry(node_ids(node), bundle, road, (owner, fleet), keys, as_json)
    if publish is None or root is None:
        raise UsageError("how is it to get there?", "", "Say --publish FOLDER with --root, or --over WAY.")

    if wait and store is None:
        raise UsageError("--wait needs --store", "", "Nodes tell how it goes through the collector.")
    condition = " or ".join(f"node={name}" for name in node_ids(node))
    patience = span(wait) if wait else 0.0
    with open_desk(book, store, fleet, allow_unsealed) as desk, ExitStack() as stack:
        plan = Plan(stages=(Amount(100, True),), abort_at=Amount(100, True), soak=0)
        made = begin_rollout(desk, bundle, root, keys, publish, condition, plan, (again, downgrade))
        ours = _conducts(desk, stack)
        if ours:
            desk.step()
        else:
            say("citymote: another program takes the rollouts forward, and this one with them")
        if wait and not _watch(desk, made.number, time.monotonic() + patience, 5.0, stack, ours):
            say(f"citymote: not over after {wait}; `rollout run` takes it on")
        return outcome(desk, made.number, bool(wait), as_json)


def _conducts(desk: "Desk", stack: ExitStack) -> bool:
    """Be who takes the rollouts forward from here on, unless somebody is."""
    from citymote.update.book import Conducted

    try:
        stack.enter_context(desk.book.conducting())
    except Conducted:
        return False
    return True


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
            shown(lambda: counts_of(desk, desk.book.rollout(number)))
            time.sleep(min(every, left))
    finally:
        shown.clear()


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
    with open_desk(book, store, fleet, allow_unsealed) as desk:
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
            table(found)
    return 0
