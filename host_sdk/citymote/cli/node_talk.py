"""The verbs of `citymote node` that talk to a running node over a protected session, whatever carries it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from citymote.cli.common import JsonOption, guarded
from citymote.cli.desk import (
    FLEET,
    OWNER,
    CaOption,
    FleetOption,
    OwnerOption,
    PasswordOption,
    RadioOption,
    ViaOption,
    load_fleet,
    load_owner,
    talk,
)
from citymote.errors import UsageError

if TYPE_CHECKING:
    from citymote import Node

T = TypeVar("T")
NodeArgument = Annotated[str, typer.Argument(help="Node id, or the short code of its label.", show_default=False)]
KINDS = {
    "restart": 0,
    "readings": 1,
    "factory": 2,
    "open-prompt": 3,
    "shut-prompt": 4,
    "leave-service": 5,
    "enter-service": 6,
}


def register(group: typer.Typer) -> None:
    """Add the verbs to the group."""
    group.command("info")(guarded(info))
    group.command("config")(guarded(config))
    group.command("live")(guarded(live))
    group.command("log")(guarded(log))
    group.command("identify")(guarded(identify))
    group.command("reset")(guarded(reset))
    group.command("time")(guarded(set_time))
    group.command("epoch")(guarded(epoch))
    group.command("transfer")(guarded(transfer))
    group.command("take")(guarded(take))
    group.command("recover")(guarded(recover))
    group.command("veto")(guarded(veto))


def info(
    node: NodeArgument, via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None,
    ca_file: CaOption = None, fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Who a node is and how it is.

    Example: citymote node 2VNZW-9VSYY-= info --via mqtts://me@broker.city
    """
    told = talk(
        lambda session: session.info(), node, owner=owner, fleet=fleet, via=via, radio=radio,
        password_file=password_file, ca_file=ca_file,
    )  # fmt: skip
    facts: dict[str, Any] = {name: value for name, value in asdict(told).items() if value is not None}
    facts |= {"public": told.public.hex(), "role": str(told.role)}
    if isinstance(facts.get("time"), datetime):
        facts["time"] = facts["time"].isoformat()
    facts.pop("update", None)
    _print(facts, as_json)


def _print(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts, default=lambda value: value.hex()))
    else:
        for name, value in facts.items():
            print(f"{name:16} {value}")


