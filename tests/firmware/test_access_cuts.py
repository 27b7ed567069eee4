"""The node's power fails while a host over the air claims and configures it.

test_access_power cuts at every operation of the flash, whole and torn, in these and in transfer, recovery and wipes,
without a radio. Here the host is the other half: it comes again with the same errand and ends where it would have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.claimable import Street, street

from citymote.errors import CitymoteError
from citymote.transports.base import Disconnected

pytestmark = pytest.mark.usefixtures("micropython32")
WISH = {"station": "pole 7", "broker_host": "broker.city"}
FIRST = 4  # operation of the configuration's flash; those before are the start's own
ENDS = 9  # the last one of claim and configuration
PATIENCE = 60  # s


async def claimed_and_configured(fresh: Street) -> None:
    async with fresh.near() as session:
        assert await session.claim(fresh.secret, fresh.owner) == [0]
        await session.config(WISH)


def ends(fresh: Street) -> bool:
    """Whether claim and configuration came to their end; False where the power failed in their midst."""

    async def talk() -> None:
        async with asyncio.timeout(PATIENCE):
            await claimed_and_configured(fresh)

    try:
        asyncio.run(talk())
    except (Disconnected, CitymoteError, TimeoutError, AssertionError):
        if fresh.node.running:
            raise
        return False
    return fresh.node.running


def owner(stored: Mapping[str, str]) -> bytes:
    """Whose the node is: a record that was whole before its rename counts."""
    return bytes.fromhex(stored.get("owner") or stored["owner.new"])[-33:]


def cuts(first: int, last: int, sample: tuple[tuple[int, bool], ...]) -> list[Any]:
    """Each operation, whole and torn; those of the sample always, the rest in the long form."""
    each = [(at, torn) for at in range(first, last + 1) for torn in (False, True)]
    return [pytest.param(*cut, marks=() if cut in sample else pytest.mark.slow) for cut in each]


@pytest.mark.parametrize(("at", "torn"), cuts(FIRST, ENDS, ((5, True), (8, False))))
def test_a_claim_in_whose_midst_the_power_fails_is_made_by_coming_again(at: int, torn: bool, tmp_path: Path) -> None:
    with street(tmp_path, start=False) as fresh:
        fresh.node.cut_power("config", at, torn=torn)
        fresh.node.start()
        assert not ends(fresh), "the flash is written to that often"
        fresh.node.start()
        assert ends(fresh)
        fresh.node.kill()
        stored = fresh.stored()
        assert owner(stored) == fresh.owner.public
        assert b"pole 7" in bytes.fromhex(stored["pending"])
