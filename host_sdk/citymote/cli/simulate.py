"""`citymote simulate`: virtual nodes with the real firmware, to develop a collector or a dashboard against."""

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citymote.cli.common import JsonOption, guarded, say
from citymote.simulate import Result

if TYPE_CHECKING:
    from citymote.keys import KeyFile


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("simulate")(guarded(simulate))


def simulate(
    broker: Annotated[str, typer.Argument(help="mqtt[s]://[user@]host[:port]", show_default=False)],
    nodes: Annotated[int, typer.Option("--nodes", min=1, max=100_000, help="So many nodes.")] = 3,
    hours: Annotated[float, typer.Option("--hours", min=0.01, help="So much of their time.")] = 24.0,
    speed: Annotated[float, typer.Option("--speed", min=0.0, help="Times real time; 0: as fast as they can.")] = 1.0,
    interval: Annotated[int, typer.Option("--interval", min=1, max=86400, help="Seconds between two rows.")] = 120,
    batch: Annotated[int, typer.Option("--batch", min=1, max=255, help="Rows in a frame.")] = 5,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="Key file: nodes seal for its collector and are registered in it.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the nodes' flash; kept.")] = Path("citymote-nodes"),
    seed: Annotated[int, typer.Option("--seed", help="Another seed is another city.")] = 1,
    heap: Annotated[
        str | None, typer.Option("--heap", help="Python heap of a node, such as 120k; left out: the board's.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Run virtual nodes against a broker, until their time is over or Ctrl-C.

    Each node is a MicroPython process with the firmware of a board and emulated chips, in a city made from the seed.
    With a key file the frames are sealed, and `citymote collect --keys` with the same file opens them; without one they
    go bare, which a real node does only where its owner allows it.

    Example: citymote simulate mqtt://localhost --nodes 10 --speed 60 --keys city.keys
    """
    from citymote.demo.city import generate
    from citymote.demo.city_nodes import poles
    from citymote.demo.options import check_extras, check_hours
    from citymote.keys import KeyFile
    from citymote.simulate import Fleet

    check_extras("a virtual node")
    check_hours(hours, interval)
    file: KeyFile | None = None
    if keys is not None:
        file = KeyFile.load(keys) if keys.exists() else KeyFile.create(keys)
    settings: dict[str, object] = {"batch": batch, "max_delay": 0 if not speed else 2 * batch * interval}
    if file is not None:
        settings["collector_key"] = file.collectors[-1].public.hex()
    else:
        settings["unsealed"] = True
    plans = [pole.plan for pole in poles(generate(nodes, hours, interval, seed), min(nodes, 10), seed)]
    lock = threading.Lock()

    def hear(_: str, event: object) -> None:
        if getattr(event, "name", "") == "identity" and file is not None:
            with lock:
                _register(file, event)

    def progress(result: Result, done: int, of: int) -> None:
        if as_json:
            print(json.dumps(_facts(result)), flush=True)
        else:
            say(f"citymote: {done} of {of}: node {result.name} {result.error or 'is done'}")

    with Fleet(
        plans, out, broker=broker, settings=settings, speed=speed, heap=heap, progress=progress, on_event=hear
    ) as fleet:
        results = fleet.run()
    return 1 if any(result.error for result in results) else 0


def _register(file: "KeyFile", event: object) -> None:
    """Enrol a node as the factory line would: by the public key that it has just drawn."""
    file.refresh()  # others register nodes, too, while these run
    public = bytes.fromhex(getattr(event, "data")["public_key"])  # noqa: B009, an event's data is the node's own
    if public not in file.nodes.values():
        file.add_node(public)
        file.save()


def _facts(result: "Result") -> dict[str, object]:
    return {"name": result.name, **result.report, "seconds": round(result.seconds, 2), "error": result.error}
