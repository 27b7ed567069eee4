"""OGC SensorThings API 1.1 (18-088): observations as data arrays, and the entities they belong to.

`DataArrayExporter` writes the body of a POST to CreateObservations (section 12.2.2 of 1.0, kept in 1.1): one object
for each column of each frame. A Datastream is called `<node>:<quantity>:<sensor>`; `ThingsExporter` writes the Things
with their Datastreams under those ids, one Thing a line, to be posted first on a server that takes ids from clients.
Phenomenon time is the interval that a reading stands for. An absent reading is no observation, as servers differ in
what they make of null; it is counted as left out.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

from citymote.export.base import Exporter, Options, entry_of
from citymote.reading import Reading, time_text

if TYPE_CHECKING:
    from citymote.decode import Frame

COMPONENTS = ["phenomenonTime", "resultTime", "result", "parameters"]
OM_MEASUREMENT = "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement"
_QUDT_UNIT = "http://qudt.org/vocab/unit/"
_QUDT_KIND = "http://qudt.org/vocab/quantitykind/"


def datastream_id(reading: Reading) -> str:
    """The Datastream that a reading belongs to."""
    return f"{reading.node}:{reading.quantity}:{reading.sensor}"


def phenomenon_time(end: datetime, interval: int) -> str:
    """ISO 8601 interval up to the end of a reading's time, or the instant."""
    if interval <= 0:
        return time_text(end)
    return f"{time_text(end - timedelta(seconds=interval))}/{time_text(end)}"


class DataArrayExporter(Exporter):
    """A JSON array with one element for each column of each frame."""

    def __init__(self, out: BinaryIO, options: Options | None = None) -> None:
        super().__init__(out, options)
        self._first = True

    def add(self, frame: Frame, readings: list[Reading]) -> None:
        columns: dict[str, list[list[object]]] = {}
        for r in readings:
            if r.value is None:
                self.left_out["absent"] += 1
                continue
            parameters = {"quality": r.quality, "timeQuality": r.time_quality, "sealed": r.sealed}
            row: list[object] = [phenomenon_time(r.time, frame.interval), time_text(r.time), r.value, parameters]
            columns.setdefault(datastream_id(r), []).append(row)
            self.written += 1
        for name, rows in columns.items():
            element = {
                "Datastream": {"@iot.id": name},
                "components": COMPONENTS,
                "dataArray@iot.count": len(rows),
                "dataArray": rows,
            }
            self.out.write(b"[" if self._first else b",\n ")
            self._first = False
            self.out.write(json.dumps(element).encode())

    def close(self) -> None:
        self.out.write(b"[]\n" if self._first else b"]\n")
        super().close()


class ThingsExporter(Exporter):
    """Things with Sensors, ObservedProperties and Datastreams, one JSON object a line, for every node seen."""

    def __init__(self, out: BinaryIO, options: Options | None = None) -> None:
        super().__init__(out, options)
        self._nodes: dict[str, dict[tuple[str, int], Reading]] = {}

    def add(self, frame: Frame, readings: list[Reading]) -> None:
        known = self._nodes.setdefault(frame.node, {})
        for r in readings:
            known.setdefault((r.quantity, r.sensor), r)

    def close(self) -> None:
        for node, streams in self._nodes.items():
            thing: dict[str, Any] = {
                "@iot.id": node,
                "name": f"citymote node {node}",
                "description": "City sensor node",
                "properties": {"node": node},
                "Datastreams": [_datastream(reading) for _, reading in sorted(streams.items())],
            }
            station = self.options.stations.get(node)
            if station is not None:
                point: list[float] = [station.longitude, station.latitude]
                if station.altitude is not None:
                    point.append(station.altitude)
                thing["name"] = station.name or thing["name"]
                thing["Locations"] = [
                    {
                        "name": station.name or node,
                        "description": "Where the node stands",
                        "encodingType": "application/geo+json",
                        "location": {"type": "Point", "coordinates": point},
                    }
                ]
            self.line(json.dumps(thing, ensure_ascii=False))
            self.written += 1
        super().close()


def _datastream(reading: Reading) -> dict[str, Any]:
    entry = entry_of(reading.quantity)
    title = entry.title or reading.quantity
    return {
        "@iot.id": datastream_id(reading),
        "name": reading.quantity if reading.sensor == 0 else f"{reading.quantity} {reading.sensor}",
        "description": f"{title}, {entry.statistic or 'as reported'} over the interval",
        "observationType": OM_MEASUREMENT,
        "unitOfMeasurement": {
            "name": entry.qudt or entry.unit or "unknown",
            "symbol": entry.ucum,
            "definition": _QUDT_UNIT + entry.qudt if entry.qudt else "",
        },
        "ObservedProperty": {
            "name": reading.quantity,
            "description": entry.method or title,
            "definition": _QUDT_KIND + entry.kind if entry.kind else f"urn:citymote:quantity:{reading.quantity}",
        },
        "Sensor": {
            "name": f"{reading.quantity} sensor {reading.sensor} of {reading.node}",
            "description": entry.method or title,
            "encodingType": "text/plain",
            "metadata": f"citymote node {reading.node}, quantity {entry.id}, instance {reading.sensor}",
        },
    }
