"""Rows that arrive one by one, read just as a load reads them: same readings, same types, same faults."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from features.canonical import read_plainly
from features.casting import Reading, add_macros, as_text, fault, quoted, read_in_layers
from features.errors import RenewalError
from features.tables import TABLES, Column


class Reader:
    """Reads rows as JSON gives them into clean columns; made once, used from any thread."""

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 1")
        add_macros(self._connection)
        self._turn = threading.Lock()

    def read(self, table: str, rows: Sequence[Mapping[str, Any]]) -> tuple[pa.Table, list[str | None]]:
        """The rows as clean columns of the contract, and what is wrong with each (None: nothing).

        Columns that the contract does not know are left out: an arrival is an event, and events carry none.

        Raises:
            RenewalError: there is no such table, or no row has any of its columns.
        """
        if table not in TABLES:
            raise RenewalError(
                expected=f"a table of the contract ({', '.join(TABLES)})", found=repr(table), do="Rename it."
            )
        given = {name for row in rows for name in row}
        columns = [column for column in TABLES[table].columns if column.name in given or column.required]
        plainly = read_plainly(columns, rows)
        if plainly is not None:
            return plainly, [None] * len(rows)
        return self._read(columns, rows)

    def _read(
        self, columns: list[Column], rows: Sequence[Mapping[str, Any]]
    ) -> tuple[pa.Table, list[str | None]]:
        raw = pa.table(
            {
                column.name: pa.array([as_text(row.get(column.name)) for row in rows], pa.string())
                for column in columns
            }
        )
        readings = [Reading(column, column.name, pa.string()) for column in columns]
        faults = [told for told in (fault(each, i) for i, each in enumerate(readings)) if told]
        picked = [f"__v{i} AS {quoted(column.stored)}" for i, column in enumerate(columns)]
        picked.append(f"concat_ws('; ', {', '.join(faults)}) AS __fault" if faults else "'' AS __fault")
        query = f"SELECT {', '.join(picked)} FROM ({read_in_layers(readings, 'arrived')})"
        with self._turn:
            self._connection.register("arrived", raw)
            read = self._connection.sql(query).to_arrow_table()
            self._connection.unregister("arrived")
        return read.drop_columns("__fault"), [told or None for told in read["__fault"].to_pylist()]
