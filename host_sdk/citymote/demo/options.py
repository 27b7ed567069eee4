"""What was asked of the demo, and whether it can be done. What can be refused is refused before anything is replaced.

The data is read, the broker's address becomes settings of nodes, and the folder is made empty, in this order and each
with its own words. Nothing runs here.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from citymote.errors import UsageError, need
from citymote.plan import secret_file
from citymote.simulate import broker_settings
from citymote.transports.mqtt import VARIABLE, parse_url

from . import city, dataset
from .mapping import DAY, day_part

CHIP_NODES = 10
CLAIMED = 3
MARK = ".citymote-demo"
INTERVAL = 120  # seconds between two rows of a generated city
MOST_HOURS = 744  # of a generated city, a month: its rows are all made before the first node starts


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. `nodes` and `hours` left out mean: all that the data has, or six nodes and a day. `claim`: so
    many of them begin in their boxes; `told` hears how they are provisioned, a line at a time."""

    data: Path | None = None
    mapping: str | Path | None = None
    nodes: int | None = None
    hours: float | None = None
    broker: str | None = None
    ca_file: Path | None = None
    out: Path = Path("citymote-demo")
    seed: int = 1
    parquet: bool = False
    sound: bool = True
    chips: int = CHIP_NODES
    claim: int = CLAIMED
    told: Callable[[str], None] = lambda line: None
    password_file: Path | None = None


def check_extras(purpose: str, parquet: bool = False) -> None:
    """MissingExtra where a package of the extra `sim`, or for a Parquet store of `arrow`, is missing. One of them would
    else be a node's fault, or a traceback in the middle."""
    for package in ("bleak", "bumble", "numpy"):
        need(package, "sim", purpose)
    if parquet:
        need("pyarrow", "arrow", "a Parquet store")


def data(options: Options) -> dataset.Dataset:
    """What is played: the file, or a generated city."""
    if options.data is None:
        if options.mapping is not None:
            raise UsageError("a mapping needs a data file", "", "Give --data FILE as well.")
        hours = 24.0 if options.hours is None else options.hours
        check_hours(hours, INTERVAL)
        return city.generate(options.nodes or 6, hours, INTERVAL, options.seed)
    if options.hours is not None and not math.isfinite(options.hours):
        raise UsageError(f"{options.hours:g} hours cannot be played", "", "Leave --hours out for the whole file.")
    return dataset.read_csv(options.data, options.mapping).head(options.nodes, options.hours)


def check_hours(hours: float, interval: int) -> None:
    """UsageError where a generated city of so many hours would have no row, or no end, or rows at odd times."""
    if DAY % interval:
        what, why = f"a row every {interval} s would not keep to the clock", "a node's interval divides a day"
        raise UsageError(what, why, f"The next shorter one is {day_part(interval)}.")
    if not hours <= MOST_HOURS:
        what = f"{hours:g} hours are too many for a generated city"
        raise UsageError(what, "", f"Give --hours {MOST_HOURS} or less.")
    if hours * 3600 < interval:
        least = math.ceil(interval / 36) / 100
        why = f"one comes every {interval} s"
        raise UsageError(f"{hours:g} hours hold no row", why, f"Give --hours {least:g} or more.")


def link(options: Options) -> dict[str, Any]:
    """How the nodes reach the broker that was named; they have the password from where the collector has it from."""
    if options.broker is None:
        if options.ca_file is not None or options.password_file is not None:
            raise UsageError("a CA file and a password make sense with --broker only")
        return {}
    parse_url(options.broker)
    made = broker_settings(options.broker)
    if options.password_file is not None:
        if "broker_user" not in made:
            raise UsageError("a password needs a user", "", "Write mqtt[s]://USER@HOST.")
        made["broker_password"] = secret_file(options.password_file)
    elif "broker_user" in made and VARIABLE in os.environ:
        made["broker_password"] = os.environ[VARIABLE]
    if made["broker_tls"]:
        if options.ca_file is None:
            raise UsageError(
                "mqtts:// needs to know who vouches for the broker",
                "a node has no list of authorities that it trusts",
                "Give --ca-file FILE with the authority's certificate.",
            )
        try:
            made["broker_ca"] = options.ca_file.read_text("ascii")
        except (OSError, UnicodeError) as error:
            raise UsageError(f"cannot read the CA file {options.ca_file}", str(error)) from None
        if made["broker_ca"].count("-----BEGIN CERTIFICATE-----") != 1:
            raise UsageError(f"{options.ca_file} is not one certificate in PEM", "", "A node trusts one authority.")
    elif options.ca_file is not None:
        raise UsageError("a CA file makes sense with --broker mqtts:// only")
    return made


def keep_apart(options: Options) -> None:
    """UsageError where a file that is read would go with the folder that is replaced."""
    for name in (options.data, options.mapping, options.ca_file, options.password_file):
        if name is not None and Path(name).exists() and options.out.resolve() in Path(name).resolve().parents:
            raise UsageError(f"{name} lies in {options.out}", "that folder is replaced", "Choose another --out.")


def empty_folder(path: Path) -> Path:
    """An empty folder with our mark; what an earlier demo left there goes, anything else is refused."""
    path = path.resolve()  # of a link to a folder, the folder is emptied
    try:
        if path.exists() and any(path.iterdir()):
            if not (path / MARK).exists():
                raise UsageError(f"{path} is not empty", "it is not an earlier demo's", "Choose another --out.")
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        (path / MARK).write_text("Made by citymote demo, which replaces this folder when it runs again.\n", "utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written", error.strerror or str(error), "Choose another --out.") from None
    return path
