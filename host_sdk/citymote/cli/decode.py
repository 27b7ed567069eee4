"""`citymote decode`: frames from files or standard input to readings in any format. The work is in `decoding`."""

from pathlib import Path
from typing import Annotated

import typer

from citymote.cli.common import FORMATS, JsonOption, KeysOption, guarded


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("decode")(guarded(decode))


def decode(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Captures, CBOR sequences, hexadecimal text; - or nothing: stdin.", show_default=False),
    ] = None,
    form: Annotated[str, typer.Option("--format", "-f", help=f"{FORMATS}.")] = "text",
    as_json: JsonOption = False,
    keys: KeysOption = None,
    on_error: Annotated[
        str, typer.Option("--on-error", help="A frame that cannot be read: skip it, keep it aside, or fail at once.")
    ] = "skip",
    aside: Annotated[
        Path, typer.Option("--aside", help="With --on-error keep: the capture that such frames are added to.")
    ] = Path("aside.cmcap"),
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write, else standard output.")] = None,
    node: Annotated[str | None, typer.Option("--node", help="Node id of frames that do not name one.")] = None,
    stations: Annotated[
        Path | None,
        typer.Option("--stations", help="CSV with node, latitude, longitude (ngsi-ld, sensorthings-things)."),
    ] = None,
) -> int:
    """Decode frames to readings.

    Each file says by itself whether it is a capture, a CBOR sequence, or hexadecimal text with one frame a line. Frames
    that cannot be read are named on standard error and counted; the exit status is 0 only if there were none.

    Example: citymote decode --json day.cmcap | jq 'select(.quantity == "pm2_5") | .value'

    Example: citymote decode --keys city.keys --format parquet --out day.parquet day.cmcap

    Example: citymote decode --format descriptors day.cmcap | jq '.sensors[] | {driver, calibrated}'
    """
    from citymote.cli.decoding import run

    return run(files or [], "jsonl" if as_json else form, keys, on_error, aside, out, node, stations)
