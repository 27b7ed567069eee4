"""`citymote boards`: the boards that are known, what is on them, whether one's own is sound, and how to begin one."""

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from citymote.cli.common import JsonOption, guarded, say

BoardArgument = Annotated[
    str, typer.Argument(help="A board's name, or the path of its folder or board.toml.", show_default=False)
]
BoardsArgument = Annotated[
    list[str] | None, typer.Argument(help="Names or paths; none: every known board.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the verb's group."""
    group = typer.Typer(help="Boards: list, show, check, add.", no_args_is_help=True)
    group.command("list")(guarded(listing))
    group.command("show")(guarded(show))
    group.command("check")(guarded(check))
    group.command("add")(guarded(add))
    app.add_typer(group, name="boards")


def listing(as_json: JsonOption = False) -> None:
    """List the boards that citymote brings along, and your own.

    Example: citymote boards list
    """
    from citymote import boards

    for name in boards.names():
        one = boards.describe(name)
        sensors = [str(sensor["driver"]) for sensor in one.node["sensors"]]
        chip = one.chip.key if one.chip else ""
        if as_json:
            facts = {"board": name, "title": one.title, "chip": chip or None, "sensors": sensors, "path": one.path}
            print(json.dumps(facts))
        else:
            print(f"{name:<22} {chip:<8} {', '.join(sensors)}")


def show(board: BoardArgument, as_json: JsonOption = False) -> None:
    """Show one board: its chip, buses, pins, sensors and flash. With --json, the board.json that a node is given.

    Example: citymote boards show xiao-esp32c3
    """
    from citymote import boards

    if as_json:
        print(json.dumps(boards.load(_place(board))))
        return
    one = boards.describe(_place(board))
    print(f"{one.name}: {one.title}")
    if one.chip:
        psram = f", {one.psram_size >> 20} MB {one.psram} PSRAM" if one.psram else ""
        print(f"  chip    {one.chip.name}, {one.flash_size >> 20} MB flash{psram}, console on {one.console}")
        print(f"  radio   {', '.join(one.radios)}")
    for name, bus in one.buses.items():
        pins = ", ".join(f"{key} {value}" for key, value in bus.items() if key not in ("kind", "others", "shared"))
        others = "".join(f", {other} at 0x{at:02X}" for other, at in bus.get("others", {}).items())
        print(f"  bus     {name:<14} {bus['kind']:<8} {pins}{others}".rstrip())
    for name, pin in one.pins.items():
        print(f"  pin     {name:<14} {'out' if pin.get('out') else 'in':<8} {pin['pin']}")
    for name, reserved in one.reserved.items():
        print(f"  taken   {name:<23} {', '.join(map(str, reserved))}")
    for sensor in cast("list[dict[str, Any]]", one.node["sensors"]):
        bus = sensor["bus"]
        where = "+".join(cast("list[str]", bus)) if isinstance(bus, list) else str(bus)
        print(f"  sensor  {sensor['driver']:<14} {where:<8} instance {sensor['instance']}")
    for name, blocks in cast("dict[str, int]", one.node["flash"]).items():
        print(f"  flash   {name:<14} {blocks} blocks of 4096 bytes")
    for source in one.sources:
        print(f"  source  {source}")


def check(board: BoardsArgument = None, as_json: JsonOption = False) -> int:
    """Check board descriptions before a node has to live with them: syntax, pins against the chip, buses, addresses.

    Exit status 0 when no board has an error; warnings are said and pass.

    Example: citymote boards check my/board
    """
    from citymote import boards

    wrong = 0
    for name in board or boards.names():
        findings: list[dict[str, str]] = []
        try:
            one = boards.describe(_place(name))
            title, sensors, buses = one.name, len(one.node["sensors"]), len(one.buses)
            findings = [
                {"level": found.level, "file": found.where, "key": found.key, "reason": found.reason}
                for found in boards.check(_place(name))
            ]
        except boards.BoardError as error:
            if not as_json and len(board or ()) == 1:
                raise
            title, sensors, buses = name, 0, 0
            findings = [{"level": "error", "file": error.what, "key": "", "reason": error.why}]
        errors = sum(found["level"] == "error" for found in findings)
        wrong += bool(errors)
        if as_json:
            print(json.dumps({"board": title, "sound": not errors, "findings": findings}))
            continue
        for found in findings:
            say(f"citymote: {found['level']}: {found['file']}: {found['key']}: {found['reason']}")
        if errors:
            print(f"{title} has {errors} error{'s' if errors > 1 else ''}")
        else:
            print(f"{title} is sound: {sensors} sensors on {buses} buses")
    return 1 if wrong else 0


def add(
    name: Annotated[str, typer.Argument(help="The new board's name: small letters, digits, -.", show_default=False)],
    like: Annotated[str | None, typer.Option("--like", help="Begin with a copy of this board.")] = None,
    chip: Annotated[str | None, typer.Option("--chip", help="Begin with this chip and an empty I2C bus.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="The board's name for people.")] = None,
    flash: Annotated[int, typer.Option("--flash", help="MB of flash: 4, 8, 16 or 32.")] = 4,
    psram: Annotated[str | None, typer.Option("--psram", help="quad or octal; left out: none.")] = None,
    console: Annotated[str | None, typer.Option("--console", help="uart or usb; left out: the chip's first.")] = None,
    folder: Annotated[Path, typer.Option("--folder", help="Folder of boards that gets the new one's folder.")] = Path(),
    as_json: JsonOption = False,
) -> int:
    """Begin a board of your own: a folder with a board.toml, from another board or from a chip; then check it.

    Asks for what the options leave open when it runs on a terminal.

    Example: citymote boards add pole-c3 --like esp32-c3-devkitm --title "Pole node, rev B"
    """
    import sys

    from citymote import boards

    if like is None and chip is None and sys.stdin.isatty():
        like = typer.prompt("Begin with a copy of which board (empty: none)", default="", show_default=False) or None
        if like is None:
            chip = typer.prompt(f"Which chip ({', '.join(boards.chips())})")
            flash = typer.prompt("MB of flash", default=flash, type=int)
        title = title or typer.prompt("The board's name for people", default=name)
    path, found = boards.add(
        name, folder, like=_place(like) if like else None, chip_name=chip, title=title, flash=flash, psram=psram,
        console=console,
    )  # fmt: skip
    errors = [one for one in found if one.level == boards.ERROR]
    if as_json:
        print(json.dumps({"board": name, "path": str(path), "sound": not errors, "findings": [str(f) for f in found]}))
    else:
        print(path)
        for one in found:
            say(f"citymote: {one}")
        say(f"citymote: edit it, then: citymote boards check {path.parent}/")
    return 1 if errors else 0


def _place(board: str) -> str | Path:
    """A path where it is one, else a name."""
    return Path(board) if "/" in board or board.endswith(".toml") or Path(board).is_dir() else board
