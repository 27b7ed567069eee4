"""What nodes are to become: the settings of a site, and what differs from node to node.

A plan is a TOML file, or made in a program. Secrets are named by files (`key_file`), or stand in the plan, which then
must be its owner's alone (mode 0600). Certificates are files in PEM; they travel as DER. What differs from node to node
(station, place, a setting) comes from a table, one row a node (`rows`).

    site = "harbour"
    [[network]]
    ssid = "city"
    key_file = "wifi.key"
    [uplink]
    url = "mqtts://broker.city"
    ca_file = "ca.pem"
    [settings]
    interval = 120
"""

from __future__ import annotations

import base64
import csv
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from citymote import private_files
from citymote.errors import CitymoteError
from citymote.fleet.base import FleetError, node_of
from citymote.label.code import Label, LabelError, is_payload

_MOST = 1 << 20
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----([A-Za-z0-9+/=\s]+)-----END \1-----")
_TOP = ("site", "network", "uplink", "settings", "collector", "trial_seconds", "unsealed")
_UPLINK = ("url", "ca_file", "name", "version", "keepalive", "session")
_NETWORKS = 8
COLUMNS = ("node", "label", "public_key", "station", "latitude", "longitude", "height", "board", "tags")
"""What a table of nodes may have; one of the first three says which node. Other columns are settings."""


class PlanError(CitymoteError):
    """A plan or a table of nodes that cannot be meant. No secret is in the text."""


@dataclass(frozen=True)
class Plan:
    """The settings of all nodes of a run. `repr` shows names only: keys are in it."""

    settings: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    site: str | None = None
    trial_seconds: int = 180
    """How long a node may try its uplink: 30 to 900."""

    def __post_init__(self) -> None:
        if not 30 <= self.trial_seconds <= 900:
            raise PlanError(f"a trial of {self.trial_seconds} s", "it may last 30 to 900 s")

    def for_node(self, row: Row | None, credentials: Mapping[str, str] | None) -> dict[str, Any]:
        """What one node is sent."""
        made = dict(self.settings)
        if self.site is not None:
            made["site"] = self.site
        if row is not None:
            made |= row.settings
            if row.station is not None:
                made["station"] = row.station
            if row.place is not None:
                made["place"] = list(row.place)
        return made | (dict(credentials) if credentials is not None else {})


@dataclass(frozen=True)
class Row:
    """One node of a table. `place` is millionths of a degree (WGS 84) and metres above ground."""

    node: str
    label: Label | None = None
    public: bytes | None = None
    station: str | None = None
    place: tuple[int, ...] | None = None
    board: str | None = None
    tags: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    given: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """The row as it was read, without its label: what a report hands back."""

    @property
    def coordinates(self) -> tuple[float | None, float | None, float | None]:
        """Degrees and metres."""
        if self.place is None:
            return None, None, None
        latitude, longitude, *height = self.place
        return latitude / 1e6, longitude / 1e6, float(height[0]) if height else None


def load(path: Path) -> Plan:
    """A plan from its file; files that it names are looked for beside it."""
    try:
        text = path.read_bytes()
        if len(text) > _MOST:
            raise PlanError(f"{path} is no plan", f"it has more than {_MOST} bytes")
        tree = tomllib.loads(text.decode())
    except OSError as error:
        raise PlanError(f"{path} cannot be read", error.strerror or "") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # only where, never what: the line at fault may be a key
        place = re.search(r"\(at [^)]*\)", str(error))
        raise PlanError(f"{path} is no TOML", place.group().strip("()") if place else "") from None
    _known(path, tree, _TOP, "a plan")
    settings: dict[str, Any] = dict(_table(path, tree, "settings"))
    networks = tree.get("network", [])
    if networks:
        settings["network"] = {"networks": _networks(path, networks)}
    settings |= _uplink(path, _table(path, tree, "uplink"))
    if "collector" in tree:
        settings["collector_key"] = str(tree["collector"])
    if tree.get("unsealed"):
        settings["unsealed"] = True
    if _has_secret(settings, tree):
        try:
            private_files.read(path, 0)
        except private_files.NotPrivate as why:
            raise PlanError(
                f"{path} has a key in it", str(why), f"chmod 600 {path}, or put the key into a file (key_file)."
            ) from None
    return Plan(settings, tree.get("site"), int(tree.get("trial_seconds", 180)))


def _known(path: Path, table: Mapping[str, Any], names: Sequence[str], what: str) -> None:
    wrong = sorted(set(table) - set(names))
    if wrong:
        raise PlanError(f"{path}: {wrong[0]} is nothing that {what} has", "", f"It has {', '.join(names)}.")


