"""`citymote scan`: which nodes are in the air, and in which state."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citymote.cli.common import JsonOption, guarded, say
from citymote.nearby import DETAILS, Sighting, State, open_radio, scan

if TYPE_CHECKING:
    from rich.table import Table

RadioOption = Annotated[
    str | None,
    typer.Option(
        "--radio",
        help="Another radio than this computer's, through Bumble: usb:0, serial:/dev/ttyACM0, tcp-client:HOST:PORT.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("scan")(guarded(look))


def look(
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="So long.")] = 10.0,
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            help="Only nodes that say this: unowned, service, trial-failed, uplink-lost, recovering, safe-mode.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option("--label", help="Only nodes whose label is in this photo or text; may be repeated."),
    ] = None,
    radio: RadioOption = None,
    as_json: JsonOption = False,
) -> int:
    """List the nodes in range: those without an owner, and those in service mode. The others are silent.

    What a node says here proves nothing: anybody can say the same. Who it is shows when it is claimed or talked to.

    Example: citymote scan --seconds 5 --state unowned --json
    """
    wanted, named = _state(state), _labels(labels)
    adapter = None if radio is None else open_radio(radio)
    try:
        found = asyncio.run(_look(seconds, wanted, named, adapter, as_json))
    finally:
        if adapter is not None:
            adapter.close()
    if not found:
        say("citymote: no node was heard. A node with an owner and an uplink is silent; its button opens service mode")
    elif not as_json and not _live():
        for sighting in sorted(found.values(), key=lambda s: -s.rssi):
            print(_line(sighting))
    return 0


def _state(name: str | None) -> State | None:
    if name is None:
        return None
    try:
        return State[name.upper().replace("-", "_")]
    except KeyError:
        raise typer.BadParameter(f"there is no state {name!r}", param_hint="--state") from None


def _labels(paths: list[Path] | None) -> set[str] | None:
    if paths is None:
        return None
    from citymote.label import load

    return {label.node for path in paths for label in load(path)}


def _live() -> bool:
    return sys.stdout.isatty()


async def _look(
    seconds: float, wanted: State | None, named: set[str] | None, radio: object, as_json: bool
) -> dict[str, Sighting]:
    found: dict[str, Sighting] = {}

    def take(sighting: Sighting) -> bool:
        if named is not None and sighting.node not in named:
            return False
        if wanted is not None and sighting.state != wanted:
            found.pop(sighting.node, None)
            return False
        found[sighting.node] = sighting
        return True

    if as_json:
        async for sighting in scan(seconds, radio=radio):  # pyright: ignore[reportArgumentType]
            if take(sighting):
                print(json.dumps(facts(sighting)), flush=True)
        return found
    if not _live():
        async for sighting in scan(seconds, radio=radio):  # pyright: ignore[reportArgumentType]
            take(sighting)
        return found
    from rich.live import Live

    with Live(_table(found), refresh_per_second=4) as live:
        async for sighting in scan(seconds, radio=radio):  # pyright: ignore[reportArgumentType]
            take(sighting)
            live.update(_table(found))
    return found


def facts(sighting: Sighting) -> dict[str, object]:
    """What a program is told of a node in the air."""
    told: dict[str, object] = {
        "node": sighting.node,
        "address": sighting.address,
        "rssi": sighting.rssi,
        "state": sighting.state.name.lower(),
    }
    reason = _reason(sighting)
    if reason:
        told["reason"] = reason
    return told


def _reason(sighting: Sighting) -> str:
    if not sighting.detail:
        return ""
    if sighting.state == State.RECOVERING:
        return f"{sighting.detail} h left"
    return DETAILS.get(sighting.detail, f"reason {sighting.detail}")


def _line(sighting: Sighting) -> str:
    reason = _reason(sighting)
    text = f"{sighting.node}  {sighting.rssi:4d} dBm  {sighting.state}"
    return f"{text}: {reason}" if reason else text


def _table(found: dict[str, Sighting]) -> "Table":
    from rich.table import Table

    table = Table(title=f"{len(found)} nodes")
    for column in ("node", "signal", "state", "why", "address"):
        table.add_column(column, justify="right" if column == "signal" else "left")
    for one in sorted(found.values(), key=lambda s: -s.rssi):
        table.add_row(one.node, f"{one.rssi} dBm", str(one.state), _reason(one), one.address)
    return table
