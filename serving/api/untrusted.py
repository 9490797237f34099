"""Columns that strangers send, read so that a small body cannot become much work or much memory.

A row more, a nested column or a compressed buffer costs its sender next to nothing. So nothing is unpacked
before its size is known: only the columns that are wanted are read, Arrow buffers come as they are, and
Parquet comes in codecs that cannot grow a byte into thousands.
"""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from serving.api.arrow_messages import compressed_batches
from serving.api.problems import ProblemError

MOST_ROWS = 100_000
MOST_GROUPS = 100
"""Row groups of a Parquet file: each may name the same bytes once more."""

MOST_TEXT_BYTES = 64 * 1024 * 1024
CODECS = frozenset({"UNCOMPRESSED", "SNAPPY"})
"""Snappy grows a byte into 21 at most; gzip, zstd, LZ4 and brotli into hundreds or many thousands."""


def read_arrow(body: bytes, wanted: Iterable[str]) -> pa.Table:
    """The wanted columns of an Arrow stream.

    Raises:
        ProblemError: 413 for more rows than fit, 422 for compressed buffers.
        pa.ArrowException: it is no Arrow stream.
    """
    if compressed_batches(body):
        raise ProblemError(422, "Send the Arrow stream without compressed buffers.")
    schema = pa.ipc.open_stream(body).schema
    _require_plain(schema, wanted)
    places = [at for at, field in enumerate(schema) if field.name in set(wanted)]
    reader = pa.ipc.open_stream(
        body, options=pa.ipc.IpcReadOptions(included_fields=places, use_threads=False)
    )
    if not places:
        return pa.table({})
    batches, rows = [], 0
    for batch in reader:
        rows += batch.num_rows
        _require_fit(rows)
        batch.validate(full=True)
        batches.append(batch)
    return _texts_fit(pa.Table.from_batches(batches, reader.schema))


def read_parquet(body: bytes, wanted: Iterable[str]) -> pa.Table:
    """The wanted columns of a Parquet file, texts as codes.

    Raises:
        ProblemError: 413 for more rows or row groups than fit; 422 for nested columns, for a codec not among
            `CODECS`, and where the parts together are larger than the body.
        pa.ArrowException: it is no Parquet file.
    """
    source = pa.BufferReader(body)
    metadata = pq.read_metadata(source)
    _require_fit(metadata.num_rows)
    if metadata.num_row_groups > MOST_GROUPS:
        raise ProblemError(413, f"Send at most {MOST_GROUPS} row groups in one file.")
    schema = metadata.schema.to_arrow_schema()
    _require_plain(schema, wanted)
    named = [field.name for field in schema if field.name in set(wanted)]
    _require_honest(metadata, set(named), len(body))
    texts = [name for name in named if pa.types.is_string(schema.field(name).type)]
    return _texts_fit(pq.read_table(source, columns=named, read_dictionary=texts, use_threads=False))


def _require_honest(metadata: pq.FileMetaData, wanted: set[str], size: int) -> None:
    """The parts to be read do not overlap, so that they cannot be read over and over; and none explodes."""
    compressed = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for at in range(row_group.num_columns):
            column = row_group.column(at)
            if column.path_in_schema in wanted:
                compressed += max(column.total_compressed_size, 0)
                if column.compression not in CODECS:
                    allowed = " or ".join(sorted(CODECS)).lower()
                    raise ProblemError(422, f"Send Parquet {allowed}, not {column.compression.lower()}.")
    if compressed > size:
        raise ProblemError(422, "The parts of this Parquet file are larger than the file.")


def _require_fit(rows: int) -> None:
    if rows > MOST_ROWS:
        raise ProblemError(413, f"Send at most {MOST_ROWS:,} rows in one request.")


def _require_plain(schema: pa.Schema, wanted: Iterable[str]) -> None:
    """Wanted columns come once each, and hold one value a row: a list may hold any number."""
    for name in wanted:
        places = schema.get_all_field_indices(name)
        if len(places) > 1:
            raise ProblemError(422, f"{name}: there {len(places)} times.")
        if places and pa.types.is_nested(schema.field(places[0]).type):
            raise ProblemError(
                422, f"{name}: one value a row is expected, not {schema.field(places[0]).type}."
            )


def _texts_fit(table: pa.Table) -> pa.Table:
    """The table with coded texts written out; a long text named by every row is refused.

    Raises:
        ProblemError: 413 where they would take more than `MOST_TEXT_BYTES`.
    """
    for at, name in enumerate(table.column_names):
        column = table.column(at)
        if not pa.types.is_dictionary(column.type):
            continue
        if not pa.types.is_string(column.type.value_type):
            table = table.set_column(at, name, column.cast(column.type.value_type))
            continue
        total = 0
        for chunk in column.chunks:
            lengths = pc.binary_length(chunk.dictionary.cast(pa.large_string()))
            total += pc.sum(lengths.take(chunk.indices)).as_py() or 0
        if total > MOST_TEXT_BYTES:
            raise ProblemError(413, f"{name}: more than {MOST_TEXT_BYTES // 2**20} MB of text.")
        table = table.set_column(at, name, column.cast(pa.string()))
    return table
