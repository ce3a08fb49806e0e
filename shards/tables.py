"""Parquet tables that come out byte for byte the same for the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pri3d_data.errors import DataError
from shards.schema import TABLES, VERSION, table_name
from shards.store import Store


def make_table(name: str, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """A table of the format's schema from its columns."""
    schema = TABLES[name].with_metadata({"pri3d_format_version": str(VERSION)})
    return pa.table(
        {field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema
    )


def table_bytes(table: pa.Table) -> bytes:
    """The table as Parquet; the same rows give the same bytes with the same pyarrow."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=3, row_group_size=1 << 20)
    return bytes(sink.getvalue().to_pybytes())


def read_table(store: Store, name: str, columns: list[str] | None = None) -> pa.Table:
    """A published table, or some of its columns.

    Raises:
        DataError: it is missing, no Parquet file, or lacks a column.
    """
    path = table_name(name)
    data = store.read(path)
    try:
        table = pq.read_table(pa.BufferReader(data), columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"is no readable Parquet table ({error}).",
            file=store.url(path),
            remedy="Run `pri3d-data verify`, then the build command again.",
        ) from error
    missing = [field for field in (columns or TABLES[name].names) if field not in table.column_names]
    if missing:
        raise DataError(f"lacks the columns {', '.join(missing)}.", file=store.url(path))
    return table
