"""A node that no server tells the time is told it in a session: what it measures from then on says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.claimable import START, street
from tests.support.desk import until

import citymote
from citymote.keys import KeyFile, Opener
from citymote_protocol import coap

pytestmark = pytest.mark.usefixtures("micropython32")
DAYS = 40


def test_rows_from_before_and_after_are_dated_by_what_the_session_said(tmp_path: Path) -> None:
    with street(tmp_path, start=False) as fresh:
        fresh.node.network_time = False
        fresh.node.start()

        def readings() -> list[citymote.Reading]:
            keys = KeyFile(collectors=[fresh.key])
            keys.add_node(fresh.public)
            found = citymote.readings(list(fresh.collector.messages), keys=Opener(keys))
            return [one for one in found if one.quantity == "temperature"]

        async def talk() -> None:
            await fresh.provision(time_source="none", interval=5, batch=1)
            async with fresh.far() as session:
                await session.access(fresh.owner, fresh.id)
                assert readings() == [], "nobody knows when they were taken"
                now = START + DAYS * 86400 + fresh.node.now // 1000
                await session.ask(coap.PUT, "time", [now, None])

        asyncio.run(talk())
        until(lambda: len(readings()) >= 4)
        said = readings()
    assert {one.time_quality for one in said} == {"ble"}
    zero = citymote.reading.moment(START + DAYS * 86400)  # type: ignore[attr-defined]
    seconds = [(one.time - zero).total_seconds() for one in said]
    assert all(0 < second <= fresh.node.now / 1000 + 5 for second in seconds), "in the fortieth day, as it was told"
