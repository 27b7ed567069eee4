"""`citymote provision`: from nodes in range to a fleet that reports."""

import asyncio
import getpass
import json
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citymote.cli.common import JsonOption, guarded, output, say
from citymote.cli.desk import (
    FLEET,
    KEYS,
    OWNER,
    CaOption,
    FleetOption,
    KeyFileOption,
    OwnerOption,
    PasswordOption,
    RadioOption,
    load_fleet,
    load_owner,
    password,
    way,
)
from citymote.cli.fleet import credentials
from citymote.errors import UsageError
from citymote.nearby import open_radio

if TYPE_CHECKING:
    from rich.live import Live

    from citymote import Fleet, Plan
    from citymote.answers import Trial
    from citymote.fleet import NodeRecord
    from citymote.plan import Row
    from citymote.provisioning import Progress

_WRONG_KEY = 2


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("provision")(guarded(go))


def go(
    plan: Annotated[Path, typer.Option("--plan", help="Networks, uplink and settings of the site (TOML).")],
    uplink: Annotated[
        str, typer.Option("--uplink", help="The broker where their frames arrive: mqtt://HOST, mqtts://USER@HOST.")
    ],
    nodes: Annotated[list[str] | None, typer.Argument(help="Nodes of the registry: ids or short codes.")] = None,
    table: Annotated[Path | None, typer.Option("--table", help="A CSV, one row a node.", show_default=False)] = None,
    labels: Annotated[list[Path] | None, typer.Option("--label", help="A photo or text of labels; repeatable.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every node in range whose label is known.")] = False,
    mint: Annotated[
        str | None, typer.Option("--mint", help="Command that mints credentials: `mint NODE` prints JSON.")
    ] = None,
    mosquitto: Annotated[Path | None, typer.Option("--mosquitto", help="Mint into Mosquitto's password file.")] = None,
    mosquitto_pid: Annotated[
        Path | None, typer.Option("--mosquitto-pid", help="File with the broker's number.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also nodes that are provisioned with this plan.")] = False,
    find: Annotated[float, typer.Option("--find", min=1, help="Seconds that a node may take to be heard.")] = 30,
    attempts: Annotated[int, typer.Option("--attempts", min=1, max=20, help="Tries for each node.")] = 3,
    parallel: Annotated[int, typer.Option("--parallel", min=1, max=10, help="Connections at a time.")] = 3,
    failed: Annotated[
        Path | None, typer.Option("--failed", help="Write what failed as a CSV for the next run.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a report to look at.")] = None,
    password_file: PasswordOption = None,
    ca_file: CaOption = None,
    radio: RadioOption = None,
    keys: KeyFileOption = KEYS,
    fleet: FleetOption = FLEET,
    owner: OwnerOption = OWNER,
    as_json: JsonOption = False,
) -> int:
    """Claim and configure nodes over BLE, and see each of them report through its uplink.

    Kill it, pull the adapter, drop the ladder: the same command goes on where it was. Exit status 0 when every node
    is provisioned.

    Example: citymote provision --plan harbour.toml --uplink mqtts://me@broker.city --label label.jpg
    """
    from citymote import provision
    from citymote.keys import KeyFile, Opener
    from citymote.label import load as load_labels
    from citymote.plan import Row, load, rows
    from citymote.provisioning import MqttArrivals
    from citymote.reach import BleReach

    if sum((bool(nodes), table is not None, bool(labels), everything)) != 1:
        raise UsageError("which nodes are meant", "", "Give nodes, --table, --label or --all.")
    what, broker = load(plan), credentials(mint, mosquitto, mosquitto_pid)
    file = KeyFile.load(keys)
    if not what.settings.get("unsealed"):
        what = replace(what, settings={"collector_key": file.collectors[-1].public.hex(), **what.settings})
    store, secret = load_owner(owner), password(password_file)
    adapter = None if radio is None else open_radio(radio)
    table_rows: list[Row] | None = None if table is None else rows(table)
    if labels:
        table_rows = [Row(label.node, label) for path in labels for label in load_labels(path)]
    with load_fleet(fleet, store) as registry:
        chosen = None if everything else table_rows or _named(nodes or [])
        _register(registry, chosen)
        registry.fill(file)
        file.save()

        def over_uplink(node: str) -> Any:
            return way(uplink, node, secret=secret, ca_file=ca_file)

        async def run() -> Any:
            arrivals = MqttArrivals(
                uplink, Opener(file), unsealed=bool(what.settings.get("unsealed")), password=secret, ca_file=ca_file
            )
            async with arrivals:
                return await provision(
                    registry, store, BleReach(adapter, parallel=parallel), what, chosen, attempts=attempts,
                    arrivals=arrivals, uplink=over_uplink,
                    credentials=broker, correct=_Mender(what).mend if sys.stdin.isatty() else None, find=find,
                    again=again, progress=board.news,
                )  # fmt: skip

        board = _Board(as_json)
        try:
            with board.shown():
                report = asyncio.run(run())
        finally:
            if adapter is not None:
                adapter.close()
    for path, text in ((failed, report.csv()), (html, report.html())):
        if path is not None:
            with output(path) as stream:
                stream.write(text.encode())
    if not report.outcomes:
        say("citymote: no node of the registry was heard")
    return 1 if report.failed or not report.outcomes else 0


