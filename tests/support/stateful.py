"""How the state machines of the tests are run: a bounded number of examples, the same ones each time.

A run of the suite has to end, and a failure has to come again: whoever looks for more examples raises the number.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine


def case_of(machine: type[RuleBasedStateMachine], examples: int, steps: int = 40) -> Any:
    """The unittest class of a machine, which pytest collects under the name that it is given."""
    case = machine.TestCase
    case.settings = settings(max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True)
    return case