def _table(path: Path, tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = tree.get(name, {})
    if not isinstance(found, Mapping):
        raise PlanError(f"{path}: {name} is no table")
    return cast("Mapping[str, Any]", found)


def _has_secret(settings: Mapping[str, Any], tree: Mapping[str, Any]) -> bool:
    inline = any("key" in cast("Mapping[str, Any]", one) for one in tree.get("network", []))
    return inline or any(name in settings for name in ("broker_password", "broker_key"))


def _networks(path: Path, listed: Any) -> list[dict[str, str]]:
    if not isinstance(listed, list) or len(cast("list[Any]", listed)) > _NETWORKS:
        raise PlanError(f"{path}: network is a list of up to {_NETWORKS}", "", "Write [[network]] for each.")
    made: list[dict[str, str]] = []
    for one in cast("list[Any]", listed):
        if not isinstance(one, Mapping) or not isinstance(cast("Mapping[str, Any]", one).get("ssid"), str):
            raise PlanError(f"{path}: a network has an ssid")
        network = cast("Mapping[str, Any]", one)
        _known(path, network, ("ssid", "key", "key_file"), "a network")
        key = str(network.get("key", ""))
        if "key_file" in network:
            key = secret_file(path.parent / str(network["key_file"]))
        made.append({"ssid": network["ssid"], "key": key})
    return made


def secret_file(path: Path) -> str:
    """The first line of a file that is its owner's alone."""
    try:
        return private_files.read(path, 4096).decode().splitlines()[0]
    except private_files.NotPrivate as why:
        raise PlanError(f"{path} is not used", str(why), f"chmod 600 {path}") from None
    except (OSError, UnicodeDecodeError, IndexError):
        raise PlanError(f"{path} has no text in its first line, or cannot be read") from None


def _uplink(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    _known(path, table, _UPLINK, "an uplink")
    made: dict[str, Any] = {}
    if "url" in table:
        parts = urlsplit(str(table["url"]))
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.username is not None:
            raise PlanError(
                f"{path}: the uplink's url is no broker", "each node gets credentials of its own", "mqtts://HOST[:PORT]"
            )
        made |= {"broker_host": parts.hostname, "broker_tls": parts.scheme == "mqtts", "broker_port": parts.port or 0}
    if "ca_file" in table:
        made["broker_ca"] = der(path.parent / str(table["ca_file"])).hex()
    for name in ("name", "version", "keepalive", "session"):
        if name in table:
            made[f"broker_{name}"] = table[name]
    return made


def der(path: Path) -> bytes:
    """The one certificate or key of a PEM file, as bytes."""
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise PlanError(f"{path} cannot be read as PEM") from None
    blocks = _PEM.findall(text)
    if len(blocks) != 1:
        raise PlanError(f"{path} has {len(blocks)} PEM blocks", "a node takes one")
    try:
        return base64.b64decode(blocks[0][1], validate=False)
    except ValueError:
        raise PlanError(f"{path} is no PEM") from None


def rows(path: Path) -> list[Row]:
    """The nodes of a table (CSV with a line of names). A label in it is a secret: the file must be private then."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise PlanError(f"{path} cannot be read as a table") from None
    made = [_row(f"{path}:{number}", one) for number, one in enumerate(table, 2)]
    if any(row.label is not None for row in made):
        try:
            private_files.read(path, 0)
        except private_files.NotPrivate as why:
            raise PlanError(f"{path} has labels in it", str(why), f"chmod 600 {path}") from None
    twice = {row.node for row in made if [other.node for other in made].count(row.node) > 1}
    if twice:
        raise PlanError(f"{path}: node {min(twice)} is there twice")
    if not made:
        raise PlanError(f"{path} has no rows")
    return made


def _row(where: str, one: Mapping[str | None, Any]) -> Row:
    if None in one or any(value is None for value in one.values()):
        raise PlanError(f"{where} has another number of fields than the first line")
    cells = {str(name).strip(): str(value).strip() for name, value in one.items()}
    label = public = None
    try:
        if cells.get("label"):
            label = Label.parse(cells["label"])
        if cells.get("public_key"):
            public = bytes.fromhex(cells["public_key"])
        named = node_of(cells["node"]) if cells.get("node") else None
    except (LabelError, FleetError, ValueError) as error:
        text = "its public key is not hexadecimal" if type(error) is ValueError else str(error)
        raise PlanError(f"{where}: no node", text) from None
    if label is None and public is None and named is None:
        raise PlanError(f"{where} names no node", "", "It needs a label, a public_key or a node.")
    if label is not None and named not in (None, label.node):
        raise PlanError(f"{where}: the label is not node {named}'s", f"it is {label.node}'s")
    node = label.node if label is not None else named
    if node is None:
        from citymote import keys

        node = keys.node_id(public or b"").hex()
    settings = {
        name: _value(value) for name, value in cells.items() if name not in COLUMNS and value and name[0] != "_"
    }
    given = {name: value for name, value in cells.items() if name != "label" and not is_payload(value)}
    return Row(
        node, label, public, cells.get("station") or None, _place(where, cells), cells.get("board") or None,
        tuple(cells.get("tags", "").split()), settings, given | {"node": node},
    )  # fmt: skip


def _place(where: str, cells: Mapping[str, str]) -> tuple[int, ...] | None:
    texts = [cells.get(name, "") for name in ("latitude", "longitude", "height")]
    if not texts[0] and not texts[1]:
        return None
    try:
        latitude, longitude = (float(text) for text in texts[:2])
        place = place_of(latitude, longitude, float(texts[2]) if texts[2] else None)
    except (ValueError, OverflowError):
        raise PlanError(f"{where}: no place", "latitude and longitude are degrees, height is metres") from None
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise PlanError(f"{where}: no place on earth")
    return place


def place_of(latitude: float | None, longitude: float | None, height: float | None) -> tuple[int, ...] | None:
    """Degrees and metres as a node is told them: millionths of a degree, whole metres."""
    if latitude is None or longitude is None:
        return None
    place = round(latitude * 1e6), round(longitude * 1e6)
    return place if height is None else (*place, round(height))


def _value(text: str) -> Any:
    """A setting as a table has it: numbers and truth values are such."""
    if text in ("true", "false"):
        return text == "true"
    return int(text) if re.fullmatch(r"-?\d{1,10}", text) else text
