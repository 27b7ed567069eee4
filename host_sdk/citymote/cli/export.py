"""`citymote export`: what a store holds, in any format."""

import json
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citymote.cli.common import FORMATS, JsonOption, Status, guarded, instant, output, say
from citymote.cli.desk import FLEET, FleetOption, load_fleet
from citymote.errors import UsageError

if TYPE_CHECKING:
    from citymote.storage import Query


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
    station: Annotated[
        str | None,
        typer.Option("--station", help="One place's series, whichever nodes have hung there.", show_default=False),
    ] = None,
    fleet: FleetOption = FLEET,
    counts: Annotated[bool, typer.Option("--counts", help="Only say how much there is.")] = False,
) -> int:
    """Write what a store holds in any format.

    Example: citymote export city.db --format csv --quantity pm2_5 --since 2026-11-22 --out pm.csv

    Example: citymote export city.db --station pole-17 --format csv --out pole-17.csv

    Example: citymote export city.db --counts --json
    """
    if station is not None and node:
        raise UsageError("a station's nodes are in the registry", "", "Give --station or --node.")
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
        queries = [query] if station is None else at_station(fleet, station, query)
        options = Options(read_stations(str(stations)) if stations is not None else {})
        status = Status()
        chosen = "jsonl" if as_json else form
        with output(out, chosen in BINARY) as stream:
            writer = exporter(chosen, stream, options)
            if chosen == "descriptors":
                for frame in place.iter_descriptors(tuple({name for one in queries for name in one.nodes})):
                    writer.add(frame, [])
            else:
                for frame, readings in chain.from_iterable(map(place.iter_selected, queries)):
                    writer.add(frame, readings)
                    status(lambda: f"{writer.written:,} readings written")
            writer.close()
            status.clear()
    for reason, count in sorted(writer.left_out.items()):
        say(f"citymote: left out of the export: {count} readings ({reason})")
    return 0


def at_station(fleet: str, station: str, query: "Query") -> "list[Query]":
    """The query once for each node that has hung at a station, within the time that it did, in order of time."""
    with load_fleet(fleet) as registry:
        stays = registry.stays(station)
    if not stays:
        raise UsageError(f"no node has been at station {station}", "", "`citymote fleet list` has the stations.")
    made: list[Query] = []
    for stay in stays:
        since = stay.since if query.since is None else max(stay.since, query.since)
        ends = [end for end in (stay.until, query.until) if end is not None]
        made.append(replace(query, nodes=(stay.node,), since=since, until=min(ends) if ends else None))
    return made
