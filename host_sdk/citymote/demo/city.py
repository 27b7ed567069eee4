"""A city day made from a seed, for demos and tests that must not depend on anybody's data.

Modelled on the statistics of published networks: temperature and humidity follow the sun and each other, light and
ultraviolet follow its height and passing cloud, dust is a slow walk shared by the city with street-level steps of its
own, wind blows in gusts around a turning direction, noise follows the traffic of a day, and a pole stands nearly still
with gravity along its z axis. Only integers at the registry's resolution leave this module; the same seed gives the
same day on every machine.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime

from citymote import registry
from citymote_protocol import quantities as q

from .dataset import Dataset, Station
from .mapping import EPOCH_2000

START = round((datetime(2026, 5, 1, 0, 0, tzinfo=UTC) - EPOCH_2000).total_seconds())
TITLE = "A generated city day"
_TRAFFIC = (
    46.5,
    45.0,
    44.0,
    43.5,
    44.5,
    48.0,
    53.0,
    57.5,
    59.5,
    58.5,
    57.5,
    57.5,
    58.0,
    57.5,
    57.5,
    58.0,
    59.0,
    60.0,
    60.0,
    58.0,
    56.0,
    54.0,
    51.5,
    48.5,
)


def generate(nodes: int = 6, hours: float = 24.0, interval: int = 120, seed: int = 1) -> Dataset:
    """A city of `nodes` poles for `hours`, one row every `interval` seconds, ten quantities and the two other axes."""
    count = int(hours * 3600 // interval)
    # Shared weather first, so that the city's size does not change it.
    sky = random.Random(f"citymote sky {seed}")
    cloud = _walk(sky, count, 0.35, 0.04, 0.0, 0.95)
    dust = _walk(sky, count, 22.0, 0.35, 3.0, 120.0)
    bearing = _walk(sky, count, sky.uniform(0.0, 360.0), 2.5, -720.0, 1080.0)
    stations = [_station(index, count, interval, seed, cloud, dust, bearing) for index in range(nodes)]
    return Dataset(TITLE, interval, stations)


def _walk(source: random.Random, count: int, start: float, step: float, low: float, high: float) -> list[float]:
    """A mean-reverting walk: lag-one correlation of air data, bounded."""
    value, out = start, list[float]()
    for _ in range(count):
        value += source.gauss(0.0, step) - 0.004 * (value - start)
        value = min(high, max(low, value))
        out.append(value)
    return out


def _station(
    index: int, count: int, interval: int, seed: int, cloud: list[float], dust: list[float], bearing: list[float]
) -> Station:
    source = random.Random(f"citymote station {seed} {index}")
    shade, street, loud, warm = (
        source.uniform(0.1, 1.0),
        source.uniform(0.8, 1.3),
        source.uniform(-4.0, 5.0),
        source.gauss(0.0, 0.7),
    )
    tilt_x, tilt_y = source.gauss(0.25, 0.15), source.gauss(0.5, 0.3)
    wind = _walk(source, count, 1.9, 0.12, 0.0, 12.0)
    air = _walk(source, count, 0.0, 0.05, -2.0, 2.0)
    roar = _walk(source, count, 0.0, 0.5, -5.0, 8.0)
    rows: list[dict[int, int]] = []
    for i in range(count):
        # The row belongs to the interval that ends here.
        hour = (START / 3600.0 + (i + 1) * interval / 3600.0) % 24.0
        sun = max(0.0, math.sin(math.pi * (hour - 5.5) / 14.0)) if 5.5 < hour < 19.5 else 0.0
        bright = sun * (1.0 - 0.75 * cloud[i])
        temperature = 17.0 + 6.5 * math.sin(math.pi * (hour - 9.0) / 12.0) + 2.0 * bright * shade + warm + air[i]
        pm2_5 = max(
            0.5, dust[i] * street * (1.0 + 0.25 * math.sin(math.pi * (hour - 7.0) / 6.0) ** 2) + source.gauss(0.0, 0.6)
        )
        whole = int(hour)
        traffic = _TRAFFIC[whole % 24] + (hour - whole) * (_TRAFFIC[(whole + 1) % 24] - _TRAFFIC[whole % 24])
        values = {
            q.PM2_5: pm2_5,
            q.PM10: pm2_5 * 1.34 + abs(source.gauss(0.0, 1.5)),
            q.TEMPERATURE: temperature,
            q.HUMIDITY: min(
                99.0, max(12.0, 66.0 - 2.6 * (temperature - 17.0) + 8.0 * cloud[i] + source.gauss(0.0, 0.3))
            ),
            q.WIND_DIRECTION: math.floor((bearing[i] + source.gauss(0.0, 15.0)) % 360.0),
            q.WIND_SPEED: max(0.0, wind[i] * (0.6 + 0.5 * bright) + source.gauss(0.0, 0.15)),
            q.ILLUMINANCE: max(2.0, 47000.0 * bright * shade * (1.0 + source.gauss(0.0, 0.02)))
            if sun
            else 2.0 + 6.0 * street,
            q.UV_INDEX: max(0.0, 8.5 * bright * sun * shade),
            q.LAEQ: min(95.0, max(32.0, traffic + loud + roar[i] + source.gauss(0.0, 1.1))),
            q.ACCELERATION_X: tilt_x + source.gauss(0.0, 0.01),
            q.ACCELERATION_Y: tilt_y + source.gauss(0.0, 0.01),
            q.ACCELERATION_Z: 9.80 + source.gauss(0.0, 0.012),
        }
        rows.append({number: registry.quantity(number).integer(value) for number, value in values.items()})
    return Station(f"pole-{index + 1:03d}", START + interval, rows)