def config(
    node: NodeArgument,
    pending: Annotated[bool, typer.Option("--pending", help="What waits for a trial.")] = False,
    plan: Annotated[
        Path | None, typer.Option("--set", help="A plan: put these settings over what waits.", show_default=False)
    ] = None,
    trial: Annotated[int, typer.Option("--trial", help="Try what waits under this number, another one each time.")] = 0,
    via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None, ca_file: CaOption = None,
    fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Show a node's settings, or change them: what is set waits until a trial has proved it.

    Example: citymote node 2VNZW-9VSYY-= config --set new.toml --trial 7 --json
    """
    from citymote.plan import load

    settings = None if plan is None else load(plan)

    async def do(session: "Node") -> dict[str, Any]:
        if settings is not None:
            await session.configure(settings.for_node(None, None))
        if trial:
            return asdict(await session.trial(trial, settings.trial_seconds if settings is not None else 180))
        return await session.config(pending=pending or settings is not None)

    note = "configure" if settings is not None or trial else ""
    _print(
        talk(
            do, node, owner=owner, fleet=fleet, via=via, radio=radio, password_file=password_file, ca_file=ca_file,
            note=note,
        ),
        as_json,
    )  # fmt: skip


def live(
    node: NodeArgument,
    rows: Annotated[int, typer.Option("--rows", min=0, help="So many rows, then stop; 0: until Ctrl-C.")] = 0,
    via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None, ca_file: CaOption = None,
    fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Readings as they are measured.

    Example: citymote node 2VNZW-9VSYY-= live --rows 1
    """
    from citymote.reading import as_json as line

    async def do(session: "Node") -> None:
        seen = 0
        async for readings in session.live():
            for one in readings:
                value = "absent" if one.value is None else f"{one.value:g} {one.unit}"
                print(
                    line(one) if as_json else f"{one.time:%H:%M:%S}  {one.quantity}.{one.sensor}  {value}", flush=True
                )
            seen += 1
            if seen == rows:
                return

    talk(do, node, owner=owner, fleet=fleet, via=via, radio=radio, password_file=password_file, ca_file=ca_file)


def log(
    node: NodeArgument, via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None,
    ca_file: CaOption = None, fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """A node's last lines.

    Example: citymote node 2VNZW-9VSYY-= log --via serial:/dev/ttyUSB0
    """
    text = talk(
        lambda session: session.log(), node, owner=owner, fleet=fleet, via=via, radio=radio,
        password_file=password_file, ca_file=ca_file,
    )  # fmt: skip
    print(json.dumps({"log": text.splitlines()}) if as_json else text, end="\n" if as_json else "")


def identify(
    node: NodeArgument,
    seconds: Annotated[int, typer.Option("--seconds", min=0, max=120)] = 30,
    via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None, ca_file: CaOption = None,
    fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Let a node blink, to find it among others.

    Example: citymote node 2VNZW-9VSYY-= identify
    """
    _do(
        lambda session: session.identify(seconds), node, {"identify": seconds}, as_json, owner, fleet, via, radio,
        password_file, ca_file,
    )  # fmt: skip


def reset(
    node: NodeArgument,
    kind: Annotated[str, typer.Argument(help=", ".join(KINDS))],
    minutes: Annotated[int | None, typer.Option("--minutes", help="For enter-service.", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="For factory and readings: do it.")] = False,
    via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None, ca_file: CaOption = None,
    fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Restart a node, wipe it, or open and shut its ways in.

    Example: citymote node 2VNZW-9VSYY-= reset restart
    """
    from citymote.node import Reset

    if kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}", param_hint="KIND")
    if kind in ("factory", "readings") and not yes:
        raise UsageError(f"{kind} wipes what cannot be had again", "", "Say --yes if it is meant.")
    _do(
        lambda session: session.reset(Reset(KINDS[kind]), minutes=minutes), node, {"reset": kind}, as_json, owner,
        fleet, via, radio, password_file, ca_file, note=f"reset {kind}",
    )  # fmt: skip


def set_time(
    node: NodeArgument, via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None,
    ca_file: CaOption = None, fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Set a node's clock to this computer's; with the owner's key, it counts for delegations' ends, too.

    Example: citymote node 2VNZW-9VSYY-= time
    """
    signer = load_owner(owner).owner
    told: dict[str, Any] = {"signed": signer is not None}

    async def do(session: "Node") -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        await session.set_time(now, signer=signer)
        told["time"] = now.isoformat()

    _do(do, node, told, as_json, owner, fleet, via, radio, password_file, ca_file, note="time")


def epoch(
    node: NodeArgument, via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None,
    ca_file: CaOption = None, fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Tell a node the owner's epoch: what was delegated before is worth nothing there from now on.

    Example: citymote node 2VNZW-9VSYY-= epoch --via mqtts://me@broker.city
    """
    number = load_owner(owner).epoch
    _do(
        lambda session: session.raise_epoch(number), node, {"epoch": number}, as_json, owner, fleet, via, radio,
        password_file, ca_file, note="epoch",
    )  # fmt: skip


def transfer(
    node: NodeArgument,
    to: Annotated[str, typer.Option("--to", help="The new owner's key (`citymote owner show` there).")],
    via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None, ca_file: CaOption = None,
    fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Offer a node to another owner, who takes it with `take`. Until then it stays yours; raising the epoch ends it.

    Example: citymote node 2VNZW-9VSYY-= transfer --to 02ab12
    """
    store = load_owner(owner)
    signer = store.signer()
    try:
        key = bytes.fromhex(to)
    except ValueError:
        key = b""
    if len(key) != 33 or key[0] not in (2, 3):
        raise UsageError("this is no owner's key", "", "It has 66 hexadecimal digits that begin with 02 or 03.")
    _do(
        lambda session: session.transfer(signer, key, epoch=store.epoch), node, {"offered_to": to}, as_json, owner,
        fleet, via, radio, password_file, ca_file, note="transfer",
    )  # fmt: skip


def take(
    node: NodeArgument, via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None,
    ca_file: CaOption = None, fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Take a node that its owner has offered. It forgets its configuration: provision it afterwards.

    Example: citymote node 2VNZW-9VSYY-= take
    """
    signer = load_owner(owner).signer()
    _do(
        lambda session: session.take_over(signer), node, {"owner": signer.public.hex()}, as_json, owner, fleet, via,
        radio, password_file, ca_file, note="take", stranger=True,
    )  # fmt: skip


def recover(
    node: NodeArgument, via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None,
    ca_file: CaOption = None, fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Begin to recover a node whose owner's keys are lost: hold the button inside of its case meanwhile.

    It takes hours, is announced in the air, and its owner can end it. The label has to be in the registry.

    Example: citymote node 2VNZW-9VSYY-= recover
    """
    from citymote.fleet import node_of

    store = load_owner(owner)
    with load_fleet(fleet, store) as registry:
        secret = registry.secret(node_of(node))
    if secret is None:
        raise UsageError(f"the label of node {node} is not in the registry", "", "Add it: citymote fleet add LABEL.")
    hours = talk(
        lambda session: session.recover(secret, store.owner_public), node, owner=owner, fleet=fleet, via=via,
        radio=radio, password_file=password_file, ca_file=ca_file, note="recover", stranger=True,
    )  # fmt: skip
    told = {"node": node_of(node), "hours": hours}
    print(json.dumps(told) if as_json else f"{hours} hours from now it has no owner")


def veto(
    node: NodeArgument, via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None,
    ca_file: CaOption = None, fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """End a recovery that somebody has begun with the button inside of the node's case.

    Example: citymote node 2VNZW-9VSYY-= veto
    """
    _do(
        lambda session: session.veto(), node, {"recovery_hours": None}, as_json, owner, fleet, via, radio,
        password_file, ca_file, note="veto",
    )  # fmt: skip


def _do(
    do: "Callable[[Node], Awaitable[None]]", node: str, told: Mapping[str, Any], as_json: bool, owner: Path, fleet: str,
    via: str, radio: str | None, password_file: Path | None, ca_file: str | None, *, note: str = "",
    stranger: bool = False,
) -> None:  # fmt: skip
    """Do it, and say with --json what was done; people see no more than that it succeeded."""
    talk(
        do, node, owner=owner, fleet=fleet, via=via, radio=radio, password_file=password_file, ca_file=ca_file,
        note=note, stranger=stranger,
    )  # fmt: skip
    if as_json:
        from citymote.fleet import node_of

        print(json.dumps({"node": node_of(node), **told}))
