"""`citymote collect`: frames from an MQTT broker into a store, each of them once."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from citymote.cli.common import JsonOption, KeysOption, Status, guarded, say
from citymote.collect import Report, collect_from


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("collect")(guarded(collect))


def collect(
    broker: Annotated[str, typer.Argument(help="mqtt[s]://[user@]host[:port]", show_default=False)],
    store: Annotated[str, typer.Option("--store", "-s", help="SQLite file, or parquet:FOLDER.")] = "citymote.db",
    keys: KeysOption = None,
    allow_unsealed: Annotated[
        bool, typer.Option("--allow-unsealed", help="Accept bare frames of nodes whose key is not known.")
    ] = False,
    topic: Annotated[str, typer.Option("--topic", help="Topic filter; $share/GROUP/... works.")] = "citymote/+/frames",
    client_id: Annotated[
        str, typer.Option("--client-id", help="The broker keeps frames for this name while we are away.")
    ] = "citymote-collector",
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="File with the password; else $CITYMOTE_MQTT_PASSWORD.")
    ] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="PEM with the broker's authority (mqtts).")] = None,
    capture: Annotated[Path | None, typer.Option("--capture", help="Also add every message to this capture.")] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", help="Stop after so many seconds.")] = None,
    frames: Annotated[int | None, typer.Option("--frames", help="Stop after so many messages.")] = None,
    idle: Annotated[float | None, typer.Option("--idle", help="Stop when nothing came for so many seconds.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Collect frames from a broker into a store, until Ctrl-C.

    A frame is acknowledged when it is on disk, so the broker keeps what we have not stored; kill and restart at will.
    The exit status is 0 only if every message became readings (repetitions included).

    Example: citymote collect mqtts://collector@broker.example:8883 --keys city.keys --store city.db
    """

    def stop_on_signals(stop: Callable[[], None]) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: stop())

    status = Status()
    report = collect_from(
        broker,
        store,
        keys=keys,
        allow_unsealed=allow_unsealed,
        topic=topic,
        client_id=client_id,
        password_file=password_file,
        ca_file=ca_file,
        capture=capture,
        seconds=seconds,
        frames=frames,
        idle=idle,
        log=lambda text: say(f"citymote: {text}"),
        on_progress=lambda report: status(lambda: _line(report)),
        on_start=stop_on_signals,
    )
    status.clear()
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        say(f"citymote: {_line(report)}")
    return 1 if report.failed else 0


def _line(report: Report) -> str:
    text = f"{report.stored} frames with {report.readings} readings stored, {report.duplicates} seen before"
    if report.conflicts:
        text += f", {report.conflicts} in conflict"
    if report.aside:
        codes = ", ".join(f"{code} {count}" for code, count in sorted(report.aside_by_code.items()) if count)
        text += f", {report.aside} kept aside ({codes})"
    if report.reopened:
        text += f", {report.reopened} opened late"
    return text
