"""NGSI-LD entities (ETSI GS CIM 009) of FIWARE's smart data models AirQualityObserved and NoiseLevelObserved, one a
line.

One entity holds what one node measured at one time. Attribute names come from the registry's `fiware` column; the
models' own rules are met by conversion (humidity as a share of 1, wind direction from -180 to 180) and, where a value
has no place in them, by leaving it out and counting it: absent, negative where the model wants none, or a quantity
that the models do not know. The plain attribute is sensor 0's raw reading; further sensors and corrected values stand
beside it under a datasetId (section 4.5.5). Both models require a location: it comes from the stations file or from
the node's own latitude and longitude.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO

from citymote.errors import ExportError
from citymote.export.base import Exporter, Options, Station, entry_of
from citymote.reading import Reading, time_text

if TYPE_CHECKING:
    from citymote.decode import Frame
    from citymote.registry import Quantity

CONTEXT = [
    "https://raw.githubusercontent.com/smart-data-models/dataModel.Environment/master/context.jsonld",
    "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld",
]
AIR, NOISE = "AirQualityObserved", "NoiseLevelObserved"
AIR_ATTRIBUTES = frozenset(
    [
        "co",
        "co2",
        "no",
        "no2",
        "o3",
        "so2",
        "sh2",
        "pm1",
        "pm25",
        "pm4",
        "pm10",
        "precipitation",
        "pressure",
        "relativeHumidity",
        "temperature",
        "volatileOrganicCompoundsTotal",
        "windDirection",
        "windSpeed",
    ]
)
NOISE_ATTRIBUTES = frozenset(("LAS", "LAeq", "LAmax"))
# What the model's schema lets be negative; everything else has minimum 0 there.
SIGNED = frozenset(("temperature", "windDirection", "pm1")) | NOISE_ATTRIBUTES
# UN/CEFACT Recommendation 20 common codes, which NGSI-LD's unitCode takes.
UNIT_CODES = {
    "ug/m3": "GQ",
    "Cel": "CEL",
    "m/s": "MTS",
    "deg": "DD",
    "hPa": "A97",
    "ppm": "59",
    "ppb": "61",
    "dB": "2N",
    "mm": "MMT",
    "mm/h": "H67",
    "lx": "LUX",
    "%RH": "C62",
}


class NgsiLdExporter(Exporter):
    """One entity a line, in normalized form with its @context."""

    def __init__(self, out: BinaryIO, options: Options | None = None) -> None:
        super().__init__(out, options)
        self._places: dict[str, Station] = dict(self.options.stations)

    def add(self, frame: Frame, readings: list[Reading]) -> None:
        self._learn_place(frame, readings)
        rows: dict[datetime, dict[str, dict[str, list[Reading]]]] = {}
        for r in readings:
            attribute = entry_of(r.quantity).fiware
            if attribute in AIR_ATTRIBUTES:
                model = AIR
            elif attribute in NOISE_ATTRIBUTES:
                model = NOISE
            else:
                self.left_out[f"{r.quantity} is in neither model"] += 1
                continue
            if r.value is None:
                self.left_out["absent"] += 1
            elif r.value < 0 and attribute not in SIGNED:
                self.left_out[f"negative {r.quantity}, which the model does not allow"] += 1
            else:
                rows.setdefault(r.time, {}).setdefault(model, {}).setdefault(attribute, []).append(r)
        for time, models in rows.items():
            for model, attributes in models.items():
                entity = self._entity(model, frame, time, attributes)
                self.line(json.dumps(entity, ensure_ascii=False))

    def _entity(self, model: str, frame: Frame, time: datetime, attributes: dict[str, list[Reading]]) -> dict[str, Any]:
        node, end = frame.node, time_text(time)
        entity: dict[str, Any] = {"id": f"urn:ngsi-ld:{model}:{node}:{end}", "type": model}
        if model == AIR:
            entity["dateObserved"] = {"type": "Property", "value": end}
        else:
            begin = time_text(time - timedelta(seconds=frame.interval))
            entity["dateObserved"] = {"type": "Property", "value": f"{begin}/{end}"}
            entity["dateObservedFrom"] = {"type": "Property", "value": begin}
            entity["dateObservedTo"] = {"type": "Property", "value": end}
        entity["location"] = {"type": "GeoProperty", "value": self._point(node)}
        entity["refDevice"] = {"type": "Relationship", "object": f"urn:ngsi-ld:Device:{node}"}
        for attribute, readings in attributes.items():
            properties = [self._property(r, entry_of(r.quantity), end) for r in readings]
            entity[attribute] = properties[0] if len(properties) == 1 else properties
            self.written += len(properties)
        entity["@context"] = CONTEXT
        return entity

    def _property(self, r: Reading, entry: Quantity, end: str) -> dict[str, Any]:
        made: dict[str, Any] = {"type": "Property", "value": converted(r), "observedAt": end}
        code = UNIT_CODES.get(entry.unit)
        if code is not None:
            made["unitCode"] = code
        if r.sensor or entry.state != "raw":
            made["datasetId"] = f"urn:ngsi-ld:Dataset:citymote:{r.quantity}:{r.sensor}"
        made["quality"] = {"type": "Property", "value": r.quality}
        made["timeQuality"] = {"type": "Property", "value": r.time_quality}
        made["sealed"] = {"type": "Property", "value": r.sealed}
        return made

    def _learn_place(self, frame: Frame, readings: list[Reading]) -> None:
        if frame.node in self.options.stations:
            return
        said = {
            r.quantity: r.value for r in readings if r.quantity in ("latitude", "longitude") and r.value is not None
        }
        latitude, longitude = said.get("latitude"), said.get("longitude")
        if latitude is not None and longitude is not None:
            self._places[frame.node] = Station(latitude, longitude)

    def _point(self, node: str) -> dict[str, Any]:
        place = self._places.get(node)
        if place is None:
            what = f"the place of node {node} is not known"
            raise ExportError(what, "both FIWARE models require a location", "Give a stations file (--stations FILE).")
        point = [place.longitude, place.latitude]
        return {"type": "Point", "coordinates": point if place.altitude is None else [*point, place.altitude]}


def converted(reading: Reading) -> float:
    """A value as the model wants it."""
    value = reading.value or 0.0
    if reading.unit == "%RH":
        return float(Decimal(repr(value)) / 100)
    if reading.unit == "deg" and value > 180:
        return value - 360
    return value
