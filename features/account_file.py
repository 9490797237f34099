"""A table's Parquet file, sorted by account, read a range of accounts at a time."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.tables import TABLES


class AccountFile:
    """Reads the row groups that hold some accounts, texts as codes the way the file keeps them.

    Memory is bounded by the rows asked for and the row groups at their ends, whatever the file's size.
    Threads may share it.

    Args:
        path: the file; it has `account_id`.
        table: whose it is.
        columns: those to read.
    """

    def __init__(self, path: Path, table: str, columns: tuple[str, ...]) -> None:
        self.path, self.columns = path, list(columns)
        self.metadata = pq.read_metadata(path)
        self.schema = self.metadata.schema.to_arrow_schema()
        key = TABLES[table].key if table != "accounts" else None  # as many codes as rows are no gain
        texts = [name for name in columns if pa.types.is_string(self.schema.field(name).type)]
        self.coded = [name for name in texts if name != key]
        self.bounds = self._bounds()

    def _bounds(self) -> list[tuple[str, str] | None]:
        """First and last account of each row group, None where the file does not say."""
        place = self.schema.names.index("account_id")
        groups = (self.metadata.row_group(number) for number in range(self.metadata.num_row_groups))
        told = [group.column(place).statistics for group in groups]
        return [(each.min, each.max) if each and each.has_min_max else None for each in told]

    def rows(self, low: str, high: str) -> pa.Table:
        """The rows of the accounts from `low` to `high`, both included."""
        wanted = [
            number
            for number, bound in enumerate(self.bounds)
            if bound is None or (bound[0] <= high and bound[1] >= low)
        ]
        file = pq.ParquetFile(self.path, metadata=self.metadata, read_dictionary=self.coded)
        return _between(file.read_row_groups(wanted, columns=self.columns, use_threads=False), low, high)


def _between(rows: pa.Table, low: str, high: str) -> pa.Table:
    """Rows of those accounts alone; where they stand together, without a copy."""
    parts = [np.zeros(0, bool)]
    for chunk in rows.column("account_id").chunks:
        levels = chunk.dictionary
        named = pc.and_(pc.greater_equal(levels, low), pc.less_equal(levels, high))
        hit = np.append(named.to_numpy(zero_copy_only=False).astype(bool), False)
        parts.append(hit[chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)])
    inside = np.flatnonzero(np.concatenate(parts))
    if len(inside) and inside[-1] - inside[0] + 1 == len(inside):
        return rows.slice(inside[0], len(inside))
    return rows.take(pa.array(inside))
