"""A column of contracts or opportunities (end, owner, amount) as `history` says it stood at a moment."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.arrays import Coded, Columns, columns_of
from features.columns import history_rows, parse_moment, parse_number
from features.crm.crm import Crm
from features.kernel import MISSING, Ints


def read_minor_units(text: str) -> int:
    """Whole minor units of an amount, `MISSING` if it is none."""
    amount = parse_number(text)
    return int(MISSING) if np.isnan(amount) else round(amount * 100)


READ: dict[str, Callable[[str], object]] = {
    "end_date": parse_moment,
    "owner_id": str,
    "annual_value": read_minor_units,
    "amount": read_minor_units,
}
"""Column → how history's text of it is read."""


class Stood:
    """One column of a table's rows through time.

    Args:
        crm: the CRM; without a `history` of the column today's values hold throughout.
        table: its table.
        column: its name, one of `READ`.
        ids: (n,) ids of the rows asked about.
        today: (n,) their values today.
        begins: (n,) since when each row exists, `MISSING` if not known.
    """

    def __init__(
        self, crm: Crm, table: str, column: str, ids: pd.Series, today: NDArray, begins: Ints
    ) -> None:
        self.table, self.column, self.today, self.begins = table, column, today, begins
        self.number_by_id = {name: number for number, name in enumerate(ids)}
        self.history: Columns | None = None
        if crm.has("history", "table", "id", "column", "changed_at", "value"):
            wanted = f"\"table\" = '{table}' AND \"column\" = '{column}'"
            rows = crm.sql(f'SELECT "table", id, "column", changed_at, value FROM history WHERE {wanted}')
            self.history = columns_of(rows) if rows.num_rows else None

    def at(self, row: Ints, as_of: Ints, unknown: object = None) -> NDArray:
        """(m,) the value of each `row` at each moment, `unknown` where history covers it only later.

        `unknown` None: today's value then.
        """
        today = self.today[row]
        if self.history is None:
            return today
        entry, covered = history_rows(
            self.table, self.column, self.history, self.number_by_id, self.begins, row, as_of
        )
        values = self._values()
        result = today.copy()
        has_entry = covered & (entry >= 0)
        result[has_entry] = values[entry[has_entry]]
        if unknown is not None:
            result[covered & (entry < 0)] = unknown
        return result

    def every(self) -> tuple[Ints, NDArray]:
        """(row, value) pairs: every value each row ever had."""
        row = np.arange(len(self.today))
        if self.history is None:
            return row, self.today
        ids = self.history["id"]
        assert isinstance(ids, Coded)
        numbers = np.array([*(self.number_by_id.get(level, -1) for level in ids.levels), -1])[ids.codes]
        held = numbers >= 0
        return np.concatenate([row, numbers[held]]), np.concatenate([self.today, self._values()[held]])

    def _values(self) -> NDArray:
        assert self.history is not None
        text = self.history["value"]
        assert isinstance(text, Coded)
        read = [READ[self.column](level) for level in text.levels]
        missing = None if self.today.dtype == object else MISSING
        return np.array([*read, missing], dtype=self.today.dtype)[text.codes]
