"""What the leakage guard looks at beside the dataset: open rows, raw dates and text, and the history."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from features.columns import BEGINS, KEYS, NEVER, SEEN_FROM
from features.settings import Settings
from features.tables import TABLES, Kind
from training.dataset import Dataset

if TYPE_CHECKING:
    from features.crm import Crm

DECIDED = {"renewal": ("contracts", "decided_at"), "win": ("opportunities", "closed_at")}
RAW_KINDS = (Kind.TEXT, Kind.TIME, Kind.DATE)
FEWEST_CHANGES = 20


@dataclass(frozen=True)
class Beside:
    """What a dataset does not hold.

    Attributes:
        open_rows: the same features for rows still undecided, one a contract or deal.
        raw: rows as in the dataset, a column each `table.column` of dates and free text as the CRM holds them
            today, and `decided_at`.
        raw_open: the same for the rows of `open_rows`.
        changes_after: `table.column` → share of its recorded changes that came after the decision, where the
            history speaks of some rows only.
    """

    open_rows: pd.DataFrame | None = None
    raw: pd.DataFrame | None = None
    raw_open: pd.DataFrame | None = None
    changes_after: dict[str, float] | None = None


def beside(crm: "Crm", ds: Dataset, settings: Settings) -> Beside:
    """Read it from the CRM that the dataset was made of."""
    from features.engine import feature_rows
    from features.snapshots import to_score

    undecided = to_score(crm, ds.kind)
    return Beside(
        open_rows=feature_rows(crm, undecided, ds.kind, settings).frame if len(undecided) else None,
        raw=raw_columns(crm, ds.snapshots, ds.kind),
        raw_open=raw_columns(crm, undecided, ds.kind) if len(undecided) else None,
        changes_after=changes_after(crm, ds.kind),
    )


def raw_columns(crm: "Crm", snapshots: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Dates and carried text of each snapshot's rows as they stand today, and when it was decided."""
    found: dict[str, pd.Series] = {}
    for table in SEEN_FROM[kind]:
        names = [name for name, what in _kinds(crm, table).items() if what in RAW_KINDS]
        found |= {f"{table}.{name}": values for name, values in _joined(crm, table, names, snapshots).items()}
    table, moment = DECIDED[kind]
    decided = _joined(crm, table, [moment] if crm.has(table, moment) else [], snapshots)
    found["decided_at"] = decided.get(moment, pd.Series(pd.NaT, index=snapshots.index))
    return pd.DataFrame(found, index=snapshots.index)


def _kinds(crm: "Crm", table: str) -> dict[str, Kind]:
    """The columns of a table that may be features, carried text among them, with their kinds."""
    if not crm.has(table):
        return {}
    core = {c.name: c.kind for c in TABLES[table].columns if c.kind is not Kind.TEXT}
    known = {**core, **{name: Kind(what) for name, what in crm.carried.get(table, {}).items()}}
    return {c: known[c] for c in crm.tables[table] if c in known and f"{table}.{c}" not in NEVER}


def _joined(crm: "Crm", table: str, names: list[str], snapshots: pd.DataFrame) -> dict[str, pd.Series]:
    """Columns of a table for each snapshot, by the id that leads from one to the other."""
    key = "opportunity_id" if table == "leads" else KEYS[table]
    if not names or not crm.has(table, key):
        return {}
    rows = crm.frame(table, [key, *names]).dropna(subset=key).drop_duplicates(key, keep="last").set_index(key)
    ids = snapshots[key].astype("string").astype(object)
    picked = rows.reindex(ids)
    return {name: picked[name].set_axis(snapshots.index) for name in names}


def changes_after(crm: "Crm", kind: str) -> dict[str, float]:
    """Of each column's changes that the history records, the share at or after the decision.

    Columns whose whole history is known are left out: their values are taken as they stood.
    """
    table, moment = DECIDED[kind]
    history = ("table", "id", "column", "changed_at")
    if not crm.has("history", *history) or not crm.has(table, KEYS[table], moment):
        return {}
    begin = BEGINS[table] if crm.has(table, BEGINS[table]) else None
    told = crm.sql(f"""
        SELECT h."column" AS name, avg(CAST(h.changed_at >= s."{moment}" AS DOUBLE)) AS after, count(*) AS n,
               count(DISTINCT h.id) / (SELECT count(*) FROM "{table}" WHERE "{moment}" IS NOT NULL) AS covered
        FROM history h JOIN "{table}" s ON h.id = s."{KEYS[table]}"
        WHERE h."table" = '{table}' AND s."{moment}" IS NOT NULL
              {f'AND (s."{begin}" IS NULL OR h.changed_at > s."{begin}")' if begin else ""}
        GROUP BY 1
    """).to_pylist()
    return {
        f"{table}.{row['name']}": row["after"]
        for row in told
        if row["n"] >= FEWEST_CHANGES and row["covered"] < 0.8
    }
