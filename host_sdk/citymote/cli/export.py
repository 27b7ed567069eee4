"""`citymote export`: what a store holds, in any format."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from citymote.cli.common import FORMATS, JsonOption, Status, guarded, instant, output, say


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("export")(guarded(export))


def export(
    store: Annotated[str, typer.Argument(help="SQLite file, or folder of a Parquet store.", show_default=False)],
    form: Annotated[str, typer.Option("--format", "-f", help=f"{FORMATS}.")] = "text",
    as_json: JsonOption = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write, else standard output.")] = None,
    node: Annotated[list[str] | None, typer.Option("--node", help="Only this node; may be repeated.")] = None,
    quantity: Annotated[list[str] | None, typer.Option("--quantity", help="Only this quantity; repeatable.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="From this time on (UTC).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Up to, not including, this time (UTC).")] = None,
    stations: Annotated[
        Path | None,
        typer.Option("--stations", help="CSV with node, latitude, longitude (ngsi-ld, sensorthings-things)."),
    ] = None,
    counts: Annotated[bool, typer.Option("--counts", help="Only say how much there is.")] = False,
) -> int:
    """Write what a store holds in any format.

    Example: citymote export city.db --format csv --quantity pm2_5 --since 2026-11-22 --out pm.csv

    Example: citymote export city.db --counts --json
    """
    from citymote import open_store
    from citymote.export import BINARY, exporter
    from citymote.export.base import Options, read_stations
    from citymote.storage import Query

    with open_store(store, create=False) as place:
        if counts:
            facts = asdict(place.counts())
            if as_json:
                print(json.dumps(facts))
            else:
                for name, value in facts.items():
                    print(f"{name:<14} {value}")
            return 0
        query = Query(tuple(node or ()), tuple(quantity or ()), instant(since), instant(until))
        options = Options(read_stations(str(stations)) if stations is not None else {})
        status = Status()
        chosen = "jsonl" if as_json else form
        with output(out, chosen in BINARY) as stream:
            writer = exporter(chosen, stream, options)
            if chosen == "descriptors":
                for frame in place.iter_descriptors(query.nodes):
                    writer.add(frame, [])
            else:
                for frame, readings in place.iter_selected(query):
                    writer.add(frame, readings)
                    status(lambda: f"{writer.written:,} readings written")
            writer.close()
            status.clear()
    for reason, count in sorted(writer.left_out.items()):
        say(f"citymote: left out of the export: {count} readings ({reason})")
    return 0
