"""`citymote node`: talk to one node."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from citymote.cli import node_talk
from citymote.cli.common import JsonOption, guarded, say
from citymote.cli.desk import (
    FLEET,
    OWNER,
    CaOption,
    FleetOption,
    OwnerOption,
    PasswordOption,
    RadioOption,
    ViaOption,
    talk,
)
from citymote.errors import UsageError

if TYPE_CHECKING:
    from citymote.calibration import Request, Result


class NodeFirst(TyperGroup):
    """Takes the node in front of the verb as well, as people say it: citymote node NODE info."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the verb first where it comes second."""
        if len(args) > 1 and args[0] not in self.commands and args[1] in self.commands:
            args = [args[1], args[0], *args[2:]]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(cls=NodeFirst, no_args_is_help=True, help="Talk to one node: citymote node NODE info.")
    node_talk.register(group)
    group.command("calibrate-sound")(guarded(calibrate_sound))
    app.add_typer(group, name="node")


def calibrate_sound(
    *,
    node: Annotated[
        str | None, typer.Argument(help="A node at work: its id, or the short code of its label.", show_default=False)
    ] = None,
    instrument: Annotated[str, typer.Option("--instrument", help="What it is calibrated with: maker, type, number.")],
    operator: Annotated[str, typer.Option("--operator", help="Who does it: initials are enough, they are published.")],
    port: Annotated[
        str | None, typer.Option("--port", help="Serial port of a board that is not locked.", show_default=False)
    ] = None,
    virtual: Annotated[
        Path | None, typer.Option("--virtual", help="Directory of a virtual node.", show_default=False)
    ] = None,
    level: Annotated[float, typer.Option("--level", help="Level of the calibrator, dB.")] = 94.0,
    reference: Annotated[
        float | None,
        typer.Option(
            "--reference", help="No calibrator: LAeq that a reference meter beside it shows, dB.", show_default=False
        ),
    ] = None,
    meter: Annotated[int, typer.Option("--meter", min=0, help="Which of the node's sound level meters.")] = 0,
    error: Annotated[
        float, typer.Option("--error", help="Virtual node: how far its microphone is off its data sheet, dB.")
    ] = 0.0,
    via: ViaOption = "ble", radio: RadioOption = None, password_file: PasswordOption = None, ca_file: CaOption = None,
    fleet: FleetOption = FLEET, owner: OwnerOption = OWNER, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Calibrate a node's sound level meter with a 1 kHz calibrator, or against a reference meter.

    Put the calibrator on the microphone (or the reference meter beside it, in steady sound), then:

    citymote node 2VNZW-9VSYY-= calibrate-sound --level 94 --instrument "Type 4231 no. 31" --operator hk

    The node listens for ten seconds (a minute against a reference), refuses what is no steady tone of 1 kHz or too far
    off to be believed, and stores one offset with date, instrument and operator. Its descriptor carries them.
    """
    from citymote.calibration import SECONDS, Request, over_serial

    if [node, port, virtual].count(None) != 2:
        raise UsageError("which node is meant", "", "Give a node of the registry, --port PORT or --virtual DIRECTORY.")
    kind = "calibrator" if reference is None else "reference"
    request = Request(level if reference is None else reference, instrument, operator, kind, meter)
    say(f"the node listens for {SECONDS[kind]} seconds ...")
    if node is not None:
        result = talk(
            lambda session: session.calibrate(request), node, owner=owner, fleet=fleet, via=via, radio=radio,
            password_file=password_file, ca_file=ca_file, note="calibrate sound",
        )  # fmt: skip
    elif virtual is not None:
        result = _on_virtual(virtual, request, error)
    else:
        result = over_serial(port or "", request)
    if as_json:
        print(json.dumps(asdict(result)))
        return
    print(f"{result.microphone}: heard {result.heard:.2f} dB, it was {result.level:.2f} dB")
    print(f"offset {result.offset:+.2f} dB (before: {result.before:+.2f} dB), stored; take the calibrator off")


def _on_virtual(directory: Path, request: "Request", error: float) -> "Result":
    """A virtual node hears what it is to hear: the calibrator's tone, or a street as loud as the reference says."""
    from citymote import boards
    from citymote.calibration import on_virtual
    from citymote.testing.bridge import Wiring
    from citymote.testing.emul.microphone import I2SMicrophone

    described = directory / "board.json"
    board: dict[str, Any] = json.loads(described.read_text()) if described.exists() else boards.load("virtual")
    meters = [sensor for sensor in board["sensors"] if sensor["driver"] == "sound_meter"]
    if request.meter >= len(meters):
        raise UsageError(f"{directory} has {len(meters)} sound level meters")
    settings: dict[str, Any] = meters[request.meter].get("settings") or {}
    microphone = I2SMicrophone(
        lambda now: request.level, settings.get("microphone", "inmp441"), settings.get("rate", 48000), "always",
        error=error,
    )  # fmt: skip
    if request.kind == "calibrator":
        microphone.calibrator = request.level
    return on_virtual(directory, board, Wiring({meters[request.meter]["bus"]: microphone}), request)
