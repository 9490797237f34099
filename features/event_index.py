"""The tables of some accounts made ready for the kernel: placed in groups, sorted, filtered, summed; each
once."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features.arrays import COMPUTED, Coded, Column, Columns, codes_in, length, picked, sortable
from features.catalog.declare import SCOPE_COLUMN, Events, Test
from features.crm.contract import TABLES
from features.kernel import FOREVER, MISSING, Ints, Presence, Selection, Timeline, running_total

Known = Mapping[str, Mapping[str, int]]


class Ledger:
    """Events of some accounts, with everything that does not depend on the snapshots kept once worked out.

    Args:
        tables: columns by table.
        id_numbers: scope → id → number of the accounts, contracts, … that snapshots may ask about.
        before: a moment no snapshot is later than; later events need not be looked at.
    """

    def __init__(self, tables: Mapping[str, Columns], id_numbers: Known, before: int = FOREVER) -> None:
        self.tables, self.id_numbers, self.before = tables, id_numbers, before
        self._computed: dict[tuple[str, str], Column] = {}
        self._groups: dict[tuple[str, str], Ints] = {}
        self._masks: dict[Test, dict[str, NDArray[np.bool_]]] = {}
        self._lines: dict[tuple[str, str, str], Timeline] = {}
        self._chosen: dict[tuple[Events, str], Selection] = {}
        self._totals: dict[tuple[Events, str, str], Ints] = {}
        self._present: dict[tuple[Events, str, str], Presence] = {}

    def column(self, table: str, name: str) -> Column:
        """A column of a table, calculated if need be."""
        columns = self.tables[table]
        if name in columns:
            return columns[name]
        if (table, name) not in self._computed:
            self._computed[table, name] = COMPUTED[table, name].make(self.tables)
        return self._computed[table, name]

    def group(self, table: str, scope: str) -> Ints:
        """(n,) the account, contract, … of each row, -1 if it is not among the known."""
        if (table, scope) not in self._groups:
            if scope == "everyone":
                self._groups[table, scope] = np.zeros(length(self.tables[table]), np.int64)
            else:
                self._groups[table, scope] = codes_in(
                    self.column(table, SCOPE_COLUMN[scope]), self.id_numbers[scope]
                )
        return self._groups[table, scope]

    def line(self, table: str, at: str, scope: str) -> Timeline:
        """A table by one of its moments."""
        if (table, at, scope) not in self._lines:
            moment = self.column(table, at)
            assert isinstance(moment, np.ndarray)
            recorded = self.tables[table].get("recorded_at") if at == "occurred_at" else None
            self._lines[table, at, scope] = Timeline(
                self.group(table, scope),
                moment,
                groups=len(self.id_numbers[scope]),
                before=self.before,
                recorded=recorded if isinstance(recorded, np.ndarray) else None,
                ties=lambda rows: self._ties(table, rows),
            )
        return self._lines[table, at, scope]

    def _ties(self, table: str, rows: Ints) -> tuple[NDArray, ...]:
        """What orders rows of one moment: the table's key, or all of its columns where it has none."""
        columns = self.tables[table]
        key = TABLES[table].key or ""
        return tuple(
            sortable(picked(columns, name, rows)) for name in ([key] if key in columns else sorted(columns))
        )

    def chosen(self, events: Events, scope: str) -> Selection:
        """The events that pass their tests."""
        selection = self._chosen.get((events, scope))
        if selection is None:
            line = self.line(events.table, events.at, scope)
            passes = None
            for test in events.where:
                hit = self._mask(events.table, test)
                passes = hit if passes is None else passes & hit
            selection = Selection(line, None if passes is None else passes[line.rows])
            self._chosen[events, scope] = selection
        return selection

    def _mask(self, table: str, test: Test) -> NDArray[np.bool_]:
        """(n,) whether each row of the table passes."""
        masks = self._masks.setdefault(test, {})
        if table not in masks:
            masks[table] = _passes(self.column(table, test.column), test)
        return masks[table]

    def total(self, events: Events, scope: str, value: str) -> Ints:
        """(k + 1,) running total of a whole-number column over the chosen events.

        Raises:
            TypeError: the column holds no whole numbers; a sum of others would depend on their order.
        """
        if (events, scope, value) not in self._totals:
            values = self.column(events.table, value)
            if isinstance(values, Coded) or values.dtype.kind != "i":
                raise TypeError(f"sums are over whole numbers; {events.table}.{value} holds none")
            self._totals[events, scope, value] = running_total(values[self.chosen(events, scope).rows])
        return self._totals[events, scope, value]

    def present(self, events: Events, scope: str, value: str) -> Presence:
        """Which values of a column the chosen events make present, when."""
        key = (events, scope, value)
        if key not in self._present:
            chosen, column = self.chosen(events, scope), self.column(events.table, value)
            codes = column.codes if isinstance(column, Coded) else column
            self._present[key] = Presence(chosen, codes[chosen.rows].astype(np.int64))
        return self._present[key]


def _passes(column: Column, test: Test) -> NDArray[np.bool_]:
    if isinstance(column, Coded):
        return column.codes >= 0 if test.words is None else column.among(test.words)
    given = ~np.isnan(column) if column.dtype.kind == "f" else column != MISSING
    if test.flag is not None:
        return given & (column == int(test.flag))
    if test.least is not None:
        given = given & (column >= test.least)
    if test.most is not None:
        given = given & (column <= test.most)
    return given
