"""Apache Parquet files with the columns of `citymote.to_arrow`, compressed with Zstandard.

`citymote decode` hands whole tables in (`add_table`), which is the fast way; readings chosen one by one are gathered
into row groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from citymote.arrow import SCHEMA
from citymote.errors import need
from citymote.export.base import Exporter, Options
from citymote.reading import Reading

if TYPE_CHECKING:
    from citymote.decode import Frame

ROW_GROUP = 1 << 17


class ParquetExporter(Exporter):
    """One file, a row group for every 131,072 readings or each table."""

    def __init__(self, out: BinaryIO, options: Options | None = None) -> None:
        super().__init__(out, options)
        self._pa: Any = need("pyarrow", "arrow", "writing Parquet")
        parquet: Any = need("pyarrow.parquet", "arrow", "writing Parquet")
        self._writer: Any = parquet.ParquetWriter(out, SCHEMA, compression="zstd")
        self._waiting: list[Reading] = []

    def add(self, frame: Frame, readings: list[Reading]) -> None:
        self._waiting += readings
        if len(self._waiting) >= ROW_GROUP:
            self._flush()

    def add_table(self, table: Any) -> None:
        """Write a whole table of `citymote.arrow`."""
        if table.num_rows:
            self._writer.write_table(table)
            self.written += table.num_rows

    def close(self) -> None:
        self._flush()
        self._writer.close()
        super().close()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            columns = dict(zip(Reading._fields, zip(*waiting, strict=True), strict=True))
            arrays = [self._pa.array(columns[field.name], type=field.type) for field in SCHEMA]
            self.add_table(self._pa.Table.from_arrays(arrays, schema=SCHEMA))
