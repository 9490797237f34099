"""What every source hands over: one raw Parquet file a table, and what went wrong on the way there."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 100_000
_MEMORY_MB = 2048


@dataclass
class Raw:
    """Raw tables by contract name; `rejected` counts lines that were no row at all, with examples."""

    tables: dict[str, Path] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    rejected: dict[str, tuple[int, list[str]]] = field(default_factory=dict)


def write_batches(schema: pa.Schema, batches: Iterable[pa.RecordBatch], path: Path) -> None:
    """Stream Arrow batches into a Parquet file."""
    with pq.ParquetWriter(path, schema, compression="snappy") as writer:
        for batch in batches:
            writer.write_batch(batch)


def connect(spill: Path, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """An empty DuckDB in memory: at most 2 GB (or half the machine's), beyond that it spills into `spill`."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return duckdb.connect(
        config={
            "memory_limit": f"{min(_MEMORY_MB, memory // 2)}MB",
            "temp_directory": str(spill),
            "threads": threads or os.cpu_count() or 1,
            "preserve_insertion_order": True,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
