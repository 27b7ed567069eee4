"""A driver's code leaves a small heap between two readings; what the driver knows stays, and nothing else can tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.vm import Result

# A beam that counts passages, on a bus that is a number.
SCRIPT = """
import sys
from node.sensor import Sensor
from node.drivers.motion import Motion
from node.statistics import Gather

class Bus:
    count = 0

    def value(self):
        return self.count

def there():
    return "node.drivers.motion" in sys.modules or hasattr(sys.modules["node.drivers"], "motion")

bus = Bus()
gather = Gather(23)
lines = []
uptime = [0]
sensor = Sensor(0, {"driver": "motion"}, Motion(bus, factor=200), 0, [(23, gather, (23, 0))], lambda: uptime[0],
                lambda level, text: lines.append(text))
del Motion
sensor.let_go()
print(there(), sensor.driver is None)
sensor.begin()
bus.count = 7
uptime[0] = 120000
print(there())
sensor.close()
print(sensor.results(), there(), sensor.errors, lines)
bus.count = 9
sensor.close()
print(sensor.results(), sensor.wake() is sensor.wake())
sys.modules["node.drivers.motion"] = None
sensor.let_go()
sys.modules["node.drivers"].__path__ = "/nowhere"
sensor.close()
print(sensor.results(), sensor.fault, len(lines))
"""


def lines(result: Result) -> list[str]:
    return result.checked().stdout.splitlines()


@pytest.mark.usefixtures("micropython32")
def test_between_readings_a_small_heap_holds_what_the_driver_knows_and_not_its_code(
    run_vm: Callable[..., Result],
) -> None:
    said = lines(run_vm(SCRIPT, heap="200k"))
    assert said[:3] == ["False True", "False", "[((23, 0), 14, 0)] False 0 []"]


@pytest.mark.usefixtures("micropython32")
def test_the_next_interval_counts_from_where_the_last_one_ended(run_vm: Callable[..., Result]) -> None:
    assert lines(run_vm(SCRIPT, heap="200k"))[3] == "[((23, 0), 4, 0)] True"


@pytest.mark.usefixtures("micropython32")
def test_a_driver_whose_code_cannot_be_read_is_a_failure_of_its_sensor(run_vm: Callable[..., Result]) -> None:
    assert lines(run_vm(SCRIPT, heap="200k"))[4] == "[((23, 0), None, 8)] 8 1"


@pytest.mark.usefixtures("micropython32")
def test_with_plenty_of_memory_the_code_stays(run_vm: Callable[..., Result]) -> None:
    said = lines(run_vm(SCRIPT, heap="1m"))
    assert said[:4] == ["True False", "True", "[((23, 0), 14, 0)] True 0 []", "[((23, 0), 4, 0)] True"]
