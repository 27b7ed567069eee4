"""What the verbs for owners share: where the owner's store, the registry and the collector's keys are, and how a node
is reached. The three files are `city.owner`, `city.fleet` and `city.keys` in the working folder, unless an option or a
variable says otherwise; the passphrase is asked for, or comes from the file that CITYMOTE_PASSPHRASE_FILE names.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from citymote.errors import UsageError
from citymote.nearby import open_radio

if TYPE_CHECKING:
    from citymote import Fleet, Node, OwnerStore
    from citymote.session import Way

T = TypeVar("T")

OwnerOption = Annotated[Path, typer.Option("--owner", envvar="CITYMOTE_OWNER", help="The owner's store: keys, sealed.")]
FleetOption = Annotated[
    str, typer.Option("--fleet", envvar="CITYMOTE_FLEET", help="The registry: a file, or postgresql://USER@HOST/NAME.")
]
KeyFileOption = Annotated[
    Path, typer.Option("--keys", envvar="CITYMOTE_KEYS", help="The collector's key file (`citymote keys make`).")
]
ViaOption = Annotated[
    str, typer.Option("--via", help="ble, udp:HOST[:PORT], serial:PORT, mqtt://HOST, mqtts://USER@HOST.")
]
RadioOption = Annotated[
    str | None,
    typer.Option(
        "--radio", help="Another radio than this computer's, through Bumble: usb:0, tcp-client:HOST:PORT.",
        show_default=False,
    ),
]  # fmt: skip
PasswordOption = Annotated[
    Path | None,
    typer.Option("--password-file", help="The broker's password; else $CITYMOTE_MQTT_PASSWORD.", show_default=False),
]
CaOption = Annotated[
    str | None, typer.Option("--ca-file", help="A private authority's certificate.", show_default=False)
]
OWNER, FLEET, KEYS = Path("city.owner"), "city.fleet", Path("city.keys")


def load_owner(path: Path) -> "OwnerStore":
    """The owner's store, unlocked."""
    from citymote import OwnerStore

    return OwnerStore.load(path)


def load_fleet(where: str, store: "OwnerStore | None" = None, *, create: bool = False) -> "Fleet":
    """The registry."""
    from citymote import open_fleet

    return open_fleet(where, store, create=create)


def password(path: Path | None) -> str | None:
    """The first line of a password file."""
    if path is None:
        return None
    from citymote.plan import secret_file

    return secret_file(path)


def way(via: str, node: str, *, radio: object = None, secret: str | None = None, ca_file: str | None = None) -> "Way":
    """The way that a word names."""
    from citymote import way_to

    return way_to(via, node, radio=radio, password=secret, ca_file=ca_file)  # type: ignore[arg-type]


def talk(
    do: "Callable[[Node], Awaitable[T]]",
    node: str,
    *,
    owner: Path,
    fleet: str,
    via: str,
    radio: str | None = None,
    password_file: Path | None = None,
    ca_file: str | None = None,
    note: str = "",
    stranger: bool = False,
) -> T:
    """Open a session with a node of the registry, do something, and note it in the audit log if it is to be. As a
    stranger no delegation is shown: for who is not the node's owner yet."""
    from citymote import Node
    from citymote.fleet import node_of

    if radio is not None and via != "ble":
        raise UsageError("a radio is for --via ble")
    name = node_of(node)
    store = load_owner(owner)
    with load_fleet(fleet, store) as registry:
        known = registry.get(name)
        adapter = None if radio is None else open_radio(radio)

        async def run() -> T:
            leads = way(via, name, radio=adapter, secret=password(password_file), ca_file=ca_file)
            async with Node(leads, known.public, store, site=known.site, stranger=stranger) as session:
                return await do(session)

        outcome = "failed"
        try:
            result = asyncio.run(run())
            outcome = "ok"
        finally:
            if note:
                registry.note(note, name, outcome, via.partition(":")[0])
            if adapter is not None:
                adapter.close()
    return result
