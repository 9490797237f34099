"""A cleaned CRM: one Parquet file a table in a folder, and what is known about it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.crm.contract import SUBJECTS, Kind
from features.crm.quality import Quality
from features.crm.values import literal, quoted
from features.duckdb_connection import connected
from features.errors import RenewalError

MANIFEST = "crm.json"
_DATES = {"renewal": ("contracts", "end_date"), "win": ("opportunities", "created_at")}
_NULLABLE = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


@dataclass(frozen=True)
class Crm:
    """CRM tables that hold to the contract (types: see `features.crm.contract.Kind`).

    Rows are sorted by account_id, time and key. Columns a source lacks are absent; `accounts` is never.

    Args:
        folder: one `<table>.parquet` each.
        until: naive UTC; nothing that became known at or after it is inside.
        tables: columns present, by table.
        carried: the extra columns of accounts, contracts, opportunities and leads, with their kind.
        fingerprint: equal for equal content, wherever it lies.
        quality: what was read, kept and put aside.
    """

    folder: Path
    until: pd.Timestamp
    tables: dict[str, tuple[str, ...]]
    carried: dict[str, dict[str, Kind]]
    fingerprint: str
    quality: Quality

    def has(self, table: str, *columns: str) -> bool:
        """Whether the table, and all of these columns of it, are there."""
        return table in self.tables and set(columns) <= set(self.tables[table])

    def path(self, table: str) -> Path:
        """The table's Parquet file.

        Raises:
            RenewalError: the CRM lacks the table.
        """
        if table not in self.tables:
            raise RenewalError(
                expected=f"a table {table!r}",
                found=", ".join(sorted(self.tables)),
                do=f"Add {table} to the CRM data or to its mapping.",
            )
        return self.folder / f"{table}.parquet"

    def arrow(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The table, or some columns of it, as Arrow."""
        return pq.read_table(self.path(table), columns=None if columns is None else list(columns))

    def frame(self, table: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The table as a data frame; whole numbers are `Int64`, flags `boolean`, moments `datetime64[us]`."""
        return self.arrow(table, columns).to_pandas(types_mapper=_NULLABLE.get)

    def sql(self, query: str) -> pa.Table:
        """Answer a DuckDB query in which each table is a view."""
        with connected() as connection:
            for table in self.tables:
                if table in query:
                    connection.execute(self.view(table))
            return connection.sql(query).to_arrow_table()

    def view(self, table: str) -> str:
        """The DuckDB statement that makes the table a view of a connection."""
        source = literal(self.path(table))
        return f"CREATE TEMP VIEW {quoted(table)} AS SELECT * FROM read_parquet({source})"

    def dated(self, kind: str) -> bool:
        """Whether the subjects have dates to split by: at least half are given and they are not all the same.

        Args:
            kind: `renewal` (contracts by end_date) or `win` (opportunities by created_at).
        """
        table, column = _DATES[kind]
        if not self.has(table, column):
            return False
        dates = self.arrow(table, [column])[column]
        given = len(dates) - dates.null_count
        return 2 * given >= len(dates) and len(dates.drop_null().unique()) > 1

    def need(self, kind: str) -> str:
        """The subjects' table of `kind`.

        Raises:
            RenewalError: it is missing.
        """
        self.path(SUBJECTS[kind])
        return SUBJECTS[kind]

    def write_manifest(self) -> None:
        """Say in the folder what is in it; a folder without this file is not a finished CRM."""
        manifest = {
            "until": self.until.isoformat(),
            "tables": {table: list(columns) for table, columns in self.tables.items()},
            "carried": self.carried,
            "fingerprint": self.fingerprint,
            "quality": self.quality.as_dict(),
        }
        (self.folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def read_crm(folder: Path) -> Crm:
    """The cleaned CRM in `folder`.

    Raises:
        RenewalError: there is none, not a finished one, or a file of it is broken.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for table in manifest["tables"]:
            pq.read_metadata(folder / f"{table}.parquet")  # the footer alone: what was cut short has none
    except FileNotFoundError as error:
        raise RenewalError(
            expected=f"a cleaned CRM in {folder}",
            found="no crm.json there",
            do="Run `perennial ingest SOURCE`.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:  # no JSON, no text, no Parquet
        raise RenewalError(
            expected=f"whole files in {folder}",
            found=str(error).splitlines()[0],
            do="Restore the folder, or remove it and run `perennial ingest SOURCE`.",
        ) from error
    return Crm(
        folder=folder,
        until=pd.Timestamp(manifest["until"]).as_unit("us"),
        tables={table: tuple(columns) for table, columns in manifest["tables"].items()},
        carried={
            table: {name: Kind(kind) for name, kind in kinds.items()}
            for table, kinds in manifest["carried"].items()
        },
        fingerprint=manifest["fingerprint"],
        quality=Quality.from_dict(manifest["quality"]),
    )
