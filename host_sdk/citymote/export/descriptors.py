"""What nodes say they are, one JSON object for each descriptor frame (SPEC 6.3); readings are no part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from citymote.descriptor import as_json, descriptor_of
from citymote.export.base import Exporter

if TYPE_CHECKING:
    from citymote.decode import Frame
    from citymote.reading import Reading


class DescriptorsExporter(Exporter):
    """Model, versions, sensors with batch and calibration date, support, corrections, position."""

    def add(self, frame: Frame, readings: list[Reading]) -> None:
        found = descriptor_of(frame)
        if found is not None:
            self.line(as_json(found))
            self.written += 1
