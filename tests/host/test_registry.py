"""The registry is one source: generated files are current, published entries stay, look-ups agree on node and host."""

import subprocess
import sys
from pathlib import Path

import pytest

from citymote import registry
from citymote_protocol import quantities as node_table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import make_quantities  # noqa: E402

SOURCE = make_quantities.SOURCE.read_text("utf-8")


def test_generated_files_are_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_quantities.py"), "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_node_and_host_agree() -> None:
    for entry in registry.quantities():
        assert node_table.decimals(entry.id) == entry.decimals, entry.name
        assert node_table.name(entry.id) == entry.name
        assert node_table.by_name(entry.name) == entry.id


def test_sets_round_trip() -> None:
    for number, name, _, members in registry.sets():
        columns = node_table.quantity_set(number)
        assert columns == tuple((member, 0) for member in members), name
        assert node_table.set_id_for(columns) == number
        assert node_table.set_id_for((*columns[:-1], (members[-1], 1))) is None, "another instance is another set"


def test_unknown_ids_have_no_resolution_and_a_stand_in() -> None:
    for number in (0, -1, 127, 255, 1000):
        assert node_table.decimals(number) is None
        assert node_table.name(number) is None
    assert registry.quantity(250).name == "quantity_250"
    assert not registry.quantity(250).known
    assert node_table.by_name("no such thing") is None


@pytest.mark.parametrize(
    ("value", "integer"), [(0.15, 2), (-0.15, -2), (12.04, 120), (0.05, 1), (-98.125, -981), (35.0, 350)]
)
def test_rounding_is_half_away_from_zero(value: float, integer: int) -> None:
    assert registry.quantity("pm2_5").integer(value) == integer


def test_values_round_trip_at_the_resolution() -> None:
    for entry in registry.quantities():
        for integer in (-1000, -1, 0, 1, 7, 12345):
            assert entry.integer(entry.value(integer)) == integer, entry.name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('id = 2\nname = "pm10"', 'id = 1\nname = "pm10"'),
        ('name = "pm10"', 'name = "pm2_5"'),
        ('statistic = "leq"', 'statistic = "average"'),
        ('correction = "operator/1"', 'correction = "operator"'),
        ('of = "wind_speed"', 'of = "wind_sped"'),
        (
            'columns = ["pm2_5", "pm10", "temperature", "humidity"]',
            'columns = ["pm10", "pm2_5", "temperature", "humidity"]',
        ),
        ('method = "Tipping', 'metod = "Tipping'),
    ],
)
def test_a_registry_that_breaks_its_rules_is_refused(old: str, new: str) -> None:
    assert old in SOURCE
    with pytest.raises(make_quantities.RegistryError):
        make_quantities.load(SOURCE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [("decimals = 1", "decimals = 2"), ('unit = "lx"', 'unit = "klx"'), ('statistic = "sum"', 'statistic = "mean"')],
)
def test_what_was_published_never_changes(old: str, new: str) -> None:
    published = make_quantities.LOCK.read_text("utf-8").splitlines()[1:]
    with pytest.raises(make_quantities.RegistryError, match="published"):
        make_quantities.check_append_only(make_quantities.load(SOURCE.replace(old, new, 1)), published)
