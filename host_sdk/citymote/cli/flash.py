"""`citymote flash`: from a bare board to a node with a label, one board or a bench full of them."""

import getpass
import json
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from citymote.cli.common import JsonOption, Status, guarded, say
from citymote.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("flash")(guarded(flash))


def flash(
    board: Annotated[str, typer.Option("--board", help="The board's name, or the path of its folder.")],
    port: Annotated[
        list[str] | None,
        typer.Option("--port", help="Serial port; repeat it for several boards, or say auto for all on USB."),
    ] = None,
    runtime: Annotated[
        Path | None, typer.Option("--runtime", help="MicroPython's image for the chip; written when it is not there.")
    ] = None,
    labels: Annotated[Path, typer.Option("--labels", help="Folder for the labels of boards that pass.")] = Path(
        "labels"
    ),
    form: Annotated[str, typer.Option("--label-format", help="svg, png or pdf.")] = "svg",
    log: Annotated[Path, typer.Option("--log", help="The factory log: a JSON line an event.")] = Path("factory.jsonl"),
    operator: Annotated[
        str | None, typer.Option("--operator", help="Who works here; left out: your user name.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="JSON file with the settings that nodes leave the factory with.")
    ] = None,
    erase: Annotated[bool, typer.Option("--erase", help="Begin from blank flash: a new identity and label.")] = False,
    unlocked: Annotated[bool, typer.Option("--unlocked", help="Leave the serial prompt on, for development.")] = False,
    baud: Annotated[int, typer.Option("--baud", min=9600, help="For writing the runtime.")] = 460800,
    image: Annotated[
        Path | None, typer.Option("--image", help="Touch no board: write table and runtime into this file.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Make nodes of boards: runtime and partitions, application, identity, self-test, label, record, lock.

    The same command again goes on where a board was interrupted. Exit status 0 when every board passed; a board that
    fails gets no label and says why.

    Example: citymote flash --board airgradient-one --port /dev/ttyACM0 --runtime ESP32_GENERIC_C3.bin
    """
    from citymote import boards
    from citymote.factory import flash as factory
    from citymote.factory import image as images
    from citymote.factory.record import Log
    from citymote.factory.wire import ports as found_ports

    description = boards.describe(Path(board) if "/" in board or Path(board).is_dir() else board)
    boards.load(Path(description.path))  # a board with errors is not given to anybody
    given = None
    if runtime is not None:
        if description.chip is None:
            raise UsageError(f"{description.name} has no chip", "a virtual board takes no runtime")
        given = images.read(runtime, description.chip)
    if image is not None:
        return _image(description, given, image, as_json)
    if form not in ("svg", "png", "pdf"):
        raise UsageError(f"no label format {form!r}", "known are svg, png, pdf")
    ports = found_ports() if port == ["auto"] else list(port or [])
    if not ports:
        raise UsageError(
            "no board is connected" if port else "no port is named", "", "Say --port PORT, or --port auto."
        )
    labels.mkdir(parents=True, exist_ok=True)
    job = factory.Job(
        description,
        given,
        _settings(settings),
        labels,
        form,
        Log(log, operator or getpass.getuser()),
        erase,
        not unlocked,
        baud,
    )
    outcomes = factory.flash_all(ports, job, _Shown(len(ports)))
    for outcome in outcomes:
        if as_json:
            print(json.dumps(outcome.facts()))
        elif outcome.passed:
            facts = outcome.facts()
            print(f"{outcome.port} passed: {outcome.node} {facts['short_code']} {outcome.label}")
        else:
            say(f"citymote: {outcome.error}")
            print(f"{outcome.port} failed at {outcome.step}")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


class _Shown:
    """Each board's steps as lines, and how far they are on a terminal."""

    def __init__(self, count: int) -> None:
        self._status = Status()
        self._lock = threading.Lock()
        self._shares: dict[str, str] = {}
        self._count = count

    def __call__(self, port: str, step: str, share: float) -> None:
        with self._lock:
            if share == 0.0 and self._shares.get(port, "").split(" ")[0] != step:
                say(f"{port}: {step}")
            self._shares[port] = f"{step} {share:.0%}"
            self._status(lambda: ", ".join(f"{Path(one).name} {at}" for one, at in self._shares.items()))


def _settings(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"the settings {path} cannot be read", str(error)) from None
    if not isinstance(values, dict):
        raise UsageError(f"the settings {path} are no table", "a JSON object is expected")
    return values  # pyright: ignore[reportUnknownVariableType]


def _image(description: Any, given: Any, path: Path, as_json: bool) -> int:
    """Table and runtime as one file, from the flash's first byte on."""
    from citymote.factory import image as images
    from citymote.factory import partitions

    if given is None:
        raise UsageError("an image needs a runtime", "", "Say --runtime IMAGE.")
    parts = partitions.layout(description.flash_size, description.node["flash"])
    data = images.whole(images.pieces(given, description.chip, description.flash_size, parts))
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot write {path}", error.strerror or str(error)) from None
    rows = [{"label": p.label, "offset": p.offset, "size": p.size} for p in parts]
    if as_json:
        print(json.dumps({"image": str(path), "bytes": len(data), "runtime": given.version, "partitions": rows}))
        return 0
    for part in parts:
        print(f"{part.label:<10} {part.offset:#010x} {part.size:#9x}")
    say(f"citymote: {path}: {len(data)} bytes, to be written at 0x0")
    return 0
