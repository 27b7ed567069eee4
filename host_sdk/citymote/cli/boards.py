"""`citymote boards`: the boards that are known, what is on them, and whether a description of one's own is sound."""

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from citymote.cli.common import JsonOption, guarded

BoardArgument = Annotated[str, typer.Argument(help="A board's name, or the path of a board.toml.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verb's group."""
    group = typer.Typer(help="Boards: list, show, check.", no_args_is_help=True)
    group.command("list")(guarded(listing))
    group.command("show")(guarded(show))
    group.command("check")(guarded(check))
    app.add_typer(group, name="boards")


def listing(as_json: JsonOption = False) -> None:
    """List the boards that citymote brings along.

    Example: citymote boards list
    """
    from citymote import boards

    for name in boards.names():
        made = boards.load(name)
        sensors = [str(sensor["driver"]) for sensor in made["sensors"]]
        if as_json:
            print(json.dumps({"board": name, "sensors": sensors}))
        else:
            print(f"{name:<16} {', '.join(sensors)}")


def show(board: BoardArgument, as_json: JsonOption = False) -> None:
    """Show one board: its buses, sensors and flash. With --json, the board.json that a node is given.

    Example: citymote boards show virtual
    """
    from citymote import boards

    made = boards.load(_place(board))
    if as_json:
        print(json.dumps(made))
        return
    print(made["board"])
    for name, bus in cast("dict[str, dict[str, Any]]", made["buses"]).items():
        pins = ", ".join(f"{key} {value}" for key, value in bus.items() if key != "kind")
        print(f"  bus     {name:<10} {bus['kind']:<8} {pins}".rstrip())
    for sensor in cast("list[dict[str, Any]]", made["sensors"]):
        bus = sensor["bus"]
        where = "+".join(cast("list[str]", bus)) if isinstance(bus, list) else str(bus)
        print(f"  sensor  {sensor['driver']:<14} {where:<14} instance {sensor['instance']}")
    for name, blocks in cast("dict[str, int]", made["flash"]).items():
        print(f"  flash   {name:<10} {blocks} blocks of 4096 bytes")


def check(board: BoardArgument, as_json: JsonOption = False) -> None:
    """Check a board description before a node has to live with it.

    Example: citymote boards check my/board.toml
    """
    from citymote import boards

    made = boards.load(_place(board))
    if as_json:
        print(json.dumps({"board": made["board"], "sound": True}))
    else:
        print(f"{made['board']} is sound: {len(made['sensors'])} sensors on {len(made['buses'])} buses")


def _place(board: str) -> str | Path:
    """A path where it is one, else a name."""
    return Path(board) if "/" in board or board.endswith(".toml") or Path(board).is_dir() else board
