"""What was read, kept and put aside: the quality report of a CRM source.

A table of which not one row could be read: that is a fault of the export, not of its rows.
"""

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from features.errors import RenewalError


@dataclass
class TableQuality:
    """One table's figures; rows read are kept, quarantined or left out (known only after `until`).

    `foreign_links` counts links to rows of another account, left out of rows that are kept.
    """

    rows: int = 0
    kept: int = 0
    quarantined: int = 0
    left_out: int = 0
    derived: int = 0
    duplicates: int = 0
    orphans: int = 0
    foreign_links: int = 0
    reasons: dict[str, dict[str, Any]] = field(default_factory=dict)
    null_share: dict[str, float] = field(default_factory=dict)
    first: str | None = None
    last: str | None = None


@dataclass
class Quality:
    """The quality report: figures by table, and warnings in words."""

    tables: dict[str, TableQuality] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def of(self, table: str) -> TableQuality:
        """The figures of one table, made at first use."""
        return self.tables.setdefault(table, TableQuality())

    def warn(self, text: str) -> None:
        """Add a warning once."""
        if text not in self.warnings:
            self.warnings.append(text)

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
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Quality":
        """The report that `as_dict` told."""
        tables = {
            name: TableQuality(**{key: value for key, value in table.items() if key != "orphan_share"})
            for name, table in record["tables"].items()
        }
        return cls(tables, list(record["warnings"]))


FEWEST_ROWS = 10
"""A few bad rows may be just that."""
_FAULT = re.compile(r"(?P<column>\w+): '(?P<value>.*?)' is not a date")
_DAY = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?:[ T](\d{1,2}:\d{2}(:\d{2})?))?")


def check_rows_left(quality: Quality) -> None:
    """Refuse tables of which every row was put aside for the same fault in its own values.

    Raises:
        RenewalError: names the column, what it holds and what to do.
    """
    for name, table_quality in quality.tables.items():
        if (
            table_quality.rows >= FEWEST_ROWS
            and table_quality.quarantined >= table_quality.rows
            and not table_quality.orphans
        ):
            raise _refusal(name, table_quality)


def _refusal(name: str, counts: TableQuality) -> RenewalError:
    reason, most = max(counts.reasons.items(), key=lambda item: item[1]["count"])
    examples = [str(text) for text in most["examples"]]
    formats = formats_of(
        [(fault["column"], fault["value"]) for text in examples for fault in _FAULT.finditer(text)]
    )
    do = "Correct the export, or say in mapping.yaml how it is to be read."
    if formats:
        read = ", ".join(f"strptime({column}, '{form}') AS {column}" for column, form in formats.items())
        source = f"read_csv('{name}.csv', all_varchar = true)"
        do = (
            "Export dates as YYYY-MM-DD, or say in mapping.yaml how they are read:"
            f' `{name}: "SELECT * REPLACE ({read}) FROM {source}"`.'
        )
    return RenewalError(
        expected=f"rows of {name} that can be read",
        found=f"all {counts.rows:,} put aside, {most['count']:,} of them alike: {(examples or [reason])[0]}",
        do=do,
    )


def formats_of(faults: list[tuple[str, str]]) -> dict[str, str]:
    """Column → how its days are written, for `strptime`; nothing where it does not show.

    Args:
        faults: columns and values of theirs that are no ISO dates. All are taken to have the same order:
            where no number is over 12, day before month, but after a slash month before day.
    """
    days = [(column, _DAY.fullmatch(value)) for column, value in faults]
    matches = [(column, day) for column, day in days if day and len(day[3]) <= 2]
    signs = {day[2] for _, day in matches}
    if len(matches) < len(days) or len(signs) != 1:
        return {}
    (sign,) = signs
    if all(len(day[1]) == 4 for _, day in matches):
        if sign != ".":
            return {}  # as it should be: something else is wrong with them
        order = ["%Y", "%m", "%d"]
    else:
        year = "%Y" if all(len(day[4]) == 4 for _, day in matches) else "%y"
        first, second = (max(int(day[part]) for _, day in matches) for part in (1, 3))
        month_first = second > 12 or (sign == "/" and first <= 12)
        order = ["%m", "%d", year] if month_first else ["%d", "%m", year]
    return {column: sign.join(order) + _clock(day[5]) for column, day in matches}


def _clock(text: str | None) -> str:
    return "" if text is None else " %H:%M:%S" if text.count(":") == 2 else " %H:%M"
