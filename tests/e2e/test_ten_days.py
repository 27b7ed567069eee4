"""Ten days in one piece: MicroPython's own ticks wrap after 6.2 days, and nothing of a node may notice."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.city import City

from citymote import open_store
from citymote.broker import Broker
from citymote.demo import city as made

DAYS = 10
WRAP = 2**29 / 1000  # seconds until a tick counter of 30 bits has gone half round, where differences turn negative


@pytest.mark.usefixtures("run_vm")
def test_every_row_of_ten_days_is_there_in_order_at_its_time(tmp_path: Path) -> None:
    interval = 900
    data = made.generate(1, DAYS * 24, interval=interval, seed=7)
    city = City(tmp_path, data, sound=True, settings={"batch": 24, "status_interval": 21600})
    with Broker() as broker:
        collecting = city.collect(broker.url)
        try:
            city.run(broker.url)
        finally:
            collecting.close()
    city.ended_well()
    city.judge()
    with open_store(city.store, create=False) as store:
        frames = sorted(store.iter_frames(), key=lambda frame: frame.seq)
    assert [frame.seq for frame in frames] == list(range(frames[0].seq, frames[0].seq + len(frames))), "none is missing"
    start, count = data.stations[0].start, len(data.stations[0].rows)
    times = [sorted({sample.time for sample in frame.samples()}) for frame in frames if frame.kind == "batch"]
    rows = [time for frame in times for time in frame]
    assert rows == [start + index * interval for index in range(count)]
    assert rows[-1] - rows[0] > WRAP, "the run is longer than the counter"
    node = city.nodes["0001"]
    assert node.starts == 1, "in one piece"
    assert all(reading.time_quality == "network" for frame in frames for reading in frame.readings())
