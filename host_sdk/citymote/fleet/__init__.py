"""The fleet registry: which nodes there are, where they hang, who did what to them.

    with open_fleet("city.fleet", store) as fleet:           SQLite; "postgresql://user@host/db" for PostgreSQL
        fleet.add(label)
        for node in fleet.nodes(site="harbour"): ...

`store` is the `citymote.owner.OwnerStore` whose vault seals the secrets in it. A station is a place with a series of
readings; nodes come and go there (`replace`). What is done is written to a log that only grows (`audit`).
"""

from __future__ import annotations

from .audit import Entry
from .base import FleetError, NodeRecord, Stage, Station, Stay, Step, node_of
from .book import Fleet, open_fleet

__all__ = ["Entry", "Fleet", "FleetError", "NodeRecord", "Stage", "Station", "Stay", "Step", "node_of", "open_fleet"]
