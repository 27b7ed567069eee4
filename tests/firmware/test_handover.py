"""A node that takes another one's place, and one that goes to another owner: by command, with real nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.claimable import NETWORK_HEAP, PACE, Street, neighbour, street
from tests.support.desk import Desk, table, until

from citymote import Decoder
from citymote.descriptor import descriptor_of
from citymote.keys import KeyFile, Opener
from citymote.label import Label


@dataclass
class City:
    """A node at work at pole-17, another one in its box, and their owner's desk."""

    old: Street
    new: Street
    desk: Desk
    via: tuple[str, ...]
    radio: tuple[str, ...]

    def provision(self, desk: Desk, *who: object, **plan: Any) -> None:
        url = f"mqtt://127.0.0.1:{self.old.broker.port}"
        path = desk.plan(url, name=f"{desk.store.path.stem}.toml", interval=5, batch=1, **plan)
        words = ("--plan", path, "--uplink", url, "--find", 60, *self.radio)
        (told,) = desk.told("provision", *who, *words)
        assert told["outcome"] == "provisioned"

    def stations(self) -> dict[str, set[str]]:
        """Where each node says that it hangs, in what has arrived so far."""
        found: dict[str, set[str]] = {}
        for frame in Decoder(Opener(KeyFile.load(self.desk.keys)), on_error="skip").frames(self.old.collector.messages):
            described = descriptor_of(frame)
            if described is not None:
                found.setdefault(described.node, set()).add(described.station)
        return found


@pytest.fixture(scope="module")
def city(micropython32: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    folder = tmp_path_factory.mktemp("handover")
    with street(folder, speed=PACE) as old, neighbour(old, seed=1) as new:
        for one in (old, new):  # from its next start on, which is that of its uplink
            one.node.speed, one.node.heap, one.node.chip = PACE, NETWORK_HEAP, None
        via = ("--via", f"mqtt://127.0.0.1:{old.broker.port}")
        made = City(old, new, Desk(folder), via, ("--radio", old.air.transport))
        made.desk.knows(Label(old.public, old.secret), Label(new.public, new.secret))
        row = {"node": old.id, "station": "pole-17", "latitude": 37.5665, "longitude": 126.978, "height": 4}
        made.provision(made.desk, "--table", table(folder / "nodes.csv", [row]))
        yield made


def test_a_node_that_replaces_another_one_goes_on_with_its_stations_series(city: City) -> None:
    told = city.desk.told("fleet", "replace", city.old.id, city.new.id)
    assert told == [{"station": "pole-17", "old": city.old.id, "new": city.new.id}]
    city.provision(city.desk, city.new.id)
    (config,) = city.desk.told("node", city.new.id, "config", *city.via)
    assert (config["station"], config["place"]) == ("pole-17", [37566500, 126978000, 4])
    until(lambda: city.stations() == {city.old.id: {"pole-17"}, city.new.id: {"pole-17"}})
    (shown,) = city.desk.told("fleet", "show", city.new.id)
    assert [stay["station"] for stay in shown["stays"]] == ["pole-17"]
    (before,) = city.desk.told("fleet", "show", city.old.id)
    assert [stay["until"] for stay in before["stays"]] == [shown["stays"][0]["since"]]


def test_a_node_goes_to_another_owner_who_provisions_it_and_the_old_one_has_no_part_in_it(city: City) -> None:
    buyer = Desk(city.desk.folder, "buyer")
    buyer.knows(Label(city.old.public, city.old.secret))
    (shown,) = buyer.told("owner", "show")
    node = ("node", city.old.id)
    assert "nobody has offered it to this owner" in buyer.refused(*node, "take", *city.via)
    city.desk.run(*node, "transfer", "--to", shown["owner"], *city.via)
    assert buyer.told(*node, "take", *city.via) == [{"node": city.old.id, "owner": shown["owner"]}]
    until(lambda: any(data["state"] == 1 for data in city.old.node.event_data("service")))
    (config,) = buyer.told(*node, "config", *city.radio)
    left = {name: config[name] for name in ("collector_key", "broker_host", "site", "station", "network")}
    assert left == {"collector_key": "", "broker_host": "", "site": "", "station": "", "network": False}
    assert "its owner has not signed it" in city.desk.refused(*node, "info", *city.radio)
    before = len(city.old.collector.messages)
    city.provision(buyer, city.old.id, site="quay")
    theirs, ours = (Opener(KeyFile.load(desk.keys)) for desk in (buyer, city.desk))

    def opened(opener: Opener) -> set[str]:
        frames = Decoder(opener, on_error="skip").frames(city.old.collector.messages[before:])
        return {frame.node for frame in frames}

    until(lambda: city.old.id in opened(theirs))
    assert city.old.id not in opened(ours)
