"""`citymote demo`: the whole story without hardware."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citymote.cli.common import JsonOption, guarded, say
from citymote.cli.desk import PasswordOption
from citymote.errors import UsageError

if TYPE_CHECKING:
    from citymote.demo.run import Outcome


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo")(guarded(demo))


def demo(
    ctx: typer.Context,
    data: Annotated[
        Path | None, typer.Option("--data", help="CSV to play: S-DoT, Smart Citizen, or any by --mapping.")
    ] = None,
    mapping: Annotated[
        str | None, typer.Option("--mapping", help="Mapping of the CSV's columns: a TOML file, or a built-in name.")
    ] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", min=1, max=100_000, help="So many nodes.")] = None,
    hours: Annotated[
        float | None,
        typer.Option("--hours", min=0.01, help="So much of the data; of a generated city a month at most."),
    ] = None,
    broker: Annotated[
        str | None, typer.Option("--broker", help="mqtt[s]://[user@]host[:port]; left out, one is started here.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", help="PEM certificate of the broker's authority (mqtts).")
    ] = None,
    password_file: PasswordOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for store, keys and the page.")] = Path("citymote-demo"),
    claim: Annotated[
        int, typer.Option("--claim", min=0, max=50, help="So many nodes begin in their boxes, without an owner.")
    ] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Another seed is another city.")] = 1,
    parquet: Annotated[bool, typer.Option("--parquet", help="Store as Parquet instead of SQLite.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="The second act instead: releases to nodes at work, one of them bad.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Run a city: virtual nodes with the real firmware, a broker, a collector, and what they measured.

    Every node is a MicroPython process with emulated chips; its frames are sealed, sent over MQTT, opened, decoded,
    stored, and held against what was played. Before that the first nodes are found over a virtual air, claimed with
    their labels and configured. The exit status is 0 only if all of these reported and every reading came back once
    and equal.

    A password for --broker is read from --password-file or CITYMOTE_MQTT_PASSWORD, never from the command line.

    Example: citymote demo --nodes 3 --hours 6
    """
    if update:
        _alone(ctx)
        return _update(out, as_json)
    from citymote.demo.options import Options
    from citymote.demo.run import run

    options = Options(
        data, mapping, nodes, hours, broker, ca_file, out, seed, parquet, claim=claim, told=say if as_json else print,
        password_file=password_file,
    )  # fmt: skip
    if as_json:
        outcome = run(options)
        for note in outcome.notes:
            say(f"citymote: {note}")
        print(json.dumps(outcome.figures.as_dict()))
    else:
        outcome = _with_progress(options)
        _show(outcome)
    return 0 if outcome.good else 1


def _alone(ctx: typer.Context) -> None:
    """UsageError for options that the second act has no ear for."""
    given = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name not in ("update", "out", "as_json")
        and getattr(ctx.get_parameter_source(str(parameter.name)), "name", "") == "COMMANDLINE"
    ]
    if given:
        what = f"--update goes without {', '.join(given)}"
        raise UsageError(what, "its three nodes and their day are always the same", "Give --out and --json only.")


def _update(out: Path, as_json: bool) -> int:
    from citymote.demo import updating
    from citymote.demo.options import check_extras, empty_folder
    from citymote.testing import runtime

    check_extras("the demo")
    runtime.application(runtime.micropython().architecture)
    story = updating.run(empty_folder(out), say if as_json else print)
    if as_json:
        print(json.dumps(story.as_dict()))
    return 0 if story.good else 1


def _with_progress(options: object) -> "Outcome":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from citymote.demo.options import Options
    from citymote.demo.run import Progress, run

    if not isinstance(options, Options):
        raise TypeError("options of the demo are expected")
    columns = (
        TextColumn("nodes"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("nodes", total=None, said="")

        def step(progress: Progress) -> None:
            said = f"{progress.frames:,} frames, {progress.readings:,} readings stored"
            bar.update(task, completed=progress.nodes, total=progress.of, said=said)

        return run(options, step)


def _show(outcome: "Outcome") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=outcome.title, title_justify="left", header_style="dim", border_style="dim")
    table.add_column("quantity")
    table.add_column("unit")
    for name in ("readings", "absent", "least", "median", "most"):
        table.add_column(name, justify="right")
    for name, unit, readings, absent, least, middle, most in outcome.rows:
        table.add_row(name, unit, f"{readings:,}", f"{absent:,}", least, middle, most)
    console.print(table)
    figures = outcome.figures
    nodes = "one node" if figures.nodes == 1 else f"{figures.nodes} nodes"
    console.print(
        f"{nodes}, {figures.frames:,} frames, {figures.readings_stored:,} readings stored in "
        f"{figures.seconds:.1f} s; {figures.bytes_per_reading:.2f} bytes a reading on the wire"
    )
    counts = f"lost {figures.lost}, duplicates {figures.duplicates}, mismatches {figures.mismatches}"
    if outcome.waiting:
        counts += f", {outcome.waiting} wait in nodes"
    console.print(counts, style="green" if outcome.good else "bold red")
    for note in outcome.notes:
        say(f"citymote: {note}")
    console.print(f"store  {outcome.store}\npage   {outcome.page}", soft_wrap=True)
