"""Readings in the formats of others: one module a format, and the function that chooses.

SenML, SensorThings and NGSI-LD are exports and not the wire: they cost ten to thirty times the bytes and have no
place for all that a reading says. JSON lines, CSV and Parquet carry everything. `descriptors` is about nodes, not
readings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from citymote.errors import UsageError

if TYPE_CHECKING:
    from citymote.export.base import Exporter, Options

# format: (module, class, what it is)
FORMATS: dict[str, tuple[str, str, str]] = {
    "text": ("text", "TextExporter", "aligned lines for people"),
    "jsonl": ("jsonl", "JsonLinesExporter", "one JSON object a reading"),
    "csv": ("csv", "CsvExporter", "one row a reading"),
    "parquet": ("parquet", "ParquetExporter", "Apache Parquet, for pandas, Polars, DuckDB, Spark"),
    "senml": ("senml", "SenmlJsonExporter", "SenML in JSON (RFC 8428)"),
    "senml-cbor": ("senml", "SenmlCborExporter", "SenML in CBOR (RFC 8428)"),
    "sensorthings": ("sensorthings", "DataArrayExporter", "OGC SensorThings 1.1, body of CreateObservations"),
    "sensorthings-things": ("sensorthings", "ThingsExporter", "OGC SensorThings 1.1, the Things to create first"),
    "descriptors": ("descriptors", "DescriptorsExporter", "what nodes say they are, one JSON object a descriptor"),
    "ngsi-ld": ("ngsi_ld", "NgsiLdExporter", "FIWARE AirQualityObserved and NoiseLevelObserved, one entity a line"),
}
BINARY = ("parquet", "senml-cbor")


def exporter(form: str, out: BinaryIO, options: Options | None = None) -> Exporter:
    """A writer of a format, by its name."""
    from importlib import import_module

    if form not in FORMATS:
        raise UsageError(f"no format is called {form!r}", "", f"There are: {', '.join(FORMATS)}.")
    module, name, _ = FORMATS[form]
    made: Exporter = getattr(import_module(f"citymote.export.{module}"), name)(out, options)
    return made
