"""A moment of contracts or opportunities (an end date) as `history` says it stood."""

import numpy as np
import pandas as pd

from features.arrays import Coded, Columns, columns_of
from features.as_of import MISSING, Ints, take
from features.columns import history_rows, parse_moment
from features.crm import Crm


class Stood:
    """One moment column of a table's rows through time.

    Args:
        crm: the CRM; without a `history` of the column its values stood as they stand today.
        table: its table.
        column: its name.
        ids: (n,) ids of the rows asked about.
        today: (n,) their values today.
        begins: (n,) since when each row exists, `MISSING` if not known.
    """

    def __init__(self, crm: Crm, table: str, column: str, ids: pd.Series, today: Ints, begins: Ints) -> None:
        self.table, self.column, self.today, self.begins = table, column, today, begins
        self.known = {name: number for number, name in enumerate(ids)}
        self.history: Columns | None = None
        if crm.has("history", "table", "id", "column", "changed_at", "value"):
            wanted = f"\"table\" = '{table}' AND \"column\" = '{column}'"
            rows = crm.sql(f'SELECT "table", id, "column", changed_at, value FROM history WHERE {wanted}')
            self.history = columns_of(rows) if rows.num_rows else None

    def at(self, row: Ints, as_of: Ints) -> Ints:
        """(m,) the value of each `row` at each moment; `MISSING` where it is not known."""
        if self.history is None:
            return self.today[row]
        entry, covered = history_rows(
            self.table, self.column, self.history, self.known, self.begins, row, as_of
        )
        return np.where(covered, take(self._moments(), entry, MISSING), self.today[row])

    def every(self) -> tuple[Ints, Ints]:
        """(row, value) pairs: every value each row ever had."""
        row = np.arange(len(self.today))
        if self.history is None:
            return row, self.today
        ids = self.history["id"]
        assert isinstance(ids, Coded)
        numbers = np.array([*(self.known.get(level, -1) for level in ids.levels), -1])[ids.codes]
        held = numbers >= 0
        return np.concatenate([row, numbers[held]]), np.concatenate([self.today, self._moments()[held]])

    def _moments(self) -> Ints:
        assert self.history is not None
        text = self.history["value"]
        assert isinstance(text, Coded)
        return np.array([*map(parse_moment, text.levels), MISSING], dtype=np.int64)[text.codes]
