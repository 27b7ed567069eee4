"""What the tests of whole nodes share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from citymote.broker import Broker


@pytest.fixture
def broker() -> Iterator[Broker]:
    """The broker that comes with the demo, on a free port."""
    with Broker() as found:
        yield found
