"""What was read, kept and put aside: the quality report of a CRM source.

A table of which not one row could be read: that is a fault of the export, not of its rows.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from features.errors import RenewalError


@dataclass
class TableQuality:
    """One table's figures; rows read are kept, quarantined or left out (known only after `until`).

    `foreign_links` counts links to rows of another account, left out of rows that are kept; `unread`, by
    column, the values that could not be read and count as missing in rows that are kept.
    `merged` counts rows that became part of another (merged records, lines of one contract), `older_versions`
    those of which a newer one is kept, `deleted` those that the source marks so.
    `foreign_links` counts links to rows of another account, left out of rows that are kept.
    """

    rows: int = 0
    kept: int = 0
    quarantined: int = 0
    left_out: int = 0
    merged: int = 0
    older_versions: int = 0
    deleted: int = 0
    derived: int = 0
    duplicates: int = 0
    orphans: int = 0
    foreign_links: int = 0
    reasons: dict[str, dict[str, Any]] = field(default_factory=dict)
    unread: dict[str, dict[str, Any]] = field(default_factory=dict)
    null_share: dict[str, float] = field(default_factory=dict)
    first: str | None = None
    last: str | None = None


@dataclass
class Quality:
    """The quality report: figures by table, warnings, how columns were read, the currency of all amounts."""

    tables: dict[str, TableQuality] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    readings: list[str] = field(default_factory=list)
    currency: str | None = None

    def of(self, table: str) -> TableQuality:
        """The figures of one table, made at first use."""
        return self.tables.setdefault(table, TableQuality())

    def warn(self, text: str) -> None:
        """Add a warning once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def decided(self, says: Iterable[str], doubts: Iterable[str] = ()) -> None:
        """Add how a column was read; where another reading fits as well it is a warning."""
        self.readings += [text for text in says if text not in self.readings]
        for text in doubts:
            self.warn(text)

    def reject(self, table: str, count: int, examples: list[str]) -> None:
        """Count lines that were no row at all: more or fewer values than the header, broken quotes."""
        table_quality = self.of(table)
        table_quality.rows += count
        table_quality.quarantined += count
        table_quality.reasons["not a row of the file"] = {"count": count, "examples": examples}

    @property
    def rows(self) -> int:
        """Rows read in all tables."""
        return sum(table.rows for table in self.tables.values())

    @property
    def quarantined(self) -> int:
        """Rows put aside in all tables."""
        return sum(table.quarantined for table in self.tables.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON: rows, quarantined, tables (each with its shares), warnings."""
        tables = {}
        for name, table in self.tables.items():
            share = table.orphans / table.rows if table.rows else 0.0
            tables[name] = asdict(table) | {"orphan_share": round(share, 6)}
        return {
            "rows": self.rows,
            "quarantined": self.quarantined,
            "tables": tables,
            "warnings": list(self.warnings),
            "readings": list(self.readings),
            "currency": self.currency,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Quality":
        """The report that `as_dict` returned."""
        tables = {
            name: TableQuality(**{key: value for key, value in table.items() if key != "orphan_share"})
            for name, table in record["tables"].items()
        }
        return cls(tables, list(record["warnings"]), list(record.get("readings", ())), record.get("currency"))


FEWEST_ROWS = 10
"""A few bad rows may be just that."""


def check_rows_left(quality: Quality) -> None:
    """Refuse tables of which every row was put aside for a fault in its own values.

    Raises:
        RenewalError: names the column, what it holds and what to do.
    """
    for name, table in quality.tables.items():
        if table.rows >= FEWEST_ROWS and table.quarantined >= table.rows and not table.orphans:
            reason, most = max(table.reasons.items(), key=lambda item: item[1]["count"])
            example = next(iter(most["examples"]), reason)
            raise RenewalError(
                expected=f"rows of {name} that can be read",
                found=f"all {table.rows:,} put aside, {most['count']:,} of them alike: {example}",
                do="Correct the export, or say in mapping.yaml how it is to be read.",
            )
