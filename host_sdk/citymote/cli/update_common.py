"""What `citymote update push`, `rollout` and `status` share: options, the desk, and how a rollout is told of."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citymote.cli.common import say

if TYPE_CHECKING:
    from citymote.update.book import Rollout
    from citymote.update.desk import Desk, NodeStatus
    from citymote.update.plan import Plan

BookOption = Annotated[Path, typer.Option("--book", help="What is known of updates; SQLite.")]
StoreOption = Annotated[
    str | None, typer.Option("--store", "-s", help="The collector's store, from which nodes' events are read.")
]
FleetOption = Annotated[
    str | None, typer.Option("--fleet", help="The fleet registry; left out: nodes that were heard.")
]
UnsealedOption = Annotated[
    bool, typer.Option("--allow-unsealed", help="Believe events that no node has sealed: anybody could have sent them.")
]
WhereOption = Annotated[str, typer.Option("--where", help="Which nodes: site=mapo and not held and version<1.4.2")]
PublishOption = Annotated[Path, typer.Option("--publish", help="The folder that nodes poll, through a file server.")]
RootOption = Annotated[str, typer.Option("--root", help="The root's public key: who signed the key set.")]
KeysOption = Annotated[
    Path | None, typer.Option("--keys", help="The key set to publish; left out: the one that is there.")
]
AgainOption = Annotated[bool, typer.Option("--again", help="Also nodes that have this version.")]
DowngradeOption = Annotated[bool, typer.Option("--downgrade", help="Also nodes that have a newer version.")]
BOOK = Path("updates.db")


def open_desk(book: Path, store: str | None, fleet: str | None, allow_unsealed: bool) -> "Desk":
    """The update desk over those files; the book is made when there is none."""
    from citymote.update.desk import Desk

    return Desk(book, store, fleet, allow_unsealed=allow_unsealed)


def node_ids(given: list[str]) -> list[str]:
    """Node ids of ids or short codes; UsageError."""
    from citymote.fleet import node_of

    return [node_of(text) for text in given]


def begin_rollout(
    desk: "Desk", path: Path, root: str, keys: Path | None, folder: Path, condition: str, plan: "Plan",
    chosen: tuple[bool, bool],
) -> "Rollout":  # fmt: skip
    """Publish a bundle and make its rollout; `chosen`: --again and --downgrade."""
    from citymote.update.bundle import read
    from citymote.update.keyring import load, public_key
    from citymote.update.publish import Publication
    from citymote.update.rollout import Options

    bundle, owner, publication = read(path), public_key(root), Publication(folder)
    if keys is not None:
        publication.put_keys(keys.read_bytes(), load(keys, owner), owner)
    return desk.begin(bundle, owner, condition, publication, plan, options=Options(*chosen))


def outcome(desk: "Desk", number: int, judge: bool, as_json: bool) -> int:
    """Tell how a rollout stands; the exit status. `judge`: whether it is 0 only when each node has confirmed."""
    found = list(desk.status(number=number))
    made = desk.book.rollout(number)
    if as_json:
        print(json.dumps({**rollout_facts(desk, made), "nodes": [one.as_dict() for one in found]}))
    else:
        say(f"citymote: rollout {number} of {made.version}, sequence {made.sequence}: {len(found)} nodes")
        table(found)
    left_out = [one for one in found if str(one.as_dict()["state"]) == "left_out"]
    if judge:
        return 0 if all(one.as_dict()["state"] == "confirmed" for one in found) else 1
    return 1 if left_out and len(left_out) == len(found) else 0


def rollout_facts(desk: "Desk", made: "Rollout") -> dict[str, Any]:
    """A rollout as one JSON object."""
    return {
        "rollout": made.number, "version": made.version, "sequence": made.sequence, "content": made.content,
        "where": made.condition, "status": made.status, "why": made.why, "stage": made.stage + 1,
        "stages": len(made.plan.stages), "emergency": made.emergency, "plan": made.plan.as_json(),
        "counts": desk.counts(made.number),
    }  # fmt: skip


def counts_of(desk: "Desk", made: "Rollout") -> str:
    """A rollout's nodes, counted by state, in a line."""
    counts = desk.counts(made.number)
    return f"rollout {made.number}: " + ", ".join(f"{number} {state}" for state, number in counts.items())


def table(found: "list[NodeStatus]") -> None:
    """One line a node: where it is, what it runs, how its update goes."""
    for one in sorted(found, key=lambda one: one.facts.node):
        facts = one.facts
        place = " ".join(part for part in (facts.site, facts.board, facts.version or "unknown version") if part)
        target = f" -> {one.rollout.version}" if one.rollout and one.rollout.version != facts.version else ""
        print(f"{facts.node}  {place}{target}: {one.text}")