def _named(nodes: list[str]) -> "list[Row]":
    from citymote.fleet import node_of
    from citymote.plan import Row

    return [Row(node_of(node)) for node in nodes]


def _register(registry: "Fleet", chosen: "list[Row] | None") -> None:
    """What a table or labels bring along, before the collector's keys are filled."""
    for row in chosen or ():
        if row.label is not None:
            registry.add(row.label)
        elif row.public is not None:
            registry.add(row.public)
        registry.get(row.node)


class _Mender:
    """Asks the person at the terminal for the network's key, once for all nodes that were told the wrong one."""

    def __init__(self, plan: "Plan") -> None:
        self._plan = plan
        self._turn = asyncio.Lock()
        self._mended: dict[str, Any] | None = None

    async def mend(self, record: "NodeRecord", trial: "Trial") -> Mapping[str, Any] | None:
        """New networks, or None: another fault, or the key has been corrected already and is still wrong."""
        network: Any = self._plan.settings.get("network")
        if trial.detail != _WRONG_KEY or not network:
            return None
        async with self._turn:
            if self._mended is None:
                ssids = ", ".join(one["ssid"] for one in network["networks"])
                say(f"citymote: node {record.node}: the network refuses the key. Nothing but Enter: leave it.")
                key = await asyncio.to_thread(getpass.getpass, f"Key of {ssids}: ")
                if not key:
                    return None
                networks = [{**one, "key": key} for one in network["networks"]]
                self._mended = {"network": {"networks": networks}}
            return self._mended


class _Board:
    """The live table: a line a node. On no terminal, a line when a node has ended; with --json, a document each."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._live: Live | None = None
        self._lines: dict[str, tuple[str, str, str]] = {}

    def shown(self) -> AbstractContextManager[Any]:
        """While the run goes on."""
        if self._json or not sys.stdout.isatty():
            return nullcontext()
        from rich.live import Live

        self._live = Live(self._table(), refresh_per_second=4)
        return self._live

    def news(self, one: "Progress") -> None:
        """Something has happened to a node."""
        self._lines[one.node] = (one.stage, one.outcome, one.text)
        if self._live is not None:
            self._live.update(self._table())
        elif one.outcome and self._json:
            said = {"node": one.node, "outcome": one.outcome, "stage": one.stage}
            print(json.dumps(said | ({"reason": one.text} if one.text else {})), flush=True)
        elif one.outcome:
            print(f"{one.node}  {one.outcome}  {one.text}".rstrip(), flush=True)

    def _table(self) -> Any:
        from rich.table import Table

        table = Table(title=f"{sum(bool(line[1]) for line in self._lines.values())} of {len(self._lines)} have ended")
        for column in ("node", "stage", "outcome", ""):
            table.add_column(column)
        for node, line in self._lines.items():
            table.add_row(node, *line)
        return table
